//! JSON as CEL's values.

use std::collections::HashMap;

use cel::common::{
    types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt},
    value::Val,
};
use serde_json::{Number, Value};

use super::check::Need;

/// As much of a value as is needed. Texts are borrowed.
pub(super) fn to_cel<'v>(value: &'v Value, need: &Need) -> Box<dyn Val + 'v> {
    match value {
        _ if need.whole => whole(value),
        Value::Object(fields) => {
            let needed = need.fields.iter().filter_map(|(name, need)| {
                let (name, value) = fields.get_key_value(name)?;
                Some((key(name), to_cel(value, need)))
            });
            Box::new(CelMap::from(needed.collect::<HashMap<_, _>>()))
        }
        // Only its type matters: it is there, or has no fields.
        Value::Array(_) => Box::new(CelList::from(Vec::new())),
        _ => whole(value),
    }
}

fn whole(value: &Value) -> Box<dyn Val + '_> {
    match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(boolean) => Box::new(CelBool::from(*boolean)),
        Value::Number(number) => self::number(number),
        Value::String(text) => Box::new(CelString::from(text.as_str())),
        Value::Array(elements) => Box::new(CelList::from(elements.iter().map(whole).collect::<Vec<_>>())),
        Value::Object(fields) => {
            let entries = fields.iter().map(|(name, value)| (key(name), whole(value)));
            Box::new(CelMap::from(entries.collect::<HashMap<_, _>>()))
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
