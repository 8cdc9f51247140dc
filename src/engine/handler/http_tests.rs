//! Calls of real servers on loopback, most of which misbehave.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufStream},
    net::TcpListener,
    sync::Notify,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    contract::ReplyError,
    engine::{config::HttpTls, handler::HttpClients},
    environment::Environment,
    process::Guard,
};
use certificates::{Authority, Identity};

#[expect(dead_code, unreachable_pub, reason = "it is for other tests too")]
#[path = "../../../tests/support/certificates.rs"]
mod certificates;

/// What the server does once it has read a request.
#[derive(Clone)]
enum Then {
    /// It waits for the next one.
    KeepOpen,
    /// It closes the connection.
    Close,
    /// It does nothing, for ever.
    Hang,
}

/// Answers all requests with the same bytes. Ends when dropped.
struct Server {
    port: u16,
    seen: Arc<Seen>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Seen {
    connections: Mutex<usize>,
    /// Heads in lower case, and bodies.
    requests: Mutex<Vec<(String, Vec<u8>)>>,
    news: Notify,
}

impl Server {
    async fn start(answer: impl Into<Vec<u8>>, then: Then) -> Self {
        Self::with(answer.into(), then, None).await
    }

    async fn tls(config: ServerConfig) -> Self {
        Self::with(ok("{}"), Then::KeepOpen, Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn with(answer: Vec<u8>, then: Then, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::<Seen>::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, answer, then, tls, Arc::clone(&seen)));
        Self { port, seen, _tasks: tasks }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    fn https(&self) -> String {
        format!("https://localhost:{}/hook", self.port)
    }

    fn requests(&self) -> Vec<(String, Vec<u8>)> {
        self.seen.requests.lock().unwrap().clone()
    }

    fn connections(&self) -> usize {
        *self.seen.connections.lock().unwrap()
    }
}

async fn accept(
    listener: TcpListener,
    answer: Vec<u8>,
    then: Then,
    tls: Option<TlsAcceptor>,
    seen: Arc<Seen>,
) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        *seen.connections.lock().unwrap() += 1;
        let (answer, then, tls, seen) = (answer.clone(), then.clone(), tls.clone(), Arc::clone(&seen));
        connections.spawn(async move {
            // A client that does not trust us hangs up.
            let _ended = match tls {
                None => serve(BufStream::new(stream), &answer, &then, &seen).await,
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => serve(BufStream::new(stream), &answer, &then, &seen).await,
                    Err(error) => Err(error),
                },
            };
        });
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: BufStream<S>,
    answer: &[u8],
    then: &Then,
    seen: &Seen,
) -> io::Result<()> {
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await? == 0 {
                return Ok(());
            }
        }
        let head = head.to_lowercase();
        let (_, length) = head.split_once("content-length: ").unwrap();
        let mut body = vec![0; length.lines().next().unwrap().parse().unwrap()];
        stream.read_exact(&mut body).await?;
        seen.requests.lock().unwrap().push((head, body));
        seen.news.notify_one();
        stream.write_all(answer).await?;
        stream.flush().await?;
        match then {
            Then::KeepOpen => {}
            Then::Close => return stream.shutdown().await,
            Then::Hang => std::future::pending().await,
        }
    }
}

fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len()).into_bytes()
}

fn ok(body: &str) -> Vec<u8> {
    answer("200 OK", "", body)
}

fn http(url: impl Into<String>) -> Http {
    // Long enough; and a test that waits in vain fails.
    let timeout = Some(Duration::from_secs(20));
    Http { url: url.into(), tls: HttpTls::default(), timeout, debug: false }
}

fn runtime() -> Runtime {
    Runtime {
        guard: Guard::new("/nonexistent"),
        env: Environment::new(),
        stop: CancellationToken::new(),
        http: HttpClients::default(),
    }
}

async fn post(http: &Http, runtime: &Runtime) -> Result<Reply, HandlerError> {
    let object =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "n"}});
    let reference = ObjectRef::of(&object).unwrap();
    let state = State { object, attempt: 3, ..State::default() };
    call(http, "entry", &reference, &state, runtime).await.map(|answer| answer.reply)
}

