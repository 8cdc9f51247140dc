//! What a delivery depends on. Pure.

use serde_json::{Value, json};

use crate::{digest, helmfile::api::HelmfileSpec};

/// What says when and where helmfile runs, not what it makes.
const LEFT_OUT: [&str; 11] = [
    "interval",
    "refreshInterval",
    "timeout",
    "suspend",
    "image",
    "runner",
    "wait",
    "drift",
    "retry",
    "concurrency",
    "dependsOn",
];

/// Counts up when the meaning of a digest changes, so that a new program does not trust the digests of an old one.
const FORMAT: u32 = 2;

/// Everything that a delivery depends on, for a keyed digest: all of the spec that reaches helmfile, the source's content by
/// its revision, what the spec names elsewhere (`gathered`), and digests of further files (`extra`).
pub(crate) fn material(spec: &HelmfileSpec, revision: &str, extra: &[String], gathered: &Value) -> Value {
    let spec = what_is_delivered(spec);
    json!({"format": FORMAT, "spec": spec, "revision": revision, "extra": extra, "gathered": gathered})
}

/// Digest of the part of a spec that says what is delivered. Not keyed: it is for the object that has the spec.
pub(crate) fn spec_digest(spec: &HelmfileSpec) -> String {
    digest::of_json(&what_is_delivered(spec))
}

fn what_is_delivered(spec: &HelmfileSpec) -> Value {
    let mut spec = serde_json::to_value(spec).unwrap_or_default();
    if let Value::Object(fields) = &mut spec {
        for schedule in LEFT_OUT {
            fields.remove(schedule);
        }
    }
    spec
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(value: Value) -> HelmfileSpec {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn every_input_counts_and_nothing_else() {
        let base = json!({"source": "git::https://h/r@f", "values": {"a": 1, "b": 2}});
        let digest_of = |change: Value| {
            let mut all = base.clone();
            all.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            material(&spec(all), "main@sha1:1", &[], &json!({"a": 1}))
        };
        let before = digest_of(json!({}));
        for same in [
            json!({"interval": "5m"}),
            json!({"refreshInterval": "1h"}),
            json!({"timeout": "1h"}),
            json!({"suspend": true}),
            json!({"image": {"repository": "r", "tag": "v2"}}),
            json!({"values": {"b": 2, "a": 1}}),
            json!({"selector": []}),
            json!({"wait": false, "concurrency": 9, "dependsOn": [{"name": "x"}]}),
        ] {
            assert_eq!(digest_of(same.clone()), before, "{same}");
        }
        for other in [
            json!({"source": "git::https://h/other@f"}),
            json!({"version": "v1"}),
            json!({"file": "f"}),
            json!({"selector": ["a=b"]}),
            json!({"environment": "prod"}),
            json!({"values": {"a": 1, "b": "2"}}),
            json!({"valuesFiles": ["v.yaml"]}),
            json!({"envvars": {"A": "b"}}),
            json!({"serviceAccountName": "other"}),
            json!({"prune": true}),
            json!({"deletionPolicy": "Destroy"}),
        ] {
            assert_ne!(digest_of(other.clone()), before, "{other}");
        }
        let gathered = json!({"a": 1});
        assert_ne!(material(&spec(base.clone()), "main@sha1:2", &[], &gathered), before);
        assert_ne!(material(&spec(base.clone()), "main@sha1:1", &["x".into()], &gathered), before);
        assert_ne!(material(&spec(base), "main@sha1:1", &[], &json!({"a": 2})), before);
    }
}
