//! Against a stand-in for an API server that counts what it is asked.

use std::sync::Mutex;

use futures::future::join_all;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

use super::*;
use crate::helmfile::helm::release::ReleaseStatus;

/// Ends when dropped.
struct Server {
    cluster: Cluster,
    asked: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, Arc::clone(&asked)));
        // Credentials in a file make no difference here.
        let client = Client::try_from(kube::Config::new(url.parse().unwrap())).unwrap();
        Self { cluster: Cluster::new(client), asked, _tasks: tasks }
    }

    /// What was asked since the last call.
    fn asked(&self) -> Vec<String> {
        let mut asked = std::mem::take(&mut *self.asked.lock().unwrap());
        asked.sort();
        asked
    }
}

async fn serve(listener: TcpListener, asked: Arc<Mutex<Vec<String>>>) {
    let mut tasks = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let asked = Arc::clone(&asked);
        let service = service_fn(move |request: Request<Incoming>| {
            let (status, body) = answer(request.uri().path(), request.uri().query().unwrap_or_default());
            let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
            asked.lock().unwrap().push(format!("{}{query}", request.uri().path()));
            let response = Response::builder().status(status).header("content-type", "application/json");
            async move {
                // Long enough for everybody to have asked, if everybody does.
                tokio::task::yield_now().await;
                response.body(Full::new(hyper::body::Bytes::from(body.to_string())))
            }
        });
        tasks.spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new();
            drop(connection.serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

fn answer(path: &str, query: &str) -> (u16, Value) {
    let secret = |name: &str, version: u32, status: &str| {
        json!({"metadata": {
            "name": format!("sh.helm.release.v1.{name}.v{version}"), "namespace": "team", "uid": format!("{name}-{version}"),
            "labels": {"owner": "helm", "name": name, "version": version.to_string(), "status": status,
                "modifiedAt": "1700000000", "createdAt": "1600000000", "tier": "front"},
        }})
    };
    match path {
        "/version" => (
            200,
            json!({"major": "1", "minor": "36", "gitVersion": "v1.36.3", "gitCommit": "", "gitTreeState": "",
                "buildDate": "", "goVersion": "", "compiler": "", "platform": ""}),
        ),
        "/api" => (
            200,
            json!({"items": [{"metadata": {"name": ""}, "versions": [{"version": "v1", "resources": [
                {"resource": "pods", "responseKind": {"kind": "Pod"}, "scope": "Namespaced", "verbs": ["get"],
                 "subresources": [{"subresource": "eviction", "responseKind": {"group": "policy", "kind": "Eviction"}}]},
                {"resource": "bindings", "responseKind": {"kind": "Binding"}, "scope": "Namespaced", "verbs": ["create"]},
            ]}]}]}),
        ),
        "/apis" => (
            200,
            json!({"items": [{"metadata": {"name": "example.org"}, "versions": [{"version": "v1", "resources": [
                {"resource": "gates", "responseKind": {"kind": "Gate"}, "scope": "Cluster", "verbs": ["get"],
                 "subresources": [{"subresource": "status", "responseKind": {"kind": "Gate"}}]},
            ]}]}]}),
        ),
        "/api/v1/namespaces/team/secrets" => {
            let all =
                [secret("web", 1, "superseded"), secret("web", 2, "deployed"), secret("db", 7, "failed")];
            let items: Vec<_> = all
                .into_iter()
                .filter(|secret| {
                    !query.contains("name%3Dweb") || secret["metadata"]["labels"]["name"] == "web"
                })
                .collect();
            (
                200,
                json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": {}, "items": items}),
            )
        }
        _ => (
            404,
            json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}),
        ),
    }
}

#[tokio::test]
async fn eight_at_once_ask_everything_once() {
    let server = Server::start().await;
    let cluster = &server.cluster;
    let one = |n: usize| async move {
        assert_eq!(cluster.kube_version().await.unwrap(), "v1.36.3");
        let versions = cluster.api_versions().await.unwrap();
        let expected = ["example.org/v1", "example.org/v1/Gate", "v1", "v1/Binding", "v1/Eviction", "v1/Pod"];
        assert!(versions.iter().eq(expected), "{versions:?}");
        let (name, revisions) = if n.is_multiple_of(2) { ("web", 2) } else { ("db", 1) };
        assert_eq!(cluster.history("team", name).await.unwrap().len(), revisions);
        assert_eq!(cluster.history("team", "unheard").await.unwrap(), []);
    };
    join_all((0..8).map(one)).await;
    assert_eq!(
        server.asked(),
        [
            "/api",
            "/api/v1/namespaces/team/secrets?&labelSelector=owner%3Dhelm&limit=500",
            "/apis",
            "/version"
        ]
    );
}

