//! From the caches to what a handler is given.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use super::{
    context::Controller,
    ownership::{owned_key, owns_as},
    plan::{KindRules, Shown},
    reference::ReferenceError,
    watches::ActiveWatches,
};
use crate::{
    cluster::{
        cache::{Cached, Fingerprint},
        discovery::{DiscoveryError, Served},
    },
    contract::{ByKind, State, Trigger},
    object::{Gvk, Key, ObjectRef},
};

/// Everything that one run starts from.
pub(super) struct Observation {
    pub(super) object: Value,
    print: Option<Fingerprint>,
    pub(super) shown: Vec<Shown>,
    pub(super) kind: Arc<Served>,
    /// By contract key.
    pub(super) dependents: BTreeMap<String, (Arc<Served>, bool)>,
    references: ByKind,
    /// What was seen last of an object that is gone.
    last: Option<Arc<Value>>,
}

/// Why a run can't start.
#[derive(Debug, thiserror::Error)]
pub(super) enum ObserveError {
    #[error(transparent)]
    Kind(#[from] DiscoveryError),
    #[error(transparent)]
    Reference(#[from] ReferenceError),
}

impl Observation {
    /// Looks at the caches once, so that the handler, the plan and its preconditions speak of the same moment.
    pub(super) async fn take(controller: &Controller, parent: &Cached) -> Result<Self, ObserveError> {
        let (discovery, entry) = (&controller.shared.discovery, &controller.entry);
        let kind = discovery.resolve(&entry.gvk).await?;
        let mut dependents = BTreeMap::new();
        let mut shown = Vec::new();
        for (key, of_kind) in &controller.dependents {
            dependents.insert(key.clone(), (discovery.resolve(&of_kind.gvk).await?, of_kind.orphan));
            let children = of_kind.watch.store.owned_by(&owned_key(&parent.object, of_kind.orphan));
            let ours =
                children.into_iter().filter(|cached| owns_as(&parent.object, &cached.object, of_kind.orphan));
            shown.extend(
                ours.map(|cached| Shown { object: (*cached.object).clone(), print: Some(cached.print) }),
            );
        }
        let (object, key) = ((*parent.object).clone(), Key::of(&parent.object));
        let references = controller.references.read(entry, discovery, &key, &object).await?;
        let print = Some(parent.print.clone());
        Ok(Self { object, print, shown, kind, dependents, references, last: None })
    }

    /// What an observer is told of an object that is gone: its name, and what was seen last.
    pub(super) async fn gone(
        controller: &Controller,
        key: &Key,
        last: Arc<Value>,
    ) -> Result<Self, ObserveError> {
        let kind = controller.shared.discovery.resolve(&controller.entry.gvk).await?;
        let mut object = json!({
            "apiVersion": kind.gvk.api_version(), "kind": kind.gvk.kind, "metadata": {"name": key.name},
        });
        if let Some(namespace) = &key.namespace {
            object["metadata"]["namespace"] = namespace.clone().into();
        }
        let (shown, dependents, references) = (Vec::new(), BTreeMap::new(), ByKind::new());
        Ok(Self { object, print: None, shown, kind, dependents, references, last: Some(last) })
    }

    /// The state for the handler. Declared kinds without objects are given as empty lists.
    pub(super) fn state(
        &self,
        controller: &Controller,
        watches: &ActiveWatches,
        triggers: &[Trigger],
        attempt: u32,
    ) -> State {
        let mut dependents: ByKind =
            controller.dependents.keys().map(|key| (key.clone(), Vec::new())).collect();
        for shown in &self.shown {
            if let Some(gvk) = Gvk::of(&shown.object) {
                dependents.entry(gvk.key()).or_default().push(shown.object.clone());
            }
        }
        State {
            object: self.object.clone(),
            last_object: self.last.as_deref().cloned(),
            dependents,
            references: self.references.clone(),
            watched: watches.bodies(),
            triggers: triggers.to_vec(),
            values: Value::Object(controller.entry.values.clone()),
            attempt,
        }
    }

    /// The handled object has been written by us in between.
    pub(super) fn renew(&mut self, object: Value, print: Fingerprint) {
        self.object = object;
        self.print = Some(print);
    }

    /// How an object looked, status aside, when the handler was given it.
    pub(super) fn print(&self, name: &ObjectRef) -> Option<&Fingerprint> {
        if *name == Key::of(&self.object).of_kind(&self.kind.gvk) {
            return self.print.as_ref();
        }
        let shown = self.shown.iter().find(|shown| ObjectRef::of(&shown.object).as_ref() == Some(name));
        shown.and_then(|shown| shown.print.as_ref())
    }

    /// What the plan needs to know of the dependents' kinds.
    pub(super) fn rules(&self) -> BTreeMap<String, KindRules> {
        let rules = |(served, orphan): &(Arc<Served>, bool)| rules(served, *orphan);
        self.dependents.iter().map(|(key, kind)| (key.clone(), rules(kind))).collect()
    }
}

/// What the plan needs to know of a kind.
pub(super) fn rules(served: &Served, orphan: bool) -> KindRules {
    KindRules {
        gvk: served.gvk.clone(),
        namespaced: served.namespaced,
        status_subresource: served.status_subresource,
        orphan,
    }
}
