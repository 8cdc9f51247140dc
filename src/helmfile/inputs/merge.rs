//! Layers of values.

use serde_json::{Map, Value};

/// Lays one map over another. Maps are merged at any depth; anything else replaces what is there, `null` as well, which
/// means something to helmfile and to helm.
pub(super) fn lay_over(base: &mut Map<String, Value>, layer: Map<String, Value>) {
    for (name, value) in layer {
        match (base.get_mut(&name), value) {
            (Some(Value::Object(below)), Value::Object(above)) => lay_over(below, above),
            (_, value) => {
                base.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn maps_merge_and_the_rest_replaces() {
        let table = [
            (json!({}), json!({"a": 1}), json!({"a": 1})),
            (json!({"a": 1}), json!({}), json!({"a": 1})),
            (
                json!({"a": {"b": 1, "c": {"d": 2}}}),
                json!({"a": {"c": {"e": 3}}}),
                json!({"a": {"b": 1, "c": {"d": 2, "e": 3}}}),
            ),
            (json!({"a": [1, 2]}), json!({"a": [3]}), json!({"a": [3]})),
            (json!({"a": {"b": 1}}), json!({"a": "x"}), json!({"a": "x"})),
            (json!({"a": "x"}), json!({"a": {"b": 1}}), json!({"a": {"b": 1}})),
            (json!({"a": {"b": 1}}), json!({"a": null}), json!({"a": null})),
            (json!({"a": {"b": 1}}), json!({"a": {"b": null}}), json!({"a": {"b": null}})),
            (json!({"a": null}), json!({"a": {"b": 1}}), json!({"a": {"b": 1}})),
        ];
        for (base, layer, expected) in table {
            let (Value::Object(mut merged), Value::Object(above)) = (base.clone(), layer.clone()) else {
                panic!()
            };
            lay_over(&mut merged, above);
            assert_eq!(Value::Object(merged), expected, "{layer} over {base}");
        }
    }
}
