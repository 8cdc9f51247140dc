//! What a running controller holds.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::{
    breaker::Breaker, gone::Gone, line::Standing, measure::Measured, plan::Memory, queue::Queue,
    reference::References, watches::ActiveWatches,
};
use crate::{
    clock::Clock,
    cluster::{
        apply::Writer,
        cache::{Cached, Caches, Scope, Store, Watch},
        discovery::Discovery,
        events::Publisher,
    },
    engine::{
        config::Entry,
        handler::Runtime,
        record::{Journal, view::Slowed},
    },
    object::{self, Gvk, Key, ObjectRef},
    telemetry::metrics::Metrics,
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
    /// Whether finalizers are another program's affair: none is put on or taken off, and their handlers run for the
    /// objects that are being deleted, whoever holds them.
    pub leave_finalizers: bool,
    /// How many objects may be handled at once, in all entries together.
    pub places: Arc<Semaphore>,
    /// What happened and why.
    pub journal: Journal,
    /// How often and how fast.
    pub metrics: Metrics,
}

impl Shared {
    /// Where to look for objects that the entry's selection does not concern.
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
    pub(super) dependents: BTreeMap<String, Kind>,
    pub(super) references: Arc<References>,
    /// Namespaces with their labels, where the entry selects by those.
    pub(super) namespaces: Option<Arc<Watch>>,
    pub(super) queue: Arc<Queue>,
    /// Objects that are gone, until the observer has been told.
    pub(super) gone: Arc<Gone>,
    /// Whether the list of conditions turned out to be one field for all who write it (RULES 26).
    pub(super) atomic_conditions: AtomicBool,
    /// Whether it has been said that `when` fails.
    pub(super) warned: Arc<AtomicBool>,
    /// Up to when the schedule has been followed.
    pub(super) schedule: tokio::sync::Mutex<Timestamp>,
    /// Namespaces whose labels have changed.
    pub(super) regrouped: tokio::sync::Mutex<mpsc::UnboundedReceiver<String>>,
    /// Where our listeners are.
    pub(super) listeners: Mutex<Vec<(Arc<Watch>, u64)>>,
    /// Controllers of the same kind that are finishing what they have begun.
    pub(super) predecessors: Mutex<Vec<Arc<Self>>>,
    /// What was measured of each object when somebody last looked.
    pub(super) measured: Mutex<Measured>,
    /// What is remembered of each object between runs.
    pub(super) objects: Mutex<HashMap<Key, ObjectState>>,
}

/// A place among the entry's runs and among all.
pub(super) type Place = (OwnedSemaphorePermit, OwnedSemaphorePermit);

/// A kind of dependents.
pub(super) struct Kind {
    pub(super) gvk: Gvk,
    pub(super) orphan: bool,
    pub(super) watch: Arc<Watch>,
}

/// What is remembered of an object between its runs.
#[derive(Debug, Default)]
pub(super) struct ObjectState {
    /// Of which object: another one of the same name starts anew.
    pub(super) uid: String,
    pub(super) memory: Memory,
    pub(super) watches: ActiveWatches,
    pub(super) breaker: Breaker,
    /// Failures in a row.
    pub(super) attempt: u32,
    /// Runs in a row that lost a race.
    pub(super) races: u32,
    /// Replies in a row that asked to run again at once.
    pub(super) requeues: u32,
    /// What the engine's own condition says: whether the last run succeeded, and the message.
    pub(super) told: Option<(bool, String)>,
    /// Why the last run failed; nothing when it did not.
    pub(super) last_error: Option<String>,
    /// What the breaker said last.
    pub(super) slowed: Option<Slowed>,
}

impl Controller {
    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<Key, ObjectState>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a predecessor is still handling this object.
    pub(super) fn is_taken(&self, key: &Key) -> bool {
        let predecessors = self.predecessors.lock().unwrap_or_else(PoisonError::into_inner);
        predecessors.iter().any(|other| matches!(other.queue.standing(key), Standing::Running { .. }))
    }

    /// Whether our finalizer is put on objects and taken off.
    pub(super) fn holds(&self) -> bool {
        self.entry.finalizer.is_some() && !self.shared.leave_finalizers
    }

    pub(super) fn has_atomic_conditions(&self) -> bool {
        self.atomic_conditions.load(Ordering::Relaxed)
    }

    pub(super) fn note_atomic_conditions(&self) {
        self.atomic_conditions.store(true, Ordering::Relaxed);
    }

    /// An object of our kind or a dependent one as the caches have it, whoever owns it.
    pub(super) fn cached(&self, name: &ObjectRef) -> Option<Cached> {
        self.store(&name.gvk).get(&name.key())
    }

    /// The copies of a dependent kind, or else of our own.
    pub(super) fn store(&self, gvk: &Gvk) -> &Store {
        self.dependents.get(&gvk.key()).map_or(&self.parents.store, |kind| &kind.watch.store)
    }

    /// The same without what tells its changes apart.
    pub(super) fn known(&self, name: &ObjectRef) -> Option<Arc<Value>> {
        Some(self.cached(name)?.object)
    }

    /// Whether the entry is for objects of this namespace. Cluster-scoped objects are not concerned.
    pub(super) fn selects(&self, key: &Key) -> bool {
        let Some(namespace) = &key.namespace else { return true };
        let select = &self.entry.select;
        if select.namespaces.as_ref().is_some_and(|patterns| !patterns.matches(namespace)) {
            return false;
        }
        let (Some(wanted), Some(watch)) = (&select.namespace_labels, &self.namespaces) else { return true };
        let name = Key { namespace: None, name: namespace.clone() };
        let found = watch.store.get(&name);
        found.is_some_and(|found| wanted.matches(object::labels(&found.object)))
    }
}
