//! The watches that fill the stores.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use futures::{Stream, StreamExt as _, TryStreamExt as _};
use kube::{
    api::{DynamicObject, PartialObjectMeta},
    runtime::{
        WatchStreamExt as _,
        utils::Backoff,
        watcher::{self, Event},
    },
};
use tokio::task::JoinSet;

use super::{Fingerprint, Store};
use crate::{
    cluster::{
        describe,
        discovery::{Discovery, DiscoveryError, Served, to_json},
    },
    object::{Gvk, Key},
};

/// Which objects of a kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Scope {
    /// Namespaces; none means all. Ignored for cluster-scoped kinds.
    pub namespaces: Vec<String>,
    /// Only the object of this name.
    pub name: Option<String>,
    /// Only objects with these labels, in kubectl's syntax; selected by the API server.
    pub labels: Option<String>,
    /// Only objects with these fields, in kubectl's syntax; selected by the API server.
    pub fields: Option<String>,
}

impl Scope {
    fn config(&self) -> watcher::Config {
        let mut config = watcher::Config::default();
        let name = self.name.as_ref().map(|name| format!("metadata.name={name}"));
        let fields: Vec<String> = name.into_iter().chain(self.fields.clone()).collect();
        if !fields.is_empty() {
            config = config.fields(&fields.join(","));
        }
        if let Some(labels) = &self.labels {
            config = config.labels(labels);
        }
        config
    }
}

/// How much of each object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Detail {
    /// All of it.
    Full,
    /// Only its metadata: far less traffic and memory.
    Metadata,
}

/// What makes two watches the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WatchKey {
    /// The kind.
    pub gvk: Gvk,
    /// Which objects.
    pub scope: Scope,
    /// How much of them.
    pub detail: Detail,
}

/// A share of a watch. The watch ends when the last share is dropped.
pub struct Watch {
    /// What it watches.
    pub key: WatchKey,
    /// Its copies.
    pub store: Arc<Store>,
    /// Dropping the set aborts the tasks.
    _tasks: JoinSet<()>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

/// All watches of the program. Cheap to clone.
#[derive(Clone)]
pub struct Caches {
    discovery: Discovery,
    watches: Arc<Mutex<HashMap<WatchKey, Weak<Watch>>>>,
}

/// How long to wait for a kind that is not served, or an API server that does not answer.
const DISCOVERY_PAUSE: Duration = Duration::from_secs(2);
/// How long the next piece of a list may take. The client has no time limit for lists that would not end watches too.
const LIST_PATIENCE: Duration = Duration::from_mins(1);

impl Caches {
    /// No watches yet.
    pub fn new(discovery: Discovery) -> Self {
        Self { discovery, watches: Arc::default() }
    }

    /// Joins the watch for `key`, or starts it. Needs a tokio runtime.
    pub fn watch(&self, key: &WatchKey) -> Arc<Watch> {
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches.retain(|_, watch| watch.strong_count() > 0);
        if let Some(watch) = watches.get(key).and_then(Weak::upgrade) {
            return watch;
        }
        let store = Arc::new(Store::new(key.gvk.clone()));
        let mut tasks = JoinSet::new();
        tasks.spawn(run(self.discovery.clone(), key.clone(), Arc::clone(&store)));
        let watch = Arc::new(Watch { key: key.clone(), store, _tasks: tasks });
        watches.insert(key.clone(), Arc::downgrade(&watch));
        watch
    }

