//! `explain` and `logs` as a person types them, against admin servers and a stand-in for an API server with a pod or two.

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
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinSet,
};
use tokio_tungstenite::tungstenite::{
    Message,
    handshake::server::{ErrorResponse, Request, Response},
};
use tokio_util::sync::CancellationToken;

/// One entry for a kind; every object is there.
struct Everything(Gvk);

const ENTRY: &str = "hello.example.com";

fn hello() -> Gvk {
    Gvk::new("example.com", "v1", "Hello")
}

impl Insight for Everything {
    fn entries(&self) -> Vec<EntryView> {
        vec![EntryView {
            name: ENTRY.to_owned(),
            kind: self.0.clone(),
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
            object: query.key(true).of_kind(&self.0),
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
        self.admin_for(hello(), "").await
    }

    /// The same for another kind, with what the handler printed.
    async fn admin_for(&mut self, gvk: Gvk, stderr: &str) -> SocketAddr {
        let now = jiff::Timestamp::from_second(1_800_000_000).unwrap();
        let journal = Journal::default();
        let query =
            ObjectQuery { kind: gvk.kind.clone(), namespace: Some("team".to_owned()), name: "x".to_owned() };
        let triggers = vec![Trigger::plain(TriggerType::Start)];
        let began = now - jiff::SignedDuration::from_mins(1);
        let run = Run::new(ENTRY.to_owned(), query.key(true).of_kind(&gvk), triggers, began);
        let outcome = Outcome::Done { writes: 2 };
        journal.add(Run { outcome, stderr: stderr.to_owned(), ..run }, None);
        let sources = Sources {
            insight: Arc::new(Everything(gvk)),
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

/// A port that refuses connections for as long as the socket is kept: nobody listens, and nobody else gets it.
fn refusing() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// What the API server answers.
#[derive(Clone)]
struct Cluster {
    /// Status and body of the list of the operator's pods.
    pods: (u16, String),
    /// The same of the list of an applier's, and where its port leads.
    applier: Option<((u16, String), SocketAddr)>,
    /// Status and body of the answer to a port-forward, if it is refused.
    forward: Option<(u16, String)>,
    /// Where the pod's port leads.
    target: SocketAddr,
}

const NO_POD: &str = r#"{"apiVersion":"v1","kind":"PodList","metadata":{},"items":[]}"#;

/// A list of one pod in that phase, with its port under the name that is looked for.
fn one_pod(phase: &str, port: u16) -> (u16, String) {
    pod("operator-1", phase, port)
}

fn pod(name: &str, phase: &str, port: u16) -> (u16, String) {
    let list = serde_json::json!({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": [{
        "metadata": {"name": name, "namespace": "helmfile-operator"},
        "spec": {"containers": [{"name": "operator", "ports": [{"name": "admin", "containerPort": port}]}]},
        "status": {"phase": phase},
    }]});
    (200, list.to_string())
}

async fn connection(mut stream: TcpStream, cluster: Cluster) {
    let head = peek_head(&stream).await;
    let (status, body) = match cluster.forward {
        None if head.contains("/namespaces/team/pods/web-applier-1/portforward") => {
            return forward(stream, cluster.applier.unwrap().1).await;
        }
        _ if head.contains("helmfile-applier") => {
            let labels = "name%3Dhelmfile-applier%2Capp.kubernetes.io%2Finstance%3Dx";
            assert!(head.contains("/namespaces/team/pods?") && head.contains(labels), "{head}");
            cluster.applier.map_or((200, NO_POD.to_owned()), |(pods, _)| pods)
        }
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
        socket.close(None).await.unwrap();
        // A socket closed over a request that nobody has read resets the connection, and with it what was said.
        while let Some(Ok(_)) = socket.next().await {}
        return;
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
async fn explain(api: Option<SocketAddr>, args: &[&str]) -> Output {
    run(api, &[&["explain"], args].concat()).await
}

/// Runs any command.
#[expect(clippy::disallowed_methods, reason = "a person's shell starts it without a guard")]
async fn run(api: Option<SocketAddr>, args: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_helmfile-operator"));
    command.args(args).env_clear().env("HOME", home.path());
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
    let (_kept, free) = refusing();
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
    let cluster = Cluster { pods: one_pod("Running", target.port()), applier: None, forward: None, target };
    let api = servers.api(cluster).await;
    let text = told(Some(api), &["hello", "x"]).await;
    assert!(text.starts_with(ANSWER), "{text}");
}

#[tokio::test]
async fn what_stands_in_the_way_of_the_pod_is_named_with_what_to_do() {
    let (_kept, target) = refusing();
    let running = one_pod("Running", target.port());
    let forbidden = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","code":403,"reason":"Forbidden","message":"no"}"#;
    for (pods, forward, expected) in [
        ((403, forbidden.to_owned()), None, "that takes `list` on `pods` in `helmfile-operator`"),
        (
            (200, NO_POD.to_owned()),
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
        let api = servers.api(Cluster { pods, applier: None, forward, target }).await;
        let message = refused(Some(api), &["hello", "x"]).await;
        assert!(message.contains(expected), "{message}");
    }
}

fn helmfile() -> Gvk {
    Gvk::new("apps.mumoshu.github.io", "v1alpha1", "Helmfile")
}

#[tokio::test]
async fn what_helmfile_did_is_asked_of_the_applier_when_there_is_one() {
    let mut servers = Servers::default();
    let operator = servers.admin_for(helmfile(), "printed by the operator").await;
    let applier = servers.admin_for(helmfile(), "printed by the applier").await;
    let pods = one_pod("Running", operator.port());
    let alone = Cluster { pods, applier: None, forward: None, target: operator };
    let both = Some((pod("web-applier-1", "Running", applier.port()), applier));
    let both = Cluster { applier: both, ..alone.clone() };
    let pending = Some((pod("web-applier-1", "Pending", 1), applier));
    let pending = Cluster { applier: pending, ..alone.clone() };
    let (alone, both, pending) =
        (servers.api(alone).await, servers.api(both).await, servers.api(pending).await);

    let printed = async |api, args: &[&str]| {
        let output = run(Some(api), args).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    for (api, who) in [(alone, "operator"), (both, "applier")] {
        let log = printed(api, &["logs", "x"]).await;
        assert_eq!(log, format!("# 2027-01-15T07:59:00Z, 0s long\nprinted by the {who}\n"));
    }
    let log: serde_json::Value =
        serde_json::from_str(&printed(both, &["logs", "x", "-o", "json"]).await).unwrap();
    assert_eq!(log[0]["log"][0]["text"], "printed by the applier");
    let waiting = run(Some(pending), &["logs", "x"]).await;
    let message = String::from_utf8(waiting.stderr).unwrap();
    assert!(
        message.contains("no pod of the applier in `team` is running: web-applier-1 is Pending"),
        "{message}"
    );

    let text = told(Some(both), &["helmfile", "x"]).await;
    let (first, second) = (text.find("printed by the applier"), text.find("printed by the operator"));
    assert!(first.is_some() && first < second, "{text}");
    let report: ObjectReport =
        serde_json::from_str(&told(Some(both), &["Helmfile", "x", "-o", "json"]).await).unwrap();
    assert_eq!(report.entries.len(), 2);
    assert!(told(Some(pending), &["helmfile", "x"]).await.contains("printed by the operator"));
}
