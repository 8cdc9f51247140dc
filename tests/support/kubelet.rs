//! A node whose kubelet runs nothing and knows the logs of containers: an API server asks it for them.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex},
};

use http_body_util::Full;
use hyper::{Request, Response, body::Bytes, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::json;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};

use super::certificates::Authority;

/// A node with its kubelet. Ends when dropped; the Node object goes with [`Kubelet::remove`].
pub struct Kubelet {
    /// The node's name.
    pub node: String,
    client: Client,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct State {
    /// By `namespace/pod/container`.
    logs: Mutex<BTreeMap<String, String>>,
    asked: Mutex<Vec<String>>,
}

impl Kubelet {
    /// Starts the server and registers the node.
    pub async fn start(client: Client, node: &str) -> Self {
        let identity = Authority::new().unwrap().server(&["127.0.0.1"]).unwrap();
        let chain = vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::<State>::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, TlsAcceptor::from(Arc::new(config)), Arc::clone(&state)));

        let nodes: Api<Node> = Api::all(client.clone());
        let object = serde_json::from_value(json!({"metadata": {"name": node}})).unwrap();
        nodes.create(&PostParams::default(), &object).await.unwrap();
        let status = json!({"status": {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        }});
        nodes.patch_status(node, &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
        Self { node: node.to_owned(), client, state, _tasks: tasks }
    }

    /// Sets the log of a container, named `namespace/pod/container`.
    pub fn log(&self, container: &str, text: &str) {
        self.state.logs.lock().unwrap().insert(container.to_owned(), text.to_owned());
    }

    /// Paths and queries of all requests so far.
    pub fn asked(&self) -> Vec<String> {
        self.state.asked.lock().unwrap().clone()
    }

    /// Removes the node from the cluster.
    pub async fn remove(self) {
        let nodes: Api<Node> = Api::all(self.client);
        nodes.delete(&self.node, &DeleteParams::default()).await.unwrap();
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let (tls, state) = (tls.clone(), Arc::clone(&state));
        connections.spawn(async move {
            let Ok(stream) = tls.accept(stream).await else { return };
            let service = service_fn(|request| answer(&state, request));
            let server = hyper::server::conn::http1::Builder::new();
            let _the_api_server_hung_up = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

#[expect(clippy::unused_async, reason = "hyper wants a future")]
async fn answer(state: &State, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    state.asked.lock().unwrap().push(request.uri().to_string());
    let container = request.uri().path().strip_prefix("/containerLogs/").unwrap_or_default();
    let log = state.logs.lock().unwrap().get(container).cloned();
    let status = if log.is_some() { 200 } else { 404 };
    Ok(Response::builder().status(status).body(Full::from(log.unwrap_or_default())).unwrap())
}
