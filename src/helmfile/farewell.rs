//! What becomes of a Helmfile that is being deleted, where the operator runs an applier for it: what is waited for, and when
//! the applier goes. Pure; the applier itself destroys the releases and reports that.

use serde_json::{Value, json};

use super::api::{Condition, ConditionStatus, DeletionPolicy, Inventory, names};
use crate::{
    contract::{Event, EventType, State},
    object,
};

/// The reason of the Event that says what was left.
const GIVEN_UP: &str = "DestroyGivenUp";
/// How long until another look at an applier that is being removed. Its end is an event, but not that of our own removal.
const SOON: &str = "1s";
/// The key of namespaces among the references.
const NAMESPACES: &str = "namespace.v1";

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Farewell {
    /// The applier is kept: it has releases to destroy.
    Keep,
    /// The applier is removed, and the object waits for that.
    Dismiss,
    /// Nothing holds the object any more. What is left of the applier is removed, without waiting.
    LetGo {
        /// What people must know of.
        warning: Option<Event>,
    },
}

impl Farewell {
    /// Decides for an object that is being deleted. `dependents` are what runs its applier; its namespace is among the
    /// `references`.
    pub fn decide(state: &State) -> Self {
        let object = &state.object;
        let asked = annotation(object, names::annotation::GIVE_UP) == Some("true");
        let cause = if asked {
            Some(format!("the annotation {} says so", names::annotation::GIVE_UP))
        } else if is_namespace_going(state) {
            Some("the namespace is being deleted, and nothing can run in it any more".to_owned())
        } else {
            None
        };
        let is_clear = state.dependents.values().all(Vec::is_empty);
        match (destroys(object) && !is_destroyed(object), cause) {
            (true, None) => Self::Keep,
            (true, Some(cause)) => Self::LetGo { warning: Some(warning(object, &cause)) },
            (false, _) if asked || is_clear => Self::LetGo { warning: None },
            (false, _) => Self::Dismiss,
        }
    }

    /// The reply of the handler contract; nothing for [`Farewell::Keep`], where it is the applier's template that answers.
    pub fn reply(&self, state: &State) -> Option<Value> {
        let nothing: Value = state.dependents.keys().map(|kind| (kind.clone(), json!([]))).collect();
        match self {
            Self::Keep => None,
            Self::Dismiss => Some(json!({"dependents": nothing, "requeueAfter": SOON})),
            Self::LetGo { warning } => {
                Some(json!({"dependents": nothing, "events": warning.iter().collect::<Vec<_>>()}))
            }
        }
    }
}

fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.pointer("/metadata/annotations")?.get(name)?.as_str()
}

fn is_namespace_going(state: &State) -> bool {
    state.references.get(NAMESPACES).into_iter().flatten().any(object::is_terminating)
}

/// The policy of the moment: an edit while the object waits counts.
fn destroys(object: &Value) -> bool {
    let policy = object.pointer("/spec/deletionPolicy").cloned();
    policy.and_then(|policy| serde_json::from_value(policy).ok()) == Some(DeletionPolicy::Destroy)
}

/// Whether the applier has reported it for the object as it is. The deletion itself is a new generation, so that what a
/// status says from before, or from another cluster, does not count.
fn is_destroyed(object: &Value) -> bool {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    let conditions = conditions.into_iter().flatten();
    // Others may keep conditions of other shapes on the object.
    conditions.filter_map(|condition| serde_json::from_value::<Condition>(condition.clone()).ok()).any(
        |condition| {
            condition.kind_of == names::DESTROYED
                && condition.status == ConditionStatus::True
                && object::generation(object) == Some(condition.observed_generation)
        },
    )
}

