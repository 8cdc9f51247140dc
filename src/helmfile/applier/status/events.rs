//! What people are told of a pass.

use super::words::drifted;
use crate::{
    contract::{Event, EventType},
    helmfile::api::{
        ConditionStatus, DriftStatus, HelmfileStatus, get,
        names::{READY, reason},
    },
};

/// The Events of a pass: one when Ready has changed, or something was delivered, or something new has failed; and one for each
/// object that somebody else has changed since.
pub(crate) fn events(before: &HelmfileStatus, after: &HelmfileStatus) -> Vec<Event> {
    let objects =
        |status: &'_ HelmfileStatus| status.drift.clone().map(|drift| drift.objects).unwrap_or_default();
    let known = objects(before);
    let new = objects(after).into_iter().filter(|new| known.iter().all(|old| old.object != new.object));
    let new = new.map(|object| Event {
        kind_of: EventType::Warning,
        reason: reason::DRIFT_DETECTED.to_owned(),
        message: drifted(&DriftStatus { count: 1, objects: vec![object] }),
    });
    of_ready(before, after).into_iter().chain(new).collect()
}

fn of_ready(before: &HelmfileStatus, after: &HelmfileStatus) -> Vec<Event> {
    let Some(ready) = get(&after.conditions, READY) else { return Vec::new() };
    let old = get(&before.conditions, READY);
    let same = old.is_some_and(|old| old.status == ready.status && old.reason == ready.reason)
        && before.last_applied_revision == after.last_applied_revision
        && before.last_applied_time == after.last_applied_time
        && before.last_attempted_revision == after.last_attempted_revision
        && (ready.status == ConditionStatus::True || before.observed_generation == after.observed_generation);
    if same || ready.status == ConditionStatus::Unknown {
        return Vec::new();
    }
    let normal = ready.status == ConditionStatus::True || ready.reason == reason::SUSPENDED;
    let kind_of = if normal { EventType::Normal } else { EventType::Warning };
    vec![Event { kind_of, reason: ready.reason.clone(), message: ready.message.clone() }]
}
