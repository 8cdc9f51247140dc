//! Helpers for lists and maps. A path that is missing counts as an empty list or map.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{
    helper::Helper,
    values::{as_text, brief, items, map, same, text},
};
use crate::digest;

pub(super) const HELPERS: &[Helper] = &[
    Helper::new(
        "get",
        "value? path [fallback]",
        "What is at a path below the value; the fallback, or else `null`, where it is missing or `null`. Keys with dots are in brackets, items of lists are numbers.",
        [
            "{{get object \"metadata.annotations.[example.com/team]\" \"none\"}} {{get object \"spec.ports.0\"}}",
            "blue 80",
        ],
        get,
    ),
    Helper::new(
        "lookup",
        "collection key [fallback]",
        "The value of a key of a map, or of an index of a list. Without a fallback a missing one is an error.",
        ["{{lookup object.spec.labels \"app\"}} {{lookup object.spec.ports 1}}", "web 443"],
        |args| {
            let key = as_text(args[1]);
            let found = child(args[0], &key).or(args.get(2).copied());
            found.cloned().ok_or_else(|| format!("there is no `{key}`"))
        },
    ),
    Helper::new(
        "find",
        "objects? kind name? [namespace]",
        "The object of this kind and name among `references`, `dependents` or `watched`; `null` when there is none. Two of one name in several namespaces are refused unless the namespace is said.",
        [
            "{{#with (find references \"secret.v1\" object.spec.secretName)}}{{metadata.name}}{{else}}no Secret yet{{/with}}",
            "login",
        ],
        find,
    ),
    Helper::new(
        "len",
        "value?",
        "The number of items, of entries, or of a text's characters.",
        ["{{len object.spec.ports}}", "2"],
        |args| match args[0] {
            Value::Null => Ok(0.into()),
            Value::String(text) => Ok(text.chars().count().into()),
            Value::Array(items) => Ok(items.len().into()),
            Value::Object(map) => Ok(map.len().into()),
            other => Err(format!("{} has no length", brief(other))),
        },
    ),
    Helper::new(
        "list",
        "[value]…",
        "A list of these values.",
        ["{{toJson (list 1 \"a\" true)}}", "[1,\"a\",true]"],
        |args| Ok(args.iter().copied().cloned().collect()),
    ),
    Helper::new(
        "first",
        "list?",
        "The first item; `null` of an empty list.",
        ["{{first object.spec.ports}}", "80"],
        |args| Ok(items(args[0])?.first().cloned().unwrap_or_default()),
    ),
    Helper::new(
        "last",
        "list?",
        "The last item; `null` of an empty list.",
        ["{{last object.spec.ports}}", "443"],
        |args| Ok(items(args[0])?.last().cloned().unwrap_or_default()),
    ),
    Helper::new(
        "has",
        "item list?",
        "Whether the item is in the list.",
        ["{{has 443 object.spec.ports}}", "true"],
        |args| Ok(items(args[1])?.iter().any(|item| same(item, args[0])).into()),
    ),
    Helper::new(
        "uniq",
        "list?",
        "Each item once, at its first place.",
        ["{{toJson (uniq (list 2 1 2))}}", "[2,1]"],
        |args| Ok(unique(items(args[0])?)),
    ),
    Helper::new(
        "sortAlpha",
        "list?",
        "The items as texts, sorted by their characters.",
        ["{{join \" \" (sortAlpha (keys object.spec.labels))}}", "app tier"],
        |args| {
            let mut texts: Vec<String> = items(args[0])?.iter().map(as_text).collect();
            texts.sort();
            Ok(texts.into())
        },
    ),
    Helper::new(
        "reverse",
        "list?",
        "The items from the last to the first.",
        ["{{toJson (reverse object.spec.ports)}}", "[443,80]"],
        |args| Ok(items(args[0])?.iter().rev().cloned().collect()),
    ),
    Helper::new(
        "dict",
        "[key-value]…",
        "A map of these keys and values, in turn.",
        ["{{toYaml (dict \"app\" object.metadata.name \"part\" 1)}}", "app: web\npart: 1"],
        dict,
    ),
    Helper::new(
        "hasKey",
        "map? key",
        "Whether the map has the key, whatever its value.",
        ["{{hasKey object.spec.labels \"tier\"}}", "true"],
        |args| Ok(map(args[0])?.is_some_and(|map| map.contains_key(&as_text(args[1]))).into()),
    ),
    Helper::new(
        "keys",
        "map?",
        "The keys, in the order of the map.",
        ["{{join \" \" (keys object.spec.labels)}}", "tier app"],
        |args| Ok(map(args[0])?.into_iter().flat_map(Map::keys).map(text).collect()),
    ),
    Helper::new(
        "values",
        "map?",
        "The values, in the order of the map.",
        ["{{join \" \" (values object.spec.labels)}}", "front web"],
        |args| Ok(map(args[0])?.into_iter().flat_map(Map::values).cloned().collect()),
    ),
    Helper::new(
        "merge",
        "map?…",
        "One map of all, and of the maps in them; where several have a key, the first one's value counts.",
        ["{{toJson (merge (dict \"app\" \"db\") object.spec.labels)}}", r#"{"app":"db","tier":"front"}"#],
        |args| merge(args, false),
    ),
    Helper::new(
        "mergeOverwrite",
        "map?…",
        "The same, but the last one's value counts.",
        [
            "{{toJson (mergeOverwrite object.spec.labels (dict \"app\" \"db\"))}}",
            r#"{"tier":"front","app":"db"}"#,
        ],
        |args| merge(args, true),
    ),
    Helper::new(
        "pick",
        "map? key…",
        "The map with these keys only.",
        ["{{toJson (pick object.spec.labels \"app\")}}", r#"{"app":"web"}"#],
        |args| filter(args, true),
    ),
    Helper::new(
        "omit",
        "map? key…",
        "The map without these keys.",
        ["{{toJson (omit object.spec.labels \"app\")}}", r#"{"tier":"front"}"#],
        |args| filter(args, false),
    ),
];

fn child<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    match value {
        Value::Object(map) => map.get(key),
        Value::Array(items) => items.get(key.parse::<usize>().ok()?),
        _ => None,
    }
}

fn get(args: &[&Value]) -> Result<Value, String> {
    let path = as_text(args[1]);
    let mut found = Some(args[0]);
    let mut rest = path.as_str();
    while !rest.is_empty() {
        let (segment, after) = match rest.strip_prefix('[') {
            Some(inner) => inner.split_once(']').ok_or_else(|| format!("a `[` is not closed in `{path}`"))?,
            None => rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len())),
        };
        found = found.and_then(|value| child(value, segment));
        rest = after.strip_prefix('.').unwrap_or(after);
    }
    let found = found.filter(|value| !value.is_null()).or(args.get(2).copied());
    Ok(found.cloned().unwrap_or_default())
}

