//! One run for one object, from its turn in the queue to the record of what happened.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{
    backoff,
    context::{Controller, ObjectState},
    execute::{ExecuteError, Executor, Trace, apply_status},
    observe::{Observation, rules},
    plan::{self, Memory, Observed, Plan, PlanError, status_manifest},
    queue::Turn,
    watches::Wake,
};
use crate::{
    cluster::{cache::Cached, discovery::DiscoveryError, events::Notice},
    contract::{Event, EventType, Progress, Reply, State, TriggerType},
    engine::{
        handler::{self, HandlerError},
        record::{Outcome, Run},
    },
    object,
};

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    #[error(transparent)]
    Handler(#[from] HandlerError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Execute(#[from] ExecuteError),
}

impl RunError {
    fn reason(&self) -> &'static str {
        match self {
            Self::Discovery(_) => "KindUnavailable",
            Self::Handler(error) => error.reason(),
            Self::Plan(_) => "ReplyRefused",
            Self::Execute(error) => error.reason(),
        }
    }
}

/// How long to wait for the caches to show what we wrote, before the next run may start on older copies.
const CATCH_UP: Duration = Duration::from_secs(5);
/// A run that lost a race waits this long at least for the caches to show who won it.
const RACE_PAUSE: Duration = Duration::from_millis(100);
/// Races lost in a row before that is a failure like any other, with back-off, and told.
const RACES: u32 = 5;

/// Handles one turn: runs the handler, carries out its reply, and puts the object back in line if need be.
pub(super) async fn run(controller: &Controller, turn: Turn) {
    let Some(parent) = controller.parents.store.get(&turn.key) else {
        // Gone. Its dependents go with it, by their owner references; dropping its state ends its watches.
        controller.lock().remove(&turn.key);
        controller.queue.forget(&turn.key);
        tracing::info!(entry = controller.entry.name, object = %turn.key.of_kind(&controller.entry.gvk), "gone");
        return;
    };
    if object::is_terminating(&parent.object) {
        controller.queue.done(&turn.key, Vec::new(), None);
        return;
    }
    let uid = object::uid(&parent.object).unwrap_or_default();
    let remembered = controller.lock().remove(&turn.key).filter(|state| state.uid == uid);
    let mut state =
        remembered.unwrap_or_else(|| ObjectState { uid: uid.to_owned(), ..ObjectState::default() });
    let mut attempt = Attempt { controller, turn: &turn, parent: &parent, traces: Vec::new(), handler: None };
    let (started, began) = (Instant::now(), controller.shared.clock.now());
    let result = attempt.go(&mut state).await;
    let (outcome, again) = attempt.conclude(&mut state, result).await;
    let Attempt { traces, handler, .. } = attempt;
    catch_up(controller, &traces).await;
    let entry = &controller.entry;
    let object = turn.key.of_kind(&entry.gvk);
    let run = Run::new(entry.name.clone(), object, turn.triggers, began);
    Run { handler, elapsed: started.elapsed(), outcome, ..run }.log();
    controller.lock().insert(turn.key.clone(), state);
    controller.queue.done(&turn.key, traces.into_iter().filter_map(|trace| trace.event).collect(), again);
}

struct Attempt<'a> {
    controller: &'a Controller,
    turn: &'a Turn,
    parent: &'a Cached,
    traces: Vec<Trace>,
    handler: Option<Duration>,
}

