//! Objects that are gone, until an observer has been told of each.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::Value;

use crate::object::Key;

/// What was seen last of each, in the order of their ends: several may have had one name.
#[derive(Debug, Default)]
pub(super) struct Gone(Mutex<HashMap<Key, VecDeque<Arc<Value>>>>);

impl Gone {
    /// One more is gone.
    pub(super) fn add(&self, key: &Key, last: Arc<Value>) {
        self.lock().entry(key.clone()).or_default().push_back(last);
    }

    /// The first that has not been told of.
    pub(super) fn take(&self, key: &Key) -> Option<Arc<Value>> {
        let mut all = self.lock();
        let ends = all.get_mut(key)?;
        let first = ends.pop_front();
        if ends.is_empty() {
            all.remove(key);
        }
        first
    }

    /// It could not be told of: it is the first again.
    pub(super) fn put_back(&self, key: &Key, last: Arc<Value>) {
        self.lock().entry(key.clone()).or_default().push_front(last);
    }

    /// Whether there are any of this name.
    pub(super) fn has(&self, key: &Key) -> bool {
        self.lock().contains_key(key)
    }

    /// Takes over what a predecessor has not told of. Returns their names.
    pub(super) fn inherit(&self, predecessor: &Self) -> Vec<Key> {
        let left = std::mem::take(&mut *predecessor.lock());
        let mut all = self.lock();
        for (key, ends) in &left {
            let mine = all.entry(key.clone()).or_default();
            // Both heard of those that went while both were listening.
            for last in ends.iter().rev().filter(|last| !mine.contains(last)).collect::<Vec<_>>() {
                mine.push_front(Arc::clone(last));
            }
        }
        left.into_keys().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, VecDeque<Arc<Value>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ends_of_one_name_are_told_one_by_one_and_handed_on() {
        let key = Key { namespace: None, name: "a".to_owned() };
        let last = |uid: u32| Arc::new(json!({ "uid": uid }));
        let (gone, next) = (Gone::default(), Gone::default());
        gone.add(&key, last(1));
        gone.add(&key, last(2));
        next.add(&key, last(2));
        let first = gone.take(&key).unwrap();
        gone.put_back(&key, first);
        assert_eq!(next.inherit(&gone), vec![key.clone()]);
        assert!(!gone.has(&key));
        assert_eq!([next.take(&key), next.take(&key), next.take(&key)], [Some(last(1)), Some(last(2)), None]);
        assert!(!next.has(&key));
    }
}
