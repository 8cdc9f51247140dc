//! Calls to the API server that go wrong: an end to waiting, and one sentence about why.

use std::time::Duration;

/// The longest a single call may take. Tests of what gets no answer wait for it.
const CALL_TIMEOUT: Duration = Duration::from_secs(if cfg!(test) { 5 } else { 30 });

/// Ends a call that gets no answer: a half-open connection would hold it for a quarter of an hour.
pub(crate) async fn in_time<T>(call: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
    let late =
        || kube::Error::Service(Box::new(std::io::Error::other("the API server did not answer in time")));
    tokio::time::timeout(CALL_TIMEOUT, call).await.map_err(|_| late())?
}

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
