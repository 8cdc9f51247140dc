//! From what the watches bring to what is in line: which object has a reason to run, and why.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use serde_json::Value;
use tokio::sync::mpsc;

use super::{
    context::{Controller, Kind, Shared},
    gone::Gone,
    ownership::claimant,
    queue::{Queue, deleted},
    reference::References,
};
use crate::{
    cluster::cache::{Cached, Change, Detail, Scope, Watch, WatchKey},
    contract::{Trigger, TriggerType},
    engine::{
        config::{Entry, Selection},
        query::{Condition, Facts, NamespacePatterns},
    },
    object::{self, Gvk, Key, PARENT},
};

impl Controller {
    /// Starts the watches of an entry. Its objects line up, but nothing is handled yet. Nothing is watched when the entry is
    /// for other namespaces than the operator.
    pub(super) fn start(entry: Arc<Entry>, shared: Shared) -> Option<Self> {
        let Some(of_parents) = parent_scope(&entry.select, shared.scope(), shared.only.as_ref()) else {
            let namespaces = shared.namespaces.join(", ");
            tracing::warn!(
                entry = entry.name,
                "the entry has nothing to do: the operator works in {namespaces} only"
            );
            return None;
        };
        let queue = Arc::new(Queue::default());
        let watch = |gvk: &Gvk, scope: Scope, detail: Detail| {
            shared.caches.watch(&WatchKey { gvk: gvk.clone(), scope, detail })
        };
        let detail = if entry.metadata_only { Detail::Metadata } else { Detail::Full };
        let parents = watch(&entry.gvk, of_parents, detail);
        let mut dependents = BTreeMap::new();
        for kind in &entry.dependents {
            let labels = kind.orphan.then(|| PARENT.to_owned());
            let scope = Scope { labels, ..shared.scope() };
            let watch = watch(&kind.gvk, scope, Detail::Full);
            dependents.insert(kind.gvk.key(), Kind { gvk: kind.gvk.clone(), orphan: kind.orphan, watch });
        }
        let references = Arc::new(References::new(&entry, |gvk| watch(gvk, shared.scope(), Detail::Full)));
        let (regroup, regrouped) = mpsc::unbounded_channel();
        let namespaces = entry.select.namespace_labels.as_ref().map(|wanted| {
            let watch = watch(&Gvk::new("", "v1", "Namespace"), Scope::default(), Detail::Metadata);
            let wanted = wanted.clone();
            let listener = watch.store.listen(Box::new(move |change| {
                let fits = |cached: &Option<Cached>| {
                    cached.as_ref().is_some_and(|cached| wanted.matches(object::labels(&cached.object)))
                };
                if !change.initial && fits(&change.before) != fits(&change.after) {
                    let _nobody_listens_any_more = regroup.send(change.key.name.clone());
                }
            }));
            (watch, listener)
        });
        let listeners = namespaces.iter().cloned().collect();
        let namespaces = namespaces.map(|(watch, _)| watch);
        let controller = Self {
            schedule: tokio::sync::Mutex::new(shared.clock.now()),
            gone: Arc::default(),
            atomic_conditions: AtomicBool::new(false),
            regrouped: tokio::sync::Mutex::new(regrouped),
            warned: Arc::default(),
            objects: Mutex::default(),
            measured: Mutex::default(),
            predecessors: Mutex::default(),
            listeners: Mutex::new(listeners),
            entry,
            shared,
            parents,
            dependents,
            references,
            namespaces,
            queue,
        };
        controller.listen();
        Some(controller)
    }

    /// From now on this one handles no object that `predecessor` is handling.
    pub(super) fn precede(&self, predecessor: Arc<Self>) {
        self.predecessors.lock().unwrap_or_else(PoisonError::into_inner).push(predecessor);
    }

