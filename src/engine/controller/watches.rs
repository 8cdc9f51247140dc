//! Dynamic watches: what one object's last reply asked to be told of.

use std::sync::Arc;

use super::queue::Queue;
use crate::{
    clock::Clock,
    cluster::cache::{Caches, Change, Detail, Scope, Watch, WatchKey},
    contract::{ByKind, Trigger, TriggerType, WatchOn, WatchRequest},
    object::{self, Key},
};

/// Whom a watch wakes, and what it needs for that.
pub(super) struct Wake<'a> {
    pub(super) caches: &'a Caches,
    pub(super) queue: &'a Arc<Queue>,
    pub(super) parent: &'a Key,
    pub(super) clock: Clock,
}

/// The watches of one object. Dropping it ends them.
#[derive(Debug, Default)]
pub(super) struct ActiveWatches(Vec<Active>);

#[derive(Debug)]
struct Active {
    request: WatchRequest,
    watch: Arc<Watch>,
    listener: u64,
}

impl Drop for Active {
    fn drop(&mut self) {
        self.watch.store.unlisten(self.listener);
    }
}

impl ActiveWatches {
    /// Makes the watches equal to what a reply asks for; those that stay are not interrupted.
    pub(super) fn set(&mut self, wake: &Wake<'_>, requests: Vec<WatchRequest>) {
        let mut kept = Vec::new();
        for mut request in requests {
            request.namespace = request.namespace.or_else(|| wake.parent.namespace.clone());
            if kept.iter().any(|active: &Active| active.request == request) {
                continue;
            }
            match self.0.iter().position(|active| active.request == request) {
                Some(index) => kept.push(self.0.swap_remove(index)),
                None => kept.push(Active::start(wake, request)),
            }
        }
        self.0 = kept;
    }

    /// What was asked for.
    pub(super) fn requests(&self) -> Vec<WatchRequest> {
        self.0.iter().map(|active| active.request.clone()).collect()
    }

    /// The objects that were asked for with their bodies.
    pub(super) fn bodies(&self) -> ByKind {
        let mut bodies = ByKind::new();
        for active in self.0.iter().filter(|active| active.request.body) {
            let list = bodies.entry(active.request.gvk().key()).or_default();
            let mut keys = active.watch.store.keys();
            keys.sort();
            list.extend(keys.iter().filter_map(|key| Some((*active.watch.store.get(key)?.object).clone())));
        }
        bodies
    }
}

impl Active {
    fn start(wake: &Wake<'_>, request: WatchRequest) -> Self {
        let watch = wake.caches.watch(&watch_key(&request));
        let (queue, parent, clock) = (Arc::clone(wake.queue), wake.parent.clone(), wake.clock);
        let wanted = request.clone();
        let listener =
            watch.store.listen(Box::new(move |change| heard(&queue, &parent, clock, &wanted, change)));
        Self { request, watch, listener }
    }
}

/// Without bodies, all watches of a kind in a namespace share one of metadata; bodies are only kept of what was asked.
fn watch_key(request: &WatchRequest) -> WatchKey {
    let name = request.name.clone().filter(|_| request.body);
    let scope = Scope {
        namespaces: request.namespace.clone().into_iter().collect(),
        name,
        labels: request.label_selector.clone(),
        fields: None,
    };
    let detail = if request.body { Detail::Full } else { Detail::Metadata };
    WatchKey { gvk: request.gvk(), scope, detail }
}

fn heard(queue: &Queue, parent: &Key, clock: Clock, request: &WatchRequest, change: &Change) {
    if request.name.as_ref().is_some_and(|name| *name != change.key.name) {
        return;
    }
    // What a new watch shows first counts too: the object may have changed since the handler looked, and bodies have not
    // been handed over yet. It runs once more, and no more than that: equal requests keep their watches.
    let counts = match (&change.before, &change.after, request.on) {
        (Some(before), Some(after), WatchOn::Spec) => {
            after.print.differs(&before.print, clock.now().as_second())
        }
        _ => true,
    };
    if counts {
        let version = change.after.as_ref().and_then(|after| object::resource_version(&after.object));
        queue.add(parent, Trigger::by(TriggerType::Watch, &change.key.of_kind(&change.gvk)), version);
    }
}
