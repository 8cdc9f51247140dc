//! The kubeconfig of another cluster, without anything that could reach into this machine. Pure.

use kube::config::Kubeconfig;
use serde_json::{Map, Value, json};

use super::{
    error::InputError,
    objects::{Hidden, Objects, Place},
};
use crate::{helmfile::api::KubeConfigSecret, yaml};

/// What is taken of a cluster. Everything else is refused or, where it does nothing, left out.
const CLUSTER: [&str; 5] =
    ["server", "certificate-authority-data", "tls-server-name", "proxy-url", "disable-compression"];
/// What is taken of a user.
const USER: [&str; 9] = [
    "client-certificate-data",
    "client-key-data",
    "token",
    "username",
    "password",
    "as",
    "as-uid",
    "as-groups",
    "as-user-extra",
];
/// What of the latter nobody may read in a log.
const SECRET: [&str; 3] = ["client-key-data", "token", "password"];

/// Why a field is refused.
const REFUSED: [(&str, &str); 8] = [
    ("exec", "it names a program"),
    ("auth-provider", "it can name a program"),
    ("tokenFile", "it names a file; put the token itself into `token`"),
    ("client-certificate", "it names a file; put its content into `client-certificate-data`"),
    ("client-key", "it names a file; put its content into `client-key-data`"),
    ("certificate-authority", "it names a file; put its content into `certificate-authority-data`"),
    ("insecure-skip-tls-verify", "anybody in between could read the credentials"),
    ("extensions", ""),
];

/// Reads the Secret: only the current context, with its cluster and user.
pub(super) fn read(
    reference: &KubeConfigSecret,
    objects: &Objects,
    hidden: &mut Hidden,
) -> Result<Kubeconfig, InputError> {
    let place = Place::secret("kubeConfig.secretRef", &reference.name);
    let secret = objects.get(&place)?;
    let usual = || ["value", "value.yaml"].into_iter().find(|key| secret.data.contains_key(*key));
    let key = reference.key.as_deref().or_else(usual);
    let key = key.ok_or_else(|| place.lacks("key `value` or `value.yaml`", secret))?;
    let text = place.needed(secret, key)?;
    let wrong = |problem: String| place.invalid(format!("key `{key}` {problem}"));
    let file = yaml::documents(text).ok().and_then(|mut documents| documents.pop());
    let file = file.filter(Value::is_object).ok_or_else(|| wrong("is no kubeconfig".to_owned()))?;
    let document = sanitized(&file).map_err(wrong)?;
    let user = document.pointer("/users/0/user");
    for text in SECRET.iter().filter_map(|name| user?.get(*name)?.as_str()) {
        hidden.add(text);
    }
    // What serde says may quote the file.
    serde_json::from_value(document)
        .map_err(|_| wrong("has fields of a kind that a kubeconfig does not have".to_owned()))
}

/// A kubeconfig with one context. An error goes on after "the key …".
fn sanitized(file: &Value) -> Result<Value, String> {
    let contexts = list(file, "contexts");
    let context = match (file.get("current-context").and_then(Value::as_str), contexts) {
        (Some(current), _) if !current.is_empty() => named(contexts, current, "context")
            .ok_or_else(|| format!("has no context `{current}`, which is its current one"))?,
        (_, [one]) => one.get("context").unwrap_or(&Value::Null),
        _ => return Err("does not say which context is its current one".to_owned()),
    };
    let part = |list_name: &str, name: &str| {
        let wanted = context.get(name).and_then(Value::as_str).unwrap_or_default();
        named(list(file, list_name), wanted, name)
            .and_then(Value::as_object)
            .ok_or_else(|| format!("has no {name} `{wanted}`, which its context names"))
    };
    let cluster = taken(part("clusters", "cluster")?, &CLUSTER, "cluster")?;
    let user = taken(part("users", "user")?, &USER, "user")?;
    let server = cluster.get("server").and_then(Value::as_str).unwrap_or_default();
    if !server.starts_with("https://") {
        return Err("has a cluster whose `server` does not start with `https://`".to_owned());
    }
    let mut context_of = json!({"cluster": "target", "user": "target"});
    if let Some(namespace) = context.get("namespace").and_then(Value::as_str) {
        context_of["namespace"] = Value::from(namespace);
    }
    Ok(json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "target",
        "clusters": [{"name": "target", "cluster": cluster}],
        "users": [{"name": "target", "user": user}],
        "contexts": [{"name": "target", "context": context_of}],
    }))
}

fn list<'a>(file: &'a Value, name: &str) -> &'a [Value] {
    file.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn named<'a>(items: &'a [Value], name: &str, field: &str) -> Option<&'a Value> {
    items.iter().find(|item| item.get("name").and_then(Value::as_str) == Some(name))?.get(field)
}

/// The fields that are safe. One that is not, and does something, is an error.
fn taken(part: &Map<String, Value>, safe: &[&str], what: &str) -> Result<Map<String, Value>, String> {
    let does_nothing = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        _ => false,
    };
    let mut taken = Map::new();
    for (name, value) in part.iter().filter(|(_, value)| !does_nothing(value)) {
        if safe.contains(&name.as_str()) {
            taken.insert(name.clone(), value.clone());
            continue;
        }
        match REFUSED.iter().find(|(refused, _)| refused == name) {
            Some((_, "")) => {}
            Some((_, why)) => return Err(format!("has `{name}` in its {what}, which is refused: {why}")),
            None => {
                let name: String = name.chars().filter(|c| !c.is_control()).take(40).collect();
                return Err(format!("has `{name}` in its {what}, which is not known here"));
            }
        }
    }
    Ok(taken)
}
