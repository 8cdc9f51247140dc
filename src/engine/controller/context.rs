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
        cache::{Cached, Caches, Scope, Store, Watch},
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
    /// Of which object: another one of the same name starts anew.
    pub(super) uid: String,
    pub(super) memory: Memory,
    pub(super) watches: ActiveWatches,
    /// Failures in a row.
    pub(super) attempt: u32,
    /// Runs in a row that lost a race.
    pub(super) races: u32,
    /// Replies in a row that asked to run again at once.
    pub(super) requeues: u32,
    /// What the engine's own condition says: whether the last run succeeded, and the message.
    pub(super) told: Option<(bool, String)>,
}

impl Controller {
    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<Key, ObjectState>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An object of our kind or a dependent one as the caches have it, whoever owns it.
    pub(super) fn cached(&self, name: &ObjectRef) -> Option<Cached> {
        self.store(&name.gvk).get(&name.key())
    }

    /// The copies of a dependent kind, or else of our own.
    pub(super) fn store(&self, gvk: &Gvk) -> &Store {
        self.dependents.get(&gvk.key()).map_or(&self.parents.store, |(_, watch)| &watch.store)
    }

    /// The same without what tells its changes apart.
    pub(super) fn known(&self, name: &ObjectRef) -> Option<Value> {
        Some((*self.cached(name)?.object).clone())
    }
}
