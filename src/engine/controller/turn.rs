//! One turn of one object: which handler is asked, if any, and what comes next.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    attempt::{Attempt, Phase},
    context::{Controller, ObjectState, Place},
    error::RunError,
    finalize::{self, remove_finalizer},
    line::{TOLD, Turn},
    listen::holds,
    trace::{Trace, catch_up},
};
use crate::{
    cluster::cache::Cached,
    contract::{Trigger, TriggerType},
    engine::{
        query::Facts,
        record::{self, Outcome, Run, Write},
    },
    object::{self, Key},
};

/// How long an object waits before another look whether a predecessor has left it.
const TAKEN_PAUSE: Duration = Duration::from_millis(200);
/// How long to wait before the next try, when a finalizer could not be taken off an object that is not ours any more.
const LET_GO_PAUSE: Duration = Duration::from_secs(5);

/// Handles one turn: runs the handler, carries out its reply, and puts the object back in line if need be.
pub(super) async fn run(controller: &Controller, mut turn: Turn, place: Place) {
    if controller.is_taken(&turn.key) {
        return controller.queue.postpone(turn, TAKEN_PAUSE);
    }
    // An observer hears of every object that is gone, even when there is another one of that name by now.
    if let Some(last) = controller.gone.take(&turn.key) {
        return farewell(controller, turn, last, place).await;
    }
    let Some(parent) = controller.parents.store.get(&turn.key) else { return gone(controller, &turn).await };
    if !controller.selects(&turn.key) {
        return gone(controller, &turn).await;
    }
    if object::is_terminating(&parent.object) {
        if !finalize::is_due(controller, &parent.object) {
            return controller.queue.done(&turn.key, Vec::new(), None, None);
        }
        lead_with(&mut turn, TriggerType::Deleting);
        return attempt(controller, &turn, Phase::Finalize(parent), place).await;
    }
    turn.triggers.retain(|trigger| counts(controller, trigger, &parent));
    if turn.triggers.is_empty() {
        return controller.queue.skip(&turn);
    }
    turn.triggers.truncate(TOLD);
    attempt(controller, &turn, Phase::Reconcile(parent), place).await;
}

/// Tells an observer of an object's end. What has happened to the next one of that name waits until that is done.
async fn farewell(controller: &Controller, mut turn: Turn, last: Arc<Value>, place: Place) {
    let of_next =
        |why: TriggerType| why != TriggerType::Deleted && (why.is_event() || why == TriggerType::Start);
    let (later, told): (Vec<Trigger>, Vec<Trigger>) =
        turn.triggers.drain(..).partition(|trigger| of_next(trigger.kind_of));
    turn.triggers = told;
    lead_with(&mut turn, TriggerType::Deleted);
    attempt(controller, &turn, Phase::Gone(last), place).await;
    // Where the end could not be told, the object rests until it is tried again.
    let is_there = controller.parents.store.get(&turn.key).is_some();
    for trigger in later.into_iter().filter(|_| is_there) {
        controller.queue.add(&turn.key, trigger, None);
    }
    if controller.gone.has(&turn.key) {
        controller.queue.add(&turn.key, Trigger::plain(TriggerType::Deleted), None);
    } else if !is_there {
        controller.lock().remove(&turn.key);
        controller.queue.forget(&turn.key);
    }
}

/// A hook that serves for several things tells them apart by the first trigger, also when it runs again.
fn lead_with(turn: &mut Turn, why: TriggerType) {
    turn.triggers.retain(|trigger| trigger.kind_of != why);
    turn.triggers.insert(0, Trigger::plain(why));
}

/// Whether the entry's `when` holds for what happened to another object. What happened to the object itself was asked about
/// when it happened, with the old and the new one at hand.
fn counts(controller: &Controller, trigger: &Trigger, parent: &Cached) -> bool {
    let asked = matches!(trigger.kind_of, TriggerType::DependentChanged | TriggerType::ReferenceChanged);
    let facts = Facts { object: &parent.object, old: None, trigger: Some(trigger) };
    let entry = &controller.entry;
    !asked || holds(entry.wakes.when.as_ref(), entry, &controller.warned, &facts)
}

