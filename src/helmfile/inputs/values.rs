//! Values and variables, from the texts of `ConfigMaps` and Secrets. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    error::InputError,
    merge::lay_over,
    objects::{Hidden, Objects, Place},
    set_path::{self, SetError},
};
use crate::{
    helmfile::api::{EnvVar, HelmfileSpec, SourceKind, ValuesReference},
    yaml,
};

/// Texts of `valuesFrom` that were encrypted, by their place in the list.
pub(super) type Decrypted = BTreeMap<usize, String>;

/// The place of an item of `valuesFrom`.
pub(super) fn place(index: usize, from: &ValuesReference) -> Place<'_> {
    Place { field: format!("valuesFrom[{index}]"), kind: from.kind, name: &from.name }
}

/// One layer of all values but `valuesFiles`: `valuesFrom` in its order, over it `values`, over it those with a
/// `targetPath` in their order.
pub(super) fn values(
    spec: &HelmfileSpec,
    objects: &Objects,
    decrypted: &Decrypted,
    hidden: &mut Hidden,
) -> Result<Map<String, Value>, InputError> {
    let mut merged = Map::new();
    let items = || spec.values_from.iter().enumerate();
    for (index, from) in items().filter(|(_, from)| from.target_path.is_none()) {
        let place = place(index, from);
        let plain = decrypted.get(&index).map(String::as_str);
        let stored = objects.entry(&place, &from.key, from.optional)?;
        let Some(text) = plain.or(stored) else { continue };
        let is_secret = from.kind == SourceKind::Secret || plain.is_some();
        let layer = layer(&place, &from.key, text, is_secret)?;
        if is_secret {
            layer.values().for_each(|value| hide(value, hidden));
        }
        lay_over(&mut merged, layer);
    }
    lay_over(&mut merged, spec.values.clone());
    for (index, from) in items() {
        let Some(path) = &from.target_path else { continue };
        let place = place(index, from);
        let Some(text) = objects.entry(&place, &from.key, from.optional)? else { continue };
        let value = if from.literal { Ok(Value::from(text)) } else { set_path::typed(text) };
        let value = value.map_err(|_| place.invalid(format!("key `{}` {LIST}", from.key)))?;
        if from.kind == SourceKind::Secret {
            hidden.add(text);
            hide(&value, hidden);
        }
        let wrong = |error: SetError| InputError::Spec {
            field: format!("{}.targetPath", place.field),
            problem: error.to_string(),
        };
        set_path::put(&mut merged, path, value).map_err(wrong)?;
    }
    Ok(merged)
}

const LIST: &str =
    "starts with `{` and is no list such as `{a,b}`; with `literal: true` it is taken as it is";

/// The values of one text.
fn layer(
    place: &Place<'_>,
    key: &str,
    text: &str,
    is_secret: bool,
) -> Result<Map<String, Value>, InputError> {
    let wrong = |what: String| Err(place.invalid(format!("key `{key}` {what}")));
    let mut documents = match yaml::documents(text) {
        Ok(documents) => documents,
        // What the parser says may quote the text.
        Err(error) if is_secret => {
            return wrong(format!("is no YAML (line {}, column {})", error.line, error.column));
        }
        Err(error) => return wrong(format!("is no YAML: {error}")),
    };
    match (documents.pop(), documents.is_empty()) {
        (None, _) => Ok(Map::new()),
        (Some(Value::Object(map)), true) => Ok(map),
        (Some(_), true) => wrong("is no map of values; with `targetPath` it can be a single one".to_owned()),
        (Some(_), false) => wrong("holds several YAML documents, and one map of values is needed".to_owned()),
    }
}

/// All texts in YAML that was encrypted, the longest first.
pub(super) fn texts(yaml: &str) -> Vec<String> {
    let mut hidden = Hidden::default();
    yaml::documents(yaml).unwrap_or_default().iter().for_each(|document| hide(document, &mut hidden));
    hidden.into_list()
}

/// All texts in a value, and numbers that are long enough to be a PIN or an account.
fn hide(value: &Value, hidden: &mut Hidden) {
    match value {
        Value::String(text) => hidden.add(text),
        Value::Array(items) => items.iter().for_each(|item| hide(item, hidden)),
        Value::Object(map) => map.values().for_each(|value| hide(value, hidden)),
        Value::Number(number) if number.to_string().len() >= 6 => hidden.add(&number.to_string()),
        Value::Number(_) | Value::Bool(_) | Value::Null => {}
    }
}

/// The environment: `envvars`, over them `env`. A variable whose key may be missing and is leaves what is under it.
pub(super) fn env(
    spec: &HelmfileSpec,
    objects: &Objects,
    hidden: &mut Hidden,
) -> Result<BTreeMap<String, String>, InputError> {
    let mut env = spec.envvars.clone();
    for (index, variable) in spec.env.iter().enumerate() {
        if let Some(value) = value_of(index, variable, objects, hidden)? {
            env.insert(variable.name.clone(), value);
        }
    }
    match env.iter().find(|(_, value)| value.contains('\0')) {
        None => Ok(env),
        Some((name, _)) => Err(InputError::Spec {
            field: format!("the variable {name}"),
            problem: "its value has a NUL byte in it, which no environment can hold".to_owned(),
        }),
    }
}

fn value_of(
    index: usize,
    variable: &EnvVar,
    objects: &Objects,
    hidden: &mut Hidden,
) -> Result<Option<String>, InputError> {
    let Some(from) = &variable.value_from else { return Ok(variable.value.clone()) };
    let (kind, reference) = match (&from.config_map_key_ref, &from.secret_key_ref) {
        (Some(reference), None) => (SourceKind::ConfigMap, reference),
        (None, Some(reference)) => (SourceKind::Secret, reference),
        _ => {
            return Err(InputError::Spec {
                field: format!("env[{index}].valueFrom"),
                problem: "it has either configMapKeyRef or secretKeyRef".to_owned(),
            });
        }
    };
    let place = Place { field: format!("env[{index}]"), kind, name: &reference.name };
    let text = objects.entry(&place, &reference.key, reference.optional)?;
    if let (Some(text), SourceKind::Secret) = (text, kind) {
        hidden.add(text);
    }
    Ok(text.map(str::to_owned))
}
