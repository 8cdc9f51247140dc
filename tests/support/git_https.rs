//! Git over https from loopback, by `git http-backend`, which is what many real servers run; and a server that never
//! answers.

use std::{
    convert::Infallible,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use helmfile_operator::process::Command;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, StatusCode, body::Bytes, body::Incoming, header, service::service_fn};
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};
use tokio_util::sync::CancellationToken;

use super::{certificates::Authority, git, tools};

/// How the server behaves.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// User and password that it asks for.
    pub credentials: Option<(String, String)>,
    /// Bearer token that it asks for.
    pub token: Option<String>,
    /// Whether it speaks the old protocol, in which only tips of branches and tags can be fetched by their id.
    pub old_protocol: bool,
    /// Where it redirects all requests to: a URL before the path.
    pub redirect: Option<String>,
}

/// A server for all repositories below a folder, with an authority of its own. Ends when dropped.
pub struct GitHttps {
    port: u16,
    authority: Arc<Authority>,
    folder: TempDir,
    requests: Arc<Mutex<Vec<Seen>>>,
    _tasks: JoinSet<()>,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Path and query.
    pub target: String,
    /// The header, if there was one.
    pub authorization: Option<String>,
}

struct Backend {
    root: PathBuf,
    program: PathBuf,
    options: Options,
    requests: Arc<Mutex<Vec<Seen>>>,
}

impl GitHttps {
    /// Serves what is in `root` on a port of its own.
    pub async fn start(root: &Path, options: Options) -> Self {
        Self::vouched_for(Arc::new(Authority::new().unwrap()), root, options).await
    }

    /// Another server, which the same authority vouches for.
    pub async fn beside(&self, root: &Path, options: Options) -> Self {
        Self::vouched_for(Arc::clone(&self.authority), root, options).await
    }

    async fn vouched_for(authority: Arc<Authority>, root: &Path, options: Options) -> Self {
        let identity = authority.server(&["localhost", "127.0.0.1"]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
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
        let requests = Arc::default();
        let backend = Backend {
            root: root.to_owned(),
            program: git::program(),
            options,
            requests: Arc::clone(&requests),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, TlsAcceptor::from(Arc::new(config)), Arc::new(backend)));
        Self { port, authority, folder, requests, _tasks: tasks }
    }

    /// `https://localhost:PORT`
    pub fn url(&self) -> String {
        format!("https://{}", self.address())
    }

    /// `localhost:PORT`
    pub fn address(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// The authority's certificate.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// What was asked so far.
    pub fn requests(&self) -> Vec<Seen> {
        self.requests.lock().unwrap().clone()
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, backend: Arc<Backend>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let (tls, backend) = (tls.clone(), Arc::clone(&backend));
        connections.spawn(async move {
            // A client that does not trust us hangs up here.
            let Ok(stream) = tls.accept(stream).await else { return };
            let service = service_fn(|request| answer(&backend, request));
            let server = hyper::server::conn::http1::Builder::new();
            let _the_client_hung_up = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

type Answer = Response<Full<Bytes>>;

async fn answer(backend: &Backend, request: Request<Incoming>) -> Result<Answer, Infallible> {
    let text = |name| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let authorization = text(header::AUTHORIZATION);
    let target = request.uri().path_and_query().unwrap().to_string();
    backend
        .requests
        .lock()
        .unwrap()
        .push(Seen { target: target.clone(), authorization: authorization.clone() });
    let reply = |status, name, value: String| {
        Response::builder().status(status).header(name, value).body(Full::default()).unwrap()
    };
    if let Some(redirect) = &backend.options.redirect {
        return Ok(reply(StatusCode::FOUND, header::LOCATION, format!("{redirect}{target}")));
    }
    if let Some((user, password)) = &backend.options.credentials {
        let expected = format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")));
        if authorization != Some(expected) {
            return Ok(reply(
                StatusCode::UNAUTHORIZED,
                header::WWW_AUTHENTICATE,
                "Basic realm=\"test\"".to_owned(),
            ));
        }
    }
    if let Some(token) = &backend.options.token
        && authorization != Some(format!("Bearer {token}"))
    {
        return Ok(reply(StatusCode::UNAUTHORIZED, header::WWW_AUTHENTICATE, "Bearer".to_owned()));
    }
    Ok(backend.run(request).await)
}

impl Backend {
    /// Runs `git http-backend` as a web server does.
    async fn run(&self, request: Request<Incoming>) -> Answer {
        let (parts, body) = request.into_parts();
        let header = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let mut command = Command::new(&self.program, "/").args(["http-backend"]);
        command.env = git::environment(&self.root);
        command = command.envs([
            ("GIT_PROJECT_ROOT", self.root.to_str().unwrap()),
            ("GIT_HTTP_EXPORT_ALL", "1"),
            ("REQUEST_METHOD", parts.method.as_str()),
            ("PATH_INFO", parts.uri.path()),
            ("QUERY_STRING", parts.uri.query().unwrap_or_default()),
            ("REMOTE_ADDR", "127.0.0.1"),
        ]);
        let protocol = header("git-protocol").filter(|_| !self.options.old_protocol);
        let optional = [
            ("CONTENT_TYPE", header("content-type")),
            ("HTTP_CONTENT_ENCODING", header("content-encoding")),
            ("GIT_PROTOCOL", protocol),
        ];
        command = command.envs(optional.into_iter().filter_map(|(name, value)| Some((name, value?))));
        command.input = body.collect().await.unwrap().to_bytes().to_vec();
        command.env.insert("CONTENT_LENGTH".into(), command.input.len().to_string().into());
        let finished = command.run(&tools::guard(), &CancellationToken::new(), &mut |_| {}).await.unwrap();
        from_cgi(&finished.stdout)
    }
}

/// What a CGI program prints, as an answer.
fn from_cgi(output: &[u8]) -> Answer {
    let end = output.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let (head, body) = output.split_at(end);
    let mut response = Response::builder();
    for line in std::str::from_utf8(head).unwrap().split("\r\n") {
        let (name, value) = line.split_once(": ").unwrap();
        response = match name {
            "Status" => response.status(value.split(' ').next().unwrap()),
            _ => response.header(name, value),
        };
    }
    response.body(Full::from(body.get(4..).unwrap().to_vec())).unwrap()
}

/// A server that accepts connections and never says anything.
pub struct Silent {
    port: u16,
    _tasks: JoinSet<()>,
}

impl Silent {
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut open = Vec::new();
            while let Ok(connection) = listener.accept().await {
                open.push(connection);
            }
        });
        Self { port, _tasks: tasks }
    }

    /// `localhost:PORT`
    pub fn address(&self) -> String {
        format!("localhost:{}", self.port)
    }
}
