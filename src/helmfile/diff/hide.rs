//! Secrets without their values: two sides of a comparison that still show where they differ.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

/// Fields of a Secret that hold nothing secret. Everything else is hidden, so that a misspelt `Data` does not leak.
const PUBLIC: [&str; 5] = ["apiVersion", "kind", "metadata", "type", "immutable"];

/// `kubectl apply` keeps a copy of the whole object here.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Whether the values of such objects must not be shown. Kinds of other groups with this name are no exception.
pub(super) fn is_secret(kind: &str) -> bool {
    kind.eq_ignore_ascii_case("Secret")
}

/// Both sides of a Secret with each value replaced by its length, marked on the new side where it has changed.
pub(super) fn hide(old: Option<&Value>, new: Option<&Value>) -> (Option<Value>, Option<Value>) {
    let old_side = old.map(|value| Side { other: new, mark: false }.object(value));
    let new_side = new.map(|value| Side { other: old, mark: true }.object(value));
    (old_side, new_side)
}

/// A Secret whose `data` is without its base64, where that gives a text.
pub(super) fn decode(mut secret: Value) -> Value {
    for value in secret.get_mut("data").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
        let bytes = value.as_str().and_then(|text| STANDARD.decode(text.trim()).ok());
        if let Some(text) = bytes.and_then(|bytes| String::from_utf8(bytes).ok()) {
            *value = text.into();
        }
    }
    secret
}

/// One side being hidden, which is told from the other.
#[derive(Clone, Copy)]
struct Side<'a> {
    /// The same place on the other side, if it has it.
    other: Option<&'a Value>,
    /// Whether changes are marked on this side.
    mark: bool,
}

impl Side<'_> {
    fn at(self, key: &str) -> Self {
        Self { other: self.other.and_then(|other| other.get(key)), ..self }
    }

    fn object(self, value: &Value) -> Value {
        self.fields(value, |side, key, value| match key {
            "metadata" => side.metadata(value),
            key if PUBLIC.contains(&key) => value.clone(),
            _ => side.secret(key, value),
        })
    }

    fn metadata(self, value: &Value) -> Value {
        self.fields(value, |side, key, value| match key {
            "annotations" => side.fields(value, |side, key, value| match key {
                LAST_APPLIED => side.marker(value, false),
                _ => value.clone(),
            }),
            _ => value.clone(),
        })
    }

    /// A map keeps its keys, whatever else loses everything. Only `data` is base64, whose length nobody cares about.
    fn secret(self, field: &str, value: &Value) -> Value {
        match value {
            Value::Object(_) => self.fields(value, |side, _, value| side.marker(value, field == "data")),
            _ => self.marker(value, false),
        }
    }

    fn marker(self, value: &Value, base64: bool) -> Value {
        let changed = self.mark && self.other.is_some_and(|other| other != value);
        let bytes = length(value, base64);
        let (s, changed) = (if bytes == 1 { "" } else { "s" }, if changed { ", changed" } else { "" });
        format!("REDACTED # ({bytes} byte{s}{changed})").into()
    }

    fn fields(self, value: &Value, each: impl Fn(Self, &str, &Value) -> Value) -> Value {
        let Value::Object(fields) = value else {
            // Metadata that is no map can't be told from a misplaced secret.
            return self.marker(value, false);
        };
        let hidden: Map<_, _> =
            fields.iter().map(|(key, value)| (key.clone(), each(self.at(key), key, value))).collect();
        Value::Object(hidden)
    }
}

