//! Asking a running operator's admin server: over a URL, or through a port-forward to its pod.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Request, StatusCode, Uri, body::Bytes, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{ListParams, Portforwarder},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use crate::{cluster, engine::admin};

/// The longest that connecting or an answer may take, each.
const TIMEOUT: Duration = Duration::from_secs(15);
/// The longest answer, in bytes.
const ANSWER_LIMIT: usize = 16 << 20;
/// How the operator's pods are found; as in deploy/install.yaml.
const LABELS: &str = "app.kubernetes.io/name=helmfile-operator";
/// The name of the pod's port, where it does not have the default number.
const PORT_NAME: &str = "admin";

/// An answer: status and text.
pub(super) type Answer = (StatusCode, String);

/// Asks at a URL such as `http://127.0.0.1:8081`.
pub(super) async fn url(url: &str, path: &str) -> anyhow::Result<Answer> {
    let uri: Uri = url.parse().with_context(|| format!("`{url}` is not a URL"))?;
    if uri.scheme_str() != Some("http") || !matches!(uri.path(), "" | "/") {
        bail!("`{url}` is not the address of an admin server; write for example `http://127.0.0.1:8081`");
    }
    let host = uri.host().unwrap_or_default();
    let port = uri.port_u16().unwrap_or(80);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let stream = in_time(async { Ok(TcpStream::connect((bare, port)).await?) }).await.with_context(|| {
        format!("failed to connect to `{url}`; is it running, and not with `--admin off`?")
    })?;
    in_time(get(stream, &format!("{host}:{port}"), path))
        .await
        .with_context(|| format!("failed to ask `{url}`"))
}

/// Asks the operator's pod in `namespace`.
pub(super) async fn pod(client: &Client, namespace: &str, path: &str) -> anyhow::Result<Answer> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let pod = in_time(find(&api, namespace)).await?;
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let port = port(&pod);
    let mut forward = in_time(async { Ok(api.portforward(name, &[port]).await) })
        .await?
        .map_err(|error| refused(&error, namespace, name))?;
    let stream = forward.take_stream(port).context("the port-forward has no stream")?;
    match in_time(get(stream, "localhost", path)).await {
        Ok(answer) => Ok(answer),
        Err(error) => {
            let error = trouble(&mut forward, port).await.map_or(error, |said| anyhow!("{said}"));
            let what = format!(
                "failed to ask the pod `{namespace}/{name}` on port {port}; does it run with `--admin off`, or on a \
                 port that is not called `{PORT_NAME}`?"
            );
            Err(error.context(what))
        }
    }
}

async fn in_time<T>(step: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::time::timeout(TIMEOUT, step)
        .await
        .unwrap_or_else(|_| Err(anyhow!("no answer within {} seconds", TIMEOUT.as_secs())))
}

/// One request over a connection of its own.
async fn get(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    host: &str,
    path: &str,
) -> anyhow::Result<Answer> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path).header(HOST, host).body(Empty::<Bytes>::new())?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_LIMIT).collect().await;
        let body = body.map_err(|error| anyhow!("failed to read the answer: {error}"))?;
        Ok((status, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
    };
    tokio::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        // The connection may end before its answer has been looked at.
        ended = connection => {
            ended?;
            exchange.await
        }
    }
}

async fn find(api: &Api<Pod>, namespace: &str) -> anyhow::Result<Pod> {
    let pods = api.list(&ListParams::default().labels(LABELS)).await.map_err(|error| {
        let why = cluster::describe(&error);
        match error {
            kube::Error::Api(status) if status.code == 403 => anyhow!(
                "you may not find the operator's pod: that takes `list` on `pods` in `{namespace}`; or make a \
                 port-forward by other means and give --admin URL ({why})"
            ),
            _ => anyhow!("failed to list the pods in `{namespace}`: {why}"),
        }
    })?;
    let phase = |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default();
    let phases: Vec<String> = pods
        .items
        .iter()
        .map(|pod| format!("{} is {}", pod.metadata.name.as_deref().unwrap_or_default(), phase(pod)))
        .collect();
    let running = pods
        .items
        .into_iter()
        .find(|pod| phase(pod) == "Running" && pod.metadata.deletion_timestamp.is_none());
    running.ok_or_else(|| {
        if phases.is_empty() {
            anyhow!(
                "found no pod of the operator: none in `{namespace}` has the label `{LABELS}`; give \
                 --operator-namespace, or --admin URL for an operator outside the cluster"
            )
        } else {
            anyhow!("no pod of the operator in `{namespace}` is running: {}", phases.join(", "))
        }
    })
}

/// The pod's port of that name, or the default one.
fn port(pod: &Pod) -> u16 {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let mut ports = containers.flat_map(|container| container.ports.iter().flatten());
    let named = ports.find(|port| port.name.as_deref() == Some(PORT_NAME));
    named.and_then(|port| u16::try_from(port.container_port).ok()).unwrap_or(admin::DEFAULT_PORT)
}

fn refused(error: &kube::Error, namespace: &str, name: &str) -> anyhow::Error {
    let why = cluster::describe(error);
    match error {
        kube::Error::Api(status) if status.code == 403 => anyhow!(
            "you may not reach the operator's pod: that takes `get` and `create` on `pods/portforward` in \
             `{namespace}`; or ask somebody for a port-forward and give --admin URL ({why})"
        ),
        _ => anyhow!("failed to make a port-forward to the pod `{namespace}/{name}`: {why}"),
    }
}

/// What the node says of a port that does not answer.
async fn trouble(forward: &mut Portforwarder, port: u16) -> Option<String> {
    let said = forward.take_error(port)?;
    tokio::time::timeout(Duration::from_secs(1), said).await.ok().flatten()
}
