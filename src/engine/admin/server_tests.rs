use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::{
    clock::Clock,
    contract::{Trigger, TriggerType},
    engine::{
        admin::Readiness,
        record::{
            Journal, Log, Outcome, Run,
            view::{
                Activity, DetailView, EntryView, Insight, ObjectQuery, ObjectReport, ObjectView, QueueView,
                Selection, WatchView,
            },
        },
    },
    object::Gvk,
    telemetry::metrics::Metrics,
};

/// One entry for Hellos, whose watch is as told; every Hello is known.
struct Fake {
    synced: bool,
    trouble: Option<&'static str>,
}

fn hello() -> Gvk {
    Gvk::new("example.com", "v1", "Hello")
}

impl Insight for Fake {
    fn entries(&self) -> Vec<EntryView> {
        let watch = WatchView {
            kind: hello(),
            namespaces: vec!["a".to_owned()],
            name: None,
            labels: None,
            detail: DetailView::Full,
            synced: self.synced,
            trouble: self.trouble.map(str::to_owned),
            objects: 7,
            bytes: 700,
        };
        let queue =
            QueueView { waiting: 2, head_age: Some(Duration::from_millis(1500)), ..QueueView::default() };
        vec![EntryView {
            name: "hello.example.com".to_owned(),
            kind: hello(),
            handler: "template".to_owned(),
            dependents: Vec::new(),
            // Twice: shared watches count once.
            watches: vec![watch.clone(), watch],
            queue,
            concurrency: 4,
        }]
    }

    fn object(&self, query: &ObjectQuery) -> Vec<ObjectView> {
        vec![ObjectView {
            entry: "hello.example.com".to_owned(),
            object: query.key(true).of_kind(&hello()),
            known: true,
            deleting: false,
            selection: Selection::Selected,
            suspended: false,
            activity: Activity::Idle,
            watches: Vec::new(),
            slowed: None,
            last_error: Some("failed to reach https://bob:hunter2@host/".to_owned()),
        }]
    }
}

const NOW: jiff::Timestamp = jiff::Timestamp::UNIX_EPOCH;

fn sources(fake: Fake) -> Sources {
    Sources {
        insight: Arc::new(fake),
        journal: Journal::default(),
        metrics: Metrics::new(NOW, "1.2.3"),
        readiness: Readiness::default(),
        clock: Clock::Fixed(NOW),
        version: "1.2.3",
        expose_debug: false,
    }
}

const GOOD: Fake = Fake { synced: true, trouble: None };

/// A server on a free port, until the value is dropped.
struct Running {
    port: u16,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Running {
    async fn start(sources: Sources) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (port, stop) = (listener.local_addr().unwrap().port(), CancellationToken::new());
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, Arc::new(sources), stop.clone()));
        Self { port, stop, tasks }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).await.unwrap()
    }

    /// Status, header and body of an answer.
    async fn ask(&self, head: &str) -> (u16, String, String) {
        let mut stream = self.connect().await;
        stream.write_all(format!("{head}\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (header, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = header.split(' ').nth(1).unwrap().parse().unwrap();
        (status, header.to_lowercase(), body.to_owned())
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let (status, _, body) = self.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost")).await;
        (status, body)
    }
}

#[tokio::test]
async fn a_living_process_is_healthy_whatever_its_watches_do() {
    let server = Running::start(sources(Fake { synced: false, trouble: Some("gone") })).await;
    assert_eq!(server.get("/healthz").await, (200, "ok\n".to_owned()));
}

#[tokio::test]
async fn readiness_says_what_is_missing() {
    let server = Running::start(sources(Fake { synced: false, trouble: Some("not served") })).await;
    let line = "[-] watch of example.com/v1 Hello in a for hello.example.com: not served\n";
    assert_eq!(server.get("/readyz").await, (503, format!("{line}{line}not ready\n")));

    let interrupted = sources(Fake { synced: true, trouble: Some("the watch ended") });
    let readiness = interrupted.readiness.clone();
    let server = Running::start(interrupted).await;
    assert_eq!(server.get("/readyz").await, (200, "ready\n".to_owned()));
    let (status, text) = server.get("/readyz?a=b&verbose").await;
    assert!(status == 200 && text.contains("[+] watch of example.com/v1 Hello in a"), "{text}");
    assert!(text.contains("7 objects, interrupted: the watch ended\n"), "{text}");
    readiness.missing("controllers", "stopping");
    assert_eq!(server.get("/readyz").await, (503, "[-] controllers: stopping\nnot ready\n".to_owned()));
    readiness.there("controllers");
    assert_eq!(server.get("/readyz").await.0, 200);
}

#[tokio::test]
async fn metrics_read_the_controllers_when_asked() {
    let server = Running::start(sources(GOOD)).await;
    let (status, header, text) = server.ask("GET /metrics HTTP/1.1\r\nHost: pod").await;
    assert!(status == 200 && header.contains(metrics::CONTENT_TYPE), "{header}");
    for line in [
        "helmfile_operator_queue_waiting{entry=\"hello.example.com\"} 2\n",
        "helmfile_operator_queue_head_age_seconds{entry=\"hello.example.com\"} 1.5\n",
        "helmfile_operator_cache_objects{kind=\"hello.v1.example.com\",detail=\"full\"} 7\n",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn an_object_shows_with_its_runs() {
    let sources = sources(GOOD);
    let query = ObjectQuery { kind: "Hello".into(), namespace: Some("a".into()), name: "x".into() };
    let object = query.key(true).of_kind(&hello());
    let run = Run::new("hello.example.com".into(), object, vec![Trigger::plain(TriggerType::Start)], NOW);
    sources.journal.add(Run { outcome: Outcome::Stale, ..run }, None);
    let server = Running::start(sources).await;
    let (status, text) = server.get("/debug/whitebox/objects/hello/a/x").await;
    let report: ObjectReport = serde_json::from_str(&text).unwrap();
    assert_eq!((status, report.entries.len()), (200, 1));
    assert_eq!(report.entries[0].runs[0].run.outcome, Outcome::Stale);
    let shown = &report.entries[0].object;
    assert_eq!(shown.object.to_string(), "Hello a/x");
    assert_eq!(shown.last_error.as_deref(), Some("failed to reach https://***@host/"));

    let (_, text) = server.get("/debug/whitebox").await;
    let program: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        program["entries"][0]["queue"],
        json!({"waiting": 2, "headAge": "1.5s", "scheduled": 0, "running": 0, "retrying": 0})
    );
    assert_eq!((program["watches"].as_array().unwrap().len(), &program["remembered"]), (1, &json!(1)));
}

#[tokio::test]
async fn the_whole_log_of_a_run_shows_when_it_is_asked_for() {
    let sources = sources(GOOD);
    let query = ObjectQuery { kind: "Hello".into(), namespace: Some("a".into()), name: "x".into() };
    let object = query.key(true).of_kind(&hello());
    let run = Run::new("hello.example.com".into(), object, vec![Trigger::plain(TriggerType::Start)], NOW);
    let mut log = Log::default();
    log.push(NOW, "debug: helmfile says this");
    sources.journal.add_with_log(Run { outcome: Outcome::Done { writes: 1 }, ..run }, log.clone(), None);
    let server = Running::start(sources).await;
    for (query, expected) in [("?log=true", Some(log)), ("?log=false", None), ("", None)] {
        let (_, text) = server.get(&format!("/debug/whitebox/objects/hello/a/x{query}")).await;
        let report: ObjectReport = serde_json::from_str(&text).unwrap();
        let lines = |log: &Log| log.head.clone();
        assert_eq!(
            report.entries[0].runs[0].log.as_ref().map(lines),
            expected.as_ref().map(lines),
            "{query}"
        );
    }
}

#[tokio::test]
async fn a_kind_that_nobody_handles_is_named_with_those_that_are() {
    let server = Running::start(sources(GOOD)).await;
    for (kind, hint) in [
        ("helo", "; did you mean `Hello`?"),
        ("hello.example.org", "; the group is another one"),
        ("Deployment", ""),
    ] {
        let (status, text) = server.get(&format!("/debug/whitebox/objects/{kind}/a/x")).await;
        let expected = format!("no entry handles `{kind}`{hint}; handled: example.com/v1 Hello");
        let problem: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status, &problem["message"]), (404, &json!(expected)));
        assert_eq!(problem["handled"], json!(["example.com/v1 Hello"]));
    }
}

