//! A chart repository over HTTP, with or without a password.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http_body_util::Full;
use hyper::{Request, Response, body::Bytes, body::Incoming, server, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinSet};

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
        let found = self.files.lock().unwrap().get(&path).cloned();
        self.asked.lock().unwrap().push(Asked { path, authorization });
        let (status, body) = match found {
            _ if !welcome => (401, b"no".to_vec()),
            Some(body) => (200, body),
            None => (404, b"not here".to_vec()),
        };
        Response::builder().status(status).body(Full::new(Bytes::from(body))).unwrap()
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
