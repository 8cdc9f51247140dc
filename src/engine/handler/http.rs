//! Handlers that are services.

use std::{
    error::Error,
    io, iter,
    time::{Duration, Instant},
};

use reqwest::{
    Response, StatusCode, Url,
    header::{ACCEPT, CONTENT_TYPE, LOCATION, RETRY_AFTER},
};
use rustls::CertificateError;

use super::{Answer, HandlerError, HttpError, Runtime};
use crate::{
    contract::{Reply, ReplyFormat, State},
    engine::config::Http,
    object::ObjectRef,
    redact,
};

/// The most a service may answer, in bytes.
const BODY_LIMIT: usize = 16 << 20;
/// The most that is read of an answer that is no success, in bytes.
const COMPLAINT_LIMIT: usize = 4 << 10;
/// The most that is quoted of it, in characters.
const QUOTE: usize = 300;
/// The longest that a service can ask to be left alone.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

pub(super) async fn call(
    http: &Http,
    entry: &str,
    object: &ObjectRef,
    state: &State,
    runtime: &Runtime,
) -> Result<Answer, HandlerError> {
    let url = target(&http.url).map_err(|source| HandlerError::Http { url: "url".to_owned(), source })?;
    let input = serde_json::to_vec(state).map_err(|error| HandlerError::Prepare(error.to_string()))?;
    if http.debug {
        tracing::info!(entry, %object, state = %String::from_utf8_lossy(&input), "hook is given");
    }
    let started = Instant::now();
    let exchange = async {
        match http.timeout {
            Some(after) => tokio::time::timeout(after, exchange(http, url.clone(), input, runtime))
                .await
                .unwrap_or(Err(HttpError::TimedOut { after })),
            None => exchange(http, url.clone(), input, runtime).await,
        }
    };
    let body = tokio::select! {
        // In this order: no call begins once we are stopping.
        biased;
        () = runtime.stop.cancelled() => Err(HttpError::Stopped),
        body = exchange => body,
    };
    let body = body.map_err(|source| HandlerError::Http { url: address(url), source })?;
    if http.debug {
        tracing::info!(entry, %object, reply = %String::from_utf8_lossy(&body), "hook replied");
    }
    let reply = Reply::parse(&body, ReplyFormat::Program)?;
    Ok(Answer { reply, elapsed: started.elapsed(), stderr: String::new() })
}

/// The URL to call. What is no URL is not quoted in the error: nobody knows which part of it is a password.
fn target(url: &str) -> Result<Url, HttpError> {
    let url = Url::parse(url).map_err(|error| HttpError::Url(format!("it is no URL: {error}")))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        _ => Err(HttpError::Url("it must begin with `http://` or `https://`".to_owned())),
    }
}

/// Sends the state and returns the body of a successful answer.
async fn exchange(http: &Http, url: Url, input: Vec<u8>, runtime: &Runtime) -> Result<Vec<u8>, HttpError> {
    let client = runtime.http.get(url.scheme() == "https", &http.tls).await?;
    let request = client
        .post(url)
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, "application/json, application/yaml")
        .body(input);
    let mut response = request.send().await.map_err(broken)?;
    if response.status() != StatusCode::OK {
        return Err(refusal(response).await);
    }
    let too_large = HttpError::TooLarge { limit: BODY_LIMIT };
    if response.content_length().is_some_and(|length| length > BODY_LIMIT as u64) {
        return Err(too_large);
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        if body.len() + chunk.len() > BODY_LIMIT {
            return Err(too_large);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// What an answer that is no success says.
async fn refusal(mut response: Response) -> HttpError {
    let status = response.status();
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let to = header(LOCATION).and_then(|to| response.url().join(to).ok()).filter(Url::has_host);
    if let Some(to) = to.filter(|_| status.is_redirection()) {
        return HttpError::Redirected { status, to: address(to) };
    }
    let asks = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    let pause = header(RETRY_AFTER).filter(|_| asks).and_then(|seconds| seconds.trim().parse().ok());
    let retry_after = pause.map(|seconds| Duration::from_secs(seconds).min(LONGEST_PAUSE));
    let mut body = Vec::new();
    // The status is what counts: when the rest doesn't come, it is not missed.
    while body.len() < COMPLAINT_LIMIT
        && let Ok(Some(chunk)) = response.chunk().await
    {
        body.extend_from_slice(&chunk);
    }
    body.truncate(COMPLAINT_LIMIT);
    HttpError::Answered { status, said: first_line(&String::from_utf8_lossy(&body)), retry_after }
}

/// A URL with a host, without user information, query and fragment, any of which may be a secret.
fn address(mut url: Url) -> String {
    let _a_url_with_a_host_has_users = (url.set_username(""), url.set_password(None));
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

fn first_line(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    redact::urls(line).chars().filter(|c| !c.is_control()).take(QUOTE).collect()
}

/// Why there is no answer, in the words of whoever noticed.
fn broken(error: reqwest::Error) -> HttpError {
    // The URL can hold secrets.
    let error = error.without_url();
    let cause = causes(&error).last().unwrap_or(&error);
    if let Some(tls) = causes(&error).find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
        return HttpError::Unreachable(format!("TLS: {tls}{}", advice(tls)));
    }
    if error.is_dns() {
        return HttpError::Unreachable(format!("DNS: {cause}"));
    }
    if error.is_connect() {
        return HttpError::Unreachable(cause.to_string());
    }
    HttpError::BrokeOff(cause.to_string())
}

fn advice(error: &rustls::Error) -> &'static str {
    match error {
        // A bad signature: by an authority that only has the same name, such as its predecessor.
        rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => "; name its authority with `tls.caCertFile`",
        rustls::Error::InvalidMessage(_) => "; perhaps it speaks plain `http://`",
        _ => "",
    }
}

/// An error and what led to it.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |&error| {
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            // An I/O error names as its source what is below the error that it wraps.
            Some(wrapped) => Some(wrapped as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
