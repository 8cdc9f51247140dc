//! JSON as CEL's values.

use std::collections::HashMap;

use cel::common::{
    types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt},
    value::Val,
};
use serde_json::{Number, Value};

use super::check::{Lengths, Need};

/// As much of a value as is needed, noting how long its longest parts are. Texts are borrowed.
pub(super) fn to_cel<'v>(value: &'v Value, need: &Need, lengths: &mut Lengths) -> Box<dyn Val + 'v> {
    match value {
        _ if need.whole => whole(value, lengths),
        Value::Object(fields) => {
            let needed = need.fields.iter().filter_map(|(name, need)| {
                let (name, value) = fields.get_key_value(name)?;
                Some((key(name), to_cel(value, need, lengths)))
            });
            Box::new(CelMap::from(needed.collect::<HashMap<_, _>>()))
        }
        // Only its type matters: it is there, or has no fields.
        Value::Array(_) => Box::new(CelList::from(Vec::new())),
        _ => whole(value, lengths),
    }
}

fn whole<'v>(value: &'v Value, lengths: &mut Lengths) -> Box<dyn Val + 'v> {
    match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(boolean) => Box::new(CelBool::from(*boolean)),
        Value::Number(number) => self::number(number),
        Value::String(text) => {
            lengths.text = lengths.text.max(text.len());
            Box::new(CelString::from(text.as_str()))
        }
        Value::Array(elements) => {
            lengths.list = lengths.list.max(elements.len());
            let elements: Vec<_> = elements.iter().map(|element| whole(element, lengths)).collect();
            Box::new(CelList::from(elements))
        }
        Value::Object(fields) => {
            lengths.list = lengths.list.max(fields.len());
            let entries: HashMap<_, _> =
                fields.iter().map(|(name, value)| (key(name), whole(value, lengths))).collect();
            Box::new(CelMap::from(entries))
        }
    }
}

fn key(name: &str) -> CelMapKey<'_> {
    CelMapKey::String(CelString::from(name))
}

fn number(number: &Number) -> Box<dyn Val> {
    match (number.as_i64(), number.as_u64()) {
        (Some(integer), _) => Box::new(CelInt::from(integer)),
        (None, Some(integer)) => Box::new(CelUInt::from(integer)),
        // Numbers of other kinds are not in a JSON value.
        (None, None) => Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN))),
    }
}