    /// A predecessor has ended. One of the same name leaves what it had left to do: ends that an observer has not been told
    /// of, retries, times.
    pub(super) fn succeed(&self, predecessor: &Self) {
        let mut all = self.predecessors.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|other| !std::ptr::eq(Arc::as_ptr(other), predecessor));
        drop(all);
        if predecessor.entry.name != self.entry.name {
            return;
        }
        for key in self.gone.inherit(&predecessor.gone) {
            self.queue.add(&key, Trigger::plain(TriggerType::Deleted), None);
        }
        self.queue.inherit(&predecessor.queue);
    }

    /// All watches that the entry itself needs.
    pub(super) fn watches(&self) -> impl Iterator<Item = &Arc<Watch>> {
        let dependents = self.dependents.values().map(|kind| &kind.watch);
        let references = self.references.watches().map(|(_, watch)| watch);
        std::iter::once(&self.parents).chain(dependents).chain(references).chain(&self.namespaces)
    }

    fn listen(&self) {
        let mut listeners = Vec::new();
        // References first: a new parent's event may follow right behind that of what it names.
        for (number, watch) in self.references.watches() {
            let (queue, references) = (Arc::clone(&self.queue), Arc::clone(&self.references));
            let listener = move |change: &Change| reference_changed(&queue, &references, number, change);
            listeners.push((Arc::clone(watch), watch.store.listen(Box::new(listener))));
        }
        let ears = Ears {
            entry: Arc::clone(&self.entry),
            queue: Arc::clone(&self.queue),
            references: Arc::clone(&self.references),
            gone: Arc::clone(&self.gone),
            warned: Arc::clone(&self.warned),
        };
        let listener = move |change: &Change| ears.parent_changed(change);
        listeners.push((Arc::clone(&self.parents), self.parents.store.listen(Box::new(listener))));
        if self.entry.wakes.on.contains(&TriggerType::DependentChanged) {
            for kind in self.dependents.values() {
                let (queue, parents) = (Arc::clone(&self.queue), Arc::downgrade(&self.parents));
                let listener = move |change: &Change| {
                    if let Some(parents) = parents.upgrade() {
                        dependent_changed(&queue, &parents, change);
                    }
                };
                listeners.push((Arc::clone(&kind.watch), kind.watch.store.listen(Box::new(listener))));
            }
        }
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).extend(listeners);
    }
}

/// The watches may be shared with others and outlive us; our listeners don't.
impl Drop for Controller {
    fn drop(&mut self) {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        for (watch, listener) in listeners.drain(..) {
            watch.store.unlisten(listener);
        }
    }
}

/// Where the entry's objects are, within where the operator works; `None` when that is nowhere.
fn parent_scope(select: &Selection, mut scope: Scope, only: Option<&Key>) -> Option<Scope> {
    scope.name = only.map(|only| only.name.clone());
    scope.labels.clone_from(&select.labels);
    scope.fields.clone_from(&select.fields);
    if let Some(exact) = select.namespaces.as_ref().and_then(NamespacePatterns::exact) {
        let is_watched =
            |namespace: &String| scope.namespaces.is_empty() || scope.namespaces.contains(namespace);
        scope.namespaces = exact.into_iter().filter(is_watched).collect();
        // No namespace at all would mean all of them.
        if scope.namespaces.is_empty() {
            return None;
        }
    }
    Some(scope)
}

/// What listens to the handled objects.
struct Ears {
    entry: Arc<Entry>,
    queue: Arc<Queue>,
    references: Arc<References>,
    gone: Arc<Gone>,
    warned: Arc<AtomicBool>,
}

impl Ears {
    fn parent_changed(&self, change: &Change) {
        let entry = &self.entry;
        let after = change.after.as_ref().map(|cached| &cached.object);
        self.references.note(entry, &change.key, after.map(AsRef::as_ref));
        let is_selected = |namespace: &String| {
            entry.select.namespaces.as_ref().is_none_or(|patterns| patterns.matches(namespace))
        };
        if !change.key.namespace.as_ref().is_none_or(is_selected) {
            return;
        }
        let terminating = |object: &Arc<Value>| object::is_terminating(object);
        let before = change.before.as_ref().map(|cached| &cached.object);
        let (why, version) = match (before, after) {
            (_, None) => (TriggerType::Deleted, None),
            // However the entry chooses its events: what has our finalizer must be able to go.
            (_, Some(after)) if terminating(after) => {
                (TriggerType::Deleting, object::resource_version(after))
            }
            (_, Some(_)) if change.initial => (TriggerType::Start, None),
            (None, Some(_)) => (TriggerType::Created, None),
            (Some(_), Some(after)) => (TriggerType::Updated, object::resource_version(after)),
        };
        let trigger = Trigger::plain(why);
        let wakes = entry.wakes.on.contains(&why) && self.holds(&trigger, before, after);
        if let (TriggerType::Deleted, Some(last)) = (why, before)
            && entry.observes()
            && wakes
        {
            self.gone.add(&change.key, Arc::clone(last));
        }
        // A period is kept whether the beginning was a reason to run or not.
        if let (TriggerType::Start | TriggerType::Created, false, Some(period)) =
            (why, wakes, entry.resync_period)
        {
            self.queue.plan(&change.key, TriggerType::Resync, Instant::now() + period);
        }
        // That an object is gone or going matters to us, whatever the entry chooses.
        if wakes || matches!(why, TriggerType::Deleted | TriggerType::Deleting) {
            self.queue.add(&change.key, trigger, version);
        }
    }

