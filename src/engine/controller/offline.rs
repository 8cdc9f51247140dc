//! The same pipeline without a cluster: a handler is run for given objects and its plan returned.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;
use tokio::sync::mpsc;

pub use super::given::{Given, GivenError};
use super::{
    ownership::owns_as,
    plan::{self, KindRules, Memory, Observed, Plan, PlanError, Shown},
};
use crate::{
    contract::{ByKind, Progress, Reply, State, Trigger, TriggerType},
    engine::{
        config::{Config, Entry, Handler, lay_over},
        handler::{self, HandlerError, Runtime},
    },
    object::{self, Gvk, Key, ObjectRef},
};

/// None of the objects is handled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the config has no entry for any of these objects ({found}); it handles {handled}")]
pub struct NoEntry {
    found: String,
    handled: String,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// The handler failed.
    #[error(transparent)]
    Handler(#[from] HandlerError),
    /// Its reply must not be carried out.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

/// A given object, and an entry that handles it.
#[derive(Debug)]
pub struct Handled<'g> {
    /// The object.
    pub object: &'g Value,
    /// Its name.
    pub name: ObjectRef,
    /// The entry.
    pub entry: Arc<Entry>,
}

/// The first `count` of the given objects, as far as they are handled: once for each entry that does, in the order of the
/// objects.
///
/// # Errors
/// When none is.
pub fn handled<'g>(config: &Config, given: &'g Given, count: usize) -> Result<Vec<Handled<'g>>, NoEntry> {
    let mut found = Vec::new();
    for object in given.objects.iter().take(count) {
        let gvk = Gvk::of(object);
        let entries = config.entries.iter().filter(|entry| gvk.as_ref() == Some(&entry.gvk));
        found.extend(entries.map(|entry| Handled {
            object,
            name: Key::of(object).of_kind(&entry.gvk),
            entry: Arc::clone(entry),
        }));
    }
    if found.is_empty() { Err(no_entry(config, given, count)) } else { Ok(found) }
}

fn no_entry(config: &Config, given: &Given, count: usize) -> NoEntry {
    let list = |kinds: Vec<Gvk>| kinds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    NoEntry {
        found: list(given.objects.iter().take(count).filter_map(Gvk::of).collect()),
        handled: list(config.entries.iter().map(|entry| entry.gvk.clone()).collect()),
    }
}

/// Runs the entry's handler for the object: the finalizer when it is being deleted, else the reconciler. The other given
/// objects are what else there is in the cluster.
///
/// # Errors
/// When the handler fails, or its reply must not be carried out.
pub async fn render(subject: &Handled<'_>, given: &Given, runtime: &Runtime) -> Result<Plan, OfflineError> {
    let entry = &subject.entry;
    // Without a handler for it, the engine waits for the object's end, or for the beginning of that.
    let Some((handler, trigger)) = choose(entry, subject.object) else { return Ok(Plan::default()) };
    let paper = Paper::of(subject, given);
    let state = paper.state(given, trigger);
    // Nothing is written, so what the handler reports on the way is dropped.
    let (tell, mut hear) = mpsc::channel::<Progress>(16);
    let mut no_log = |_: &str| {};
    let call = handler::call(handler, entry, &subject.name, &state, runtime, tell, &mut no_log);
    let (answer, ()) = tokio::join!(call, async { while hear.recv().await.is_some() {} });
    match answer {
        // Nothing that an observer prints is written.
        Ok(answer) if entry.observes() => Ok(paper.plan(answer.reply.without_writes())?),
        Err(HandlerError::Reply(_)) if entry.observes() => Ok(Plan::default()),
        answer => Ok(paper.plan(answer?.reply)?),
    }
}

fn choose<'e>(entry: &'e Entry, object: &Value) -> Option<(&'e Handler, TriggerType)> {
    if object::is_terminating(object) {
        return entry.finalizer.as_ref().map(|finalizer| (&finalizer.handler, TriggerType::Deleting));
    }
    entry.reconciler.as_ref().map(|reconciler| (&reconciler.handler, TriggerType::Start))
}

/// What is observed where there are no caches to look at.
struct Paper<'g> {
    entry: &'g Entry,
    object: &'g Value,
    /// The declared kinds of dependents by contract key.
    kinds: BTreeMap<String, KindRules>,
    /// Those of the handled object.
    shown: Vec<Shown>,
    /// Objects of these kinds, whoever owns them.
    others: Vec<&'g Value>,
}

