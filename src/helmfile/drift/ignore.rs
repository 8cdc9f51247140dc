//! What may be as it is. Pure.

use serde_json::Value;

use crate::{
    helmfile::api::{DriftIgnore, names::annotation},
    object::ObjectRef,
};

/// What of one object is left as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left<'a> {
    /// All of it.
    Whole,
    /// These fields and all that is below them, as JSON pointers.
    Fields(Vec<&'a str>),
}

/// What the rules leave as it is.
pub fn left<'a>(rules: &'a [DriftIgnore], object: &ObjectRef) -> Left<'a> {
    let group = &object.gvk.group;
    let full =
        if group.is_empty() { object.gvk.kind.clone() } else { format!("{}.{group}", object.gvk.kind) };
    let is_kind = |kind: &String| *kind == object.gvk.kind || *kind == full;
    let mut fields = Vec::new();
    for rule in rules {
        let matches = rule.kind.as_ref().is_none_or(is_kind)
            && rule.name.as_ref().is_none_or(|name| *name == object.name)
            && rule.namespace.as_ref().is_none_or(|namespace| Some(namespace) == object.namespace.as_ref());
        if matches && rule.paths.is_empty() {
            return Left::Whole;
        }
        fields.extend(rule.paths.iter().filter(|_| matches).map(String::as_str));
    }
    Left::Fields(fields)
}

/// Whether somebody has put an annotation on the object that nobody is to look at it.
pub fn is_opted_out(live: &Value) -> bool {
    let annotations = live.pointer("/metadata/annotations");
    annotation::DRIFT_DISABLED
        .iter()
        .any(|(name, value)| annotations.and_then(|all| all.get(name)).and_then(Value::as_str) == Some(value))
}

/// Gives `body` at `pointer` what `live` has there. A path that is left out of a server-side apply would be removed
/// (RULES 3).
pub fn keep(body: &mut Value, live: &Value, pointer: &str) {
    let steps: Vec<String> =
        pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~")).collect();
    set(body, &steps, live.pointer(pointer));
}

fn set(body: &mut Value, steps: &[String], value: Option<&Value>) {
    let Some((step, rest)) = steps.split_first() else { return };
    match body {
        Value::Object(map) if rest.is_empty() => {
            match value {
                Some(value) => map.insert(step.clone(), value.clone()),
                None => map.remove(step),
            };
        }
        Value::Object(map) => {
            if value.is_some() {
                map.entry(step.clone()).or_insert_with(|| Value::Object(serde_json::Map::new()));
            }
            if let Some(below) = map.get_mut(step) {
                set(below, rest, value);
            }
        }
        Value::Array(list) => {
            let Some(item) = step.parse::<usize>().ok().and_then(|index| list.get_mut(index)) else { return };
            match (rest.is_empty(), value) {
                (true, Some(value)) => *item = value.clone(),
                (true, None) => {}
                (false, value) => set(item, rest, value),
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::object::Gvk;

    fn object(kind: &str, name: &str) -> ObjectRef {
        ObjectRef { gvk: Gvk::new("apps", "v1", kind), namespace: Some("shop".into()), name: name.into() }
    }

    #[test]
    fn rules_match_by_what_they_say() {
        let rules: Vec<DriftIgnore> = serde_json::from_value(json!([
            {"kind": "Deployment", "paths": ["/spec/replicas"]},
            {"kind": "Deployment.apps", "name": "web", "paths": ["/spec/paused"]},
            {"kind": "Deployment.other", "paths": ["/no"]},
            {"namespace": "else", "paths": ["/no"]},
            {"kind": "StatefulSet", "namespace": "shop"},
        ]))
        .unwrap();
        assert_eq!(
            left(&rules, &object("Deployment", "web")),
            Left::Fields(vec!["/spec/replicas", "/spec/paused"])
        );
        assert_eq!(left(&rules, &object("Deployment", "db")), Left::Fields(vec!["/spec/replicas"]));
        assert_eq!(left(&rules, &object("StatefulSet", "db")), Left::Whole);
        assert_eq!(left(&rules, &object("DaemonSet", "db")), Left::Fields(vec![]));
    }

    #[test]
    fn what_is_kept_is_sent_as_it_is() {
        let live = json!({"spec": {"replicas": 5, "list": [{"a": 1}, {"a": 2}], "x/y": {"z": 1}}});
        let body = json!({"spec": {"replicas": 2, "paused": true, "list": [{"a": 1}, {"a": 7}]}});
        for (pointer, expected) in [
            (
                "/spec/replicas",
                json!({"spec": {"replicas": 5, "paused": true, "list": [{"a": 1}, {"a": 7}]}}),
            ),
            ("/spec/paused", json!({"spec": {"replicas": 2, "list": [{"a": 1}, {"a": 7}]}})),
            (
                "/spec/list/1/a",
                json!({"spec": {"replicas": 2, "paused": true, "list": [{"a": 1}, {"a": 2}]}}),
            ),
            (
                "/spec/x~1y/z",
                json!({"spec": {"replicas": 2, "paused": true, "list": [{"a": 1}, {"a": 7}], "x/y": {"z": 1}}}),
            ),
            ("/status/none", body.clone()),
        ] {
            let mut sent = body.clone();
            keep(&mut sent, &live, pointer);
            assert_eq!(sent, expected, "{pointer}");
        }
    }

    #[test]
    fn an_annotation_takes_an_object_out() {
        let live = |name: &str, value: &str| json!({"metadata": {"annotations": {name: value}}});
        assert!(is_opted_out(&live("apps.mumoshu.github.io/drift-detection", "disabled")));
        assert!(is_opted_out(&live("helm.toolkit.fluxcd.io/driftDetection", "disabled")));
        assert!(!is_opted_out(&live("apps.mumoshu.github.io/drift-detection", "enabled")));
        assert!(!is_opted_out(&json!({})));
    }
}
