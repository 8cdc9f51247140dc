//! `explain` as a person types it, against an admin server and a stand-in for an API server with one pod.

use std::{
    fs,
    net::SocketAddr,
    process::{Command, Output},
    sync::Arc,
};

use futures::{SinkExt as _, StreamExt as _};
use helmfile_operator::{
    clock::Clock,
    contract::{Trigger, TriggerType},
    engine::{
        admin::{Readiness, Sources, serve},
        record::{
            Journal, Outcome, Run,
            view::{
                Activity, EntryView, Insight, ObjectQuery, ObjectReport, ObjectView, QueueView, Selection,
            },
        },
    },
    object::Gvk,
    telemetry::metrics::Metrics,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_tungstenite::tungstenite::{
    Message,
    handshake::server::{ErrorResponse, Request, Response},
};
use tokio_util::sync::CancellationToken;

/// One entry for Hellos; every one is there.
struct Hellos;

const ENTRY: &str = "hello.example.com";

fn hello() -> Gvk {
    Gvk::new("example.com", "v1", "Hello")
}

impl Insight for Hellos {
    fn entries(&self) -> Vec<EntryView> {
        vec![EntryView {
            name: ENTRY.to_owned(),
            kind: hello(),
            handler: "template".to_owned(),
            dependents: Vec::new(),
            watches: Vec::new(),
            queue: QueueView::default(),
            concurrency: 1,
        }]
    }

    fn object(&self, query: &ObjectQuery) -> Vec<ObjectView> {
        vec![ObjectView {
            entry: ENTRY.to_owned(),
            object: query.key(true).of_kind(&hello()),
            known: true,
            deleting: false,
            selection: Selection::Selected,
            suspended: false,
            activity: Activity::Idle,
            watches: Vec::new(),
            slowed: None,
            last_error: None,
        }]
    }
}

/// Servers that end with the value.
#[derive(Default)]
struct Servers(JoinSet<()>);

impl Servers {
    /// An admin server that knows of a run of Hello team/x a minute ago.
    async fn admin(&mut self) -> SocketAddr {
        let now = jiff::Timestamp::from_second(1_800_000_000).unwrap();
        let journal = Journal::default();
        let query = ObjectQuery {
            kind: "Hello".to_owned(),
            namespace: Some("team".to_owned()),
            name: "x".to_owned(),
        };
        let triggers = vec![Trigger::plain(TriggerType::Start)];
        let began = now - jiff::SignedDuration::from_mins(1);
        let run = Run::new(ENTRY.to_owned(), query.key(true).of_kind(&hello()), triggers, began);
        journal.add(Run { outcome: Outcome::Done { writes: 2 }, ..run }, None);
        let sources = Sources {
            insight: Arc::new(Hellos),
            journal,
            metrics: Metrics::new(now, "1"),
            readiness: Readiness::default(),
            clock: Clock::Fixed(now),
            version: "1",
            expose_debug: false,
        };
        let (listener, address) = listen().await;
        self.0.spawn(serve(listener, Arc::new(sources), CancellationToken::new()));
        address
    }

    /// An API server with one list of pods, each of which forwards to the same address.
    async fn api(&mut self, cluster: Cluster) -> SocketAddr {
        let (listener, address) = listen().await;
        self.0.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(connection(stream, cluster.clone()));
            }
        });
        address
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// What the API server answers.
#[derive(Clone)]
struct Cluster {
    /// Status and body of the list of pods.
    pods: (u16, String),
    /// Status and body of the answer to a port-forward, if it is refused.
    forward: Option<(u16, String)>,
    /// Where the pod's port leads.
    target: SocketAddr,
}

/// A list of one pod in that phase, with its port under the name that is looked for.
fn one_pod(phase: &str, port: u16) -> (u16, String) {
    let list = serde_json::json!({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": [{
        "metadata": {"name": "operator-1", "namespace": "helmfile-operator"},
        "spec": {"containers": [{"name": "operator", "ports": [{"name": "admin", "containerPort": port}]}]},
        "status": {"phase": phase},
    }]});
    (200, list.to_string())
}

async fn connection(mut stream: TcpStream, cluster: Cluster) {
    let head = peek_head(&stream).await;
    let (status, body) = match cluster.forward {
        None if head.contains("/portforward") => return forward(stream, cluster.target).await,
        Some(refusal) if head.contains("/portforward") => refusal,
        _ => {
            let expected = "/namespaces/helmfile-operator/pods?";
            assert!(head.contains(expected) && head.contains("name%3Dhelmfile-operator"), "{head}");
            cluster.pods
        }
    };
    let mut asked = vec![0; head.len()];
    stream.read_exact(&mut asked).await.unwrap();
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status} It\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(answer.as_bytes()).await.unwrap();
}

/// The head of a request, which stays in the stream.
async fn peek_head(stream: &TcpStream) -> String {
    let mut bytes = vec![0; 16 << 10];
    loop {
        let count = stream.peek(&mut bytes).await.unwrap();
        let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
        if count == 0 || text.contains("\r\n\r\n") {
            return text;
        }
        tokio::task::yield_now().await;
    }
}

