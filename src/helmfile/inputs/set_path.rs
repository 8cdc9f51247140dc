//! One value at a path, in the syntax of Helm's `--set`.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// The highest index in a path. Helm allows 65536, but here a short text must not be able to fill the memory.
const INDEX_MAX: usize = 1024;

/// Why a value can't be put there. No message holds the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SetError {
    /// The path itself.
    #[error("`{0}` is no path such as `db.password` or `hosts[0].name`")]
    Path(String),
    /// An index that would make a huge list.
    #[error("`{path}` has the index {index}, and {INDEX_MAX} is the highest")]
    Index {
        /// The path.
        path: String,
        /// The index.
        index: String,
    },
    /// Something is in the way.
    #[error("`{place}` is {found} already, so nothing can be put at `{path}`")]
    Conflict {
        /// The path.
        path: String,
        /// The start of it that is taken.
        place: String,
        /// By what.
        found: &'static str,
    },
    /// A text that begins like a list.
    #[error("the text is no list such as `{{a,b}}`; with `literal: true` it is taken as it is")]
    List,
}

/// A part of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Name(String),
    Index(usize),
}

/// Puts a value at a path. Maps and lists on the way are made where there is nothing; lists are filled up with `null`.
pub(super) fn put(values: &mut Map<String, Value>, path: &str, value: Value) -> Result<(), SetError> {
    let steps = parse(path)?;
    let mut root = Value::Object(std::mem::take(values));
    let outcome = descend(&mut root, &steps, 0, path).map(|place| *place = value);
    if let Value::Object(root) = root {
        *values = root;
    }
    outcome
}

/// The place that `steps` lead to from step `at` on.
fn descend<'a>(
    here: &'a mut Value,
    steps: &[Step],
    at: usize,
    path: &str,
) -> Result<&'a mut Value, SetError> {
    let Some(step) = steps.get(at) else { return Ok(here) };
    if here.is_null() {
        *here = match step {
            Step::Name(_) => Value::Object(Map::new()),
            Step::Index(_) => Value::Array(Vec::new()),
        };
    }
    let next = match (step, here) {
        (Step::Name(name), Value::Object(map)) => map.entry(name.as_str()).or_insert(Value::Null),
        (Step::Index(index), Value::Array(items)) => {
            let missing = (index + 1).saturating_sub(items.len());
            items.extend(std::iter::repeat_n(Value::Null, missing));
            &mut items[*index]
        }
        (_, other) => {
            let place = show(steps.get(..at).unwrap_or_default());
            return Err(SetError::Conflict { path: path.to_owned(), place, found: kind(other) });
        }
    };
    descend(next, steps, at + 1, path)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

fn show(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        match step {
            Step::Index(index) => {
                // Writing to a String cannot fail.
                let _infallible = write!(text, "[{index}]");
            }
            Step::Name(name) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(&name.replace('.', "\\."));
            }
        }
    }
    text
}

/// Takes a path apart. Each part between two dots is a name, after which any number of indices may stand.
fn parse(path: &str) -> Result<Vec<Step>, SetError> {
    let bad = || SetError::Path(path.to_owned());
    let mut steps = Vec::new();
    let mut name = String::new();
    // What may come next: a name after a dot; a dot or another index after an index.
    let mut after_index = false;
    let mut characters = path.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' if !after_index => name.push(characters.next().ok_or_else(bad)?),
            '.' | '[' => {
                if !after_index {
                    if name.is_empty() {
                        return Err(bad());
                    }
                    steps.push(Step::Name(std::mem::take(&mut name)));
                }
                after_index = character == '[';
                if after_index {
                    let digits: String = characters.by_ref().take_while(|c| *c != ']').collect();
                    steps.push(Step::Index(index(&digits, path)?));
                }
            }
            _ if after_index => return Err(bad()),
            _ => name.push(character),
        }
    }
    if !after_index {
        if name.is_empty() {
            return Err(bad());
        }
        steps.push(Step::Name(name));
    }
    Ok(steps)
}

fn index(digits: &str, path: &str) -> Result<usize, SetError> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(SetError::Path(path.to_owned()));
    }
    let too_high = || SetError::Index { path: path.to_owned(), index: digits.to_owned() };
    digits.parse().ok().filter(|index| *index <= INDEX_MAX).ok_or_else(too_high)
}

/// What a text means, as `--set` takes it: `true`, `false`, `null` and whole numbers are typed, `{a,b}` is a list, and
/// all else is a text. Unlike on a command line, the text is one value: a comma or a backslash in it stands for itself.
///
/// One line break at the end does not belong to it: editors and `kubectl create secret --from-file` leave one, and
/// `5432\n` would be no number. Only one, so that a text that ends with empty lines can still be given without `literal`.
pub(super) fn typed(text: &str) -> Result<Value, SetError> {
    let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
    match text.strip_prefix('{') {
        Some(rest) => list(rest),
        None => Ok(scalar(text)),
    }
}

/// Helm's rules: a leading zero makes a text, since `0755` or a phone number is none.
fn scalar(text: &str) -> Value {
    match text {
        _ if text.eq_ignore_ascii_case("true") => Value::Bool(true),
        _ if text.eq_ignore_ascii_case("false") => Value::Bool(false),
        _ if text.eq_ignore_ascii_case("null") => Value::Null,
        "0" => Value::from(0),
        _ if text.starts_with('0') => Value::from(text),
        _ => text.parse::<i64>().map_or_else(|_| Value::from(text), Value::from),
    }
}

