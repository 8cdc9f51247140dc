//! HTTP on the loopback: asking the operator's admin server, and a service that is an `http` handler.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    client, server,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// Status and body of what is at `path` on the server at `url`, which is `http://HOST:PORT`.
pub async fn get(url: &str, path: &str) -> (u16, String) {
    let host = url.strip_prefix("http://").unwrap();
    let stream = TcpStream::connect(host).await.unwrap();
    let (mut sender, connection) = client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let request = Request::get(path).header("Host", host).body(String::new()).unwrap();
    let answer = async {
        let response = sender.send_request(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    };
    let connection = async {
        let _closed = connection.await;
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        answer = answer => answer,
        never = connection => match never {},
    }
}

/// A service that answers every POST with what it was told to say. Ends when dropped.
pub struct Service {
    /// Where it is.
    pub url: String,
    said: Arc<Mutex<Said>>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Said {
    answer: (u16, String),
    asked: Vec<Value>,
}

impl Service {
    /// Starts one that says this.
    pub async fn start(status: u16, body: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let said = Arc::new(Mutex::new(Said { answer: (status, body.to_owned()), asked: Vec::new() }));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&said)));
        Self { url, said, _tasks: tasks }
    }

    /// Says something else from now on.
    pub fn say(&self, status: u16, body: &str) {
        self.said.lock().unwrap().answer = (status, body.to_owned());
    }

    /// The states that it was given so far.
    pub fn asked(&self) -> Vec<Value> {
        self.said.lock().unwrap().asked.clone()
    }
}

async fn accept(listener: TcpListener, said: Arc<Mutex<Said>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let said = Arc::clone(&said);
        let service = service_fn(move |request: Request<Incoming>| {
            let said = Arc::clone(&said);
            async move {
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let mut said = said.lock().unwrap();
                said.asked.push(serde_json::from_slice(&body).unwrap());
                let (status, text) = said.answer.clone();
                let answer = Response::builder().status(status).body(Full::new(Bytes::from(text)));
                Ok::<_, Infallible>(answer.unwrap())
            }
        });
        connections.spawn(async move {
            let _closed =
                server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