async fn ask(server: &Server) -> Result<Reply, HandlerError> {
    post(&http(server.url()), &runtime()).await
}

/// What comes of an answer: the message from "the hook at …" on, and the reason.
async fn complaint(bytes: impl Into<Vec<u8>>, then: Then) -> (String, &'static str) {
    let server = Server::start(bytes, then).await;
    told(&ask(&server).await.unwrap_err(), &server.url())
}

fn told(error: &HandlerError, url: &str) -> (String, &'static str) {
    let text = error.to_string();
    let rest = text.strip_prefix(&format!("the hook at `{url}` "));
    (rest.unwrap_or_else(|| panic!("{text}")).to_owned(), error.reason())
}

#[tokio::test]
async fn the_state_is_posted_as_json() {
    let server = Server::start(ok(r#"{"status": {"a": 1}}"#), Then::KeepOpen).await;
    assert_eq!(ask(&server).await.unwrap().status.unwrap()["a"], 1);
    let requests = server.requests();
    let [(head, body)] = requests.as_slice() else { panic!("{requests:?}") };
    for line in [
        "post /hook http/1.1\r\n",
        "\r\ncontent-type: application/json\r\n",
        "\r\naccept: application/json, application/yaml\r\n",
        concat!("\r\nuser-agent: helmfile-operator/", env!("CARGO_PKG_VERSION"), "\r\n"),
    ] {
        assert!(head.contains(line), "{head}");
    }
    let state: State = serde_json::from_slice(body).unwrap();
    assert_eq!((state.object["metadata"]["name"].as_str(), state.attempt), (Some("a"), 3));
}

#[tokio::test]
async fn yaml_is_read_and_silence_changes_nothing() {
    let server = Server::start(ok("status:\n  a: 2\n"), Then::KeepOpen).await;
    assert_eq!(ask(&server).await.unwrap().status.unwrap()["a"], 2);
    let server = Server::start(ok(""), Then::KeepOpen).await;
    let http = Http { timeout: None, ..http(server.url()) };
    assert_eq!(post(&http, &runtime()).await.unwrap(), Reply::default());
}

#[tokio::test]
async fn a_bad_reply_is_a_bad_reply() {
    let server = Server::start(ok(r#"{"staus": {}}"#), Then::KeepOpen).await;
    let error = ask(&server).await.unwrap_err();
    assert!(matches!(error, HandlerError::Reply(ReplyError::UnknownKey { .. })), "{error}");
}

#[tokio::test]
async fn only_200_is_a_success() {
    let long = format!("\n  why: {} \nmore", "x".repeat(1000));
    for (bytes, text) in [
        (answer("500 Oops", "", "\n  it broke \nbadly"), "answered 500 Internal Server Error: it broke"),
        (
            answer("503 No", "", "ask http://bob:hunter2@db/x\x1b[1m"),
            "answered 503 Service Unavailable: ask http://***@db/x[1m",
        ),
        ("HTTP/1.1 204 No Content\r\n\r\n".into(), "answered 204 No Content; only 200 is a success"),
        (answer("201 Created", "", "{}"), "answered 201 Created: {}"),
        (
            answer("500 Oops", "", &long),
            &format!("answered 500 Internal Server Error: why: {}", "x".repeat(QUOTE - 5)),
        ),
        // The body never ends, and is not needed.
        (
            b"HTTP/1.1 500 Oops\r\ncontent-length: 100\r\n\r\nhalf".to_vec(),
            "answered 500 Internal Server Error: half",
        ),
    ] {
        assert_eq!(complaint(bytes, Then::Close).await, (text.to_owned(), "HookFailed"));
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let elsewhere = Server::start(ok("{}"), Then::KeepOpen).await;
    let to = format!("location: http://bob:hunter2@127.0.0.1:{}/new?token=t0ken\r\n", elsewhere.port);
    let server = Server::start(answer("302 Found", &to, ""), Then::KeepOpen).await;
    let text = format!(
        "answered 302 Found: it is at `http://127.0.0.1:{}/new`, and redirects are not followed; correct its `url`",
        elsewhere.port
    );
    assert_eq!(told(&ask(&server).await.unwrap_err(), &server.url()), (text, "HookUnusable"));
    assert_eq!(elsewhere.connections(), 0);
    let server = Server::start(answer("308 Moved", "location: /new\r\n", ""), Then::KeepOpen).await;
    let text = ask(&server).await.unwrap_err().to_string();
    assert!(text.contains(&format!("it is at `http://127.0.0.1:{}/new`", server.port)), "{text}");
}

#[tokio::test]
async fn a_service_may_ask_for_a_pause() {
    for (status, value, pause) in [
        ("429 Slow", "7", Some(7)),
        ("503 Down", "86400", Some(3600)),
        ("503 Down", "Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("500 Oops", "7", None),
    ] {
        let bytes = answer(status, &format!("retry-after: {value}\r\n"), "");
        let error = ask(&Server::start(bytes, Then::KeepOpen).await).await.unwrap_err();
        assert_eq!(error.retry_after(), pause.map(Duration::from_secs), "{status} {value}");
    }
}

#[tokio::test]
async fn the_timeout_covers_the_answer_to_its_last_byte() {
    for bytes in [b"".to_vec(), b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{".to_vec()] {
        let server = Server::start(bytes, Then::Hang).await;
        let http = Http { timeout: Some(Duration::from_millis(200)), ..http(server.url()) };
        let ended = tokio::time::timeout(Duration::from_secs(5), post(&http, &runtime())).await;
        let error = ended.expect("the limit is much shorter").unwrap_err();
        assert_eq!(told(&error, &server.url()), ("took longer than 200ms".to_owned(), "HookTimedOut"));
        assert!(!error.is_shutdown());
    }
}

#[tokio::test]
async fn stopping_ends_a_call() {
    let server = Server::start("", Then::Hang).await;
    let (http, runtime) = (http(server.url()), runtime());
    let stop = async {
        server.seen.news.notified().await;
        runtime.stop.cancel();
    };
    let (result, ()) = tokio::join!(post(&http, &runtime), stop);
    let error = result.unwrap_err();
    assert!(error.is_shutdown(), "{error}");
    assert_eq!(error.reason(), "HookNotRun");
    // And none begins.
    assert!(post(&http, &runtime).await.unwrap_err().is_shutdown());
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn too_long_an_answer_is_refused() {
    let text = ("answered with more than 16777216 bytes".to_owned(), "HookOutputTooLarge");
    let announced = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", BODY_LIMIT + 1);
    assert_eq!(complaint(announced, Then::Hang).await, text);
    let spaces =
        |count| [b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec(), vec![b'\n'; count]].concat();
    assert_eq!(complaint(spaces(BODY_LIMIT + 1), Then::Close).await, text);
    let server = Server::start(spaces(BODY_LIMIT), Then::Close).await;
    assert_eq!(ask(&server).await.unwrap(), Reply::default());
}

#[tokio::test]
async fn a_service_that_is_not_there_or_goes_away_is_unreachable() {
    let server = Server::start("", Then::Close).await;
    let nobody = {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        format!("http://127.0.0.1:{}/", listener.local_addr().unwrap().port())
    };
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"status\":";
    for (told, expected) in [
        (
            told(&post(&http(&nobody), &runtime()).await.unwrap_err(), &nobody),
            "could not be reached: Connection refused (os error 111)",
        ),
        (
            told(&ask(&server).await.unwrap_err(), &server.url()),
            "broke off before the end of its answer: connection closed before message completed",
        ),
        (
            complaint(half, Then::Close).await,
            "broke off before the end of its answer: end of file before message length reached",
        ),
    ] {
        assert_eq!(told, (expected.to_owned(), "HookUnreachable"));
    }
    // No name server is asked for a name that is too long.
    let url = format!("http://{}.invalid/", "x".repeat(64));
    let (text, reason) = told(&post(&http(&url), &runtime()).await.unwrap_err(), &url);
    assert!(text.starts_with("could not be reached: DNS: "), "{text}");
    assert_eq!(reason, "HookUnreachable");
}

#[tokio::test]
async fn credentials_are_sent_and_never_shown() {
    let server = Server::start(answer("401 No", "", "who are you?"), Then::KeepOpen).await;
    let url = format!("http://bob:hunter2@127.0.0.1:{}/hook?token=t0ken", server.port);
    let error = post(&http(&url), &runtime()).await.unwrap_err();
    let all = format!("{error} {error:?} {:?}", http(&url));
    assert!(!all.contains("hunter2") && !all.contains("t0ken"), "{all}");
    assert!(all.contains(&format!("`http://127.0.0.1:{}/hook` answered 401", server.port)), "{all}");
    let (head, _) = &server.requests()[0];
    assert!(head.starts_with("post /hook?token=t0ken http/1.1\r\n"), "{head}");
    // "bob:hunter2" in base64, in lower case.
    assert!(head.contains("\r\nauthorization: basic ym9iomh1bnrlcji=\r\n"), "{head}");
}

#[tokio::test]
async fn what_is_no_http_url_is_refused() {
    for (url, problem) in [
        ("bob:hunter2@host/x", "it must begin with `http://` or `https://`"),
        ("ftp://bob:hunter2@host/x", "it must begin with `http://` or `https://`"),
        ("http://bob:hunter2/x@host", "it is no URL: invalid port number"),
        ("/x", "it is no URL: relative URL without a base"),
    ] {
        let error = post(&http(url), &runtime()).await.unwrap_err();
        assert_eq!(told(&error, "url"), (format!("cannot be called: {problem}"), "HookUnusable"));
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}

#[tokio::test]
async fn connections_are_used_again() {
    let server = Server::start(ok("{}"), Then::KeepOpen).await;
    let runtime = runtime();
    for _ in 0..3 {
        post(&http(server.url()), &runtime.clone()).await.unwrap();
    }
    assert_eq!((server.requests().len(), server.connections()), (3, 1));
}

/// Certificate files.
struct Pki {
    folder: TempDir,
    authority: Authority,
}

impl Pki {
    fn new() -> Self {
        let pki = Self { folder: tempfile::tempdir().unwrap(), authority: Authority::new().unwrap() };
        pki.write("ca.pem", pki.authority.pem());
        let Identity { certificate, key } = pki.authority.client("operator", None).unwrap();
        pki.write("tls.crt", &certificate);
        pki.write("tls.key", &key);
        pki
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.file(name), text).unwrap();
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn trusting(&self) -> HttpTls {
        HttpTls { ca_cert_file: Some(self.file("ca.pem")), ..HttpTls::default() }
    }

    /// A server that this authority vouches for, and that asks its clients who they are.
    fn server(&self, asks: bool) -> ServerConfig {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let certificate = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let builder = if asks {
            let mut roots = RootCertStore::empty();
            roots.add(certificate(self.authority.pem())).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let identity = self.authority.server(&["localhost"]).unwrap();
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
        builder.with_single_cert(vec![certificate(&identity.certificate)], key).unwrap()
    }
}

#[tokio::test]
async fn https_needs_the_right_authority() {
    let (pki, other) = (Pki::new(), Pki::new());
    let server = Server::tls(pki.server(false)).await;
    let right = Http { tls: pki.trusting(), ..http(server.https()) };
    assert_eq!(post(&right, &runtime()).await.unwrap(), Reply::default());
    let wrong = Http { tls: other.trusting(), ..right.clone() };
    let untold = Http { tls: HttpTls::default(), ..right.clone() };
    for http in [wrong, untold] {
        let error = post(&http, &runtime()).await.unwrap_err();
        let (text, reason) = told(&error, &server.https());
        assert!(text.contains("name its authority with `tls.caCertFile`"), "{text}");
        assert!(reason == "HookUnreachable" || text.contains("the system trusts nobody"), "{reason}: {text}");
    }
    let elsewhere = Http { url: right.url.replace("localhost", "127.0.0.1"), ..right };
    let text = post(&elsewhere, &runtime()).await.unwrap_err().to_string();
    assert!(
        text.contains("could not be reached: TLS: invalid peer certificate: certificate not valid"),
        "{text}"
    );
}

#[tokio::test]
async fn https_to_a_plain_server_says_so() {
    let (pki, listener) = (Pki::new(), TcpListener::bind(("127.0.0.1", 0)).await.unwrap());
    let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
    // Real servers say so when they can't read the request.
    let refuse = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_u8().await.unwrap();
        stream.write_all(&answer("400 Bad Request", "", "")).await.unwrap();
        stream
    };
    let (http, runtime) = (Http { tls: pki.trusting(), ..http(&url) }, runtime());
    let (result, _stream) = tokio::join!(post(&http, &runtime), refuse);
    let (text, reason) = told(&result.unwrap_err(), &url);
    assert_eq!(reason, "HookUnreachable");
    assert!(text.ends_with("; perhaps it speaks plain `http://`"), "{text}");
}

#[tokio::test]
async fn a_client_certificate_is_shown_when_it_is_demanded() {
    let pki = Pki::new();
    let server = Server::tls(pki.server(true)).await;
    let nobody = Http { tls: pki.trusting(), ..http(server.https()) };
    let (text, reason) = told(&post(&nobody, &runtime()).await.unwrap_err(), &server.https());
    assert_eq!((text.contains("TLS: received fatal alert"), reason), (true, "HookUnreachable"), "{text}");
    let tls = HttpTls {
        cert_file: Some(pki.file("tls.crt")),
        key_file: Some(pki.file("tls.key")),
        ..pki.trusting()
    };
    post(&Http { tls, ..nobody }, &runtime()).await.unwrap();
}

#[tokio::test]
async fn rotated_files_are_found() {
    let (pki, other) = (Pki::new(), Pki::new());
    let server = Server::tls(pki.server(false)).await;
    let (http, runtime) = (Http { tls: pki.trusting(), ..http(server.https()) }, runtime());
    post(&http, &runtime).await.unwrap();
    post(&http, &runtime).await.unwrap();
    assert_eq!(server.connections(), 1);
    pki.write("ca.pem", other.authority.pem());
    let error = post(&http, &runtime).await.unwrap_err();
    assert_eq!(error.reason(), "HookUnreachable", "{error}");
    pki.write("ca.pem", pki.authority.pem());
    post(&http, &runtime).await.unwrap();
}

#[tokio::test]
async fn a_bad_certificate_file_is_named() {
    let (pki, other) = (Pki::new(), Pki::new());
    pki.write("empty.pem", "");
    pki.write("broken.pem", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n");
    pki.write("nonsense.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let both = |certificate: &str, key| HttpTls {
        key_file: key,
        cert_file: Some(pki.file(certificate)),
        ca_cert_file: Some(pki.file("ca.pem")),
    };
    let authority = |name: &str| HttpTls { ca_cert_file: Some(pki.file(name)), ..HttpTls::default() };
    let cases = [
        (
            authority("none.pem"),
            "none.pem",
            "cannot be read: No such file or directory (os error 2)".to_owned(),
        ),
        (authority("empty.pem"), "empty.pem", "holds no certificate in PEM format".to_owned()),
        (authority("broken.pem"), "broken.pem", "is not in PEM format".to_owned()),
        (authority("nonsense.pem"), "nonsense.pem", "holds something that is no authority".to_owned()),
        (both("tls.crt", None), "tls.crt", "is a certificate without its key: set `tls.keyFile`".to_owned()),
        (
            both("tls.crt", Some(pki.file("ca.pem"))),
            "ca.pem",
            "holds no private key in PEM format".to_owned(),
        ),
        (
            both("tls.crt", Some(other.file("tls.key"))),
            "tls.key",
            format!("is no key for `{}`", pki.file("tls.crt").display()),
        ),
    ];
    for (tls, name, problem) in cases {
        let error = post(&Http { tls, ..http("https://localhost:1/") }, &runtime()).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&format!("/{name}` {problem}")), "{text}");
        assert_eq!(error.reason(), "HookUnusable");
    }
}
