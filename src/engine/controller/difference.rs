//! Differences between JSON values.

use serde_json::{Map, Value};

use super::breaker::Change;
use crate::{digest, object::ObjectRef};

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

/// The fields that differ between an object before and after a write, for the breaker: a few are enough.
pub(super) fn changed_fields(name: &ObjectRef, before: &Value, after: &Value) -> Vec<Change> {
    const FEW: usize = 8;
    let mut changes = Vec::new();
    collect(before, after, &mut Vec::new(), &mut |path, value| {
        if changes.len() < FEW {
            let field = format!("{} of {name}", path.join("."));
            changes.push(Change { field, value: digest::of_json(value) });
        }
    });
    changes
}

fn collect<'v>(
    before: &'v Value,
    after: &'v Value,
    path: &mut Vec<&'v str>,
    found: &mut impl FnMut(&[&str], &Value),
) {
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            let keys = old.keys().chain(new.keys().filter(|key| !old.contains_key(*key)));
            for key in keys.filter(|key| !BOOKKEEPING.contains(&key.as_str())) {
                let (old, new) = (old.get(key).unwrap_or(&Value::Null), new.get(key).unwrap_or(&Value::Null));
                path.push(key);
                collect(old, new, path, found);
                path.pop();
            }
        }
        _ if before == after => {}
        _ => found(path, after),
    }
}

/// What the API server keeps by itself.
const BOOKKEEPING: [&str; 4] = ["resourceVersion", "generation", "managedFields", "selfLink"];

/// Whether all that differs between an object before and after a write is what the write said.
///
/// If so, the version after it is ours. If not, somebody else has written in between, or the API server filled something
/// in; then its event counts. A write that changed nothing returns the version of somebody else.
pub(super) fn is_explained(before: &Value, after: &Value, written: &Value) -> bool {
    explains(written, before, after, false)
}

/// A status is said as a whole: what is not said any more was ours, and has gone because of that.
fn explains(said: &Value, before: &Value, after: &Value, in_status: bool) -> bool {
    match (before, after, said) {
        (Value::Object(old), Value::Object(new), Value::Object(said)) => {
            let keys = old.keys().chain(new.keys().filter(|key| !old.contains_key(*key)));
            keys.filter(|key| !BOOKKEEPING.contains(&key.as_str())).all(|key| {
                let (old, new) = (old.get(key).unwrap_or(&Value::Null), new.get(key).unwrap_or(&Value::Null));
                old == new
                    || (in_status && new.is_null())
                    || said
                        .get(key)
                        .is_some_and(|said| explains(said, old, new, in_status || key == "status"))
            })
        }
        (Value::Array(old), Value::Array(new), Value::Array(said))
            if new.iter().all(|item| item.get("type").is_some()) =>
        {
            let typed =
                |list: &'_ [Value], item: &Value| list.iter().any(|other| other["type"] == item["type"]);
            (in_status || old.iter().all(|item| typed(new, item)))
                && new.iter().all(|item| old.contains(item) || typed(said, item))
        }
        (Value::Array(old), Value::Array(new), Value::Array(said)) => {
            new.len() == said.len()
                && new.iter().zip(said).enumerate().all(|(index, (new, said))| {
                    let old = old.get(index).unwrap_or(&Value::Null);
                    old == new || explains(said, old, new, in_status)
                })
        }
        // A plain value, or new from top to bottom, and named: the rest of it is what the server fills in.
        _ => true,
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
    fn a_version_is_ours_when_the_write_explains_all_that_changed() {
        let before = json!({"metadata": {"resourceVersion": "1"}, "spec": {"a": 1}, "status": {"s": 1}});
        let written = json!({"metadata": {"name": "x"}, "status": {"s": 2}});
        let ours = json!({"metadata": {"resourceVersion": "2"}, "spec": {"a": 1}, "status": {"s": 2}});
        assert!(is_explained(&before, &ours, &written));
        let theirs = json!({"metadata": {"resourceVersion": "3"}, "spec": {"a": 9}, "status": {"s": 2}});
        assert!(!is_explained(&before, &theirs, &written), "somebody edited the spec meanwhile");
        let conditions = |ours: &str, theirs: &str| json!({"status": {"conditions": [{"type": "Ours", "status": ours}, {"type": "Theirs", "status": theirs}]}});
        let written = json!({"status": {"conditions": [{"type": "Ours", "status": "True"}]}});
        assert!(is_explained(&conditions("False", "x"), &conditions("True", "x"), &written));
        assert!(
            !is_explained(&conditions("True", "x"), &conditions("True", "y"), &written),
            "their condition moved"
        );
        let both = conditions("True", "x");
        let without = json!({"status": {"conditions": [{"type": "Theirs", "status": "x"}]}});
        let said = json!({"status": {"conditions": []}});
        assert!(is_explained(&both, &without, &said), "what is not said any more goes");
        let (spec, empty) = (json!({"spec": {"a": 1}}), json!({"spec": {}}));
        assert!(!is_explained(&spec, &empty, &empty), "but only of a status");
    }

    #[test]
    fn changed_fields_have_names() {
        let name =
            ObjectRef::of(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}))
                .unwrap();
        let before = json!({"metadata": {"resourceVersion": "1"}, "data": {"a": "1", "b": "2"}});
        let after = json!({"metadata": {"resourceVersion": "2"}, "data": {"a": "1", "b": "3", "c": "4"}});
        let fields: Vec<String> =
            changed_fields(&name, &before, &after).into_iter().map(|change| change.field).collect();
        assert_eq!(fields, ["data.b of ConfigMap c", "data.c of ConfigMap c"]);
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