#[tokio::test]
async fn what_is_forgotten_is_asked_again_and_nothing_else() {
    let server = Server::start().await;
    let cluster = &server.cluster;
    for name in ["web", "db"] {
        cluster.history("team", name).await.unwrap();
    }
    cluster.api_versions().await.unwrap();
    cluster.kube_version().await.unwrap();
    server.asked();
    cluster.forget_release("team", "web");
    for name in ["web", "db", "web"] {
        cluster.history("team", name).await.unwrap();
    }
    assert_eq!(
        server.asked(),
        ["/api/v1/namespaces/team/secrets?&labelSelector=owner%3Dhelm%2Cname%3Dweb&limit=500"]
    );
    cluster.forget_release("team", "web");
    cluster.history("team", "web").await.unwrap();
    assert_eq!(server.asked().len(), 1);
    cluster.forget_apis();
    for _ in 0..2 {
        cluster.api_versions().await.unwrap();
        cluster.kube_version().await.unwrap();
    }
    assert_eq!(server.asked(), ["/api", "/apis"]);
}

#[tokio::test]
async fn a_failure_is_not_remembered() {
    let server = Server::start().await;
    let cluster = &server.cluster;
    for _ in 0..2 {
        assert!(cluster.history("nowhere", "web").await.is_err());
    }
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn kinds_are_found_in_the_same_answer() {
    let server = Server::start().await;
    let find = |group: &'static str, kind: &'static str| {
        let cluster = &server.cluster;
        async move { cluster.served(&Gvk::new(group, "v1", kind)).await.unwrap() }
    };
    let gate = find("example.org", "Gate").await.unwrap();
    assert_eq!(
        (gate.resource.plural.as_str(), gate.namespaced, gate.status_subresource),
        ("gates", false, true)
    );
    assert!(find("", "Pod").await.unwrap().namespaced);
    assert_eq!(server.asked(), ["/api", "/apis"]);
    // Not in it: perhaps it is newer, so the API server is asked for the group.
    assert!(find("other.org", "Unheard").await.is_none());
    assert_eq!(server.asked(), ["/apis/other.org/v1"]);
}

#[tokio::test]
async fn labels_say_what_a_revision_is() {
    let server = Server::start().await;
    let history = server.cluster.history("team", "web").await.unwrap();
    let newest = &history[0];
    assert_eq!((newest.revision, newest.status, newest.uid.as_str()), (2, ReleaseStatus::Deployed, "web-2"));
    assert_eq!(newest.modified, Some(1_700_000_000));
    assert_eq!(newest.labels, BTreeMap::from([("tier".to_owned(), "front".to_owned())]));
    assert_eq!(history[1].revision, 1);
}

#[tokio::test]
async fn a_silent_api_server_is_not_waited_for() {
    // It takes connections, and never reads from them.
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let cluster = Cluster::new(Client::try_from(kube::Config::new(url.parse().unwrap())).unwrap());
    let meta = ReleaseMeta {
        name: "web".to_owned(),
        namespace: "team".to_owned(),
        revision: 1,
        status: ReleaseStatus::Deployed,
        uid: String::new(),
        modified: None,
        labels: BTreeMap::new(),
    };
    let all = async { tokio::join!(cluster.history("team", "web"), cluster.get(&meta)) };
    let (history, release) = tokio::time::timeout(std::time::Duration::from_secs(20), all).await.unwrap();
    let late = "the API server did not answer in time";
    assert_eq!(
        history.unwrap_err().to_string(),
        format!("failed to list the Helm releases in namespace `team`: {late}")
    );
    assert_eq!(
        release.unwrap_err().to_string(),
        format!("failed to read Secret `team/sh.helm.release.v1.web.v1`: {late}")
    );
}
