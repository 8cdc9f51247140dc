//! The copies of one kind.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::Value;
use tokio::sync::watch;

use super::Fingerprint;
use crate::object::{self, Gvk, Key};

/// A copy of an object.
#[derive(Debug, Clone)]
pub struct Cached {
    /// The object without `managedFields`; only its metadata when the watch asks for no more.
    pub object: Arc<Value>,
    /// What tells its changes apart.
    pub print: Fingerprint,
}

/// Something happened to an object.
#[derive(Debug, Clone)]
pub struct Change {
    /// The kind.
    pub gvk: Gvk,
    /// Which object.
    pub key: Key,
    /// Before; `None` when it is new.
    pub before: Option<Cached>,
    /// After; `None` when it is gone.
    pub after: Option<Cached>,
    /// Whether the object was there already when the listener came.
    pub initial: bool,
}

impl Change {
    /// The newest we know of the object.
    pub fn object(&self) -> Option<&Arc<Value>> {
        self.after.as_ref().or(self.before.as_ref()).map(|cached| &cached.object)
    }
}

/// Called for each change, under the store's lock: it must be quick and must not call into a store, but for
/// [`Store::key_of_uid`].
pub type Listener = Box<dyn Fn(&Change) + Send + Sync>;

/// All copies of one watch.
pub struct Store {
    gvk: Gvk,
    inner: Mutex<Inner>,
    /// UID → the object. Locked last and only for a moment: listeners of other stores ask it while they hold those.
    uids: Mutex<HashMap<String, Key>>,
    /// Counts changes, so that waiting for one needs no polling.
    version: watch::Sender<u64>,
    state: watch::Sender<StoreState>,
}

/// How far the watch is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreState {
    /// Whether everything that exists has been seen once.
    pub synced: bool,
    /// The last trouble, until it is over.
    pub trouble: Option<String>,
}

#[derive(Default)]
struct Inner {
    objects: HashMap<Key, Cached>,
    /// UID of an owner, or value of the parent label → what it owns.
    owned: HashMap<String, HashSet<Key>>,
    listeners: Vec<(u64, Listener)>,
    next_listener: u64,
    /// How much memory the objects take, in bytes; roughly.
    bytes: u64,
}

impl Store {
    pub(super) fn new(gvk: Gvk) -> Self {
        let state = StoreState { synced: false, trouble: None };
        Self {
            gvk,
            inner: Mutex::default(),
            uids: Mutex::default(),
            version: watch::Sender::new(0),
            state: watch::Sender::new(state),
        }
    }

    /// The kind.
    pub fn gvk(&self) -> &Gvk {
        &self.gvk
    }

    /// An object by name.
    pub fn get(&self, key: &Key) -> Option<Cached> {
        self.lock().objects.get(key).cloned()
    }

    /// The name of the object with this UID.
    pub fn key_of_uid(&self, uid: &str) -> Option<Key> {
        self.uids().get(uid).cloned()
    }

    /// Everything that names this owner, by UID or by the value of the label [`object::PARENT`], in the order of names.
    pub fn owned_by(&self, owner: &str) -> Vec<Cached> {
        let inner = self.lock();
        let mut keys: Vec<&Key> = inner.owned.get(owner).into_iter().flatten().collect();
        keys.sort();
        keys.into_iter().filter_map(|key| inner.objects.get(key).cloned()).collect()
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.lock().objects.len()
    }

