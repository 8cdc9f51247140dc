//! References: objects that a handled object names in its fields.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::Value;

use super::context::Shared;
use crate::{
    cluster::{
        cache::Watch,
        describe,
        discovery::{self, Discovery, DiscoveryError},
    },
    contract::{ByKind, TriggerType},
    engine::config::{Entry, Reference},
    object::{Gvk, Key},
};

/// The references of one entry. Watched where the entry wakes on them; read one by one when the handler runs where not, as
/// the predecessor did: that needs no right to list.
pub(super) struct References {
    watches: Vec<Option<Arc<Watch>>>,
    index: Mutex<Index>,
}

/// Who names what, by the number of the reference in the entry.
#[derive(Debug, Default)]
struct Index {
    named: HashMap<Key, Vec<(usize, Key)>>,
    referrers: HashMap<(usize, Key), HashSet<Key>>,
}

/// Why a reference could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReferenceError {
    /// Its kind is not served.
    #[error(transparent)]
    Kind(#[from] DiscoveryError),
    /// The API server did not give it.
    #[error("failed to read the referenced {kind} {key}: {reason}")]
    Read { kind: String, key: Key, reason: String },
}

impl References {
    pub(super) fn new(entry: &Entry, watch: impl Fn(&Gvk) -> Arc<Watch>) -> Self {
        let wakes = entry.wakes.on.contains(&TriggerType::ReferenceChanged);
        let watches = entry.references.iter().map(|reference| wakes.then(|| watch(&reference.gvk))).collect();
        Self { watches, index: Mutex::default() }
    }

    /// The watches with the number of their reference.
    pub(super) fn watches(&self) -> impl Iterator<Item = (usize, &Arc<Watch>)> {
        self.watches.iter().enumerate().filter_map(|(number, watch)| Some((number, watch.as_ref()?)))
    }

    /// Takes note of what an object names now; `None` when it is gone.
    pub(super) fn note(&self, entry: &Entry, key: &Key, object: Option<&Value>) {
        let watched = |number: usize| self.watches.get(number).is_some_and(Option::is_some);
        let names = |object| {
            let references = entry.references.iter().enumerate().filter(|(number, _)| watched(*number));
            references
                .flat_map(|(number, reference)| {
                    names(reference, key, object).into_iter().map(move |key| (number, key))
                })
                .collect()
        };
        self.lock().set(key, object.map(names).unwrap_or_default());
    }

    /// Who names this object.
    pub(super) fn referrers(&self, number: usize, target: &Key) -> Vec<Key> {
        let index = self.lock();
        index.referrers.get(&(number, target.clone())).into_iter().flatten().cloned().collect()
    }

    /// The referenced objects that exist, by contract key. Every declared kind is there, if only with an empty list.
    pub(super) async fn read(
        &self,
        entry: &Entry,
        shared: &Shared,
        key: &Key,
        object: &Value,
    ) -> Result<ByKind, ReferenceError> {
        let mut found = ByKind::new();
        for (number, reference) in entry.references.iter().enumerate() {
            let list = found.entry(reference.gvk.key()).or_default();
            for target in names(reference, key, object) {
                let value = match self.watches.get(number).and_then(Option::as_ref) {
                    Some(watch) => watch.store.get(&target).map(|cached| (*cached.object).clone()),
                    None => live(&shared.discovery, &reference.gvk, &target).await?,
                };
                list.extend(value.filter(|value| !list.contains(value)));
            }
        }
        Ok(found)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    fn set(&mut self, key: &Key, named: Vec<(usize, Key)>) {
        for target in self.named.remove(key).unwrap_or_default() {
            if let Some(referrers) = self.referrers.get_mut(&target) {
                referrers.remove(key);
                if referrers.is_empty() {
                    self.referrers.remove(&target);
                }
            }
        }
        for target in &named {
            self.referrers.entry(target.clone()).or_default().insert(key.clone());
        }
        if !named.is_empty() {
            self.named.insert(key.clone(), named);
        }
    }
}

/// What the object names, each once, in the order of the fields.
fn names(reference: &Reference, key: &Key, object: &Value) -> Vec<Key> {
    let mut names: Vec<Key> = Vec::new();
    for value in reference.names.find(object) {
        let Some(name) = value.as_str().filter(|name| !name.is_empty()) else { continue };
        let target = Key { namespace: key.namespace.clone(), name: name.to_owned() };
        if !names.contains(&target) {
            names.push(target);
        }
    }
    names
}

async fn live(discovery: &Discovery, gvk: &Gvk, key: &Key) -> Result<Option<Value>, ReferenceError> {
    let served = discovery.resolve(gvk).await?;
    discovery::get(discovery.client(), &served, key).await.map_err(|error| ReferenceError::Read {
        kind: gvk.kind.clone(),
        key: key.clone(),
        reason: describe(&error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key { namespace: Some("a".to_owned()), name: name.to_owned() }
    }

    #[test]
    fn the_index_follows_what_objects_name() {
        let mut index = Index::default();
        index.set(&key("x"), vec![(0, key("s")), (0, key("t"))]);
        index.set(&key("y"), vec![(0, key("s"))]);
        assert_eq!(index.referrers[&(0, key("s"))].len(), 2);
        index.set(&key("x"), vec![(0, key("t"))]);
        assert_eq!(index.referrers[&(0, key("s"))], HashSet::from([key("y")]));
        index.set(&key("x"), Vec::new());
        index.set(&key("y"), Vec::new());
        assert!(index.referrers.is_empty() && index.named.is_empty());
    }
}