    /// All watches that are running.
    pub fn running(&self) -> Vec<Arc<Watch>> {
        let watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches.values().filter_map(Weak::upgrade).collect()
    }
}

async fn run(discovery: Discovery, key: WatchKey, store: Arc<Store>) {
    loop {
        let served = wait_until_served(&discovery, &key.gvk, &store).await;
        follow(&discovery, &key, &served, &store).await;
        // The kind may come back with another scope, or with a status of its own.
        discovery.forget(&key.gvk);
    }
}

/// Keeps the store equal to what is served. Returns when the kind is not served any more, or a list does not come.
async fn follow(discovery: &Discovery, key: &WatchKey, served: &Arc<Served>, store: &Store) {
    let namespaces: Vec<Option<&str>> = if served.namespaced && !key.scope.namespaces.is_empty() {
        key.scope.namespaces.iter().map(|namespace| Some(namespace.as_str())).collect()
    } else {
        vec![None]
    };
    // One stream per namespace; together they are one store.
    let streams = namespaces.iter().enumerate().map(|(number, namespace)| {
        stream(discovery, served, *namespace, key.scope.config(), key.detail)
            .map(move |event| (number, event))
            .boxed()
    });
    let mut events = futures::stream::select_all(streams);
    let was_synced = store.state().borrow().synced;
    let mut synced = HashSet::new();
    let mut troubles: BTreeMap<usize, String> = BTreeMap::new();
    let mut starts: HashMap<usize, HashSet<Key>> = HashMap::new();
    loop {
        let next = if starts.is_empty() {
            events.next().await
        } else {
            let Ok(next) = tokio::time::timeout(LIST_PATIENCE, events.next()).await else {
                let trouble =
                    format!("the API server has not gone on with a list for {}s", LIST_PATIENCE.as_secs());
                return interrupted(key, store, trouble);
            };
            next
        };
        let Some((number, event)) = next else { return };
        match event {
            Err(Trouble { text, gone }) => {
                interrupted(key, store, text.clone());
                troubles.insert(number, text);
                // A listing that failed will begin again.
                starts.remove(&number);
                if gone {
                    return;
                }
                continue;
            }
            Ok(Event::Init) => {
                starts.insert(number, HashSet::new());
                // A listing after the first may be because the kind was changed.
                if synced.contains(&number) {
                    discovery.forget(&key.gvk);
                }
                // Whether it succeeds is still to be seen.
                continue;
            }
            Ok(Event::InitApply((object, print))) => {
                starts.entry(number).or_default().insert(Key::of(&object));
                store.put(object, print, !was_synced && !synced.contains(&number));
            }
            Ok(Event::InitDone) => {
                let seen = starts.remove(&number).unwrap_or_default();
                let mine = |known: &Key| {
                    namespaces[number].is_none_or(|namespace| known.namespace.as_deref() == Some(namespace))
                };
                for gone in store.keys().into_iter().filter(|known| mine(known) && !seen.contains(known)) {
                    store.remove(&gone);
                }
                synced.insert(number);
                let all = synced.len() == namespaces.len();
                store.set_state(|state| state.synced |= all);
            }
            Ok(Event::Apply((object, print))) => store.put(object, print, false),
            Ok(Event::Delete((object, _))) => store.remove(&Key::of(&object)),
        }
        // What is over in one namespace may go on in another.
        troubles.remove(&number);
        store.set_state(|state| state.trouble = troubles.values().next().cloned());
    }
}

fn interrupted(key: &WatchKey, store: &Store, trouble: String) {
    if store.state().borrow().trouble.as_ref() != Some(&trouble) {
        tracing::warn!(kind = %key.gvk, %trouble, "watch interrupted");
    }
    store.set_state(|state| state.trouble = Some(trouble));
}

async fn wait_until_served(discovery: &Discovery, gvk: &Gvk, store: &Store) -> Arc<Served> {
    loop {
        let error = match discovery.resolve(gvk).await {
            Ok(served) => return served,
            Err(error) => error,
        };
        let trouble = Some(error.to_string());
        if store.state().borrow().trouble != trouble {
            match &error {
                DiscoveryError::NotServed(_) => tracing::warn!(kind = %gvk, "{error}; waiting for it"),
                DiscoveryError::Failed { .. } => tracing::warn!(kind = %gvk, "{error}; trying again"),
            }
        }
        store.set_state(|state| state.trouble = trouble);
        tokio::time::sleep(DISCOVERY_PAUSE).await;
    }
}

type Seen = (serde_json::Value, Fingerprint);

fn stream(
    discovery: &Discovery,
    served: &Served,
    namespace: Option<&str>,
    config: watcher::Config,
    detail: Detail,
) -> futures::stream::BoxStream<'static, Result<Event<Seen>, Trouble>> {
    let api = served.api(discovery.client(), namespace);
    let gvk = served.gvk.clone();
    match detail {
        Detail::Full => adapt(watcher::watcher(api, config), move |object: DynamicObject| {
            let print = Fingerprint::of(&object.metadata);
            (to_json(&gvk, object), print)
        }),
        Detail::Metadata => {
            let api: kube::Api<PartialObjectMeta<DynamicObject>> = metadata_api(discovery, served, namespace);
            adapt(watcher::watcher(api, config), move |partial| {
                let mut object =
                    DynamicObject { types: None, metadata: partial.metadata, data: serde_json::Value::Null };
                let print = Fingerprint::of(&object.metadata);
                object.data = serde_json::json!({});
                (to_json(&gvk, object), print)
            })
        }
    }
}

