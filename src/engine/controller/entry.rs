//! The controller of one entry: its queue, its workers, its timers.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::Semaphore,
    task::{JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;

use super::{
    context::{Controller, Place},
    finalize,
    line::Turn,
    queue::Queue,
    turn,
};
use crate::{
    clock,
    contract::{Trigger, TriggerType},
    object::Key,
};

/// Runs an entry until `stop`; then lets runs that have begun come to their end. Trouble with one object is retried for
/// ever, and trouble with a watch is waited out.
pub(super) async fn run(controller: Arc<Controller>, stop: CancellationToken) {
    tokio::select! {
        () = controller.synced() => {}
        () = stop.cancelled() => return,
    }
    let entry = &controller.entry;
    if controller.holds() && entry.select.is_partial() {
        // Objects may have left our selection while nobody watched.
        let kept = |key: &Key| controller.parents.store.get(key).is_some() && controller.selects(key);
        finalize::strip(entry, &controller.shared, kept).await;
    }
    tracing::info!(entry = entry.name, objects = controller.parents.store.len(), "watching");
    let places = Arc::new(Semaphore::new(entry.concurrency));
    let mut runs = JoinSet::new();
    loop {
        let turn = tokio::select! {
            biased; // A stop wins over work that is waiting.
            () = stop.cancelled() => break,
            Some(ended) = runs.join_next() => {
                report(ended);
                continue;
            }
            () = controller.scheduled() => continue,
            () = controller.regrouped() => continue,
            turn = next(&controller, &places, &stop) => turn,
        };
        let Some((turn, place)) = turn else { continue };
        let controller = Arc::clone(&controller);
        runs.spawn(async move {
            let key = turn.key.clone();
            let mut abandoned = Abandoned { queue: Arc::clone(&controller.queue), key: Some(key) };
            turn::run(&controller, turn, place).await;
            abandoned.key = None;
        });
    }
    while let Some(ended) = runs.join_next().await {
        report(ended);
    }
}

/// The next turn with a place for it. A place is only asked for when there is something to do, so that an idle entry takes
/// none from the others.
async fn next(
    controller: &Controller,
    places: &Arc<Semaphore>,
    stop: &CancellationToken,
) -> Option<(Turn, Place)> {
    controller.queue.ready().await;
    let own = Arc::clone(places).acquire_owned().await.ok()?;
    let shared = Arc::clone(&controller.shared.places).acquire_owned().await.ok()?;
    let turn = controller.queue.take()?;
    if stop.is_cancelled() {
        // A successor looks at what we run from that moment on.
        controller.queue.postpone(turn, Duration::ZERO);
        return None;
    }
    Some((turn, (own, shared)))
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
            self.queue.done(key, Vec::new(), Some((TriggerType::Retry, AFTER_PANIC)), None);
        }
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a run panicked; please report this bug");
    }
}

impl Controller {
    /// Waits until everything that exists has been seen: a handler must not be told that a dependent is missing only
    /// because we have not looked yet.
    async fn synced(&self) {
        for watch in self.watches() {
            // Fails only when the store is gone, and we hold it.
            let mut state = watch.store.state();
            let _held = state.wait_for(|state| state.synced).await;
        }
    }

    /// Waits for the entry's schedule and gives every object its turn. Cancel-safe: the time is looked up anew.
    async fn scheduled(&self) {
        let clock = self.shared.clock;
        let mut from = self.schedule.lock().await;
        let due = self.entry.wakes.schedule.as_ref().and_then(|schedule| schedule.next_after(*from));
        let Some(due) = due else { return std::future::pending().await };
        tokio::time::sleep(clock::since(due, clock.now())).await;
        // Sleeping ends a little early or late; never twice for one time.
        *from = clock.now().max(due);
        for key in self.parents.store.keys() {
            self.queue.add(&key, Trigger::plain(TriggerType::Schedule), None);
        }
    }

    /// Waits for a namespace whose labels have changed, and looks at its objects again.
    async fn regrouped(&self) {
        let Some(namespace) = self.regrouped.lock().await.recv().await else {
            return std::future::pending().await;
        };
        for key in self.parents.store.keys() {
            if key.namespace.as_ref() == Some(&namespace) {
                self.queue.add(&key, Trigger::plain(TriggerType::Start), None);
            }
        }
    }
}
