//! The controller of one entry: its watches, its queue, its workers.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    sync::Semaphore,
    task::{JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;

use super::{
    context::{Controller, Shared},
    queue::{Queue, deleted},
    reconcile,
};
use crate::{
    cluster::cache::{Change, Detail, Scope, Watch, WatchKey},
    contract::{Trigger, TriggerType},
    engine::config::Entry,
    object::{self, Gvk, Key},
};

/// Runs an entry until `stop`; then lets runs that have begun come to their end.
///
/// # Errors
/// None: trouble with one object is retried for ever, and trouble with a watch is waited out.
pub async fn run(entry: Arc<Entry>, shared: Shared, stop: CancellationToken) -> Result<(), Infallible> {
    let controller = Arc::new(Controller::start(entry, shared));
    tokio::select! {
        () = controller.synced() => {}
        () = stop.cancelled() => return Ok(()),
    }
    tracing::info!(entry = controller.entry.name, objects = controller.parents.store.len(), "watching");
    let places = Arc::new(Semaphore::new(controller.entry.concurrency));
    let mut runs = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
        let turn = tokio::select! {
            biased; // A stop wins over work that is waiting.
            () = stop.cancelled() => break,
            turn = controller.queue.next() => turn,
        };
        let controller = Arc::clone(&controller);
        runs.spawn(async move {
            let key = turn.key.clone();
            let mut abandoned = Abandoned { queue: Arc::clone(&controller.queue), key: Some(key) };
            reconcile::run(&controller, turn).await;
            abandoned.key = None;
            drop(place);
        });
        while let Some(ended) = runs.try_join_next() {
            report(ended);
        }
    }
    while let Some(ended) = runs.join_next().await {
        report(ended);
    }
    Ok(())
}

/// Puts an object back in line when its run panics: that is a bug, but no object may be stuck because of one.
struct Abandoned {
    queue: Arc<Queue>,
    key: Option<Key>,
}

/// How long an object waits after its run panicked.
const AFTER_PANIC: Duration = Duration::from_mins(1);

impl Drop for Abandoned {
    fn drop(&mut self) {
        if let Some(key) = &self.key {
            self.queue.done(key, Vec::new(), Some((TriggerType::Retry, AFTER_PANIC)));
        }
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a run panicked; please report this bug");
    }
}

impl Controller {
    fn start(entry: Arc<Entry>, shared: Shared) -> Self {
        let queue = Arc::new(Queue::default());
        let watch = |gvk: &Gvk, scope: Scope| {
            shared.caches.watch(&WatchKey { gvk: gvk.clone(), scope, detail: Detail::Full })
        };
        let mut of_parents = shared.scope();
        of_parents.name = shared.only.as_ref().map(|only| only.name.clone());
        let parents = watch(&entry.gvk, of_parents);
        let dependents: BTreeMap<String, (Gvk, Arc<Watch>)> = entry
            .dependents
            .iter()
            .map(|kind| (kind.gvk.key(), (kind.gvk.clone(), watch(&kind.gvk, shared.scope()))))
            .collect();
        let heard = Arc::clone(&queue);
        parents.store.listen(Box::new(move |change| parent_changed(&heard, change)));
        for (_, watch) in dependents.values() {
            let (heard, owners) = (Arc::clone(&queue), Arc::downgrade(&parents));
            watch.store.listen(Box::new(move |change| {
                if let Some(owners) = owners.upgrade() {
                    dependent_changed(&heard, &owners, change);
                }
            }));
        }
        Self { entry, shared, parents, dependents, queue, objects: Mutex::default() }
    }

    /// Waits until everything that exists has been seen: a handler must not be told that a dependent is missing only
    /// because we have not looked yet.
    async fn synced(&self) {
        let watches = std::iter::once(&self.parents).chain(self.dependents.values().map(|(_, watch)| watch));
        for watch in watches {
            // Fails only when the store is gone, and we hold it.
            let mut state = watch.store.state();
            let _held = state.wait_for(|state| state.synced).await;
        }
    }
}

fn parent_changed(queue: &Queue, change: &Change) {
    let (kind_of, version) = match (&change.before, &change.after) {
        (_, None) => (TriggerType::Deleted, None),
        (_, Some(_)) if change.initial => (TriggerType::Start, None),
        (None, Some(_)) => (TriggerType::Created, None),
        (Some(_), Some(after)) => (TriggerType::Updated, object::resource_version(&after.object)),
    };
    queue.add(&change.key, Trigger::plain(kind_of), version);
}

fn dependent_changed(queue: &Queue, parents: &Watch, change: &Change) {
    if change.initial {
        return;
    }
    let trigger = Trigger::by(TriggerType::DependentChanged, &change.key.of_kind(&change.gvk));
    let version = match (&change.after, &change.before) {
        (Some(after), _) => object::resource_version(&after.object).map(str::to_owned),
        (None, Some(before)) => object::uid(&before.object).map(deleted),
        (None, None) => None,
    };
    let both = [&change.before, &change.after];
    let mut owners: Vec<&str> =
        both.into_iter().flatten().flat_map(|cached| object::owner_uids(&cached.object)).collect();
    owners.sort_unstable();
    owners.dedup();
    for parent in owners.into_iter().filter_map(|uid| parents.store.key_of_uid(uid)) {
        queue.add(&parent, trigger.clone(), version.as_deref());
    }
}
