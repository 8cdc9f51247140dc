//! Asking the admin server of a running operator or applier: over a URL, or through a port-forward to its pod.

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
const OPERATOR: &str = "app.kubernetes.io/name=helmfile-operator";
/// How the pod of a Helmfile's applier is found, with its name; as in assets/templates/applier.yaml.hbs.
const APPLIER: &str = "app.kubernetes.io/name=helmfile-applier,app.kubernetes.io/instance=";
/// The longest value of a label.
const LABEL_LENGTH: usize = 63;
/// The name of the pod's port, where it does not have the default number.
const PORT_NAME: &str = "admin";

/// An answer: status and text.
pub(super) type Answer = (StatusCode, String);

/// Whose pod is asked.
pub(super) struct Peer<'n> {
    /// For messages: `the operator`.
    who: &'static str,
    namespace: &'n str,
    labels: String,
    /// What to do when there is none.
    hint: &'static str,
}

impl<'n> Peer<'n> {
    /// The operator, installed in a namespace.
    pub(super) fn operator(namespace: &'n str) -> Self {
        let hint = "give --operator-namespace, or --admin URL for an operator outside the cluster";
        Self { who: "the operator", namespace, labels: OPERATOR.to_owned(), hint }
    }

    /// The applier of one Helmfile.
    pub(super) fn applier(namespace: &'n str, name: &str) -> Self {
        let instance: String = name.chars().take(LABEL_LENGTH).collect();
        let hint = "the operator makes one for each Helmfile, unless it delivers itself";
        Self { who: "the applier", namespace, labels: format!("{APPLIER}{instance}"), hint }
    }
}

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

/// Asks the pod of a peer.
pub(super) async fn pod(client: &Client, peer: &Peer<'_>, path: &str) -> anyhow::Result<Answer> {
    match if_there(client, peer, path).await? {
        Some(answer) => Ok(answer),
        None => bail!(
            "found no pod of {}: none in `{}` has the label `{}`; {}",
            peer.who,
            peer.namespace,
            peer.labels,
            peer.hint
        ),
    }
}

/// The same; `None` when there is no such pod, running or not.
pub(super) async fn if_there(client: &Client, peer: &Peer<'_>, path: &str) -> anyhow::Result<Option<Answer>> {
    let namespace = peer.namespace;
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let Some(pod) = in_time(find(&api, peer)).await? else { return Ok(None) };
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let port = port(&pod);
    let mut forward = in_time(async { Ok(api.portforward(name, &[port]).await) })
        .await?
        .map_err(|error| refused(&error, peer, name))?;
    let stream = forward.take_stream(port).context("the port-forward has no stream")?;
    match in_time(get(stream, "localhost", path)).await {
        Ok(answer) => Ok(Some(answer)),
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

/// A pod that runs; an error when there are only others, `None` when there is none at all.
async fn find(api: &Api<Pod>, peer: &Peer<'_>) -> anyhow::Result<Option<Pod>> {
    let Peer { who, namespace, labels, .. } = peer;
    let pods = api.list(&ListParams::default().labels(labels)).await.map_err(|error| {
        let why = cluster::describe(&error);
        match error {
            kube::Error::Api(status) if status.code == 403 => anyhow!(
                "you may not find {who}'s pod: that takes `list` on `pods` in `{namespace}`; or make a \
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
    if running.is_none() && !phases.is_empty() {
        bail!("no pod of {who} in `{namespace}` is running: {}", phases.join(", "));
    }
    Ok(running)
}

/// The pod's port of that name, or the default one.
fn port(pod: &Pod) -> u16 {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let mut ports = containers.flat_map(|container| container.ports.iter().flatten());
    let named = ports.find(|port| port.name.as_deref() == Some(PORT_NAME));
    named.and_then(|port| u16::try_from(port.container_port).ok()).unwrap_or(admin::DEFAULT_PORT)
}

fn refused(error: &kube::Error, peer: &Peer<'_>, name: &str) -> anyhow::Error {
    let Peer { who, namespace, .. } = peer;
    let why = cluster::describe(error);
    match error {
        kube::Error::Api(status) if status.code == 403 => anyhow!(
            "you may not reach {who}'s pod: that takes `get` and `create` on `pods/portforward` in \
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
