//! Looks at the objects: one read each, a few at once.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use futures::{StreamExt as _, future::join_all};
use kube::Client;
use serde_json::Value;

use super::{
    kstatus::{self, Health, is_always_current},
    pods,
    report::{Finding, Report},
    words::quote,
    workload,
};
use crate::{
    cluster::{
        describe,
        discovery::{self, Discovery, DiscoveryError, Served},
    },
    object::{Gvk, ObjectRef},
};

/// How many calls are under way at once.
const AT_ONCE: usize = 8;
/// For how many objects the pods are looked at. Their lists are long, and one cause at a time can be put right.
const CAUSES: usize = 3;

/// A kind as it is served, or why not.
type Kinds = HashMap<Gvk, Result<Arc<Served>, DiscoveryError>>;

/// Looks once at objects that were delivered. Those without a namespace of their own get that of their release from the
/// caller; it is of no meaning for kinds whose objects live in no namespace.
///
/// An object that may not be read is `unseen`. One that can't be read for another reason is waited for, since nobody
/// knows how it is.
pub async fn look(discovery: &Discovery, objects: &[ObjectRef]) -> Report {
    let asked: Vec<&ObjectRef> = objects.iter().filter(|object| !is_always_current(&object.gvk)).collect();
    let kinds = kinds(discovery, &asked).await;
    // A list rather than the closure, of which the compiler can't tell that it may move between threads.
    let reads: Vec<_> = asked.iter().map(|object| read(discovery, &kinds, object)).collect();
    let mut seen: Vec<Seen> = futures::stream::iter(reads).buffered(AT_ONCE).collect().await;
    explain(discovery.client(), &mut seen).await;
    report(seen)
}

/// Finds all kinds, each once.
async fn kinds(discovery: &Discovery, objects: &[&ObjectRef]) -> Kinds {
    let all: BTreeSet<&Gvk> = objects.iter().map(|object| &object.gvk).collect();
    let find = |gvk| async move { (Gvk::clone(gvk), discovery.resolve(gvk).await) };
    let finds: Vec<_> = all.into_iter().map(find).collect();
    futures::stream::iter(finds).buffered(AT_ONCE).collect().await
}

/// What one look has shown.
struct Seen {
    verdict: Verdict,
    finding: Finding,
    /// The object, while its pods may tell more.
    live: Option<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Current,
    Waiting,
    Failed,
    Unseen,
}

async fn read(discovery: &Discovery, kinds: &Kinds, object: &ObjectRef) -> Seen {
    let mut object = object.clone();
    let waiting = |object: ObjectRef, what: &str| seen(object, Verdict::Waiting, what);
    let served = match kinds.get(&object.gvk) {
        Some(Ok(served)) => served,
        Some(Err(error)) => return waiting(object, &quote(&error.to_string())),
        None => return waiting(object, "its kind was not asked for"),
    };
    if !served.namespaced {
        object.namespace = None;
    }
    match discovery::get(discovery.client(), served, &object.key()).await {
        Ok(Some(live)) => Seen::of(object, kstatus::of(&live), live),
        Ok(None) => {
            // The kind itself may be gone, or be served differently now.
            discovery.forget(&object.gvk);
            Seen::of(object, Health::NotFound, Value::Null)
        }
        Err(kube::Error::Api(status)) if status.code == 403 => {
            let why = quote(&describe(&kube::Error::Api(status)));
            seen(object, Verdict::Unseen, &why)
        }
        Err(error) => waiting(object, &format!("it could not be read: {}", quote(&describe(&error)))),
    }
}

fn seen(object: ObjectRef, verdict: Verdict, what: &str) -> Seen {
    Seen { verdict, finding: Finding::new(object, what.to_owned()), live: None }
}

impl Seen {
    fn of(object: ObjectRef, health: Health, live: Value) -> Self {
        let is_job = object.gvk.group == "batch" && object.gvk.kind == "Job";
        let (verdict, what) = match health {
            Health::Current => (Verdict::Current, String::new()),
            Health::InProgress(what) => (Verdict::Waiting, what),
            Health::Failed(what) => (Verdict::Failed, what),
            Health::Terminating => (Verdict::Waiting, "it is being deleted".to_owned()),
            // With `ttlSecondsAfterFinished` it never comes back; waiting for it would never end.
            Health::NotFound if is_job => {
                (Verdict::Unseen, "it is gone, as a finished Job may be".to_owned())
            }
            Health::NotFound => (Verdict::Waiting, "it does not exist".to_owned()),
        };
        let live = matches!(verdict, Verdict::Waiting | Verdict::Failed)
            .then_some(live)
            .filter(|live| workload::pods(live).is_some());
        Self { live, ..seen(object, verdict, &what) }
    }
}

/// Adds the causes, for the first failed objects before the first that are waited for.
async fn explain(client: &Client, seen: &mut [Seen]) {
    let mut troubled: Vec<&mut Seen> = seen.iter_mut().filter(|one| one.live.is_some()).collect();
    troubled.sort_by_key(|one| one.verdict != Verdict::Failed);
    let explained = troubled.into_iter().take(CAUSES).map(async |one| {
        let Some(live) = one.live.take() else { return };
        if let Some(cause) = pods::cause(client, &live).await {
            one.finding.cause = Some(cause.text);
            one.finding.log = cause.log;
        }
    });
    join_all(explained).await;
}

fn report(seen: Vec<Seen>) -> Report {
    let mut report = Report { looked: seen.len(), ..Report::default() };
    for Seen { verdict, finding, .. } in seen {
        match verdict {
            Verdict::Current => {}
            Verdict::Waiting => report.waiting.push(finding),
            Verdict::Failed => report.failed.push(finding),
            Verdict::Unseen => report.unseen.push(finding),
        }
    }
    report
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use futures::FutureExt as _;

    use super::*;

    fn object(group: &str, kind: &str, name: &str) -> ObjectRef {
        ObjectRef { gvk: Gvk::new(group, "v1", kind), namespace: Some("ns".into()), name: name.into() }
    }

    #[test]
    fn what_is_gone_is_waited_for_but_for_a_job() {
        let gone =
            |group: &str, kind: &str| Seen::of(object(group, kind, "a"), Health::NotFound, Value::Null);
        assert_eq!(gone("apps", "Deployment").verdict, Verdict::Waiting);
        assert_eq!(gone("batch", "Job").verdict, Verdict::Unseen);
        assert_eq!(gone("example.com", "Job").verdict, Verdict::Waiting);
    }

    #[tokio::test]
    async fn an_api_server_that_does_not_answer_makes_nothing_healthy() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let nobody = format!("http://127.0.0.1:{port}").parse().unwrap();
        let mut config = kube::Config::new(nobody);
        config.default_retry = false;
        let discovery = Discovery::new(Client::try_from(config).unwrap());
        let objects =
            [object("", "Service", "a"), object("", "ConfigMap", "b"), object("apps", "Deployment", "c")];
        // Boxed, which only a future can be that may move between threads.
        let report = look(&discovery, &objects).boxed().await;
        let waiting: Vec<_> = report.waiting.iter().map(|finding| finding.object.name.as_str()).collect();
        assert_eq!((waiting.as_slice(), report.looked), (["a", "c"].as_slice(), 2));
        let said = report.sentence().unwrap();
        assert!(
            said.starts_with("waiting for Service `ns/a`: failed to ask the API server for v1 Service: "),
            "{said}"
        );
    }
}