impl Attempt<'_> {
    async fn go(&mut self, state: &mut ObjectState) -> Result<Plan, RunError> {
        let controller = self.controller;
        let seen = Observation::take(controller, self.parent).await?;
        let given = seen.state(controller, &state.watches, &self.turn.triggers, state.attempt);
        let reply = self.call(&seen, &given, &mut state.memory).await?;
        let plan = self.plan(&seen, &state.memory, reply)?;
        let manager = controller.entry.field_manager();
        // What was reported on the way has moved the object; the preconditions below ask for it as it is now.
        catch_up(controller, &self.traces).await;
        let executor = Executor { controller, seen: &seen, manager: &manager };
        for step in &plan.steps {
            let trace = executor.step(step, &self.traces, &mut state.memory).await?;
            self.traces.push(trace);
        }
        for event in &plan.events {
            controller.shared.events.publish(&seen.object, &notice(event)).await;
        }
        if let Some(requests) = &plan.watches {
            let shared = &controller.shared;
            let (queue, parent) = (&controller.queue, &self.turn.key);
            let wake = Wake { caches: &shared.caches, queue, parent, clock: shared.clock };
            state.watches.set(&wake, requests.clone());
        }
        Ok(plan)
    }

    fn plan(&self, seen: &Observation, memory: &Memory, reply: Reply) -> Result<Plan, PlanError> {
        let observed = Observed {
            object: &seen.object,
            kind: rules(&seen.kind),
            dependents: &seen.rules(),
            shown: &seen.shown,
            stranger: &|name| self.controller.known(name),
            memory,
            namespaces: &self.controller.shared.namespaces,
            now: self.controller.shared.clock.now().as_second(),
        };
        plan::plan(&observed, reply)
    }

    /// Calls the handler and writes what it reports while it runs.
    async fn call(
        &mut self,
        seen: &Observation,
        given: &State,
        memory: &mut Memory,
    ) -> Result<Reply, RunError> {
        let (controller, manager) = (self.controller, self.controller.entry.field_manager());
        let name = self.turn.key.of_kind(&controller.entry.gvk);
        let (tell, mut hear) = mpsc::channel::<Progress>(1);
        let answer = handler::call(&controller.entry, &name, given, &controller.shared.handlers, tell);
        let traces = &mut self.traces;
        let report = async {
            while let Some(progress) = hear.recv().await {
                if let Some(status) = progress.status {
                    let executor = Executor { controller, seen, manager: &manager };
                    match executor.progress(&Value::Object(status), memory).await {
                        Ok(trace) => traces.extend(trace),
                        // The final status will say it again; a report must not end the run.
                        Err(error) => tracing::warn!(object = %name, "failed to write progress: {error}"),
                    }
                }
                for event in &progress.events {
                    controller.shared.events.publish(&seen.object, &notice(event)).await;
                }
            }
        };
        let (answer, ()) = tokio::join!(answer, report);
        let answer = answer?;
        self.handler = Some(answer.elapsed);
        Ok(answer.reply)
    }

    /// Decides what comes next, and tells people of failures.
    async fn conclude(
        &mut self,
        state: &mut ObjectState,
        result: Result<Plan, RunError>,
    ) -> (Outcome, Option<(TriggerType, Duration)>) {
        match result {
            Ok(plan) => {
                (state.attempt, state.races) = (0, 0);
                state.requeues = if plan.requeue { state.requeues.saturating_add(1) } else { 0 };
                self.tell(state, None).await;
                (Outcome::Done { writes: self.traces.len() }, self.next_run(&plan, state.requeues))
            }
            Err(RunError::Execute(error)) if error.is_stale() && state.races < RACES => {
                state.races += 1;
                (Outcome::Stale, Some((TriggerType::Retry, RACE_PAUSE)))
            }
            Err(RunError::Handler(error)) if error.is_shutdown() => {
                let (reason, message) = (error.reason().to_owned(), error.to_string());
                (Outcome::Failed { reason, message, retry_in: Duration::ZERO }, None)
            }
            Err(error) => {
                state.attempt = state.attempt.saturating_add(1);
                let retry_in = backoff::delay(state.attempt, self.jitter());
                self.tell(state, Some(&error)).await;
                let outcome = Outcome::Failed {
                    reason: error.reason().to_owned(),
                    message: error.to_string(),
                    retry_in,
                };
                (outcome, Some((TriggerType::Retry, retry_in)))
            }
        }
    }

    fn next_run(&self, plan: &Plan, requeues: u32) -> Option<(TriggerType, Duration)> {
        if plan.requeue {
            return Some((TriggerType::Requeue, backoff::delay(requeues, self.jitter())));
        }
        let entry = &self.controller.entry;
        let requeue =
            plan.requeue_after.or(entry.reconciler.requeue_after).map(|delay| (TriggerType::Requeue, delay));
        let resync = entry.resync_period.map(|period| (TriggerType::Resync, period));
        requeue.into_iter().chain(resync).min_by_key(|(_, delay)| *delay)
    }

    /// From the object's UID, so that objects differ and one object is steady.
    fn jitter(&self) -> f64 {
        let uid = object::uid(&self.parent.object).unwrap_or_default();
        let sum =
            uid.bytes().fold(0_u32, |sum, byte| (sum.wrapping_mul(31).wrapping_add(byte.into())) % 1000);
        f64::from(sum) / 1000.0
    }

    /// Says on the object how its run ended: an Event for a failure, and the condition that the config asks for.
    async fn tell(&mut self, state: &mut ObjectState, error: Option<&RunError>) {
        let shared = &self.controller.shared;
        if let Some(error) = error {
            let (reason, message) = (error.reason().to_owned(), error.to_string());
            shared.events.publish(&self.parent.object, &Notice { warning: true, reason, message }).await;
        }
        let Some(condition) = &self.controller.entry.condition else { return };
        let current = error.map_or((true, String::new()), |error| (false, error.to_string()));
        let failed_before = standing(&self.parent.object, condition) == Some("False");
        let is_news = match &state.told {
            Some(told) => *told != current,
            // Success is worth a write only where failure was told.
            None => error.is_some() || failed_before,
        };
        if !is_news {
            return;
        }
        let reason = error.map_or("Succeeded", RunError::reason);
        let status = json!({"conditions": [{
            "type": condition, "status": if error.is_some() { "False" } else { "True" },
            "reason": reason, "message": current.1.chars().take(1024).collect::<String>(),
            "lastTransitionTime": shared.clock.now().to_string(),
            "observedGeneration": object::generation(&self.parent.object).unwrap_or_default(),
        }]});
        let manager = self.controller.entry.engine_manager();
        if let Err(error) = self.write_condition(status, &manager).await {
            tracing::warn!(object = %self.turn.key, "failed to write the condition `{condition}`: {error}");
        } else {
            state.told = Some(current);
        }
    }

    async fn write_condition(&mut self, status: Value, manager: &str) -> Result<(), RunError> {
        let kind = self.controller.shared.discovery.resolve(&self.controller.entry.gvk).await?;
        let manifest = status_manifest(&self.parent.object, &status);
        self.traces.push(apply_status(self.controller, &kind, &manifest, manager).await?);
        Ok(())
    }
}

