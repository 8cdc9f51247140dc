//! Differences between JSON values.

use serde_json::{Map, Value};

/// The JSON merge patch that turns `from` into `to`; `None` when they are equal.
///
/// Version and bookkeeping in `metadata` are left out: they are never an edit.
pub(super) fn merge_patch(from: &Value, to: &Value) -> Option<Value> {
    let mut patch = patch_of(from, to)?;
    if let Some(metadata) = patch.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in ["resourceVersion", "managedFields", "generation", "creationTimestamp", "uid"] {
            metadata.remove(field);
        }
    }
    let map = patch.as_object_mut()?;
    if map.get("metadata").and_then(Value::as_object).is_some_and(Map::is_empty) {
        map.remove("metadata");
    }
    (!map.is_empty()).then_some(patch)
}

fn patch_of(from: &Value, to: &Value) -> Option<Value> {
    match (from, to) {
        (Value::Object(before), Value::Object(after)) => {
            let removed =
                before.keys().filter(|key| !after.contains_key(*key)).map(|key| (key.clone(), Value::Null));
            let changed = after.iter().filter_map(|(key, value)| {
                let old = before.get(key).unwrap_or(&Value::Null);
                let patch = if before.contains_key(key) { patch_of(old, value)? } else { value.clone() };
                Some((key.clone(), patch))
            });
            let patch: Map<String, Value> = removed.chain(changed).collect();
            (!patch.is_empty()).then_some(Value::Object(patch))
        }
        _ if from == to => None,
        _ => Some(to.clone()),
    }
}

/// Takes `status` out of a patch where it is written apart. Returns both parts, each if there is anything in it.
pub(super) fn split_status(patch: Option<Value>, apart: bool) -> (Option<Value>, Option<Value>) {
    let Some(Value::Object(mut patch)) = patch else { return (None, None) };
    let status = if apart { patch.remove("status") } else { None };
    let main = (!patch.is_empty()).then_some(Value::Object(patch));
    (main, status.map(|status| serde_json::json!({ "status": status })))
}

/// Whether `whole` has everything that `part` has, with equal values; lists must be equal, but a list of maps with a
/// `type` each (conditions) may have more.
pub(super) fn covers(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(key, value)| whole.get(key).is_some_and(|found| covers(found, value)))
        }
        (Value::Array(whole), Value::Array(part)) => {
            whole == part
                || (!part.is_empty()
                    && part.iter().all(|item| {
                        item.get("type").is_some() && whole.iter().any(|found| covers(found, item))
                    }))
        }
        _ => whole == part,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_patch_holds_only_what_differs() {
        let from =
            json!({"metadata": {"name": "a", "resourceVersion": "1"}, "data": {"k": "1", "gone": "x"}});
        let to = json!({"metadata": {"name": "a"}, "data": {"k": "2", "new": {"b": null}}});
        assert_eq!(
            merge_patch(&from, &to),
            Some(json!({"data": {"gone": null, "k": "2", "new": {"b": null}}}))
        );
        assert_eq!(merge_patch(&from, &from), None);
    }

    #[test]
    fn status_goes_its_own_way_where_there_is_a_subresource() {
        let patch = Some(json!({"spec": {"a": 1}, "status": {"b": 2}}));
        assert_eq!(
            split_status(patch.clone(), true),
            (Some(json!({"spec": {"a": 1}})), Some(json!({"status": {"b": 2}})))
        );
        assert_eq!(split_status(patch.clone(), false), (patch, None));
    }

    #[test]
    fn conditions_of_others_do_not_matter() {
        let whole =
            json!({"conditions": [{"type": "A", "status": "True"}, {"type": "B", "status": "True"}], "x": 1});
        assert!(covers(&whole, &json!({"conditions": [{"type": "B", "status": "True"}]})));
        assert!(!covers(&whole, &json!({"conditions": [{"type": "B", "status": "False"}]})));
        assert!(!covers(&whole, &json!({"y": 1})));
    }
}
