//! References: objects that a handled object names in its fields.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::Value;

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

/// Who names what, by the number of the reference in the entry. By name alone, since a cluster-scoped object is named from
/// every namespace.
#[derive(Debug, Default)]
struct Index {
    named: HashMap<Key, Vec<(usize, String)>>,
    referrers: HashMap<(usize, String), HashSet<Key>>,
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
                    names(reference, object).into_iter().map(move |name| (number, name.to_owned()))
                })
                .collect()
        };
        self.lock().set(key, object.map(names).unwrap_or_default());
    }

    /// Who names this object.
    pub(super) fn referrers(&self, number: usize, target: &Key) -> Vec<Key> {
        let index = self.lock();
        let referrers = index.referrers.get(&(number, target.name.clone())).into_iter().flatten();
        let reaches = |referrer: &&Key| target.namespace.is_none() || referrer.namespace == target.namespace;
        referrers.filter(reaches).cloned().collect()
    }

    /// The referenced objects that exist, by contract key. Every declared kind is there, if only with an empty list.
    pub(super) async fn read(
        &self,
        entry: &Entry,
        discovery: &Discovery,
        key: &Key,
        object: &Value,
    ) -> Result<ByKind, ReferenceError> {
        let mut found = ByKind::new();
        for (number, reference) in entry.references.iter().enumerate() {
            let list = found.entry(reference.gvk.key()).or_default();
            for name in names(reference, object) {
                let target = Key { namespace: key.namespace.clone(), name: name.to_owned() };
                let value = match self.watches.get(number).and_then(Option::as_ref) {
                    Some(watch) => watched(watch, target),
                    None => live(discovery, &reference.gvk, &target).await?,
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
    fn set(&mut self, key: &Key, named: Vec<(usize, String)>) {
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

/// The object of this name in the namespace, or in none where its kind is cluster-scoped.
fn watched(watch: &Watch, mut target: Key) -> Option<Value> {
    let found = watch.store.get(&target).or_else(|| {
        target.namespace = None;
        watch.store.get(&target)
    });
    found.map(|cached| (*cached.object).clone())
}

/// What the object names, each once, in the order of the fields.
fn names<'o>(reference: &Reference, object: &'o Value) -> Vec<&'o str> {
    let mut names: Vec<&str> = Vec::new();
    for name in reference.names.find(object).into_iter().filter_map(Value::as_str) {
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
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
        let named = |name: &str| (0, name.to_owned());
        index.set(&key("x"), vec![named("s"), named("t")]);
        index.set(&key("y"), vec![named("s")]);
        assert_eq!(index.referrers[&named("s")].len(), 2);
        index.set(&key("x"), vec![named("t")]);
        assert_eq!(index.referrers[&named("s")], HashSet::from([key("y")]));
        index.set(&key("x"), Vec::new());
        index.set(&key("y"), Vec::new());
        assert!(index.referrers.is_empty() && index.named.is_empty());
    }
}
