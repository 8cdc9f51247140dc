//! What a running controller holds.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::Value;

use super::{plan::Memory, queue::Queue, watches::ActiveWatches};
use crate::{
    clock::Clock,
    cluster::{
        apply::Writer,
        cache::{Caches, Scope, Watch},
        discovery::Discovery,
        events::Publisher,
    },
    engine::{config::Entry, handler::Runtime},
    object::{Gvk, Key, ObjectRef},
};

/// What all controllers share.
#[derive(Clone)]
pub struct Shared {
    /// Kinds.
    pub discovery: Discovery,
    /// Watches.
    pub caches: Caches,
    /// Writes.
    pub writer: Writer,
    /// Events.
    pub events: Arc<Publisher>,
    /// What handlers need.
    pub handlers: Runtime,
    /// Time.
    pub clock: Clock,
    /// Namespaces to work in; none means all.
    pub namespaces: Vec<String>,
    /// Work on this object alone.
    pub only: Option<Key>,
}

impl Shared {
    pub(super) fn scope(&self) -> Scope {
        match &self.only {
            Some(Key { namespace: Some(namespace), .. }) => {
                Scope { namespaces: vec![namespace.clone()], ..Scope::default() }
            }
            _ => Scope { namespaces: self.namespaces.clone(), ..Scope::default() },
        }
    }
}

/// The inside of a running controller.
pub(super) struct Controller {
    pub(super) entry: Arc<Entry>,
    pub(super) shared: Shared,
    pub(super) parents: Arc<Watch>,
    /// By contract key.
    pub(super) dependents: BTreeMap<String, (Gvk, Arc<Watch>)>,
    pub(super) queue: Arc<Queue>,
    /// What is remembered of each object between runs.
    pub(super) objects: Mutex<HashMap<Key, ObjectState>>,
}

/// What is remembered of an object between its runs.
#[derive(Debug, Default)]
pub(super) struct ObjectState {
    pub(super) memory: Memory,
    pub(super) watches: ActiveWatches,
    /// Failures in a row.
    pub(super) attempt: u32,
    /// What the engine's own condition says: whether the last run succeeded, and the message.
    pub(super) told: Option<(bool, String)>,
}

impl Controller {
    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<Key, ObjectState>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An object of a dependent kind, whoever owns it.
    pub(super) fn cached(&self, name: &ObjectRef) -> Option<Value> {
        let (_, watch) = self.dependents.get(&name.gvk.key())?;
        Some((*watch.store.get(&name.key())?.object).clone())
    }
}
