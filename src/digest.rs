//! Digests of inputs: stable across runs, platforms and map order.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// SHA-256 of some bytes, in lower-case hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _infallible = write!(hex, "{byte:02x}");
        hex
    })
}

/// SHA-256 of a JSON value with its object keys sorted, so that two equal values have one digest.
pub fn of_json(value: &Value) -> String {
    sha256_hex(canonical(value).to_string().as_bytes())
}

fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<_> = map.keys().collect();
            keys.sort();
            Value::Object(keys.into_iter().map(|key| (key.clone(), canonical(&map[key]))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(canonical).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ignores_key_order_and_nothing_else() {
        assert_eq!(
            of_json(&json!({"a": 1, "b": {"c": 2, "d": 3}})),
            of_json(&json!({"b": {"d": 3, "c": 2}, "a": 1}))
        );
        assert_ne!(of_json(&json!([1, 2])), of_json(&json!([2, 1])));
        assert_ne!(of_json(&json!({"a": 1})), of_json(&json!({"a": "1"})));
    }

    #[test]
    fn matches_the_standard_test_vector() {
        assert_eq!(sha256_hex(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