impl<'g> Paper<'g> {
    fn of(handled: &'g Handled<'g>, given: &'g Given) -> Self {
        let kinds: BTreeMap<String, KindRules> = handled
            .entry
            .dependents
            .iter()
            .map(|kind| (kind.gvk.key(), assume(&kind.gvk, kind.orphan)))
            .collect();
        let is_declared = |object: &&Value| Gvk::of(object).is_some_and(|gvk| kinds.contains_key(&gvk.key()));
        let others: Vec<&Value> = given.objects.iter().filter(is_declared).collect();
        let is_orphan = |object: &Value| {
            Gvk::of(object).and_then(|gvk| kinds.get(&gvk.key())).is_some_and(|kind| kind.orphan)
        };
        let ours = others.iter().filter(|other| owns_as(handled.object, other, is_orphan(other)));
        let shown = ours.map(|other| Shown { object: (*other).clone(), print: None }).collect();
        Self { entry: &handled.entry, object: handled.object, kinds, shown, others }
    }

    fn state(&self, given: &Given, trigger: TriggerType) -> State {
        let mut dependents: ByKind = self.kinds.keys().map(|key| (key.clone(), Vec::new())).collect();
        for known in &self.shown {
            let key = Gvk::of(&known.object).map(|gvk| gvk.key()).unwrap_or_default();
            dependents.entry(key).or_default().push(known.object.clone());
        }
        let mut values = self.entry.values.clone();
        lay_over(&mut values, &given.values);
        State {
            object: self.object.clone(),
            last_object: None,
            dependents,
            references: self.references(given),
            watched: given.watched.clone(),
            triggers: given.triggers.clone().unwrap_or_else(|| vec![Trigger::plain(trigger)]),
            values: Value::Object(values),
            attempt: given.attempt,
        }
    }

    fn finalizes(&self) -> bool {
        object::is_terminating(self.object) && self.entry.finalizer.is_some()
    }

    /// The given objects that the handled one names in its fields.
    fn references(&self, given: &Given) -> ByKind {
        let namespace = object::namespace(self.object);
        let mut references = ByKind::new();
        for reference in &self.entry.references {
            let found = reference.names.find(self.object).into_iter();
            let names: Vec<&str> = found.filter_map(Value::as_str).collect();
            let list = references.entry(reference.gvk.key()).or_default();
            for object in given.referred(&reference.gvk, &names, namespace) {
                if !list.contains(&object) {
                    list.push(object);
                }
            }
        }
        references
    }

    fn plan(&self, reply: Reply) -> Result<Plan, PlanError> {
        let namespaced = object::namespace(self.object).is_some();
        let stranger = |name: &ObjectRef| {
            let same = |other: &&&Value| ObjectRef::of(other).as_ref() == Some(name);
            self.others.iter().find(same).map(|other| (*other).clone())
        };
        let finalizer = self.entry.finalizer_name();
        let observed = Observed {
            object: self.object,
            kind: KindRules { namespaced, ..assume(&self.entry.gvk, false) },
            dependents: &self.kinds,
            shown: &self.shown,
            stranger: &stranger,
            whole: !self.entry.metadata_only,
            finalizer: self.finalizes().then_some(finalizer.as_str()),
            memory: &Memory::default(),
            namespaces: &[],
            now: 0,
        };
        plan::plan(&observed, reply)
    }
}

/// Built-in kinds without a namespace; anything else is taken to have one, and to have a status of its own.
const CLUSTER_SCOPED: [&str; 14] = [
    "APIService",
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "IngressClass",
    "MutatingWebhookConfiguration",
    "Namespace",
    "Node",
    "PersistentVolume",
    "PriorityClass",
    "RuntimeClass",
    "StorageClass",
    "ValidatingAdmissionPolicy",
    "ValidatingWebhookConfiguration",
];

fn assume(gvk: &Gvk, orphan: bool) -> KindRules {
    let namespaced = !CLUSTER_SCOPED.contains(&gvk.kind.as_str());
    KindRules { gvk: gvk.clone(), namespaced, status_subresource: true, orphan }
}
