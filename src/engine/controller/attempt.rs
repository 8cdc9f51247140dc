//! One run of a handler: what it is given, what it answers, what becomes of that.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::sync::mpsc;

use super::{
    backoff,
    breaker::Trip,
    context::{Controller, ObjectState},
    error::RunError,
    execute::Executor,
    finalize::{is_wanted, set_finalizer},
    line::Turn,
    observe::{Observation, rules},
    plan::{self, Memory, Observed, Plan, PlanError},
    tell::{Told, notice},
    trace::{Trace, catch_up},
    watches::Wake,
};
use crate::{
    cluster::{cache::Cached, events::Notice},
    contract::{Progress, Reply, State, TriggerType},
    duration::GoDuration,
    engine::{
        config::Handler,
        handler::{self, HandlerError},
        record::{self, Answered, Given, Log, Outcome, Run, view::Slowed},
    },
    object,
};

/// A run that lost a race waits this long at least for the caches to show who won it.
const RACE_PAUSE: Duration = Duration::from_millis(100);
/// Races lost in a row before that is a failure like any other, with back-off, and told.
const RACES: u32 = 5;

/// What the run is about.
pub(super) enum Phase {
    /// The object is there.
    Reconcile(Cached),
    /// It is to go, and our finalizer holds it.
    Finalize(Cached),
    /// It is gone; this is what was seen last.
    Gone(Arc<Value>),
}

impl Phase {
    pub(super) fn object(&self) -> &Value {
        match self {
            Self::Reconcile(parent) | Self::Finalize(parent) => &parent.object,
            Self::Gone(last) => last,
        }
    }

    pub(super) fn uid(&self) -> &str {
        object::uid(self.object()).unwrap_or_default()
    }
}

/// A run in progress.
pub(super) struct Attempt<'a> {
    pub(super) controller: &'a Controller,
    pub(super) turn: &'a Turn,
    pub(super) phase: Phase,
    pub(super) traces: Vec<Trace>,
    /// What is recorded of it.
    pub(super) run: Run,
    /// What the handler printed on stderr.
    pub(super) log: Log,
    /// What the handler was given.
    pub(super) given: Option<State>,
}

/// What comes next.
pub(super) struct Next {
    pub(super) again: Option<(TriggerType, Duration)>,
    /// For how long the object rests, whatever happens.
    pub(super) pause: Option<Duration>,
}

impl<'a> Attempt<'a> {
    pub(super) fn new(controller: &'a Controller, turn: &'a Turn, phase: Phase) -> Self {
        let object = turn.key.of_kind(&controller.entry.gvk);
        let began = controller.shared.clock.now();
        let mut run = Run::new(controller.entry.name.clone(), object, turn.triggers.clone(), began);
        run.waited = Some(turn.waited);
        Self { controller, turn, phase, traces: Vec::new(), run, log: Log::default(), given: None }
    }

    pub(super) async fn go(&mut self, state: &mut ObjectState) -> Result<Plan, RunError> {
        let controller = self.controller;
        let mut seen = match &self.phase {
            Phase::Reconcile(parent) | Phase::Finalize(parent) => {
                Observation::take(controller, parent).await?
            }
            Phase::Gone(last) => Observation::gone(controller, &self.turn.key, Arc::clone(last)).await?,
        };
        // What is not there any more was taken away by others; it will be created anew if it is wanted.
        state.memory.applied.retain(|name, _| seen.print(name).is_some());
        self.hold(&mut seen).await?;
        let Some(handler) = self.handler() else { return Ok(Plan::default()) };
        let given = seen.state(controller, &state.watches, &self.turn.triggers, state.attempt);
        self.run.given = Some(Given::of(&given));
        let reply = self.call(handler, &seen, &given, &mut state.memory).await;
        self.given = Some(given);
        let reply = reply?;
        self.run.answered = Some(Answered::of(&reply));
        let plan = self.plan(&seen, &state.memory, reply)?;
        self.run.plan = serde_json::to_value(&plan).ok();
        self.execute(&seen, &plan, &mut state.memory).await?;
        if let (Some(requests), Phase::Reconcile(_)) = (&plan.watches, &self.phase) {
            let shared = &controller.shared;
            let (queue, parent) = (&controller.queue, &self.turn.key);
            let wake = Wake { caches: &shared.caches, queue, parent, clock: shared.clock };
            state.watches.set(&wake, requests.clone());
        }
        Ok(plan)
    }

    /// Puts our finalizer on the object before anything is done that it would have to undo; takes it off an object that is to
    /// have none.
    async fn hold(&mut self, seen: &mut Observation) -> Result<(), RunError> {
        let entry = &self.controller.entry;
        if let (Phase::Reconcile(_), true) = (&self.phase, self.controller.holds()) {
            let wanted = is_wanted(self.controller, &seen.object);
            let name = entry.finalizer_name();
            let set = set_finalizer(self.controller, &seen.kind, &seen.object, (&name, wanted)).await?;
            if let Some((written, trace)) = set {
                self.traces.push(trace);
                let mut object = written.object;
                if entry.metadata_only {
                    object = object::metadata_of(&object);
                }
                seen.renew(object, written.print);
            }
        }
        Ok(())
    }

