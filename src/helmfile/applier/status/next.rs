//! The status after a step of a pass: a pure function of the status before.

use std::time::Duration;

use jiff::Timestamp;

use super::super::{decide::Cause, drift::Found, outcome::Failure};
use super::words::delivered_message;
use crate::{
    clock,
    duration::GoDuration,
    helmfile::api::{
        Condition, ConditionStatus, DriftStatus, HelmfileStatus, HistoryEntry, Inventory, Outcome,
        PendingPrune, get, is_true, mark,
        names::{
            APPLIED, DESTROYED, DRIFTED, PLAN_PENDING, READY, RECONCILING, SOURCE_READY, STALLED, reason,
        },
        short_revision,
    },
};

/// When, and of which generation of the object, a status speaks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// The object's generation.
    pub generation: i64,
    /// The time.
    pub now: Timestamp,
}

/// What a pass tries to deliver.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt<'a> {
    /// The source's revision.
    pub revision: &'a str,
    /// Digest of all inputs.
    pub inputs: &'a str,
    /// Digest of the spec.
    pub spec: &'a str,
}

/// How the objects of the releases are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Health {
    /// As they should be, or nobody wants to know.
    Good,
    /// Not yet; the sentence says what is waited for, and the time how long that may take.
    Waiting(String, Duration),
    /// They say that they don't work.
    Bad(String),
}

/// What helmfile has done.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Delivered {
    /// The releases that were installed, upgraded or removed.
    pub changed: Vec<String>,
    /// The releases that there are, as much of them as a status holds.
    pub inventory: Inventory,
    /// Why helmfile has to run again though nothing changes.
    pub refresh_reason: Option<String>,
    /// What has left the helmfile and waits for a yes.
    pub pending_prune: Option<PendingPrune>,
    /// How the objects are.
    pub health: Health,
}