#[tokio::test]
async fn what_is_not_there_and_what_is_not_allowed_say_so() {
    let server = Running::start(sources(GOOD)).await;
    for path in ["/", "/debug", "/debug/pprof", "/healthz/x", "/debug/whitebox/objects/hello"] {
        assert_eq!(server.get(path).await.0, 404, "{path}");
    }
    assert_eq!(server.get("/healthz/").await.0, 200);
    let (status, header, _) =
        server.ask("POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0").await;
    assert!(status == 405 && header.contains("allow: get, head"), "{header}");
    let (status, _, body) = server.ask("HEAD /healthz HTTP/1.1\r\nHost: localhost").await;
    assert_eq!((status, body.as_str()), (200, ""));
    // A page that has made its name point here.
    let rebound = "Host: evil.example";
    let (status, _, text) = server.ask(&format!("GET /debug/whitebox HTTP/1.1\r\n{rebound}")).await;
    assert!(status == 403 && text.contains("port-forward"), "{text}");
    assert_eq!(server.ask(&format!("GET /readyz HTTP/1.1\r\n{rebound}")).await.0, 200);
    let open = Running::start(Sources { expose_debug: true, ..sources(GOOD) }).await;
    assert_eq!(open.ask(&format!("GET /debug/whitebox HTTP/1.1\r\n{rebound}")).await.0, 200);
}

#[test]
fn a_stranger_gets_health_and_metrics_only() {
    let sources = sources(GOOD);
    for (path, status) in [
        ("/healthz", 200),
        ("/metrics", 200),
        ("/debug/whitebox", 403),
        ("/debug/whitebox/objects/hello/a/x", 403),
    ] {
        let request =
            Request::get(path).header(HOST, "10.0.0.1:8081").body(Full::<Bytes>::default()).unwrap();
        let reply = respond(&request, [10, 0, 0, 9].into(), &sources);
        assert_eq!(reply.status().as_u16(), status, "{path}");
    }
}

#[tokio::test]
async fn a_stop_ends_the_server_though_somebody_says_nothing() {
    let mut server = Running::start(sources(GOOD)).await;
    let mut silent = server.connect().await;
    // It has been accepted when a later one has been answered.
    assert_eq!(server.get("/healthz").await.0, 200);
    server.stop.cancel();
    let ended = tokio::time::timeout(DRAIN * 2, server.tasks.join_next()).await;
    assert!(matches!(ended, Ok(Some(Ok(())))), "{ended:?}");
    assert_eq!(silent.read(&mut [0]).await.unwrap(), 0, "the connection is closed");
    assert!(TcpStream::connect(("127.0.0.1", server.port)).await.is_err());
}

#[tokio::test]
async fn more_connections_than_places_wait_for_their_turn() {
    let server = Running::start(sources(GOOD)).await;
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS {
        silent.push(server.connect().await);
    }
    let late = server.get("/healthz");
    tokio::pin!(late);
    assert!(tokio::time::timeout(Duration::from_millis(100), &mut late).await.is_err(), "there is no place");
    silent.pop();
    assert_eq!(late.await.0, 200);
}
