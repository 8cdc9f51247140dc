//! From the caches to what a handler is given.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    context::Controller,
    ownership::owns,
    plan::{KindRules, Shown},
    watches::ActiveWatches,
};
use crate::{
    cluster::{
        cache::{Cached, Fingerprint},
        discovery::{DiscoveryError, Served},
    },
    contract::{ByKind, State, Trigger},
    object::{self, Key, ObjectRef},
};

/// Everything that one run starts from.
pub(super) struct Observation {
    pub(super) object: Value,
    print: Fingerprint,
    pub(super) shown: Vec<Shown>,
    pub(super) kind: std::sync::Arc<Served>,
    /// By contract key.
    pub(super) dependents: BTreeMap<String, std::sync::Arc<Served>>,
}

impl Observation {
    /// Looks at the caches once, so that the handler, the plan and its preconditions speak of the same moment.
    pub(super) async fn take(controller: &Controller, parent: &Cached) -> Result<Self, DiscoveryError> {
        let discovery = &controller.shared.discovery;
        let kind = discovery.resolve(&controller.entry.gvk).await?;
        let mut dependents = BTreeMap::new();
        let mut shown = Vec::new();
        let uid = object::uid(&parent.object).unwrap_or_default();
        for (key, (gvk, watch)) in &controller.dependents {
            dependents.insert(key.clone(), discovery.resolve(gvk).await?);
            let children = watch.store.owned_by(uid).into_iter();
            let ours = children.filter(|cached| owns(&parent.object, &cached.object));
            shown.extend(
                ours.map(|cached| Shown { object: (*cached.object).clone(), print: Some(cached.print) }),
            );
        }
        Ok(Self { object: (*parent.object).clone(), print: parent.print.clone(), shown, kind, dependents })
    }

    /// The state for the handler. Declared kinds without objects are given as empty lists.
    pub(super) fn state(
        &self,
        controller: &Controller,
        watches: &ActiveWatches,
        triggers: &[Trigger],
        attempt: u32,
    ) -> State {
        let mut dependents: ByKind = self.dependents.keys().map(|key| (key.clone(), Vec::new())).collect();
        for shown in &self.shown {
            if let Some(name) = ObjectRef::of(&shown.object) {
                dependents.entry(name.gvk.key()).or_default().push(shown.object.clone());
            }
        }
        State {
            object: self.object.clone(),
            dependents,
            references: ByKind::new(),
            watched: watches.bodies(),
            triggers: triggers.to_vec(),
            values: Value::Object(controller.entry.values.clone()),
            attempt,
        }
    }

    /// How an object looked, status aside, when the handler was given it.
    pub(super) fn print(&self, name: &ObjectRef) -> Option<&Fingerprint> {
        if *name == Key::of(&self.object).of_kind(&self.kind.gvk) {
            return Some(&self.print);
        }
        let shown = self.shown.iter().find(|shown| ObjectRef::of(&shown.object).as_ref() == Some(name));
        shown.and_then(|shown| shown.print.as_ref())
    }

    /// What the plan needs to know of the dependents' kinds.
    pub(super) fn rules(&self) -> BTreeMap<String, KindRules> {
        self.dependents.iter().map(|(key, served)| (key.clone(), rules(served))).collect()
    }
}

/// What the plan needs to know of a kind.
pub(super) fn rules(served: &Served) -> KindRules {
    KindRules {
        gvk: served.gvk.clone(),
        namespaced: served.namespaced,
        status_subresource: served.status_subresource,
    }
}