/// How many bytes the value has for its users.
fn length(value: &Value, base64: bool) -> usize {
    let text = match value {
        Value::String(text) => text.as_str(),
        Value::Null => "",
        other => return other.to_string().len(),
    };
    let digits = text.chars().filter(|c| !c.is_whitespace()).count();
    let padding = text.trim_end().chars().rev().take_while(|c| *c == '=').count();
    if base64 && digits % 4 == 0 && padding <= 2 { digits / 4 * 3 - padding } else { text.len() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn values_become_lengths_and_changes_stay_visible() {
        let old = json!({"kind": "Secret", "data": {"a": "aHVudGVyMg==", "b": "eA==", "gone": "eA=="}, "stringData": {"t": "hunter2"}});
        let new = json!({"kind": "Secret", "data": {"a": "aHVudGVyMw==", "b": "eA==", "fresh": "eHk="}, "stringData": {"t": "hunter"}});
        let (old, new) = hide(Some(&old), Some(&new));
        assert_eq!(
            old.unwrap(),
            json!({"kind": "Secret",
                "data": {"a": "REDACTED # (7 bytes)", "b": "REDACTED # (1 byte)", "gone": "REDACTED # (1 byte)"},
                "stringData": {"t": "REDACTED # (7 bytes)"}})
        );
        assert_eq!(
            new.unwrap(),
            json!({"kind": "Secret",
                "data": {"a": "REDACTED # (7 bytes, changed)", "b": "REDACTED # (1 byte)", "fresh": "REDACTED # (2 bytes)"},
                "stringData": {"t": "REDACTED # (6 bytes, changed)"}})
        );
    }

    #[test]
    fn misplaced_secrets_are_hidden_too() {
        let odd = json!({
            "kind": "Secret", "Data": {"k": ["hunter2"]}, "data": "hunter2", "stringData": ["hunter2"], "password": "hunter2",
            "metadata": {"name": "n", "annotations": {LAST_APPLIED: "hunter2", "plain": "shown"}},
        });
        for (old, new) in [(Some(&odd), None), (None, Some(&odd)), (Some(&odd), Some(&odd))] {
            let (old, new) = hide(old, new);
            for side in [old, new].into_iter().flatten() {
                let text = side.to_string();
                assert!(!text.contains("hunter2"), "{text}");
                assert!(text.contains("shown"), "{text}");
            }
        }
        assert!(
            !hide(Some(&json!("hunter2")), Some(&json!(["hunter2"])))
                .0
                .unwrap()
                .to_string()
                .contains("hunter2")
        );
        let nested = json!({"kind": "Secret", "metadata": {"annotations": "hunter2"}});
        assert!(!hide(None, Some(&nested)).1.unwrap().to_string().contains("hunter2"));
    }

    #[test]
    fn counts_bytes_as_users_do() {
        for (value, base64, bytes) in [
            (json!("aHVudGVyMg=="), true, 7),
            (json!("aHVu\ndGVyMg==\n"), true, 7),
            (json!("not base64!"), true, 11),
            (json!("===="), true, 4),
            (json!(""), true, 0),
            (json!("aHVudGVyMg=="), false, 12),
            (json!(null), true, 0),
            (json!(12), false, 2),
        ] {
            assert_eq!(length(&value, base64), bytes, "{value}");
        }
    }

    fn secret_value() -> impl Strategy<Value = Value> {
        // Letters that occur in no marker and no field name.
        let word = "[Z@%]{6,40}".prop_map(Value::from);
        word.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-z]{1,5}", inner, 0..3)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_value_survives(
            one in prop::collection::btree_map("data|stringData|Data|binary|spec", secret_value(), 0..4),
            other in prop::option::of(prop::collection::btree_map("data|stringData|Data|binary|spec", secret_value(), 0..4)),
        ) {
            let object = |fields: std::collections::BTreeMap<String, Value>| {
                let mut object = Map::from_iter([("kind".to_owned(), json!("Secret"))]);
                object.extend(fields);
                Value::Object(object)
            };
            let (one, other) = (object(one), other.map(object));
            let (old, new) = hide(Some(&one), other.as_ref());
            for side in [old, new].into_iter().flatten() {
                prop_assert!(!side.to_string().contains(['Z', '@', '%']), "{side}");
            }
        }
    }
}