    /// How much memory they take, in bytes; roughly.
    pub fn bytes(&self) -> u64 {
        self.lock().bytes
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All names.
    pub fn keys(&self) -> Vec<Key> {
        self.lock().objects.keys().cloned().collect()
    }

    /// Calls `listener` for every object that is there and for each change from now on. Returns a number to
    /// [`Self::unlisten`] with.
    pub fn listen(&self, listener: Listener) -> u64 {
        let mut inner = self.lock();
        for (key, cached) in &inner.objects {
            let after = Some(cached.clone());
            listener(&Change { gvk: self.gvk.clone(), key: key.clone(), before: None, after, initial: true });
        }
        inner.next_listener += 1;
        let number = inner.next_listener;
        inner.listeners.push((number, listener));
        number
    }

    /// Stops calling a listener.
    pub fn unlisten(&self, number: u64) {
        self.lock().listeners.retain(|(known, _)| *known != number);
    }

    /// The watch's state, to wait for or to show.
    pub fn state(&self) -> watch::Receiver<StoreState> {
        self.state.subscribe()
    }

    /// Waits until the copy of an object satisfies `seen`.
    pub async fn wait(&self, key: &Key, seen: impl Fn(Option<&Cached>) -> bool) {
        let mut version = self.version.subscribe();
        while !seen(self.lock().objects.get(key)) {
            if version.changed().await.is_err() {
                return;
            }
        }
    }

    pub(super) fn put(&self, object: Value, print: Fingerprint, initial: bool) {
        let key = Key::of(&object);
        let after = Cached { object: Arc::new(object), print };
        let mut inner = self.lock();
        let before = inner.objects.insert(key.clone(), after.clone());
        inner.bytes += object::weight(&after.object);
        if let Some(before) = &before {
            inner.bytes = inner.bytes.saturating_sub(object::weight(&before.object));
            inner.unindex(&key, &before.object);
            self.forget_uid(&before.object);
        }
        inner.index(&key, &after.object);
        if let Some(uid) = object::uid(&after.object) {
            self.uids().insert(uid.to_owned(), key.clone());
        }
        let same = before.as_ref().is_some_and(|before| {
            object::resource_version(&before.object) == object::resource_version(&after.object)
        });
        let mut before = before;
        if before.as_ref().is_some_and(|before| object::uid(&before.object) != object::uid(&after.object)) {
            // The end of the one and the beginning of the other went by while nobody watched.
            let (gvk, key) = (self.gvk.clone(), key.clone());
            inner.tell(&Change { gvk, key, before: before.take(), after: None, initial: false });
        }
        // A watch that starts over shows everything again; what has not changed is no news.
        if !same {
            inner.tell(&Change { gvk: self.gvk.clone(), key, before, after: Some(after), initial });
        }
        drop(inner);
        self.version.send_modify(|version| *version += 1);
    }

    pub(super) fn remove(&self, key: &Key) {
        let mut inner = self.lock();
        let Some(before) = inner.objects.remove(key) else { return };
        inner.bytes = inner.bytes.saturating_sub(object::weight(&before.object));
        inner.unindex(key, &before.object);
        self.forget_uid(&before.object);
        inner.tell(&Change {
            gvk: self.gvk.clone(),
            key: key.clone(),
            before: Some(before),
            after: None,
            initial: false,
        });
        drop(inner);
        self.version.send_modify(|version| *version += 1);
    }

    pub(super) fn set_state(&self, change: impl FnOnce(&mut StoreState)) {
        self.state.send_if_modified(|state| {
            let before = state.clone();
            change(state);
            *state != before
        });
    }

    fn forget_uid(&self, object: &Value) {
        if let Some(uid) = object::uid(object) {
            self.uids().remove(uid);
        }
    }

    fn uids(&self) -> std::sync::MutexGuard<'_, HashMap<String, Key>> {
        self.uids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn index(&mut self, key: &Key, object: &Value) {
        for owner in owners(object) {
            self.owned.entry(owner.to_owned()).or_default().insert(key.clone());
        }
    }

    fn unindex(&mut self, key: &Key, object: &Value) {
        for owner in owners(object) {
            if let Some(keys) = self.owned.get_mut(owner) {
                keys.remove(key);
                if keys.is_empty() {
                    self.owned.remove(owner);
                }
            }
        }
    }

    fn tell(&self, change: &Change) {
        for (_, listener) in &self.listeners {
            listener(change);
        }
    }
}

fn owners(object: &Value) -> impl Iterator<Item = &str> {
    object::owner_uids(object).chain(object::label(object, object::PARENT))
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("gvk", &self.gvk).field("len", &self.len()).finish_non_exhaustive()
    }
}