    /// Whether the entry's `when` is true for what has happened to the object itself.
    fn holds(&self, trigger: &Trigger, before: Option<&Arc<Value>>, after: Option<&Arc<Value>>) -> bool {
        let Some(object) = after.or(before) else { return true };
        let old = before.filter(|_| trigger.kind_of == TriggerType::Updated);
        let facts = Facts { object, old: old.map(AsRef::as_ref), trigger: Some(trigger) };
        holds(self.entry.wakes.when.as_ref(), &self.entry, &self.warned, &facts)
    }
}

/// Whether a `when` of the entry is true. What can't be decided counts: rather once too often than never. `warned` is whether
/// that has been said: it may happen for every event.
pub(super) fn holds(when: Option<&Condition>, entry: &Entry, warned: &AtomicBool, facts: &Facts<'_>) -> bool {
    let Some(when) = when else { return true };
    when.holds(facts).unwrap_or_else(|error| {
        let object = Key::of(facts.object).of_kind(&entry.gvk);
        if warned.swap(true, Ordering::Relaxed) {
            tracing::debug!(entry = entry.name, %object, "`when` counts as true, since it failed: {error}");
        } else {
            tracing::warn!(entry = entry.name, %object, "`when` counts as true, since it failed: {error}");
        }
        true
    })
}

fn dependent_changed(queue: &Queue, parents: &Watch, change: &Change) {
    if change.initial {
        return;
    }
    let trigger = Trigger::by(TriggerType::DependentChanged, &change.key.of_kind(&change.gvk));
    let version = version_of(change);
    let both = || [&change.before, &change.after].into_iter().flatten();
    let mut owners: Vec<Key> = both()
        .flat_map(|cached| object::owner_uids(&cached.object))
        .filter_map(|uid| parents.store.key_of_uid(uid))
        .chain(both().filter_map(|cached| claimant(parents.store.gvk(), &cached.object)))
        .collect();
    owners.sort_unstable();
    owners.dedup();
    for parent in owners {
        queue.add(&parent, trigger.clone(), version.as_deref());
    }
}

fn reference_changed(queue: &Queue, references: &References, number: usize, change: &Change) {
    if change.initial {
        return;
    }
    let trigger = Trigger::by(TriggerType::ReferenceChanged, &change.key.of_kind(&change.gvk));
    for referrer in references.referrers(number, &change.key) {
        queue.add(&referrer, trigger.clone(), version_of(change).as_deref());
    }
}

fn version_of(change: &Change) -> Option<String> {
    match (&change.after, &change.before) {
        (Some(after), _) => object::resource_version(&after.object).map(str::to_owned),
        (None, Some(before)) => object::uid(&before.object).map(deleted),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespaces(of_entry: &[&str], of_operator: &[&str]) -> Option<Vec<String>> {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let patterns = NamespacePatterns::compile(&list(of_entry)).unwrap();
        let select = Selection { namespaces: Some(patterns), ..Selection::default() };
        let scope = Scope { namespaces: list(of_operator), ..Scope::default() };
        parent_scope(&select, scope, None).map(|scope| scope.namespaces)
    }

    #[test]
    fn an_entry_is_never_wider_than_the_operator() {
        assert_eq!(namespaces(&["a", "b"], &[]), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(namespaces(&["a", "b"], &["b", "c"]), Some(vec!["b".to_owned()]));
        assert_eq!(namespaces(&["a"], &["c"]), None, "and not all namespaces");
        assert_eq!(namespaces(&["team-*"], &["c"]), Some(vec!["c".to_owned()]), "filtered later");
        assert_eq!(namespaces(&["team-*"], &[]), Some(vec![]));
    }
}