/// A step of a pass.
#[derive(Debug, Clone)]
pub(crate) enum Turn<'a> {
    /// Nothing is done, as the spec says.
    Suspended {
        /// Whether the cluster has what the spec asks for, as far as is known.
        delivered: bool,
    },
    /// Nothing is done, as nothing has changed.
    UpToDate,
    /// Nothing is done yet, as the last try has just failed.
    BackingOff,
    /// Nothing is done yet, as something else has to be first.
    Blocked(Failure),
    /// The objects were looked at: how they are, unless only a few of them were, and what others have changed, unless nobody
    /// wants to know.
    Looked(Option<Health>, Option<Found>),
    /// Helmfile is about to run.
    Started(Attempt<'a>, Cause),
    /// Helmfile has done its work.
    Delivered(Attempt<'a>, Box<Delivered>),
    /// Something went wrong.
    Failed {
        /// What.
        failure: Failure,
        /// Whether only another spec can help.
        permanent: bool,
        /// Whether it is the source that could not be had.
        source: bool,
        /// What was tried, if a delivery had been started, and which releases had been changed by then.
        started: Option<(Attempt<'a>, Vec<String>)>,
    },
    /// The releases are being removed; the sentence says how far it is.
    Destroying(String),
    /// The releases are gone; the sentence says so.
    Destroyed(String),
}

/// The status after a step.
pub(crate) fn next(before: &HelmfileStatus, turn: &Turn<'_>, moment: Moment) -> HelmfileStatus {
    let mut status = before.clone();
    match turn {
        Turn::BackingOff => {}
        Turn::Suspended { delivered } => suspend(&mut status, *delivered, moment),
        Turn::UpToDate => {
            status.failures = 0;
            // Nobody asks for health, or it is good: when somebody asks again, the patience begins anew.
            status.unhealthy_since = None;
            say(&mut status, &Word::ready(&delivered_message(before)), &[source_ready(before)], moment);
        }
        Turn::Blocked(failure) => say(&mut status, &Word::wrong(failure), &[], moment),
        Turn::Looked(health, found) => {
            let mut aspects = vec![source_ready(before)];
            if let Some(found) = found {
                status.drift = found.after(before.drift.as_ref());
                aspects.push(drifted(status.drift.as_ref(), &found.unknown));
            }
            match health {
                Some(health) => {
                    status.failures = 0;
                    judge(&mut status, health, &aspects, moment);
                }
                None => touch(&mut status, &aspects, moment),
            }
        }
        Turn::Started(attempt, cause) => start(&mut status, *attempt, *cause, moment),
        Turn::Delivered(attempt, delivered) => deliver(&mut status, *attempt, delivered, moment),
        Turn::Failed { failure, permanent, source, started } => {
            let same = started.is_some() || before.observed_generation == moment.generation;
            status.failures = if same { before.failures.saturating_add(1) } else { 1 };
            let mut aspects = Vec::new();
            if let Some((attempt, changed)) = started {
                status.last_applied_inputs = None;
                status.last_applied_spec = None;
                record(&mut status, *attempt, Outcome::Failed, changed, moment);
                aspects.push(source_ready(&status));
                aspects.push((APPLIED, ConditionStatus::False, failure.reason, failure.message.clone()));
            }
            if *source {
                aspects.push((SOURCE_READY, ConditionStatus::False, failure.reason, failure.message.clone()));
            }
            let word = Word::wrong(failure);
            say(&mut status, &if *permanent { word.and(STALLED) } else { word }, &aspects, moment);
        }
        Turn::Destroying(message) => {
            let word = Word {
                holds: ConditionStatus::False,
                reason: reason::DESTROYING,
                message,
                abnormal: Some(RECONCILING),
            };
            say(&mut status, &word, &[], moment);
        }
        Turn::Destroyed(message) => {
            let gone = (DESTROYED, ConditionStatus::True, reason::DESTROYED, message.clone());
            let word =
                Word { holds: ConditionStatus::False, reason: reason::DESTROYED, message, abnormal: None };
            say(&mut status, &word, &[gone], moment);
        }
    }
    status
}

/// What Ready says, and whether an abnormal condition says it as well.
struct Word<'a> {
    holds: ConditionStatus,
    reason: &'a str,
    message: &'a str,
    abnormal: Option<&'static str>,
}

impl<'a> Word<'a> {
    const fn ready(message: &'a str) -> Self {
        Self { holds: ConditionStatus::True, reason: reason::SUCCEEDED, message, abnormal: None }
    }

    fn wrong(failure: &'a Failure) -> Self {
        Self {
            holds: ConditionStatus::False,
            reason: failure.reason,
            message: &failure.message,
            abnormal: None,
        }
    }

    fn and(self, abnormal: &'static str) -> Self {
        Self { abnormal: Some(abnormal), ..self }
    }
}

/// A condition beside Ready: type, status, reason, message.
type Aspect = (&'static str, ConditionStatus, &'static str, String);

/// Those that stay as they are until somebody says otherwise.
const LASTING: [&str; 5] = [SOURCE_READY, APPLIED, DRIFTED, PLAN_PENDING, DESTROYED];

/// Sets all conditions; what was said of an aspect before stays.
fn say(status: &mut HelmfileStatus, word: &Word<'_>, aspects: &[Aspect], moment: Moment) {
    status.observed_generation = moment.generation;
    set(status, word, aspects, moment);
}

fn set(status: &mut HelmfileStatus, word: &Word<'_>, aspects: &[Aspect], moment: Moment) {
    let mut all = vec![Condition::new(READY, word.holds, word.reason, word.message, moment.now)];
    all.extend(
        word.abnormal
            .map(|kind| Condition::new(kind, ConditionStatus::True, word.reason, word.message, moment.now)),
    );
    for kind in LASTING {
        let said = aspects.iter().find(|aspect| aspect.0 == kind);
        let said =
            said.map(|(kind, holds, reason, text)| Condition::new(kind, *holds, reason, text, moment.now));
        all.extend(said.or_else(|| get(&status.conditions, kind).cloned()));
    }
    status.conditions = mark(&status.conditions, moment.generation, all);
}

/// Sets conditions beside Ready, which stays as it is.
fn touch(status: &mut HelmfileStatus, aspects: &[Aspect], moment: Moment) {
    let mut all = status.conditions.clone();
    all.retain(|condition| aspects.iter().all(|aspect| aspect.0 != condition.kind_of));
    all.extend(
        aspects
            .iter()
            .map(|(kind, holds, reason, text)| Condition::new(kind, *holds, reason, text, moment.now)),
    );
    status.conditions = mark(&status.conditions, moment.generation, all);
}

/// What is said of drift.
fn drifted(drift: Option<&DriftStatus>, unknown: &[String]) -> Aspect {
    match (drift, unknown.first()) {
        (Some(drift), _) => {
            (DRIFTED, ConditionStatus::True, reason::DRIFT_DETECTED, super::words::drifted(drift))
        }
        (None, Some(why)) => {
            let text = format!("whether all objects are as their releases say can't be told: {why}");
            (DRIFTED, ConditionStatus::Unknown, reason::DRIFT_UNKNOWN, text)
        }
        (None, None) => {
            let text = "all objects are as their releases say".to_owned();
            (DRIFTED, ConditionStatus::False, reason::NO_DRIFT, text)
        }
    }
}

fn source_ready(status: &HelmfileStatus) -> Aspect {
    let revision = status.last_attempted_revision.as_deref().unwrap_or_default();
    (
        SOURCE_READY,
        ConditionStatus::True,
        reason::SUCCEEDED,
        format!("the source is at {}", short_revision(revision)),
    )
}

fn suspend(status: &mut HelmfileStatus, delivered: bool, moment: Moment) {
    let healthy = delivered && status.unhealthy_since.is_none();
    let message = match &status.last_applied_revision {
        Some(revision) if healthy => format!("suspended; the cluster has {}", short_revision(revision)),
        Some(revision) if delivered => {
            format!("suspended; the cluster has {}, which was not healthy", short_revision(revision))
        }
        Some(_) => "suspended; the cluster does not have what is asked for".to_owned(),
        None => "suspended before the first delivery".to_owned(),
    };
    let holds = if healthy { ConditionStatus::True } else { ConditionStatus::False };
    say(status, &Word { holds, reason: reason::SUSPENDED, message: &message, abnormal: None }, &[], moment);
}

fn start(status: &mut HelmfileStatus, attempt: Attempt<'_>, cause: Cause, moment: Moment) {
    status.last_attempted_revision = Some(attempt.revision.to_owned());
    status.last_attempted_inputs = Some(attempt.inputs.to_owned());
    status.last_attempt_time = Some(moment.now);
    if matches!(cause, Cause::First | Cause::NewRevision | Cause::NewSpec | Cause::NewInputs) {
        status.failures = 0;
    }
    // A look whether all is still as it was must not take the object's health away.
    if cause == Cause::Refresh {
        return;
    }
    status.last_applied_inputs = None;
    status.last_applied_spec = None;
    let aspects = [source_ready(status)];
    // Trying again is no news of health: Ready stays False, and says why, until it is better. So does Stalled.
    if cause == Cause::Retry
        && let Some(ready) =
            get(&status.conditions, READY).filter(|ready| ready.status == ConditionStatus::False).cloned()
    {
        let abnormal = if is_true(&status.conditions, STALLED) { STALLED } else { RECONCILING };
        let word = Word {
            holds: ready.status,
            reason: &ready.reason,
            message: &ready.message,
            abnormal: Some(abnormal),
        };
        return set(status, &word, &aspects, moment);
    }
    let message = format!("delivering {}: {cause}", short_revision(attempt.revision));
    let holds = ConditionStatus::Unknown;
    let word = Word { holds, reason: reason::PROGRESSING, message: &message, abnormal: Some(RECONCILING) };
    set(status, &word, &aspects, moment);
}

fn deliver(status: &mut HelmfileStatus, attempt: Attempt<'_>, delivered: &Delivered, moment: Moment) {
    status.failures = 0;
    if status.last_applied_revision.as_deref() != Some(attempt.revision) {
        status.revision_since = Some(moment.now);
    }
    status.last_applied_revision = Some(attempt.revision.to_owned());
    status.last_applied_inputs = Some(attempt.inputs.to_owned());
    status.last_applied_spec = Some(attempt.spec.to_owned());
    status.last_full_render = Some(moment.now);
    status.refresh_reason.clone_from(&delivered.refresh_reason);
    status.inventory = Some(delivered.inventory.clone());
    status.pending_prune.clone_from(&delivered.pending_prune);
    if !delivered.changed.is_empty() || status.last_applied_time.is_none() {
        status.last_applied_time = Some(moment.now);
    }
    record(status, attempt, Outcome::Succeeded, &delivered.changed, moment);
    let message = delivered_message(status);
    let mut aspects =
        vec![source_ready(status), (APPLIED, ConditionStatus::True, reason::SUCCEEDED, message)];
    match &delivered.pending_prune {
        Some(pending) => aspects.push((
            PLAN_PENDING,
            ConditionStatus::True,
            reason::PRUNE_NEEDS_APPROVAL,
            super::words::pending(pending),
        )),
        None => status.conditions.retain(|condition| condition.kind_of != PLAN_PENDING),
    }
    judge(status, &delivered.health, &aspects, moment);
}

/// Says how healthy what was delivered is.
fn judge(status: &mut HelmfileStatus, health: &Health, aspects: &[Aspect], moment: Moment) {
    match health {
        Health::Good => {
            status.unhealthy_since = None;
            let message = delivered_message(status);
            say(status, &Word::ready(&message), aspects, moment);
        }
        Health::Waiting(sentence, patience) => {
            let since = *status.unhealthy_since.get_or_insert(moment.now);
            if clock::since(moment.now, since) < *patience {
                let (holds, reason) = (ConditionStatus::Unknown, reason::WAITING_FOR_HEALTH);
                let word = Word { holds, reason, message: sentence, abnormal: Some(RECONCILING) };
                return say(status, &word, aspects, moment);
            }
            let message = format!("not healthy after {}: {sentence}", GoDuration(*patience));
            say(status, &unhealthy(&message), aspects, moment);
        }
        Health::Bad(sentence) => {
            status.unhealthy_since.get_or_insert(moment.now);
            say(status, &unhealthy(sentence), aspects, moment);
        }
    }
}

const fn unhealthy(message: &str) -> Word<'_> {
    Word { holds: ConditionStatus::False, reason: reason::HEALTH_CHECK_FAILED, message, abnormal: None }
}

/// How many deliveries are remembered.
const HISTORY: usize = 5;
/// How many releases one of them names.
const NAMED: usize = 20;

/// Remembers a delivery that changed something, or should have. A look that found nothing to do is none, nor is the same
/// failure once more.
fn record(
    status: &mut HelmfileStatus,
    attempt: Attempt<'_>,
    outcome: Outcome,
    changed: &[String],
    moment: Moment,
) {
    let at = status.last_attempt_time.unwrap_or(moment.now);
    let entry = HistoryEntry {
        revision: attempt.revision.to_owned(),
        inputs: attempt.inputs.to_owned(),
        at,
        duration: GoDuration(Duration::from_secs(clock::since(moment.now, at).as_secs())),
        outcome,
        changed: u32::try_from(changed.len()).unwrap_or(u32::MAX),
        releases: changed.iter().take(NAMED).cloned().collect(),
    };
    let same = status.history.first().is_some_and(|last| {
        (&last.revision, &last.inputs, last.outcome) == (&entry.revision, &entry.inputs, entry.outcome)
    });
    if changed.is_empty() && same {
        return;
    }
    status.history.insert(0, entry);
    status.history.truncate(HISTORY);
}
