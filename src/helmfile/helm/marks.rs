//! The marks by which Helm knows its own objects.

use serde_json::{Map, Value, json};

/// Helm's name as a field manager.
pub const MANAGER: &str = "helm";

/// An object of a release as Helm applies it: in the namespace that it goes to, if its kind has one, and with Helm's marks.
/// `namespace` and `release` name the release.
#[must_use]
pub fn as_helm_applies_it(mut object: Value, namespace: &str, release: &str, goes_to: Option<&str>) -> Value {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return object };
    if let Some(goes_to) = goes_to {
        metadata.insert("namespace".into(), goes_to.into());
    }
    // No manager may say what managers have; charts made from live objects have it.
    metadata.remove("managedFields");
    let mut mark = |field: &str, key: &str, text: &str| {
        let marks = metadata.entry(field).or_insert_with(|| json!({}));
        if !marks.is_object() {
            *marks = Value::Object(Map::new());
        }
        if let Some(marks) = marks.as_object_mut() {
            marks.insert(key.to_owned(), text.into());
        }
    };
    mark("labels", "app.kubernetes.io/managed-by", "Helm");
    mark("annotations", "meta.helm.sh/release-name", release);
    mark("annotations", "meta.helm.sh/release-namespace", namespace);
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_applied_object_carries_helms_marks() {
        let object = json!({"kind": "A", "metadata": {"name": "a", "labels": {"x": "y"}, "annotations": null, "managedFields": []}});
        assert_eq!(
            as_helm_applies_it(object, "team", "web", Some("other")),
            json!({"kind": "A", "metadata": {
                "name": "a", "labels": {"x": "y", "app.kubernetes.io/managed-by": "Helm"}, "namespace": "other",
                "annotations": {"meta.helm.sh/release-name": "web", "meta.helm.sh/release-namespace": "team"}}})
        );
    }
}
