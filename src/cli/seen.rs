//! A Helmfile as people look at it. Pure.

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    helmfile::api::{Condition, ConditionStatus, HelmfileStatus, get, is_true, names},
    object,
};

/// Conditions that are bad news when they hold. Of all others it is bad news when they do not.
const BAD_NEWS: [&str; 5] =
    [names::RECONCILING, names::STALLED, names::DRIFTED, names::PLAN_PENDING, names::DESTROYED];
/// The condition by which the operator says whether the applier's pod runs; its template has the name.
const RUNNER_READY: &str = "RunnerReady";

/// What is read of a Helmfile.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Seen {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// `metadata.generation`.
    pub generation: i64,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// Whether it is on its way out.
    pub deleting: bool,
    /// `spec.suspend`.
    pub suspended: bool,
    /// The request for a pass, as its annotation has it.
    pub requested: Option<String>,
    /// Its status.
    pub status: HelmfileStatus,
}

impl Seen {
    /// Reads an object. A status that makes no sense to this version counts as one whose Ready is Unknown, and says so.
    pub(super) fn of(object: &Value) -> Self {
        let text = |path: &str| object.pointer(path).and_then(Value::as_str);
        let annotation = |name: &str| object.get("metadata")?.get("annotations")?.get(name)?.as_str();
        let status =
            object.get("status").cloned().unwrap_or_else(|| Value::Object(serde_json::Map::default()));
        Self {
            namespace: object::namespace(object).unwrap_or_default().to_owned(),
            name: object::name(object).to_owned(),
            generation: object::generation(object).unwrap_or_default(),
            created: text("/metadata/creationTimestamp").and_then(|time| time.parse().ok()),
            deleting: text("/metadata/deletionTimestamp").is_some(),
            suspended: object.pointer("/spec/suspend").and_then(Value::as_bool).unwrap_or_default(),
            requested: annotation(names::annotation::REQUESTED_AT).map(str::to_owned),
            status: serde_json::from_value(status).unwrap_or_else(|error| unreadable(&error)),
        }
    }

    /// A condition.
    pub(super) fn condition(&self, kind_of: &str) -> Option<&Condition> {
        get(&self.status.conditions, kind_of)
    }

    /// Whether a condition holds.
    pub(super) fn is_true(&self, kind_of: &str) -> bool {
        is_true(&self.status.conditions, kind_of)
    }

    /// One sentence: what was done last, what is wrong, or what it waits for.
    pub(super) fn message(&self) -> String {
        if let Some(ready) = self.condition(names::READY) {
            return ready.message.clone();
        }
        let runner = self.condition(RUNNER_READY).filter(|runner| runner.status != ConditionStatus::True);
        runner.map_or_else(|| "no operator has taken it up yet".to_owned(), |runner| runner.message.clone())
    }

    /// The conditions that are no good news, Ready first.
    pub(super) fn abnormal(&self) -> Vec<&Condition> {
        let is_bad = |condition: &&Condition| {
            let bad = if BAD_NEWS.contains(&condition.kind_of.as_str()) {
                ConditionStatus::False
            } else {
                ConditionStatus::True
            };
            condition.status != bad
        };
        let mut bad: Vec<&Condition> = self.status.conditions.iter().filter(is_bad).collect();
        bad.sort_by_key(|condition| condition.kind_of != names::READY);
        bad
    }
}

fn unreadable(error: &serde_json::Error) -> HelmfileStatus {
    let message = format!("this version of the program does not understand the status: {error}");
    let ready =
        Condition::new(names::READY, ConditionStatus::Unknown, "Unreadable", &message, Timestamp::UNIX_EPOCH);
    HelmfileStatus { conditions: vec![ready], ..HelmfileStatus::default() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(conditions: &[(&str, &str)]) -> Seen {
        let conditions: Vec<Value> = conditions
            .iter()
            .map(|(kind, status)| {
                json!({"type": kind, "status": status, "reason": "R", "message": format!("of {kind}"),
                       "lastTransitionTime": "2026-01-02T03:04:05Z"})
            })
            .collect();
        Seen::of(
            &json!({"metadata": {"name": "web", "namespace": "team"}, "status": {"conditions": conditions}}),
        )
    }

    #[test]
    fn bad_news_of_both_kinds_is_told_and_ready_first() {
        let kinds = |seen: &Seen| {
            seen.abnormal().iter().map(|condition| condition.kind_of.clone()).collect::<Vec<_>>()
        };
        let fine =
            with(&[("Ready", "True"), ("Applied", "True"), ("Drifted", "False"), ("RunnerReady", "True")]);
        assert_eq!(kinds(&fine), Vec::<String>::new());
        let bad = with(&[
            ("Stalled", "True"),
            ("RunnerReady", "False"),
            ("Ready", "False"),
            ("SourceReady", "True"),
            ("Drifted", "Unknown"),
        ]);
        assert_eq!(kinds(&bad), ["Ready", "Stalled", "RunnerReady", "Drifted"]);
    }

    #[test]
    fn what_it_waits_for_is_said_before_there_is_a_ready() {
        assert_eq!(with(&[]).message(), "no operator has taken it up yet");
        assert_eq!(with(&[("RunnerReady", "False")]).message(), "of RunnerReady");
        assert_eq!(with(&[("RunnerReady", "False"), ("Ready", "Unknown")]).message(), "of Ready");
    }

    #[test]
    fn a_status_of_another_version_is_unknown_and_says_so() {
        let object = json!({"metadata": {"name": "web"}, "status": {"history": "long"}});
        let seen = Seen::of(&object);
        assert_eq!(seen.condition("Ready").unwrap().status, ConditionStatus::Unknown);
        assert!(seen.message().contains("does not understand the status"), "{}", seen.message());
    }
}
