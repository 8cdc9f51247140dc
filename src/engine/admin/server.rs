//! Connections: how many, how long, and what they ask for.

use std::{convert::Infallible, net::IpAddr, sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Bytes},
    header::{ALLOW, CONTENT_TYPE, HOST, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{
    health,
    sources::Sources,
    whitebox::{self, Part},
};
use crate::telemetry::metrics;

/// How many connections at once; more wait to be accepted.
const CONNECTIONS: usize = 128;
/// How long a client may take to say what it wants.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may take in all. It serves one request.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
/// How long connections may go on after the stop.
const DRAIN: Duration = Duration::from_secs(2);
/// A pause after a failure to accept, which is mostly a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop`; then finishes what has begun, for two seconds at most.
///
/// Cancel `stop` after the controllers have drained: until then somebody wants to know how they are.
pub async fn serve(listener: TcpListener, sources: Arc<Sources>, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        // Cancelling loses no connection: one that is not accepted yet stays where it is.
        let next = async { (Arc::clone(&places).acquire_owned().await, listener.accept().await) };
        let (place, accepted) = tokio::select! {
            () = stop.cancelled() => break,
            next = next => next,
        };
        match accepted {
            Ok((stream, peer)) => {
                let sources = Arc::clone(&sources);
                connections.spawn(async move {
                    connection(stream, peer.ip(), &sources).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection to the admin server");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
    let drained = async { while connections.join_next().await.is_some() {} };
    // What is left then ends with the set.
    let _all_done = tokio::time::timeout(DRAIN, drained).await;
}

async fn connection(stream: TcpStream, peer: IpAddr, sources: &Sources) {
    let service = service_fn(|request| {
        let response = respond(&request, peer, sources);
        async { Ok::<_, Infallible>(response) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        // Nobody asks often enough to be worth a place for idle connections.
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(CONNECTION_TIMEOUT, served).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%peer, %error, "a connection to the admin server ended early"),
        Err(_) => tracing::debug!(%peer, "a connection to the admin server took too long"),
    }
}

type Reply = Response<Full<Bytes>>;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

fn reply(status: u16, content_type: &'static str, text: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(text.into()));
    *reply.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

fn respond<B: Body>(request: &Request<B>, peer: IpAddr, sources: &Sources) -> Reply {
    let path = request.uri().path();
    let path = if path.len() > 1 { path.trim_end_matches('/') } else { path };
    let is_debug = path.starts_with("/debug/");
    let object = path.strip_prefix("/debug/whitebox/objects/");
    let known = ["/healthz", "/readyz", "/metrics", "/debug/whitebox"];
    if !known.contains(&path) && object.is_none() {
        let text =
            format!("there are {} and /debug/whitebox/objects/KIND/NAMESPACE/NAME\n", known.join(", "));
        return reply(404, TEXT, text);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = reply(405, TEXT, "only GET and HEAD\n");
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    let host = request.headers().get(HOST).map(|host| host.to_str().unwrap_or("?"));
    if is_debug && !sources.expose_debug && !whitebox::may_look(peer, host) {
        let why = "only for clients on the operator's own machine; use `helmfile-operator explain` or a port-forward";
        return reply(403, JSON, whitebox::problem(why));
    }
    let asks_for =
        |wanted: &str| request.uri().query().is_some_and(|query| query.split('&').any(|word| word == wanted));
    let (status, text) = match (path, object) {
        (_, Some(object)) => {
            let part = if asks_for("log=true") { Part::WithLogs } else { Part::Short };
            whitebox::object(sources, object, part)
        }
        ("/debug/whitebox", _) => whitebox::program(sources),
        ("/metrics", _) => {
            return reply(200, metrics::CONTENT_TYPE, sources.metrics.render(&whitebox::readings(sources)));
        }
        ("/readyz", _) => {
            let (ready, text) =
                health::readyz(&sources.readiness, &sources.insight.entries(), asks_for("verbose"));
            return reply(if ready { 200 } else { 503 }, TEXT, text);
        }
        _ => return reply(200, TEXT, "ok\n"),
    };
    reply(status, JSON, text)
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
