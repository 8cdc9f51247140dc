//! Conditions, as kstatus and Flux read them: `kubectl wait`, Argo CD and dashboards then understand a Helmfile.
//!
//! `Ready` is always there. `Reconciling` and `Stalled` say that something is abnormal, are there only while True, and
//! `Ready` repeats their reason and message.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{HelmfileStatus, names};

/// One aspect of an object's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Which aspect.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 316))]
    pub kind_of: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// The `metadata.generation` that this speaks of.
    #[serde(default)]
    pub observed_generation: i64,
    /// When `status` changed last.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub last_transition_time: Timestamp,
    /// One word in camel case, for programs.
    #[schemars(length(min = 1, max = 1024))]
    pub reason: String,
    /// One sentence, for people.
    #[serde(default)]
    #[schemars(length(max = 32768))]
    pub message: String,
}

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// Yes.
    True,
    /// No.
    False,
    /// It cannot be told, or not yet.
    Unknown,
}

impl Condition {
    /// A condition that starts to hold, or not to hold, now.
    pub fn new(kind_of: &str, status: ConditionStatus, reason: &str, message: &str, now: Timestamp) -> Self {
        Self {
            kind_of: kind_of.to_owned(),
            status,
            observed_generation: -1,
            last_transition_time: now,
            reason: reason.to_owned(),
            message: message.to_owned(),
        }
    }
}

/// The condition of a type.
pub fn get<'a>(conditions: &'a [Condition], kind_of: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.kind_of == kind_of)
}

/// Whether there is a condition of this type that holds.
pub fn is_true(conditions: &[Condition], kind_of: &str) -> bool {
    get(conditions, kind_of).is_some_and(|condition| condition.status == ConditionStatus::True)
}

/// Replaces all conditions by `next`, of generation `generation`. The time of the last transition stays where the status
/// of a condition stays.
pub fn mark(
    before: &[Condition],
    generation: i64,
    next: impl IntoIterator<Item = Condition>,
) -> Vec<Condition> {
    let settle = |mut condition: Condition| {
        if let Some(old) = get(before, &condition.kind_of).filter(|old| old.status == condition.status) {
            condition.last_transition_time = old.last_transition_time;
        }
        condition.observed_generation = generation;
        condition
    };
    next.into_iter().map(settle).collect()
}

/// Which of the rules that Flux checks its own objects with a status breaks: FAIL0001 to FAIL0011 of its condition
/// checker, and its warnings. `generation` is the object's.
pub fn check(status: &HelmfileStatus, generation: i64) -> Vec<&'static str> {
    let conditions = &status.conditions;
    let ready = get(conditions, names::READY);
    let ready_is = |wanted: ConditionStatus| ready.is_some_and(|ready| ready.status == wanted);
    let reconciling = is_true(conditions, names::RECONCILING);
    let stalled = is_true(conditions, names::STALLED);
    let current = ready_is(ConditionStatus::True);
    let negative =
        || conditions.iter().filter(|condition| names::ABNORMAL.contains(&condition.kind_of.as_str()));
    let mirrored = negative().all(|abnormal| {
        ready.is_some_and(|ready| (&ready.reason, &ready.message) == (&abnormal.reason, &abnormal.message))
    });
    let rules = [
        (current && (reconciling || stalled), "FAIL0001: Ready is True while Reconciling or Stalled is"),
        (ready.is_none(), "FAIL0002: Ready is missing"),
        (reconciling && current, "FAIL0003: Ready is True while Reconciling is"),
        (stalled && !ready_is(ConditionStatus::False), "FAIL0004: Ready is not False though Stalled is True"),
        (negative().count() > 1, "FAIL0005: Reconciling and Stalled are both there"),
        (status.observed_generation > generation, "FAIL0006: observedGeneration is from the future"),
        (
            current && status.observed_generation < generation,
            "FAIL0007: Ready is True for an older generation",
        ),
        (
            current && conditions.iter().any(|condition| condition.observed_generation < generation),
            "FAIL0008: Ready is True beside a condition of an older generation",
        ),
        (
            current && conditions.iter().any(|other| other.observed_generation != status.observed_generation),
            "FAIL0009: a condition's observedGeneration differs from the status's while Ready is True",
        ),
        (
            ready_is(ConditionStatus::Unknown) && !reconciling,
            "FAIL0011: Ready is Unknown though nothing is under way",
        ),
        (!mirrored, "WARN0002: Ready does not repeat the reason and message of the abnormal condition"),
        (
            negative().any(|abnormal| abnormal.status != ConditionStatus::True),
            "WARN0003: an abnormal condition is there but not True",
        ),
        (
            ready.is_some() && conditions.iter().any(|condition| condition.observed_generation < 0),
            "WARN0005: a condition has no observedGeneration",
        ),
    ];
    rules.into_iter().filter_map(|(broken, rule)| broken.then_some(rule)).collect()
}