/// A node's end of a port-forward: channel 0 has the data, channel 1 errors; both begin with the port.
async fn forward(stream: TcpStream, target: SocketAddr) {
    let choose = |_: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        let protocol = "v4.channel.k8s.io".parse().unwrap();
        response.headers_mut().insert("Sec-WebSocket-Protocol", protocol);
        Ok(response)
    };
    let mut socket = tokio_tungstenite::accept_hdr_async(stream, choose).await.unwrap();
    let [low, high] = target.port().to_le_bytes();
    for channel in [0, 1] {
        socket.send(Message::binary(vec![channel, low, high])).await.unwrap();
    }
    let Ok(mut pod) = TcpStream::connect(target).await else {
        socket.send(Message::binary(b"\x01connection refused in the pod".to_vec())).await.unwrap();
        return socket.close(None).await.unwrap();
    };
    let mut buffer = vec![0; 512];
    loop {
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Binary(data))) => pod.write_all(&data[1..]).await.unwrap(),
                Some(Ok(_)) => {}
                _ => return,
            },
            count = pod.read(&mut buffer) => match count.unwrap() {
                0 => return socket.close(None).await.unwrap(),
                count => {
                    let data = [&[0], &buffer[..count]].concat();
                    socket.send(Message::binary(data)).await.unwrap();
                }
            },
        }
    }
}

/// Runs `explain` with a kubeconfig that leads to `api` with the namespace `team`.
#[expect(clippy::disallowed_methods, reason = "a person's shell starts it without a guard")]
async fn explain(api: Option<SocketAddr>, args: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_helmfile-operator"));
    command.arg("explain").args(args).env_clear().env("HOME", home.path());
    if let Some(api) = api {
        let config = serde_json::json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": format!("http://{api}")}}], "users": [],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "", "namespace": "team"}}]});
        let file = home.path().join("kubeconfig");
        fs::write(&file, config.to_string()).unwrap();
        command.env("KUBECONFIG", file);
    }
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// What it prints when all is well.
async fn told(api: Option<SocketAddr>, args: &[&str]) -> String {
    let output = explain(api, args).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What it says when something is not.
async fn refused(api: Option<SocketAddr>, args: &[&str]) -> String {
    let output = explain(api, args).await;
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

const ANSWER: &str =
    "Hello team/x last ran 1m ago because Start; it wrote 2 objects; it waits for changes.\n";

#[tokio::test]
async fn a_url_is_asked_directly() {
    let mut servers = Servers::default();
    let url = format!("http://{}", servers.admin().await);
    let args = ["hello", "x", "-n", "team", "--admin", &url];
    assert!(told(None, &args).await.starts_with(ANSWER));
    let json = told(None, &[&args[..], &["-o", "json"]].concat()).await;
    let report: ObjectReport = serde_json::from_str(&json).unwrap();
    assert_eq!(report.entries[0].runs.len(), 1);
    let other = told(None, &["HELLO.example.com", "x", "--admin", &url]).await;
    assert!(other.starts_with("Hello default/x has not run since"), "{other}");
    let unknown = refused(None, &["helo", "x", "--admin", &url]).await;
    assert_eq!(
        unknown,
        "error: the operator answered 404: no entry handles `helo`; did you mean `Hello`?; handled: example.com/v1 Hello\n"
    );
}

#[tokio::test]
async fn an_operator_that_is_not_there_and_a_wrong_url_say_what_to_do() {
    let (listener, free) = listen().await;
    drop(listener);
    let gone = refused(None, &["hello", "x", "--admin", &format!("http://{free}")]).await;
    assert!(gone.contains("is it running, and not with `--admin off`?"), "{gone}");
    for wrong in ["https://127.0.0.1:1", "127.0.0.1:1", "http://127.0.0.1:1/debug"] {
        let message = refused(None, &["hello", "x", "--admin", wrong]).await;
        assert!(message.contains("write for example `http://127.0.0.1:8081`"), "{message}");
    }
}

#[tokio::test]
async fn the_operators_pod_is_found_and_reached_through_the_api_server() {
    let mut servers = Servers::default();
    let target = servers.admin().await;
    let cluster = Cluster { pods: one_pod("Running", target.port()), forward: None, target };
    let api = servers.api(cluster).await;
    let text = told(Some(api), &["hello", "x"]).await;
    assert!(text.starts_with(ANSWER), "{text}");
}

#[tokio::test]
async fn what_stands_in_the_way_of_the_pod_is_named_with_what_to_do() {
    let (listener, target) = listen().await;
    drop(listener);
    let running = one_pod("Running", target.port());
    let forbidden = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","code":403,"reason":"Forbidden","message":"no"}"#;
    let none = r#"{"apiVersion":"v1","kind":"PodList","metadata":{},"items":[]}"#;
    for (pods, forward, expected) in [
        ((403, forbidden.to_owned()), None, "that takes `list` on `pods` in `helmfile-operator`"),
        (
            (200, none.to_owned()),
            None,
            "none in `helmfile-operator` has the label `app.kubernetes.io/name=helmfile-operator`",
        ),
        (
            one_pod("Pending", 1),
            None,
            "no pod of the operator in `helmfile-operator` is running: operator-1 is Pending",
        ),
        (
            running.clone(),
            Some((403, forbidden.to_owned())),
            "that takes `get` and `create` on `pods/portforward` in `helmfile-operator`",
        ),
        (
            running,
            None,
            "does it run with `--admin off`, or on a port that is not called `admin`?: connection refused in the pod",
        ),
    ] {
        let mut servers = Servers::default();
        let api = servers.api(Cluster { pods, forward, target }).await;
        let message = refused(Some(api), &["hello", "x"]).await;
        assert!(message.contains(expected), "{message}");
    }
}
