//! The status after a step of a pass: a pure function of the status before.

use jiff::Timestamp;

use super::super::{decide::Cause, outcome::Failure};
use crate::helmfile::api::{
    Condition, ConditionStatus, HelmfileStatus, Inventory, get, is_true, mark,
    names::{READY, RECONCILING, STALLED, reason},
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
    /// Helmfile is about to run.
    Started(Attempt<'a>, Cause),
    /// Helmfile has done its work.
    Delivered {
        /// What was tried.
        attempt: Attempt<'a>,
        /// Whether something was installed, upgraded or removed.
        changed: bool,
        /// The releases.
        inventory: Inventory,
    },
    /// Something went wrong.
    Failed {
        /// What.
        failure: Failure,
        /// Whether only another spec can help.
        permanent: bool,
        /// Whether a delivery had been started.
        started: bool,
    },
}

/// The status after a step.
pub(crate) fn next(before: &HelmfileStatus, turn: &Turn<'_>, moment: Moment) -> HelmfileStatus {
    let mut status = before.clone();
    match turn {
        Turn::BackingOff => return status,
        Turn::Suspended { delivered } => suspend(&mut status, *delivered, moment),
        Turn::UpToDate => {
            status.failures = 0;
            settle(&mut status, true, reason::SUCCEEDED, &delivered_message(before), moment);
        }
        Turn::Started(attempt, cause) => start(&mut status, *attempt, *cause, moment),
        Turn::Delivered { attempt, changed, inventory } => {
            status.failures = 0;
            status.last_applied_revision = Some(attempt.revision.to_owned());
            status.last_applied_inputs = Some(attempt.inputs.to_owned());
            status.last_full_render = Some(moment.now);
            if *changed {
                status.last_applied_time = Some(moment.now);
            }
            status.inventory = Some(inventory.clone());
            let message = delivered_message(&status);
            settle(&mut status, true, reason::SUCCEEDED, &message, moment);
        }
        Turn::Failed { failure, permanent, started } => {
            let same = *started || before.observed_generation == moment.generation;
            status.failures = if same { before.failures.saturating_add(1) } else { 1 };
            if *started {
                status.last_applied_inputs = None;
            }
            settle(&mut status, false, failure.reason, &failure.message, moment);
            if *permanent {
                add(&mut status, STALLED, before, moment);
            }
        }
    }
    status
}

fn suspend(status: &mut HelmfileStatus, delivered: bool, moment: Moment) {
    let healthy = is_true(&status.conditions, READY) && delivered;
    let message = match &status.last_applied_revision {
        Some(revision) if healthy => format!("suspended; the cluster has {}", short(revision)),
        Some(_) => "suspended; the cluster does not have what is asked for".to_owned(),
        None => "suspended before the first delivery".to_owned(),
    };
    settle(status, healthy, reason::SUSPENDED, &message, moment);
}

fn start(status: &mut HelmfileStatus, attempt: Attempt<'_>, cause: Cause, moment: Moment) {
    let before = status.clone();
    status.last_attempted_revision = Some(attempt.revision.to_owned());
    status.last_attempt_time = Some(moment.now);
    if matches!(cause, Cause::First | Cause::NewRevision | Cause::NewSpec) {
        status.failures = 0;
    }
    // A look whether all is still as it was must not take the object's health away.
    if cause == Cause::Refresh {
        return;
    }
    status.last_applied_inputs = None;
    // Trying again is no news of health: Ready stays False, and says why, until it is better.
    if cause == Cause::Retry
        && let Some(ready) =
            get(&before.conditions, READY).filter(|ready| ready.status == ConditionStatus::False)
    {
        status.conditions = mark(&before.conditions, moment.generation, [ready.clone()]);
        add(status, RECONCILING, &before, moment);
        return;
    }
    let message = format!("delivering {}: {cause}", short(attempt.revision));
    let unknown = Condition::new(READY, ConditionStatus::Unknown, reason::PROGRESSING, &message, moment.now);
    status.conditions = mark(&before.conditions, moment.generation, [unknown]);
    add(status, RECONCILING, &before, moment);
}

/// Ends a pass: Ready says how, and nothing else is left.
fn settle(status: &mut HelmfileStatus, ready: bool, reason: &str, message: &str, moment: Moment) {
    let holds = if ready { ConditionStatus::True } else { ConditionStatus::False };
    status.observed_generation = moment.generation;
    let next = Condition::new(READY, holds, reason, message, moment.now);
    status.conditions = mark(&status.conditions, moment.generation, [next]);
}

/// Adds an abnormal condition with the words of Ready.
fn add(status: &mut HelmfileStatus, kind_of: &str, before: &HelmfileStatus, moment: Moment) {
    let Some(ready) = get(&status.conditions, READY) else { return };
    let abnormal = Condition::new(kind_of, ConditionStatus::True, &ready.reason, &ready.message, moment.now);
    let marked = mark(&before.conditions, moment.generation, [abnormal]);
    status.conditions.extend(marked);
}

fn delivered_message(status: &HelmfileStatus) -> String {
    let revision = status.last_applied_revision.as_deref().unwrap_or_default();
    let releases = match status.inventory.as_ref().map_or(0, |inventory| inventory.count) {
        0 => "no releases".to_owned(),
        1 => "1 release".to_owned(),
        several => format!("{several} releases"),
    };
    format!("applied {}: {releases}", short(revision))
}

/// A revision with as much of its digest as people compare.
pub(crate) fn short(revision: &str) -> String {
    match revision.rsplit_once(':') {
        Some((name, digest)) => format!("{name}:{}", digest.chars().take(12).collect::<String>()),
        None => revision.to_owned(),
    }
}
