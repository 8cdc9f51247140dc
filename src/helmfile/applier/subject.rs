//! What a pass is about: a Helmfile, from the cluster or from the command line.

use std::path::PathBuf;

use serde_json::Value;

use crate::{
    digest,
    helmfile::api::{HelmfileSpec, HelmfileStatus, names},
    object,
};

/// A Helmfile to deliver.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Names its own folder in the cache; see [`key`].
    pub key: String,
    /// Its name.
    pub name: String,
    /// Its namespace; `None` for that of the kubeconfig.
    pub namespace: Option<String>,
    /// Its generation.
    pub generation: i64,
    /// What is asked for, or why that cannot be read.
    pub spec: Result<HelmfileSpec, String>,
    /// What is remembered.
    pub status: HelmfileStatus,
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
            generation: object::generation(object).unwrap_or_default(),
            spec: serde_json::from_value(spec).map_err(|error| error.to_string()),
            status,
            base,
            values_files: Vec::new(),
        }
    }
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
        assert_eq!(subject.spec.unwrap_err(), "`soon` is not a duration; write for example `1m30s`");
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
    fn keys_tell_objects_apart() {
        let key = |namespace: &str, name: &str| {
            Subject::of(&json!({"metadata": {"name": name, "namespace": namespace}}), "/".into()).key
        };
        assert_ne!(key("a", "b"), key("b", "a"));
        assert_eq!(key("a", "b").len(), 32);
    }
}
