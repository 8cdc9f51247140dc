//! What tells a live object from what its release says, field by field.

use jiff::Timestamp;
use serde_json::Value;

use super::writers::{self, Step, Writer};

/// A field that is not as its release says.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Where it is, as a JSON pointer into the live object; into the one that should be, when it is not there.
    pub path: String,
    /// What is there; `None` when nothing is.
    pub live: Option<Value>,
    /// What should be; `None` when nothing should.
    pub wanted: Option<Value>,
    /// Who wrote it last, as far as the API server knows: nobody is known to have removed a field.
    pub writer: Option<String>,
    /// When that was.
    pub at: Option<Timestamp>,
}

/// What the API server keeps by itself.
const KEPT: [&str; 7] = [
    "/metadata/managedFields",
    "/metadata/resourceVersion",
    "/metadata/generation",
    "/metadata/uid",
    "/metadata/creationTimestamp",
    "/metadata/selfLink",
    "/status",
];

/// What differs between a live object and the same one after a server-side apply of its release's manifest that was not
/// carried out. So defaults, admission and normalised values are on both sides, and what others have added, and the apply
/// leaves alone, is on both as well. Fields that a controller keeps are left out (RULES 3).
pub fn differences(live: &Value, would: &Value) -> Vec<Field> {
    let mut found = Vec::new();
    walk(Some(live), Some(would), &mut Vec::new(), &mut |path, live_value, wanted| {
        let pointer = pointer(path);
        if KEPT.iter().any(|kept| pointer == *kept || pointer.starts_with(&format!("{kept}/"))) {
            return;
        }
        let writers = if live_value.is_some() { writers::of(live, path) } else { Vec::new() };
        let last = writers.into_iter().rfind(|writer| writer.subresource != "status");
        if last.as_ref().is_some_and(Writer::is_controller) {
            return;
        }
        found.push(Field {
            path: pointer,
            live: live_value.cloned(),
            wanted: wanted.cloned(),
            at: last.as_ref().and_then(|writer| writer.at),
            writer: last.map(|writer| writer.manager.to_owned()),
        });
    });
    found
}

type OnField<'f> = &'f mut dyn FnMut(&[Step], Option<&Value>, Option<&Value>);

fn walk(live: Option<&Value>, would: Option<&Value>, path: &mut Vec<Step>, found: OnField<'_>) {
    if live == would {
        return;
    }
    match (live, would) {
        (Some(Value::Object(live)), Some(Value::Object(would))) => {
            let keys = live.keys().chain(would.keys().filter(|key| !live.contains_key(*key)));
            for key in keys {
                path.push(Step::Key(key.clone()));
                walk(live.get(key), would.get(key), path, found);
                path.pop();
            }
        }
        // Of lists that are as long as one another each item is looked at; others are told as a whole.
        (Some(Value::Array(live)), Some(Value::Array(would))) if live.len() == would.len() => {
            for (index, (live, would)) in live.iter().zip(would).enumerate() {
                path.push(Step::Index(index));
                walk(Some(live), Some(would), path, found);
                path.pop();
            }
        }
        (live, would) => found(path, live, would),
    }
}

fn pointer(path: &[Step]) -> String {
    let step = |step: &Step| match step {
        Step::Key(key) => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
        Step::Index(index) => format!("/{index}"),
    };
    path.iter().map(step).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn live() -> Value {
        json!({
            "metadata": {"resourceVersion": "7", "generation": 2, "labels": {"a/b": "x"}, "managedFields": [
                {"manager": "helm", "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:spec": {"f:replicas": {}, "f:image": {}}}},
                {"manager": "kubectl-edit", "time": "2026-01-02T00:00:00Z", "fieldsV1": {"f:spec": {"f:image": {}}}},
                {"manager": "kube-controller-manager", "subresource": "scale", "time": "2026-01-02T00:00:00Z",
                 "fieldsV1": {"f:spec": {"f:replicas": {}}}},
            ]},
            "spec": {"image": "b", "replicas": 5, "ports": [{"n": 1}, {"n": 2}]}, "status": {"ready": 1},
        })
    }

    fn paths(live: &Value, would: &Value) -> Vec<String> {
        differences(live, would).into_iter().map(|field| field.path).collect()
    }

    #[test]
    fn a_field_is_told_with_both_values_and_its_last_writer() {
        let mut would = live();
        would["spec"]["image"] = "a".into();
        would["metadata"]["resourceVersion"] = "8".into();
        would["metadata"]["managedFields"] = json!([]);
        would["status"] = json!({});
        let expected = Field {
            path: "/spec/image".into(),
            live: Some(json!("b")),
            wanted: Some(json!("a")),
            writer: Some("kubectl-edit".into()),
            at: Some("2026-01-02T00:00:00Z".parse().unwrap()),
        };
        assert_eq!(differences(&live(), &would), [expected]);
        assert_eq!(differences(&live(), &live()), []);
    }

    #[test]
    fn what_a_controller_keeps_is_no_difference() {
        let mut would = live();
        would["spec"]["replicas"] = 2.into();
        assert_eq!(differences(&live(), &would), []);
    }

    #[test]
    fn what_is_missing_or_too_much_is_told() {
        let (mut one, mut other) = (live(), live());
        one["spec"]["extra"] = json!({"a": 1});
        other["spec"]["gone"] = 1.into();
        other["metadata"]["labels"]["a/b"] = "y".into();
        other["spec"]["ports"][1]["n"] = 3.into();
        assert_eq!(
            paths(&one, &other),
            ["/metadata/labels/a~1b", "/spec/ports/1/n", "/spec/extra", "/spec/gone"]
        );
        other["spec"]["ports"] = json!([{"n": 1}]);
        assert!(
            paths(&one, &other).contains(&"/spec/ports".to_owned()),
            "a list of another length, as a whole"
        );
    }
}