fn notice(event: &Event) -> Notice {
    Notice {
        warning: event.kind_of == EventType::Warning,
        reason: event.reason.clone(),
        message: event.message.clone(),
    }
}

/// The status of a condition as the object has it.
fn standing<'o>(object: &'o Value, condition: &str) -> Option<&'o str> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    conditions.iter().find(|found| found["type"] == condition)?["status"].as_str()
}

/// No run of an object before the caches show our last writes to it and its dependents (RULES 13).
async fn catch_up(controller: &Controller, traces: &[Trace]) {
    let all = async {
        for trace in traces {
            let is_shown = |cached: Option<&Cached>| match (&trace.version, cached) {
                (Some(version), Some(cached)) => at_least(object::resource_version(&cached.object), version),
                (Some(_), None) => false,
                (None, cached) => {
                    cached.is_none_or(|cached| object::uid(&cached.object) != Some(trace.uid.as_str()))
                }
            };
            controller.store(&trace.object.gvk).wait(&trace.object.key(), is_shown).await;
        }
    };
    if tokio::time::timeout(CATCH_UP, all).await.is_err() {
        tracing::debug!("the caches have not shown our writes in time");
    }
}

/// Resource versions of one API server are numbers that grow.
fn at_least(found: Option<&str>, wanted: &str) -> bool {
    let number = |text: &str| text.parse::<u128>().ok();
    match (found.and_then(number), number(wanted)) {
        (Some(found), Some(wanted)) => found >= wanted,
        _ => found == Some(wanted),
    }
}