fn metadata_api(
    discovery: &Discovery,
    served: &Served,
    namespace: Option<&str>,
) -> kube::Api<PartialObjectMeta<DynamicObject>> {
    let client = discovery.client().clone();
    match namespace.filter(|_| served.namespaced) {
        Some(namespace) => kube::Api::namespaced_with(client, namespace, &served.resource),
        None => kube::Api::all_with(client, &served.resource),
    }
}

fn adapt<K: kube::Resource + Send + 'static>(
    events: impl Stream<Item = Result<Event<K>, watcher::Error>> + Send + 'static,
    convert: impl Fn(K) -> Seen + Send + 'static,
) -> futures::stream::BoxStream<'static, Result<Event<Seen>, Trouble>> {
    events
        .backoff(Pause::default())
        .map_ok(move |event| match event {
            Event::Init => Event::Init,
            Event::InitDone => Event::InitDone,
            Event::Apply(object) => Event::Apply(convert(object)),
            Event::Delete(object) => Event::Delete(convert(object)),
            Event::InitApply(object) => Event::InitApply(convert(object)),
        })
        .map_err(|error| explain(&error))
        .boxed()
}

/// How long a broken watch pauses: 0.2 s, doubling, at most 5 s, from the start again after ten calm seconds.
///
/// The library's own grows to 30 s and forgets an outage only after two calm minutes: too long to be blind.
#[derive(Debug, Default)]
struct Pause {
    failures: u32,
    last: Option<Instant>,
}

const CALM: Duration = Duration::from_secs(10);

impl Iterator for Pause {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = Duration::from_millis(200).saturating_mul(1 << self.failures.min(10));
        self.failures = self.failures.saturating_add(1);
        self.last = Some(Instant::now());
        Some(pause.min(Duration::from_secs(5)))
    }
}

impl Backoff for Pause {
    /// Called for every event, also for the one that only says that a listing begins.
    fn reset(&mut self) {
        if self.last.is_some_and(|last| last.elapsed() > CALM) {
            self.failures = 0;
        }
    }
}

/// Why a watch is interrupted.
struct Trouble {
    text: String,
    /// Whether the kind is not served any more.
    gone: bool,
}

fn explain(error: &watcher::Error) -> Trouble {
    let is_missing = |error: &kube::Error| matches!(error, kube::Error::Api(status) if status.code == 404);
    let (text, gone) = match error {
        watcher::Error::InitialListFailed(source) => {
            (format!("failed to list: {}", describe(source)), is_missing(source))
        }
        watcher::Error::WatchStartFailed(source) | watcher::Error::WatchFailed(source) => {
            (format!("failed to watch: {}", describe(source)), is_missing(source))
        }
        watcher::Error::WatchError(status) => {
            (format!("the watch ended: {}", status.message), status.code == 404)
        }
        watcher::Error::NoResourceVersion => ("the API server gave no resource version".to_owned(), false),
    };
    Trouble { text, gone }
}
