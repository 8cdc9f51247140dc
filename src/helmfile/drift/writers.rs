//! Who has written a field, as the API server remembers it in `managedFields`.

use jiff::Timestamp;
use serde_json::Value;

/// One entry of `managedFields`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writer<'a> {
    /// The field manager: `kubectl-edit`, `helm`.
    pub manager: &'a str,
    /// The subresource that it was written through; empty for the object itself.
    pub subresource: &'a str,
    /// When it last wrote.
    pub at: Option<Timestamp>,
}

impl Writer<'_> {
    /// Whether it is a person at a keyboard, as far as its name tells.
    pub fn is_person(&self) -> bool {
        self.manager.starts_with("kubectl")
    }

    /// Whether it keeps the field for the cluster: an autoscaler, or one of Kubernetes' own controllers. What such a one
    /// writes is no drift (RULES 3), but for a person who scales by hand.
    pub fn is_controller(&self) -> bool {
        self.manager == "kube-controller-manager" || (self.subresource == "scale" && !self.is_person())
    }
}

/// Those who own the field at `path` of a live object; the last to write comes last. Nobody owns a field that is not there.
pub fn of<'a>(live: &'a Value, path: &[Step]) -> Vec<Writer<'a>> {
    let entries = live.pointer("/metadata/managedFields").and_then(Value::as_array);
    let owns = |entry: &&Value| entry.get("fieldsV1").is_some_and(|fields| covers(fields, live, path));
    let mut writers: Vec<Writer<'a>> = entries.into_iter().flatten().filter(owns).map(writer).collect();
    writers.sort_by_key(|writer| writer.at);
    writers
}

fn writer(entry: &Value) -> Writer<'_> {
    let text = |field: &str| entry.get(field).and_then(Value::as_str).unwrap_or_default();
    Writer { manager: text("manager"), subresource: text("subresource"), at: text("time").parse().ok() }
}

/// A step of a path: into a map, or into a list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A key.
    Key(String),
    /// A place in a list.
    Index(usize),
}

/// Whether a set of fields has the one at `path`. An empty set within stands for all that is below it: a plain value, or a
/// list or map that is written as a whole.
fn covers(fields: &Value, live: &Value, path: &[Step]) -> bool {
    let Some(fields) = fields.as_object() else { return false };
    let Some((step, rest)) = path.split_first() else { return true };
    if fields.is_empty() {
        return true;
    }
    match step {
        Step::Key(key) => fields
            .get(&format!("f:{key}"))
            .is_some_and(|below| covers(below, live.get(key).unwrap_or(&Value::Null), rest)),
        Step::Index(index) => {
            let Some(item) = live.get(index) else { return false };
            let mut matching = fields.iter().filter(|(name, _)| names_item(name, item, *index));
            matching.any(|(_, below)| covers(below, item, rest))
        }
    }
}

/// Whether a name of `fieldsV1` is that of an item: by its key fields, by its value, or by its place.
fn names_item(name: &str, item: &Value, index: usize) -> bool {
    let Some((sort, rest)) = name.split_once(':') else { return false };
    match (sort, serde_json::from_str::<Value>(rest)) {
        ("k", Ok(Value::Object(keys))) => keys.iter().all(|(key, value)| item.get(key) == Some(value)),
        ("v", Ok(value)) => *item == value,
        ("i", Ok(value)) => value.as_u64().and_then(|at| usize::try_from(at).ok()) == Some(index),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn path(steps: &[&str]) -> Vec<Step> {
        let step = |step: &&str| step.parse().map_or_else(|_| Step::Key((*step).to_owned()), Step::Index);
        steps.iter().map(step).collect()
    }

    fn live() -> Value {
        json!({
            "metadata": {"name": "web", "finalizers": ["a", "b"], "managedFields": [
                {"manager": "helm", "operation": "Apply", "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:spec": {
                    "f:replicas": {}, "f:selector": {}, "f:template": {"f:containers": {"k:{\"name\":\"app\"}": {".": {}, "f:image": {}, "f:name": {}}}}}}},
                {"manager": "kubectl-edit", "operation": "Update", "time": "2026-01-03T00:00:00Z", "fieldsV1": {
                    "f:metadata": {"f:finalizers": {".": {}, "v:\"b\"": {}}},
                    "f:spec": {"f:replicas": {}, "f:template": {"f:containers": {"k:{\"name\":\"app\"}": {"f:image": {}}}}}}},
                {"manager": "kube-controller-manager", "operation": "Update", "subresource": "scale", "time": "2026-01-02T00:00:00Z",
                 "fieldsV1": {"f:spec": {"f:replicas": {}}}},
            ]},
            "spec": {"replicas": 5, "selector": {"app": "web"}, "template": {"containers": [{"name": "side"}, {"name": "app", "image": "b"}]}},
        })
    }

    #[test]
    fn each_field_has_its_writers_the_last_one_last() {
        let live = live();
        for (steps, expected) in [
            (&["spec", "replicas"][..], &["helm", "kube-controller-manager", "kubectl-edit"][..]),
            (&["spec", "template", "containers", "1", "image"], &["helm", "kubectl-edit"]),
            (&["spec", "template", "containers", "1", "name"], &["helm"]),
            (&["spec", "template", "containers", "0", "name"], &[]),
            // Written as a whole.
            (&["spec", "selector", "app"], &["helm"]),
            (&["metadata", "finalizers", "1"], &["kubectl-edit"]),
            (&["metadata", "finalizers", "0"], &[]),
            (&["spec", "paused"], &[]),
            (&["spec", "template", "containers", "7", "name"], &[]),
        ] {
            let writers = of(&live, &path(steps));
            let managers: Vec<_> = writers.iter().map(|writer| writer.manager).collect();
            assert_eq!(managers, expected, "{steps:?}");
        }
        assert_eq!(of(&json!({}), &path(&["spec"])), []);
    }

    #[test]
    fn autoscalers_are_told_from_people() {
        let writer = |manager, subresource| Writer { manager, subresource, at: None };
        assert!(writer("kube-controller-manager", "").is_controller());
        assert!(writer("kube-controller-manager", "scale").is_controller());
        assert!(writer("keda", "scale").is_controller());
        assert!(!writer("kubectl", "scale").is_controller(), "somebody scales by hand");
        assert!(!writer("kubectl-edit", "").is_controller());
    }
}
