//! Whether what somebody asked of a Helmfile is done. Pure.

use super::seen::Seen;
use crate::helmfile::api::{ConditionStatus, names};

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sought {
    /// That the request with this value has been handled, or one that somebody has put in its place.
    Request(String),
    /// That this generation has been handled.
    Generation(i64),
}

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Not done; what is going on.
    Waiting(String),
    /// Nothing more will come of it by itself.
    Done {
        /// Whether the cluster has what was asked for.
        ready: bool,
        /// What the object says of it.
        message: String,
    },
}

/// Looks at the object once more.
pub(super) fn step(seen: &Seen, sought: &Sought) -> Step {
    let failed = |message: &str| Step::Done { ready: false, message: message.to_owned() };
    if seen.deleting {
        return failed("it is being deleted");
    }
    if seen.suspended {
        return failed("it is suspended");
    }
    if let Some(under_way) = seen.condition(names::RECONCILING).filter(|_| seen.is_true(names::RECONCILING)) {
        return Step::Waiting(under_way.message.clone());
    }
    let handled = match sought {
        Sought::Request(value) => {
            let handled = seen.status.last_handled_reconcile_at.as_ref();
            handled.is_some_and(|handled| handled == value || seen.requested.as_ref() == Some(handled))
        }
        Sought::Generation(generation) => seen.status.observed_generation >= *generation,
    };
    let message = seen.message();
    if !handled {
        return Step::Waiting(format!("waiting for the operator; so far: {message}"));
    }
    let ready = seen.condition(names::READY).map(|ready| ready.status);
    match ready {
        // Somebody has changed the spec since; what comes of that is what counts.
        _ if seen.status.observed_generation != seen.generation => Step::Waiting(message),
        Some(ConditionStatus::True) => Step::Done { ready: true, message },
        Some(ConditionStatus::False) => Step::Done { ready: false, message },
        Some(ConditionStatus::Unknown) | None => Step::Waiting(message),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ASKED: &str = "2026-01-02T03:04:05Z";

    /// A Helmfile of generation 2 whose Ready has this status, with changes to the whole.
    fn looked_at(ready: &str, change: impl FnOnce(&mut Value)) -> Step {
        let condition = |kind: &str, status: &str, message: &str| json!({"type": kind, "status": status, "reason": "R", "message": message, "lastTransitionTime": ASKED});
        let mut object = json!({
            "metadata": {"name": "web", "generation": 2}, "spec": {},
            "status": {"observedGeneration": 2, "lastHandledReconcileAt": ASKED,
                       "conditions": [condition("Ready", ready, "told")]},
        });
        if ready == "Reconciling" {
            object["status"]["conditions"] =
                json!([condition("Ready", "False", "old"), condition("Reconciling", "True", "delivering")]);
        }
        change(&mut object);
        step(&Seen::of(&object), &Sought::Request(ASKED.to_owned()))
    }

    fn done(ready: bool, message: &str) -> Step {
        Step::Done { ready, message: message.to_owned() }
    }

    fn waiting(message: &str) -> Step {
        Step::Waiting(message.to_owned())
    }

    #[test]
    fn a_handled_request_is_done_when_ready_is_decided() {
        assert_eq!(looked_at("True", |_| {}), done(true, "told"));
        assert_eq!(looked_at("False", |_| {}), done(false, "told"));
        assert_eq!(looked_at("Unknown", |_| {}), waiting("told"));
        assert_eq!(looked_at("Reconciling", |_| {}), waiting("delivering"));
    }

    #[test]
    fn an_answer_to_another_question_does_not_count() {
        let unhandled = waiting("waiting for the operator; so far: told");
        assert_eq!(
            looked_at("True", |object| object["status"]["lastHandledReconcileAt"] = "old".into()),
            unhandled
        );
        let never = |object: &mut Value| object["status"] = json!({});
        assert_eq!(
            looked_at("True", never),
            waiting("waiting for the operator; so far: no operator has taken it up yet")
        );
        for observed in [1, -1] {
            let old = |object: &mut Value| object["status"]["observedGeneration"] = observed.into();
            assert_eq!(looked_at("True", old), waiting("told"), "{observed}");
        }
    }

    #[test]
    fn a_request_that_somebody_has_replaced_is_done_with_theirs() {
        let replaced = |handled: &str| {
            looked_at("True", |object| {
                object["metadata"]["annotations"] = json!({names::annotation::REQUESTED_AT: "theirs"});
                object["status"]["lastHandledReconcileAt"] = handled.into();
            })
        };
        assert_eq!(replaced("theirs"), done(true, "told"));
        assert_eq!(replaced(ASKED), done(true, "told"));
        assert_eq!(replaced("old"), waiting("waiting for the operator; so far: told"));
    }

    #[test]
    fn what_will_never_be_done_is_no_wait() {
        let deleting = |object: &mut Value| object["metadata"]["deletionTimestamp"] = ASKED.into();
        assert_eq!(looked_at("Reconciling", deleting), done(false, "it is being deleted"));
        let suspended = |object: &mut Value| object["spec"]["suspend"] = true.into();
        assert_eq!(looked_at("Unknown", suspended), done(false, "it is suspended"));
    }

    #[test]
    fn a_generation_is_handled_once_it_or_a_later_one_is_observed() {
        let look = |observed: i64, wanted: i64| {
            let object = json!({"metadata": {"name": "web", "generation": 3}, "status": {
                "observedGeneration": observed,
                "conditions": [{"type": "Ready", "status": "True", "reason": "R", "message": "m", "lastTransitionTime": ASKED}]}});
            step(&Seen::of(&object), &Sought::Generation(wanted))
        };
        assert_eq!(look(2, 3), waiting("waiting for the operator; so far: m"));
        assert_eq!(look(2, 2), waiting("m"), "there is a newer generation");
        assert_eq!(look(3, 2), done(true, "m"));
    }
}
