//! Tells a change of what people write from a change of status (RULES 25).

use kube::api::ObjectMeta;
use serde_json::Value;

use crate::digest;

/// What changes when somebody changes an object, and stays when only its status moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    generation: Option<i64>,
    /// Labels, annotations, finalizers, owners, deletion.
    metadata: String,
    /// For kinds without a generation (ConfigMap, Secret, Service, …): who wrote which fields when, status aside.
    fields: Option<String>,
    /// The newest time in `fields`, in seconds.
    newest: Option<i64>,
}

impl Fingerprint {
    /// Reads the metadata of an object, `managedFields` included.
    pub fn of(meta: &ObjectMeta) -> Self {
        let metadata = serde_json::json!([
            meta.labels,
            meta.annotations,
            meta.finalizers,
            meta.owner_references,
            meta.deletion_timestamp,
        ]);
        let writes = meta
            .managed_fields
            .iter()
            .flatten()
            .filter(|entry| entry.subresource.as_deref() != Some("status"));
        let (fields, newest) = if meta.generation.is_some() {
            (None, None)
        } else {
            let newest = writes.clone().filter_map(|entry| Some(entry.time.as_ref()?.0.as_second())).max();
            let fields: Vec<Value> = writes.map(|entry| serde_json::json!(entry)).collect();
            (Some(digest::of_json(&Value::Array(fields))), newest)
        };
        Self { generation: meta.generation, metadata: digest::of_json(&metadata), fields, newest }
    }

    /// Whether an event with this fingerprint after one with `before` counts as a change of more than status.
    ///
    /// The times in `managedFields` have a grain of one second, so two edits by one manager in one second look alike:
    /// within two seconds of the newest entry, `now` in seconds, every event counts.
    pub fn differs(&self, before: &Self, now: i64) -> bool {
        self != before || self.newest.is_some_and(|newest| (now - newest).abs() <= 2)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn print(meta: Value) -> Fingerprint {
        Fingerprint::of(&serde_json::from_value(meta).unwrap())
    }

    fn write(manager: &str, time: &str, subresource: Option<&str>) -> Value {
        json!({"manager": manager, "operation": "Update", "apiVersion": "v1", "time": time, "subresource": subresource,
               "fieldsType": "FieldsV1", "fieldsV1": {}})
    }

    const LATER: i64 = i64::MAX / 2;

    #[test]
    fn with_a_generation_only_that_and_the_metadata_count() {
        let base = print(json!({"generation": 1, "resourceVersion": "1"}));
        assert!(!print(json!({"generation": 1, "resourceVersion": "2"})).differs(&base, LATER));
        assert!(print(json!({"generation": 2})).differs(&base, LATER));
        assert!(print(json!({"generation": 1, "labels": {"a": "b"}})).differs(&base, LATER));
        assert!(
            print(json!({"generation": 1, "deletionTimestamp": "2026-01-01T00:00:00Z"}))
                .differs(&base, LATER)
        );
    }

    #[test]
    fn without_a_generation_writes_count_but_those_of_status() {
        let base = print(json!({"managedFields": [write("a", "2026-01-01T00:00:00Z", None)]}));
        let status = json!({"managedFields": [write("a", "2026-01-01T00:00:00Z", None), write("b", "2026-01-01T00:00:09Z", Some("status"))]});
        assert!(!print(status).differs(&base, LATER));
        assert!(
            print(json!({"managedFields": [write("a", "2026-01-01T00:00:01Z", None)]})).differs(&base, LATER)
        );
    }

    #[test]
    fn two_edits_in_one_second_look_alike_so_fresh_events_always_count() {
        let base = print(json!({"managedFields": [write("a", "2026-01-01T00:00:00Z", None)]}));
        let second: jiff::Timestamp = "2026-01-01T00:00:01Z".parse().unwrap();
        assert!(base.clone().differs(&base, second.as_second()));
        assert!(!base.clone().differs(&base, second.as_second() + 60));
    }
}
