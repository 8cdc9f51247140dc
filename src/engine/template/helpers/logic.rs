//! Helpers that decide.

use std::cmp::Ordering;

use serde_json::Value;

use super::{
    helper::Helper,
    numbers::integer,
    values::{as_text, brief, is_empty, same, text},
};

pub(super) const HELPERS: &[Helper] = &[
    Helper::new(
        "default",
        "value? fallback",
        "The value, or the fallback where the value is missing or empty (as `empty` says). Unlike Helm's, the value comes first.",
        ["{{default object.spec.tag \"latest\"}}", "latest"],
        |args| Ok(if is_empty(args[0]) { args[1] } else { args[0] }.clone()),
    ),
    Helper::new(
        "coalesce",
        "value?…",
        "The first value that is not empty; `null` when all are.",
        ["{{coalesce object.spec.tag object.spec.image \"none\"}}", "nginx:1.29"],
        |args| Ok(args.iter().find(|value| !is_empty(value)).map_or(Value::Null, |value| (*value).clone())),
    ),
    Helper::new(
        "required",
        "message value?",
        "The value; a failure with this message where it is missing, `null` or an empty text.",
        ["{{required \"spec.image is needed\" object.spec.image}}", "nginx:1.29"],
        |args| match args[1] {
            Value::Null => Err(as_text(args[0])),
            Value::String(empty) if empty.is_empty() => Err(as_text(args[0])),
            found => Ok(found.clone()),
        },
    ),
    Helper::new(
        "fail",
        "message",
        "A failure with this message. The run is retried like any that failed.",
        ["{{#if (gt object.spec.replicas 5)}}{{fail \"at most 5 replicas\"}}{{/if}}ok", "ok"],
        |args| Err(as_text(args[0])),
    ),
    Helper::new(
        "ternary",
        "yes no condition?",
        "The first value if the condition is not empty, else the second.",
        ["{{ternary \"many\" \"one\" (gt object.spec.replicas 1)}}", "many"],
        |args| Ok(if is_empty(args[2]) { args[1] } else { args[0] }.clone()),
    ),
    Helper::new(
        "empty",
        "value?",
        "Whether the value is missing, `null`, `false`, 0, or an empty text, list or map.",
        ["{{empty object.spec.tag}}", "true"],
        |args| Ok(is_empty(args[0]).into()),
    ),
    Helper::new(
        "not",
        "value?",
        "The same as `empty`, as it reads better in a condition.",
        ["{{#unless (not object.spec.image)}}image{{/unless}}", "image"],
        |args| Ok(is_empty(args[0]).into()),
    ),
    Helper::new(
        "and",
        "value?…",
        "The first value that is empty, else the last one. All arguments are computed.",
        ["{{#if (and object.spec.image object.spec.tag)}}both{{else}}not both{{/if}}", "not both"],
        |args| {
            Ok(args
                .iter()
                .find(|value| is_empty(value))
                .or(args.last())
                .map_or(Value::Null, |v| (*v).clone()))
        },
    ),
    Helper::new(
        "or",
        "value?…",
        "The first value that is not empty, else the last one. All arguments are computed.",
        ["{{#if (or object.spec.tag object.spec.image)}}one{{/if}}", "one"],
        |args| {
            Ok(args
                .iter()
                .find(|value| !is_empty(value))
                .or(args.last())
                .map_or(Value::Null, |v| (*v).clone()))
        },
    ),
    Helper::new(
        "eq",
        "left? right?",
        "Whether both are equal. A text is never equal to a number, a missing value only to `null`.",
        ["{{eq object.spec.replicas 2}} {{eq object.spec.replicas \"2\"}}", "true false"],
        |args| Ok(same(args[0], args[1]).into()),
    ),
    Helper::new(
        "ne",
        "left? right?",
        "Whether they differ.",
        ["{{ne object.metadata.namespace \"default\"}}", "true"],
        |args| Ok((!same(args[0], args[1])).into()),
    ),
    Helper::new(
        "lt",
        "left right",
        "Whether the left one is less: two numbers, or two texts by their characters.",
        ["{{lt object.spec.replicas 10}}", "true"],
        |args| Ok(order(args)?.is_lt().into()),
    ),
    Helper::new("le", "left right", "Less or equal.", ["{{le object.spec.replicas 2}}", "true"], |args| {
        Ok(order(args)?.is_le().into())
    }),
    Helper::new("gt", "left right", "Greater.", ["{{gt object.spec.replicas 2}}", "false"], |args| {
        Ok(order(args)?.is_gt().into())
    }),
    Helper::new("ge", "left right", "Greater or equal.", ["{{ge object.spec.replicas 2}}", "true"], |args| {
        Ok(order(args)?.is_ge().into())
    }),
    Helper::new(
        "toString",
        "value",
        "The value as a text: nothing for `null`, JSON for lists and maps. It is what `{{value}}` prints.",
        ["{{len (toString object.spec.replicas)}} {{object.spec.ports}}", "1 [80,443]"],
        |args| Ok(text(as_text(args[0]))),
    ),
];

fn order(args: &[&Value]) -> Result<Ordering, String> {
    let incomparable = || {
        let (left, right) = (brief(args[0]), brief(args[1]));
        format!("{left} and {right} can't be compared; both must be numbers, or texts (see `int`)")
    };
    match (args[0], args[1]) {
        (Value::String(left), Value::String(right)) => Ok(left.cmp(right)),
        (left, right) => match (integer(left), integer(right)) {
            (Some(left), Some(right)) => Ok(left.cmp(&right)),
            _ => left
                .as_f64()
                .zip(right.as_f64())
                .and_then(|(l, r)| l.partial_cmp(&r))
                .ok_or_else(incomparable),
        },
    }
}
