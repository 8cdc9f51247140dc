//! What a pass is about: a Helmfile, from the cluster or from the command line.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize as _;
use serde_json::Value;

use crate::{
    contract::Trigger,
    digest,
    helmfile::api::{
        DeletionPolicy, HelmfileSpec, HelmfileStatus, Retry,
        names::{self, annotation},
    },
    object,
};

/// Where what is remembered of a delivery is kept, beside the status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Memory {
    /// Beside the object.
    Object {
        /// The object's UID.
        uid: String,
    },
    /// There is no object: a folder of this machine.
    Folder(PathBuf),
    /// There is no object: a ConfigMap.
    ConfigMap {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// There is no object, and nothing is remembered.
    Nothing,
}

/// A spec that is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Why.
    pub why: String,
    /// What it says all the same of the end.
    pub deletion_policy: DeletionPolicy,
}

impl Unreadable {
    fn new(spec: &Value, error: &serde_json::Error) -> Self {
        let policy = spec.get("deletionPolicy").cloned();
        let policy = policy.and_then(|policy| serde_json::from_value(policy).ok());
        Self { why: error.to_string(), deletion_policy: policy.unwrap_or_default() }
    }
}

/// A Helmfile to deliver.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Names its own folder in the cache; see [`key`].
    pub key: String,
    /// Its name.
    pub name: String,
    /// Its namespace; `None` for that of the kubeconfig.
    pub namespace: Option<String>,
    /// Where what is remembered is kept.
    pub memory: Memory,
    /// Its generation.
    pub generation: i64,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// What is asked for, or why that cannot be read.
    pub spec: Result<HelmfileSpec, Unreadable>,
    /// What is remembered.
    pub status: HelmfileStatus,
    /// Other objects whose changes are the reason for this pass.
    pub touched: Vec<Trigger>,
    /// The folder that sources without a scheme are relative to.
    pub base: PathBuf,
    /// Further files of values, laid over those of the spec.
    pub values_files: Vec<PathBuf>,
}

impl Subject {
    /// Reads an object as a handler is given it. A spec or status that cannot be read is no error here: the first has to
    /// be said in the status, and the second to be replaced.
    pub fn of(object: &Value, base: PathBuf) -> Self {
        let spec = object.get("spec").cloned().unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        let status = object.get("status").cloned().unwrap_or_default();
        let mut status: HelmfileStatus = serde_json::from_value(status).unwrap_or_default();
        // A reply is the complete status that we own: what is sent back belongs to us from then on.
        status.conditions.retain(|condition| names::CONDITIONS.contains(&condition.kind_of.as_str()));
        Self {
            key: key(&object::Key::of(object).to_string()),
            name: object::name(object).to_owned(),
            namespace: object::namespace(object).map(str::to_owned),
            memory: Memory::Object { uid: object::uid(object).unwrap_or_default().to_owned() },
            generation: object::generation(object).unwrap_or_default(),
            annotations: annotations(object),
            deleting: object.pointer("/metadata/deletionTimestamp").is_some_and(|at| !at.is_null()),
            spec: HelmfileSpec::deserialize(&spec).map_err(|error| Unreadable::new(&spec, &error)),
            status,
            touched: Vec::new(),
            base,
            values_files: Vec::new(),
        }
    }

    /// How failures are tried again; as nobody has chosen otherwise when the spec can't be read.
    pub(crate) fn retry(&self) -> Retry {
        self.spec.as_ref().map(|spec| spec.retry).unwrap_or_default()
    }

    /// What is to become of the releases; an edit while the object is being deleted counts.
    pub(crate) fn deletion_policy(&self) -> DeletionPolicy {
        match &self.spec {
            Ok(spec) => spec.deletion_policy,
            Err(unreadable) => unreadable.deletion_policy,
        }
    }

    /// An annotation with a value.
    pub(crate) fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The value of an annotation that nobody has acted upon yet: for `forceAt` and `resetAt` only together with a request
    /// of the same value, as Flux has it.
    pub(crate) fn wish(&self, name: &str) -> Option<&str> {
        let value = self.annotation(name)?;
        let handled = match name {
            annotation::FORCE_AT => &self.status.last_handled_force_at,
            annotation::RESET_AT => &self.status.last_handled_reset_at,
            _ => &self.status.last_handled_reconcile_at,
        };
        let requested = self.annotation(annotation::REQUESTED_AT) == Some(value);
        (requested && handled.as_deref() != Some(value)).then_some(value)
    }
}

fn annotations(object: &Value) -> BTreeMap<String, String> {
    let all = object.pointer("/metadata/annotations").and_then(Value::as_object);
    let text = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
    all.into_iter().flatten().filter_map(text).collect()
}

/// Makes a short name of a folder of anything that tells one delivery from others. Two deliveries with one key never run
/// beside each other on one machine, and share what they download.
pub fn key(identity: &str) -> String {
    digest::sha256_hex(identity.as_bytes()).chars().take(32).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_is_read_as_far_as_it_can_be() {
        let object = json!({
            "metadata": {"name": "web", "namespace": "shop", "generation": 3},
            "spec": {"source": "a", "interval": "soon"}, "status": {"observedGeneration": "odd"}
        });
        let subject = Subject::of(&object, "/base".into());
        assert_eq!(
            (subject.name.as_str(), subject.namespace.as_deref(), subject.generation),
            ("web", Some("shop"), 3)
        );
        assert_eq!(subject.spec.unwrap_err().why, "`soon` is not a duration; write for example `1m30s`");
        assert_eq!(subject.status, HelmfileStatus::default());
        let bare = Subject::of(&json!({"metadata": {"name": "web"}}), "/base".into());
        assert_eq!(bare.spec, Ok(HelmfileSpec::default()));
    }

    #[test]
    fn the_conditions_of_others_stay_theirs() {
        let condition = |kind_of: &str| json!({"type": kind_of, "status": "True", "reason": "R", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let status = json!({"conditions": [condition("RunnerReady"), condition("Ready")]});
        let subject = Subject::of(&json!({"metadata": {"name": "web"}, "status": status}), "/base".into());
        assert_eq!(subject.status.conditions.len(), 1);
        assert_eq!(subject.status.conditions[0].kind_of, "Ready");
    }

    #[test]
    fn wishes_are_heard_once() {
        let annotations =
            json!({annotation::REQUESTED_AT: "2", annotation::FORCE_AT: "2", annotation::RESET_AT: "1"});
        let of = |status: Value| {
            let object = json!({"metadata": {"name": "web", "annotations": annotations}, "status": status});
            let subject = Subject::of(&object, "/".into());
            [annotation::REQUESTED_AT, annotation::FORCE_AT, annotation::RESET_AT]
                .map(|name| subject.wish(name).is_some())
        };
        assert_eq!(of(json!({})), [true, true, false], "a reset of another time is none");
        assert_eq!(
            of(json!({"lastHandledReconcileAt": "1", "lastHandledForceAt": "1"})),
            [true, true, false]
        );
        assert_eq!(
            of(json!({"lastHandledReconcileAt": "2", "lastHandledForceAt": "2"})),
            [false, false, false]
        );
    }

    #[test]
    fn keys_tell_objects_apart() {
        let key = |namespace: &str, name: &str| {
            Subject::of(&json!({"metadata": {"name": name, "namespace": namespace}}), "/".into()).key
        };
        assert_ne!(key("a", "b"), key("b", "a"));
        assert_eq!(key("a", "b").len(), 32);
    }
}