fn find(args: &[&Value]) -> Result<Value, String> {
    let (kind, name) = (as_text(args[1]), as_text(args[2]));
    let namespace = args.get(3).map(|namespace| as_text(namespace));
    let objects = items(child(args[0], &kind).unwrap_or(&Value::Null))?;
    let is = |object: &Value, key: &str, wanted: &str| {
        object.pointer(&format!("/metadata/{key}")).map_or(wanted.is_empty(), |value| value == wanted)
    };
    let mut found = objects.iter().filter(|object| {
        !name.is_empty()
            && is(object, "name", &name)
            && namespace.as_deref().is_none_or(|namespace| is(object, "namespace", namespace))
    });
    match (found.next(), found.next()) {
        (Some(_), Some(_)) => Err(format!("several objects `{kind}` are named `{name}`; add the namespace")),
        (only, _) => Ok(only.cloned().unwrap_or_default()),
    }
}

/// Lists come from objects that anybody may have written: comparing each item with each would take for ever.
fn unique(items: &[Value]) -> Value {
    let mut known = BTreeSet::new();
    items.iter().filter(|item| known.insert(digest::of_json(item))).cloned().collect()
}

fn dict(args: &[&Value]) -> Result<Value, String> {
    let pair = |pair: &[&Value]| match pair {
        [key, value] => Ok((as_text(key), (*value).clone())),
        _ => Err("the last key has no value".to_owned()),
    };
    args.chunks(2).map(pair).collect::<Result<Map<_, _>, _>>().map(Value::Object)
}

/// One map of several: of two values for a key, the last or the first one wins.
fn merge(args: &[&Value], last_wins: bool) -> Result<Value, String> {
    let mut merged = Map::new();
    for next in args {
        map(next)?.into_iter().for_each(|next| put(&mut merged, next, last_wins));
    }
    Ok(merged.into())
}

fn put(merged: &mut Map<String, Value>, next: &Map<String, Value>, last_wins: bool) {
    for (key, value) in next {
        match (merged.get_mut(key), value) {
            (Some(Value::Object(merged)), Value::Object(next)) => put(merged, next, last_wins),
            (Some(known), value) if last_wins => *known = value.clone(),
            (Some(_), _) => {}
            (None, value) => {
                merged.insert(key.clone(), value.clone());
            }
        }
    }
}

fn filter(args: &[&Value], keep: bool) -> Result<Value, String> {
    let keys: Vec<String> = args.iter().skip(1).map(|key| as_text(key)).collect();
    let entries = map(args[0])?.into_iter().flatten().filter(|(key, _)| keys.contains(key) == keep);
    Ok(entries.map(|(key, value)| (key.clone(), value.clone())).collect::<Map<_, _>>().into())
}
