//! The same pipeline without a cluster: a handler is run for given objects and its plan returned.

use std::collections::BTreeMap;

use serde_json::Value;
use tokio::sync::mpsc;

use super::{
    ownership::owns_as,
    plan::{self, KindRules, Memory, Observed, Plan, PlanError, Shown},
};
use crate::{
    contract::{ByKind, Progress, State, Trigger, TriggerType},
    engine::{
        config::{Config, Entry},
        handler::{self, HandlerError, Runtime},
    },
    object::{Gvk, Key, ObjectRef},
};

/// Why nothing could be rendered.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// None of the objects is handled.
    #[error("the config has no entry for any of these objects ({found}); it handles {handled}")]
    NoEntry {
        /// Kinds that were given.
        found: String,
        /// Kinds that are handled.
        handled: String,
    },
    /// The handler failed.
    #[error(transparent)]
    Handler(#[from] HandlerError),
    /// Its reply must not be carried out.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

/// What a handler would do.
#[derive(Debug)]
pub struct Rendered {
    /// For which object.
    pub object: ObjectRef,
    /// By which entry.
    pub entry: String,
    /// What would be written.
    pub plan: Plan,
}

/// Runs the handler of the first object that the config handles; the others are what else there is in the cluster.
///
/// # Errors
/// When no entry handles any of them, the handler fails, or its reply must not be carried out.
pub async fn render(config: &Config, objects: &[Value], runtime: &Runtime) -> Result<Rendered, OfflineError> {
    let handled = objects.iter().find_map(|object| Some((find(config, object)?, object)));
    let (entry, object) = handled.ok_or_else(|| no_entry(config, objects))?;
    let handler = entry.reconciler.as_ref().map(|reconciler| &reconciler.handler);
    let handler = handler.or(entry.finalizer.as_ref()).ok_or_else(|| no_entry(config, objects))?;
    let mut object = object.clone();
    if crate::object::uid(&object).is_none() {
        object["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000".into();
    }
    let name = Key::of(&object).of_kind(&entry.gvk);
    let kinds: BTreeMap<String, KindRules> =
        entry.dependents.iter().map(|kind| (kind.gvk.key(), assume(&kind.gvk))).collect();
    let others: Vec<&Value> = objects
        .iter()
        .filter(|other| Gvk::of(other).is_some_and(|gvk| kinds.contains_key(&gvk.key())))
        .collect();
    let shown: Vec<Shown> = others
        .iter()
        .filter(|other| owns_as(&object, other, false))
        .map(|other| Shown { object: (*other).clone(), print: None })
        .collect();
    let mut dependents: ByKind = kinds.keys().map(|key| (key.clone(), Vec::new())).collect();
    for known in &shown {
        let key = Gvk::of(&known.object).map(|gvk| gvk.key()).unwrap_or_default();
        dependents.entry(key).or_default().push(known.object.clone());
    }
    let state = State {
        object: object.clone(),
        dependents,
        triggers: vec![Trigger::plain(TriggerType::Start)],
        values: Value::Object(entry.values.clone()),
        ..State::default()
    };
    // Nothing is written, so what the handler reports on the way is dropped.
    let (tell, mut hear) = mpsc::channel::<Progress>(16);
    let (answer, ()) = tokio::join!(handler::call(handler, entry, &name, &state, runtime, tell), async {
        while hear.recv().await.is_some() {}
    });
    let observed = Observed {
        object: &object,
        kind: KindRules { namespaced: crate::object::namespace(&object).is_some(), ..assume(&entry.gvk) },
        dependents: &kinds,
        shown: &shown,
        stranger: &|name| {
            others.iter().find(|other| Key::of(other) == name.key()).map(|other| (*other).clone())
        },
        whole: true,
        finalizer: None,
        memory: &Memory::default(),
        namespaces: &[],
        now: 0,
    };
    let plan = plan::plan(&observed, answer?.reply)?;
    Ok(Rendered { object: name, entry: entry.name.clone(), plan })
}

fn find<'c>(config: &'c Config, object: &Value) -> Option<&'c Entry> {
    let gvk = Gvk::of(object)?;
    config.entries.iter().map(AsRef::as_ref).find(|entry| entry.gvk == gvk)
}

fn no_entry(config: &Config, objects: &[Value]) -> OfflineError {
    let list = |kinds: Vec<Gvk>| kinds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    OfflineError::NoEntry {
        found: list(objects.iter().filter_map(Gvk::of).collect()),
        handled: list(config.entries.iter().map(|entry| entry.gvk.clone()).collect()),
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

fn assume(gvk: &Gvk) -> KindRules {
    let namespaced = !CLUSTER_SCOPED.contains(&gvk.kind.as_str());
    KindRules { gvk: gvk.clone(), namespaced, status_subresource: true, orphan: false }
}