/// The rest of `{a,b}` after the brace. A backslash takes the meaning away from the character after it.
fn list(rest: &str) -> Result<Value, SetError> {
    let mut items = Vec::new();
    let mut item = String::new();
    let mut characters = rest.chars();
    loop {
        match characters.next().ok_or(SetError::List)? {
            '\\' => item.push(characters.next().ok_or(SetError::List)?),
            ',' => items.push(scalar(&std::mem::take(&mut item))),
            '}' => break,
            other => item.push(other),
        }
    }
    if characters.next().is_some() {
        return Err(SetError::List);
    }
    if !items.is_empty() || !item.is_empty() {
        items.push(scalar(&item));
    }
    Ok(Value::Array(items))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn put_into(values: Value, path: &str) -> Result<Value, String> {
        let Value::Object(mut map) = values else { panic!() };
        put(&mut map, path, json!("V")).map_err(|error| error.to_string())?;
        Ok(Value::Object(map))
    }

    #[test]
    fn paths_lead_to_places() {
        let table = [
            (json!({}), "a", json!({"a": "V"})),
            (json!({}), "a.b.c", json!({"a": {"b": {"c": "V"}}})),
            (json!({"a": {"x": 1}}), "a.b", json!({"a": {"x": 1, "b": "V"}})),
            (json!({}), r"a\.b.c", json!({"a.b": {"c": "V"}})),
            (json!({}), r"a\\b", json!({"a\\b": "V"})),
            (json!({}), r"a\[0\]", json!({"a[0]": "V"})),
            (json!({}), "example.com/x", json!({"example": {"com/x": "V"}})),
            (json!({}), "a[0]", json!({"a": ["V"]})),
            (json!({}), "a[2]", json!({"a": [null, null, "V"]})),
            (json!({}), "a[1].b[0]", json!({"a": [null, {"b": ["V"]}]})),
            (json!({}), "a[0][1]", json!({"a": [[null, "V"]]})),
            (json!({"a": [{"b": 1}, 2]}), "a[0].c", json!({"a": [{"b": 1, "c": "V"}, 2]})),
            (json!({"a": null}), "a.b", json!({"a": {"b": "V"}})),
            (json!({"a": {"b": 1}}), "a", json!({"a": "V"})),
            (json!({"a": 1}), "a", json!({"a": "V"})),
        ];
        for (values, path, expected) in table {
            assert_eq!(put_into(values, path), Ok(expected), "{path}");
        }
    }

    #[test]
    fn what_is_in_the_way_is_said() {
        let table = [
            (json!({"a": "x"}), "a.b", "`a` is a text already, so nothing can be put at `a.b`"),
            (
                json!({"a": {"b.c": 1}}),
                r"a.b\.c.d",
                r"`a.b\.c` is a number already, so nothing can be put at `a.b\.c.d`",
            ),
            (json!({"a": [1]}), "a.b", "`a` is a list already, so nothing can be put at `a.b`"),
            (json!({"a": {}}), "a[0]", "`a` is a map already, so nothing can be put at `a[0]`"),
            (
                json!({"a": [true]}),
                "a[0].b",
                "`a[0]` is true or false already, so nothing can be put at `a[0].b`",
            ),
            (json!({}), "a[1025]", "`a[1025]` has the index 1025, and 1024 is the highest"),
            (
                json!({}),
                "a[99999999999999999999999]",
                "`a[99999999999999999999999]` has the index 99999999999999999999999, and 1024 is the highest",
            ),
        ];
        for (values, path, message) in table {
            assert_eq!(put_into(values, path), Err(message.to_owned()), "{path}");
        }
        for path in
            ["", ".", "a.", ".a", "a..b", "[0]", "a[", "a[]", "a[x]", "a[0]b", "a[0].", "a\\", "a[-1]"]
        {
            let message = format!("`{path}` is no path such as `db.password` or `hosts[0].name`");
            assert_eq!(put_into(json!({}), path), Err(message), "{path}");
        }
    }

    #[test]
    fn a_failure_leaves_the_values_alone() {
        let mut map = json!({"a": "x"}).as_object().unwrap().clone();
        put(&mut map, "a.b", json!(1)).unwrap_err();
        assert_eq!(Value::Object(map), json!({"a": "x"}));
    }

    #[test]
    fn texts_are_typed_as_helm_does() {
        let table = [
            ("", json!("")),
            ("text", json!("text")),
            ("true", json!(true)),
            ("False", json!(false)),
            ("NULL", json!(null)),
            ("0", json!(0)),
            ("42", json!(42)),
            ("-42", json!(-42)),
            ("0755", json!("0755")),
            ("1.5", json!("1.5")),
            ("1e3", json!("1e3")),
            ("9223372036854775808", json!("9223372036854775808")),
            ("a,b", json!("a,b")),
            (r"a\b", json!(r"a\b")),
            (" 1", json!(" 1")),
            ("5432\n", json!(5432)),
            ("5432\r\n", json!(5432)),
            ("pw\n\n", json!("pw\n")),
            ("{}", json!([])),
            ("{a}", json!(["a"])),
            ("{a,1,true}\n", json!(["a", 1, true])),
            ("{,a,}", json!(["", "a", ""])),
            (r"{a\,b,\{c\}}", json!(["a,b", "{c}"])),
        ];
        for (text, expected) in table {
            assert_eq!(typed(text), Ok(expected), "{text:?}");
        }
        for text in ["{", "{a", "{a,b", r#"{"a": {"b": 1}}"#, "{a}b", r"{a\"] {
            assert_eq!(typed(text), Err(SetError::List), "{text:?}");
        }
    }
}