#[cfg(test)]
mod tests {
    use super::{ConditionStatus::*, *};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn status(observed: i64, conditions: Vec<Condition>) -> HelmfileStatus {
        HelmfileStatus { observed_generation: observed, conditions, ..HelmfileStatus::default() }
    }

    fn condition(kind_of: &str, status: ConditionStatus) -> Condition {
        Condition::new(kind_of, status, "Reason", "message", at(1))
    }

    #[test]
    fn the_transition_time_moves_with_the_status_only() {
        let first = mark(&[], 1, [condition("Ready", True)]);
        let again = mark(&first, 2, [Condition::new("Ready", True, "Other", "more", at(5))]);
        assert_eq!(again[0].last_transition_time, at(1));
        assert_eq!((again[0].reason.as_str(), again[0].observed_generation), ("Other", 2));
        let fell = mark(&again, 2, [Condition::new("Ready", False, "Broken", "m", at(9))]);
        assert_eq!(fell[0].last_transition_time, at(9));
    }

    #[test]
    fn each_rule_can_break() {
        let case = |observed: i64, generation: i64, list: &[(&str, ConditionStatus)]| {
            let conditions =
                mark(&[], generation, list.iter().map(|(kind, status)| condition(kind, *status)));
            check(&status(observed, conditions), generation)
                .iter()
                .map(|rule| rule.split(':').next().unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(case(2, 2, &[("Ready", True)]), [""; 0]);
        assert_eq!(case(1, 2, &[("Ready", Unknown), ("Reconciling", True)]), [""; 0]);
        assert_eq!(case(2, 2, &[("Ready", False), ("Stalled", True)]), [""; 0]);
        assert_eq!(case(2, 2, &[("Ready", True), ("Reconciling", True)]), ["FAIL0001", "FAIL0003"]);
        assert_eq!(case(2, 2, &[]), ["FAIL0002"]);
        assert_eq!(case(2, 2, &[("Ready", Unknown), ("Stalled", True)]), ["FAIL0004", "FAIL0011"]);
        assert_eq!(case(2, 2, &[("Ready", False), ("Stalled", True), ("Reconciling", True)]), ["FAIL0005"]);
        assert_eq!(case(3, 2, &[("Ready", False)]), ["FAIL0006"]);
        assert_eq!(case(1, 2, &[("Ready", True)]), ["FAIL0007", "FAIL0009"]);
        assert_eq!(case(2, 2, &[("Ready", Unknown)]), ["FAIL0011"]);
        assert_eq!(case(2, 2, &[("Ready", False), ("Stalled", False)]), ["WARN0003"]);
        let old = mark(&[], 1, [condition("Ready", True)]);
        assert_eq!(
            check(&status(2, old), 2),
            [
                "FAIL0008: Ready is True beside a condition of an older generation",
                "FAIL0009: a condition's observedGeneration differs from the status's while Ready is True"
            ]
        );
        let silent =
            mark(&[], 1, [condition("Stalled", True), Condition::new("Ready", False, "Other", "m", at(1))]);
        assert_eq!(
            check(&status(1, silent), 1),
            ["WARN0002: Ready does not repeat the reason and message of the abnormal condition"]
        );
        assert_eq!(
            check(&status(1, vec![condition("Ready", False)]), 1),
            ["WARN0005: a condition has no observedGeneration"]
        );
    }
}