    fn handler(&self) -> Option<&'a Handler> {
        let entry = &self.controller.entry;
        match &self.phase {
            Phase::Finalize(_) => entry.finalizer.as_ref().map(|finalizer| &finalizer.handler),
            Phase::Reconcile(_) | Phase::Gone(_) => {
                entry.reconciler.as_ref().map(|reconciler| &reconciler.handler)
            }
        }
    }

    async fn execute(
        &mut self,
        seen: &Observation,
        plan: &Plan,
        memory: &mut Memory,
    ) -> Result<(), RunError> {
        let controller = self.controller;
        // What was reported on the way has moved the object; the preconditions below ask for it as it is now.
        catch_up(controller, &self.traces).await;
        let manager = controller.entry.field_manager();
        let executor = Executor { controller, seen, manager: &manager };
        for step in &plan.steps {
            let traces = executor.step(step, &self.traces, memory).await?;
            self.traces.extend(traces);
        }
        for event in &plan.events {
            controller.shared.events.publish(&seen.object, &notice(event)).await;
        }
        self.run.events.extend(plan.events.iter().cloned());
        Ok(())
    }

    /// Whether the object is free of us once the handler has nothing left to do.
    fn lets_go(&self) -> bool {
        matches!(self.phase, Phase::Finalize(_)) && self.controller.holds()
    }

    fn plan(&self, seen: &Observation, memory: &Memory, reply: Reply) -> Result<Plan, PlanError> {
        let entry = &self.controller.entry;
        let reply = if entry.observes() { reply.without_writes() } else { reply };
        let finalizer = entry.finalizer_name();
        let observed = Observed {
            object: &seen.object,
            kind: rules(&seen.kind, false),
            dependents: &seen.rules(),
            shown: &seen.shown,
            stranger: &|name| self.controller.known(name).map(|known| (*known).clone()),
            whole: !entry.metadata_only,
            finalizer: self.lets_go().then_some(finalizer.as_str()),
            memory,
            namespaces: &self.controller.shared.scope().namespaces,
            now: self.controller.shared.clock.now().as_second(),
        };
        plan::plan(&observed, reply)
    }

    /// Calls the handler and writes what it reports while it runs.
    async fn call(
        &mut self,
        handler: &Handler,
        seen: &Observation,
        given: &State,
        memory: &mut Memory,
    ) -> Result<Reply, RunError> {
        let (controller, manager) = (self.controller, self.controller.entry.field_manager());
        let name = self.turn.key.of_kind(&controller.entry.gvk);
        let observes = controller.entry.observes();
        let (tell, mut hear) = mpsc::channel::<Progress>(1);
        let (shared, entry) = (&controller.shared, &controller.entry);
        let (traces, log) = (&mut self.traces, &mut self.log);
        let mut on_line = |line: &str| log.push(shared.clock.now(), line);
        let answer = handler::call(handler, entry, &name, given, &shared.handlers, tell, &mut on_line);
        let report = async {
            while let Some(progress) = hear.recv().await {
                if observes {
                    continue;
                }
                if let Some(status) = progress.status {
                    let executor = Executor { controller, seen, manager: &manager };
                    match executor.progress(&Value::Object(status), memory).await {
                        Ok(written) => traces.extend(written),
                        // The final status will say it again; a report must not end the run.
                        Err(error) => tracing::warn!(object = %name, "failed to write progress: {error}"),
                    }
                }
                for event in &progress.events {
                    controller.shared.events.publish(&seen.object, &notice(event)).await;
                }
            }
        };
        let started = Instant::now();
        let (answer, ()) = tokio::join!(answer, report);
        // How long it took to fail counts as well; a success knows it better.
        self.run.handler = Some(started.elapsed());
        match answer {
            Ok(answer) => {
                self.run.handler = Some(answer.elapsed);
                self.run.stderr = answer.stderr;
                Ok(answer.reply)
            }
            // What an observer prints is its own affair.
            Err(HandlerError::Reply(_)) if observes => Ok(Reply::default()),
            Err(error) => {
                if let HandlerError::Failed { stderr, .. } = &error {
                    self.run.stderr.clone_from(stderr);
                }
                Err(error.into())
            }
        }
    }

    /// Decides what comes next, and tells people of failures.
    pub(super) async fn conclude(&mut self, state: &mut ObjectState, result: Result<Plan, RunError>) -> Next {
        let mut pause = self.slow_down(state).await;
        let (outcome, again) = match result {
            Ok(plan) => {
                (state.attempt, state.races) = (0, 0);
                state.requeues = if plan.requeue { state.requeues.saturating_add(1) } else { 0 };
                state.last_error = None;
                self.tell(state, None).await;
                (Outcome::Done { writes: self.traces.len() }, self.next_run(&plan, state.requeues))
            }
            Err(RunError::Execute(error)) if error.is_stale() && state.races < RACES => {
                state.races += 1;
                (Outcome::Stale, Some((TriggerType::Retry, RACE_PAUSE)))
            }
            Err(RunError::Handler(error)) if error.is_shutdown() => {
                self.keep_gone();
                (self.failed(error.reason(), error.to_string(), Duration::ZERO), None)
            }
            Err(error) => {
                state.attempt = state.attempt.saturating_add(1);
                let retry_in = backoff::delay(state.attempt, self.jitter()).max(error.asked_pause());
                // Whatever happens to the next one of its name, its end comes first, and not before the pause is over.
                pause = pause.max(self.keep_gone().then_some(retry_in));
                let message = self.without_secrets(&error);
                let outcome = self.failed(error.reason(), message.clone(), retry_in);
                state.last_error = Some(message.clone());
                self.tell(state, Some((error.reason(), &message))).await;
                (outcome, Some((TriggerType::Retry, retry_in)))
            }
        };
        self.run.outcome = outcome;
        Next { again, pause }
    }

    /// A failure, which is logged at once: to tell of it on the object takes as long as the API server likes.
    fn failed(&mut self, reason: &str, message: String, retry_in: Duration) -> Outcome {
        let outcome = Outcome::Failed { reason: reason.to_owned(), message, retry_in };
        self.run.outcome = outcome.clone();
        self.run.log();
        outcome
    }

    /// The error as everybody may read it: a hook's last line, or why the API server refuses a value, may quote a Secret.
    /// Other words stay as they are: a namespace may well be called like something in a Secret.
    fn without_secrets(&self, error: &RunError) -> String {
        let text = error.to_string();
        if !error.may_quote() {
            return text;
        }
        record::redacted_of(&text, self.given.as_ref(), self.run.plan.as_ref())
    }

    async fn tell(&mut self, state: &mut ObjectState, error: Option<(&str, &str)>) {
        let gone = matches!(self.phase, Phase::Gone(_));
        let told = Told { controller: self.controller, object: self.phase.object(), gone, error };
        let traces = told.tell(state).await;
        self.traces.extend(traces);
    }

    /// An observer that failed to hear of an end is told again.
    fn keep_gone(&self) -> bool {
        let Phase::Gone(last) = &self.phase else { return false };
        self.controller.gone.put_back(&self.turn.key, Arc::clone(last));
        true
    }

    /// Asks the breaker about what this run has changed, when it was an event that woke it.
    async fn slow_down(&self, state: &mut ObjectState) -> Option<Duration> {
        let woken = self.turn.triggers.iter().any(|trigger| trigger.kind_of.is_event());
        let changes: Vec<_> = self.traces.iter().flat_map(|trace| trace.changes.clone()).collect();
        if !woken || changes.is_empty() {
            return None;
        }
        let Trip { field, writes, pause } = state.breaker.note(Instant::now(), changes)?;
        let length = GoDuration(pause);
        let message = format!(
            "{field} does not hold: written {writes} times within a minute, and changed by somebody else or by the \
             handler each time; resting for {length}"
        );
        let name = self.turn.key.of_kind(&self.controller.entry.gvk);
        tracing::warn!(entry = self.controller.entry.name, object = %name, reason = "HotLoop", "{message}");
        let notice = Notice { warning: true, reason: "HotLoop".to_owned(), message };
        self.controller.shared.events.publish(self.phase.object(), &notice).await;
        let until = self.controller.shared.clock.now() + pause;
        state.slowed = Some(Slowed { field, until });
        Some(pause)
    }

    fn next_run(&self, plan: &Plan, requeues: u32) -> Option<(TriggerType, Duration)> {
        if plan.requeue {
            return Some((TriggerType::Requeue, backoff::delay(requeues, self.jitter())));
        }
        let entry = &self.controller.entry;
        let configured = match (&self.phase, &entry.reconciler) {
            (Phase::Reconcile(_), Some(reconciler)) => reconciler.requeue_after,
            _ => None,
        };
        let requeue = plan.requeue_after.or(configured).map(|delay| (TriggerType::Requeue, delay));
        let resync = entry.resync_period.filter(|_| matches!(self.phase, Phase::Reconcile(_)));
        let resync = resync.map(|period| (TriggerType::Resync, period));
        requeue.into_iter().chain(resync).min_by_key(|(_, delay)| *delay)
    }

    /// From the object's UID, so that objects differ and one object is steady.
    fn jitter(&self) -> f64 {
        let sum = self
            .phase
            .uid()
            .bytes()
            .fold(0_u32, |sum, byte| (sum.wrapping_mul(31).wrapping_add(byte.into())) % 1000);
        f64::from(sum) / 1000.0
    }
}