fn warning(object: &Value, cause: &str) -> Event {
    let inventory = object.pointer("/status/inventory").cloned();
    let inventory: Option<Inventory> = inventory.and_then(|value| serde_json::from_value(value).ok());
    let left = Inventory::left(inventory.as_ref());
    let message = format!("the releases were not destroyed, as {cause}; {left}");
    Event { kind_of: EventType::Warning, reason: GIVEN_UP.to_owned(), message }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The state of an object of generation 2 that is being deleted.
    fn state(
        spec: &Value,
        status: &Value,
        given_up: bool,
        is_namespace_going: bool,
        appliers: usize,
    ) -> State {
        let mut namespace = json!({"metadata": {"name": "n"}});
        if is_namespace_going {
            namespace["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        }
        let annotations = if given_up { json!({names::annotation::GIVE_UP: "true"}) } else { json!({}) };
        let metadata = json!({"name": "h", "generation": 2, "annotations": annotations});
        State {
            object: json!({"metadata": metadata, "spec": spec, "status": status}),
            dependents: [("deployment.v1.apps".to_owned(), vec![json!({}); appliers])].into(),
            references: [(NAMESPACES.to_owned(), vec![namespace])].into(),
            ..State::default()
        }
    }

    fn reported(kind: &str, status: &str, generation: i64) -> Value {
        let condition = json!({"type": kind, "status": status, "observedGeneration": generation, "reason": "R",
                               "lastTransitionTime": "2026-01-01T00:00:00Z"});
        json!({"conditions": [{"type": "Odd"}, condition], "inventory": {"count": 1, "releases": [{"namespace": "n", "name": "r"}]}})
    }

    fn in_a_word(farewell: &Farewell) -> &'static str {
        match farewell {
            Farewell::Keep => "keep",
            Farewell::Dismiss => "dismiss",
            Farewell::LetGo { warning: None } => "let go",
            Farewell::LetGo { warning: Some(_) } => "give up",
        }
    }

    #[test]
    fn every_case() {
        let (orphan, destroy) = (json!({}), json!({"deletionPolicy": "Destroy"}));
        let explicit = json!({"deletionPolicy": "Orphan"});
        let none = json!({});
        let done = reported("Destroyed", "True", 2);
        for (spec, status, given_up, going, appliers, expected) in [
            (&orphan, &none, false, false, 1, "dismiss"),
            (&explicit, &none, false, false, 1, "dismiss"),
            (&orphan, &none, false, false, 0, "let go"),
            (&orphan, &none, true, false, 1, "let go"),
            (&orphan, &none, false, true, 1, "dismiss"),
            (&destroy, &none, false, false, 1, "keep"),
            (&destroy, &none, false, false, 0, "keep"),
            (&destroy, &done, false, false, 1, "dismiss"),
            (&destroy, &done, false, false, 0, "let go"),
            (&destroy, &done, true, false, 1, "let go"),
            (&destroy, &reported("Destroyed", "False", 2), false, false, 1, "keep"),
            (&destroy, &reported("Ready", "True", 2), false, false, 1, "keep"),
            // Of another deletion, or of the spec before an edit.
            (&destroy, &reported("Destroyed", "True", 1), false, false, 1, "keep"),
            (&destroy, &reported("Destroyed", "True", 3), false, false, 1, "keep"),
            (&destroy, &none, true, false, 1, "give up"),
            (&destroy, &none, false, true, 1, "give up"),
            (&destroy, &none, false, true, 0, "give up"),
        ] {
            let state = state(spec, status, given_up, going, appliers);
            let farewell = Farewell::decide(&state);
            assert_eq!(in_a_word(&farewell), expected, "{spec} {status} {given_up} {going} {appliers}");
        }
    }

    #[test]
    fn replies_remove_what_runs_the_applier_and_only_a_removal_is_waited_for() {
        let state = state(&json!({}), &json!({}), false, false, 1);
        let nothing = json!({"deployment.v1.apps": []});
        assert_eq!(Farewell::Keep.reply(&state), None);
        let dismissed = json!({"dependents": nothing, "requeueAfter": "1s"});
        assert_eq!(Farewell::Dismiss.reply(&state), Some(dismissed));
        let gone = json!({"dependents": nothing, "events": []});
        assert_eq!(Farewell::LetGo { warning: None }.reply(&state), Some(gone));
    }

    #[test]
    fn the_warning_names_what_was_left_and_is_no_longer_than_an_event() {
        let text = |status: &Value| {
            let state = state(&json!({"deletionPolicy": "Destroy"}), status, true, false, 1);
            match Farewell::decide(&state) {
                Farewell::LetGo { warning: Some(event) } => event.message,
                other => panic!("{other:?}"),
            }
        };
        let one = reported("Destroyed", "False", 2);
        assert_eq!(
            text(&one),
            "the releases were not destroyed, as the annotation apps.mumoshu.github.io/give-up-destroy says so; left: n/r"
        );
        assert!(text(&json!({})).ends_with("; the status names none"));
        let releases: Vec<Value> = (0..30)
            .map(|number| json!({"namespace": "n".repeat(63), "name": format!("{number:053}")}))
            .collect();
        let many = text(&json!({"inventory": {"count": 250, "releases": releases}}));
        assert!(many.len() < 1024 && many.ends_with(" and 245 more"), "{many}");
    }
}
