//! Saying in one sentence what went wrong with a call to the API server.

/// What went wrong with an API call, in one sentence: the server's own words, or the innermost cause.
pub fn describe(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        let text = if status.message.is_empty() { &status.reason } else { &status.message };
        return text.trim().replace('\n', " ");
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
