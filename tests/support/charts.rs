//! A chart repository over HTTP, with or without a password; the same server is an OCI registry that can be pulled from.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use helmfile_operator::digest;
use http_body_util::Full;
use hyper::{Request, Response, body::Bytes, body::Incoming, server, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{net::TcpListener, task::JoinSet};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.cncf.helm.config.v1+json";
const CHART: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";

/// A chart repository. Ends when dropped.
pub struct Charts {
    /// Where it is, as `http://127.0.0.1:PORT`.
    pub url: String,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

struct Shared {
    /// The header that it wants.
    wanted: Option<String>,
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    asked: Mutex<Vec<Asked>>,
}

/// What somebody has asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The path.
    pub path: String,
    /// The header `Authorization`.
    pub authorization: Option<String>,
}

impl Charts {
    /// Starts one that wants this login, if any. It has no files yet.
    pub async fn start(login: Option<(&str, &str)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let wanted = login.map(|(user, password)| {
            format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
        });
        let shared = Arc::new(Shared { wanted, files: Mutex::default(), asked: Mutex::default() });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&shared)));
        Self { url, shared, _tasks: tasks }
    }

    /// Has a packed chart from now on, and an index with nothing else; `archive` is the URL that the index gives for it.
    pub fn put(&self, name: &str, version: &str, archive: &str, packed: Vec<u8>) {
        let index = format!(
            "{{apiVersion: v1, generated: '2020-01-01T00:00:00Z', entries: {{{name}: [{{apiVersion: v2, name: {name}, version: {version}, urls: ['{archive}']}}]}}}}\n"
        );
        let mut files = self.shared.files.lock().unwrap();
        files.insert("/index.yaml".to_owned(), index.into_bytes());
        files.insert(format!("/{name}-{version}.tgz"), packed);
    }

    /// Has a packed chart as the image `name:version` from now on.
    pub fn put_image(&self, name: &str, version: &str, packed: Vec<u8>) {
        let config = format!(r#"{{"name":"{name}","version":"{version}","apiVersion":"v2"}}"#).into_bytes();
        let describe = |media: &str, bytes: &[u8]| {
            let digest = format!("sha256:{}", digest::sha256_hex(bytes));
            json!({"mediaType": media, "digest": digest, "size": bytes.len()})
        };
        let layers =
            [(CONFIG, config), (CHART, packed)].map(|(media, bytes)| (describe(media, &bytes), bytes));
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": layers[0].0, "layers": [layers[1].0]});
        let manifest = manifest.to_string().into_bytes();
        let mut files = self.shared.files.lock().unwrap();
        for name_of_it in [version.to_owned(), format!("sha256:{}", digest::sha256_hex(&manifest))] {
            files.insert(format!("/v2/{name}/manifests/{name_of_it}"), manifest.clone());
        }
        for (described, bytes) in layers {
            files.insert(format!("/v2/{name}/blobs/{}", described["digest"].as_str().unwrap()), bytes);
        }
        files.insert("/v2/".to_owned(), Vec::new());
        files.insert(
            format!("/v2/{name}/tags/list"),
            json!({"name": name, "tags": [version]}).to_string().into(),
        );
    }

    /// All that it was asked for so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }
}

impl Shared {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        let authorization =
            request.headers().get("Authorization").map(|value| value.to_str().unwrap().to_owned());
        let welcome = self.wanted.is_none() || authorization == self.wanted;
        let is_manifest = path.contains("/manifests/");
        let found = self.files.lock().unwrap().get(&path).cloned();
        self.asked.lock().unwrap().push(Asked { path, authorization });
        let (status, body) = match found {
            _ if !welcome => (401, b"no".to_vec()),
            Some(body) => (200, body),
            None => (404, b"not here".to_vec()),
        };
        let media = if is_manifest { MANIFEST } else { "application/octet-stream" };
        let digest = format!("sha256:{}", digest::sha256_hex(&body));
        // Of a HEAD hyper sends all but the body.
        Response::builder()
            .status(status)
            .header("Content-Type", media)
            .header("Docker-Content-Digest", digest)
            .header("WWW-Authenticate", "Basic realm=\"charts\"")
            .body(Full::new(Bytes::from(body)))
            .unwrap()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        let service = service_fn(move |request: Request<Incoming>| {
            let response = shared.answer(&request);
            async move { Ok::<_, Infallible>(response) }
        });
        connections.spawn(async move {
            let _closed =
                server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