/// The object is gone, or not ours to handle any more. Its dependents go with it, by their owner references; dropping its
/// state ends its watches. An object that only left our selection must not keep our finalizer (RULES 18).
async fn gone(controller: &Controller, turn: &Turn) {
    let entry = &controller.entry;
    let name = turn.key.of_kind(&entry.gvk);
    controller.lock().remove(&turn.key);
    if controller.holds()
        && entry.select.is_partial()
        && let Err(error) = let_go(controller, &turn.key).await
    {
        tracing::warn!(entry = entry.name, object = %name, "failed to take our finalizer off: {error}");
        let again = Some((TriggerType::Retry, LET_GO_PAUSE));
        return controller.queue.done(&turn.key, Vec::new(), again, None);
    }
    controller.queue.forget(&turn.key);
    if controller.parents.store.get(&turn.key).is_none() {
        let mut run =
            Run::new(entry.name.clone(), name, turn.triggers.clone(), controller.shared.clock.now());
        run.outcome = Outcome::Gone;
        run.log();
        controller.shared.journal.add(run, None);
    }
}

/// Takes our finalizer off an object that is there but not selected.
async fn let_go(controller: &Controller, key: &Key) -> Result<(), RunError> {
    let (entry, shared) = (&controller.entry, &controller.shared);
    let served = shared.discovery.resolve(&entry.gvk).await?;
    remove_finalizer(shared, entry, &served, (key, None), &entry.finalizer_name()).await?;
    Ok(())
}

async fn attempt(controller: &Controller, turn: &Turn, phase: Phase, place: Place) {
    let uid = phase.uid().to_owned();
    let remembered = controller.lock().remove(&turn.key).filter(|state| state.uid == uid);
    let mut state = remembered.unwrap_or_else(|| ObjectState { uid, ..ObjectState::default() });
    let started = Instant::now();
    let mut attempt = Attempt::new(controller, turn, phase);
    // Boxed: a run is large, and most objects wait.
    let result = Box::pin(attempt.go(&mut state)).await;
    let next = attempt.conclude(&mut state, result).await;
    let Attempt { traces, mut run, log, given, .. } = attempt;
    run.elapsed = started.elapsed();
    // The object is not done before the caches show what was written, but others need not wait for that.
    drop(place);
    catch_up(controller, &traces).await;
    run.writes =
        traces.iter().map(|trace| Write { verb: trace.verb, object: trace.object.clone() }).collect();
    let now = controller.shared.clock.now();
    run.next = next.again.map(|(trigger, delay)| record::Next { trigger, at: now + delay });
    count(controller, turn, &run, &traces);
    // A failure has been logged when it happened.
    if !matches!(run.outcome, Outcome::Failed { .. }) {
        run.log();
    }
    controller.shared.journal.add_with_log(run, log, given.as_ref());
    controller.lock().insert(turn.key.clone(), state);
    let own = traces.into_iter().flat_map(|trace| trace.events).collect();
    controller.queue.done(&turn.key, own, next.again, next.pause);
}

fn count(controller: &Controller, turn: &Turn, run: &Run, traces: &[Trace]) {
    let (metrics, entry) = (&controller.shared.metrics, run.entry.as_str());
    if turn.triggers.iter().any(|trigger| trigger.kind_of.is_event()) {
        metrics.event_to_start(entry, turn.waited);
    }
    if let Some(took) = run.handler {
        metrics.handler(entry, took, run.outcome.word());
    }
    metrics.run(entry, run.outcome.word());
    metrics.api_calls(entry, traces.iter().map(|trace| trace.calls).sum());
    for write in &run.writes {
        metrics.write(entry, write.verb.name(), &write.object.gvk.key());
    }
    if matches!(run.outcome, Outcome::Failed { .. }) {
        metrics.retry(entry);
    }
}
