//! Reading arguments and making results, the same way for every helper.

use serde_json::{Map, Value};

/// What a template or a helper may produce at most, in bytes.
pub(in crate::engine::template) const BYTES: usize = 16 << 20;

pub(super) const TOO_LARGE: &str = "the result is larger than 16 MiB";

/// The most times anything is repeated.
const TIMES: u64 = 1000;

/// Texts as they are, nothing for `null`, anything else as JSON.
pub(super) fn as_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A text as a result.
pub(super) fn text(text: impl Into<String>) -> Value {
    Value::String(text.into())
}

/// A text as a result, or a refusal before it is made.
pub(super) fn text_of(bytes: usize, make: impl FnOnce() -> String) -> Result<Value, String> {
    if bytes > BYTES { Err(TOO_LARGE.to_owned()) } else { Ok(text(make())) }
}

/// Helm's idea of empty: null, false, 0, "", an empty list or map.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

/// A number of times.
pub(super) fn count(value: &Value) -> Result<usize, String> {
    let number = value.as_u64().filter(|number| *number <= TIMES);
    number
        .and_then(|number| usize::try_from(number).ok())
        .ok_or_else(|| format!("{} is not a whole number from 0 to {TIMES}", brief(value)))
}

/// A list; `null` is an empty one.
pub(super) fn items(value: &Value) -> Result<&[Value], String> {
    match value {
        Value::Null => Ok(&[]),
        Value::Array(items) => Ok(items),
        other => Err(format!("{} is not a list", brief(other))),
    }
}

/// A map; none for `null`.
pub(super) fn map(value: &Value) -> Result<Option<&Map<String, Value>>, String> {
    match value {
        Value::Null => Ok(None),
        Value::Object(map) => Ok(Some(map)),
        other => Err(format!("{} is not a map", brief(other))),
    }
}

/// Equal, where 1 and 1.0 are the same number.
pub(super) fn same(one: &Value, other: &Value) -> bool {
    one == other || one.is_number() && other.is_number() && one.as_f64() == other.as_f64()
}

/// What kind of value it is. Not the value: it may be a secret, and this is for messages.
pub(super) fn brief(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "this number",
        Value::String(_) => "this text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// About how many bytes a value takes when it is printed.
pub(super) fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(|item| size(item).saturating_add(2)).sum(),
        Value::Object(map) => map.iter().map(|(key, value)| size(value).saturating_add(key.len() + 4)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 4,
    }
}
