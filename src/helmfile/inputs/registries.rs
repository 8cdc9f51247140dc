//! Credentials of chart repositories and OCI registries, each for one host. Pure.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Map, Value, json};

use super::{
    error::InputError,
    model::Repository,
    objects::{Hidden, Object, Objects, Place},
};
use crate::helmfile::api::Registry;

/// What helm is given: the file of its registries, and its repositories.
pub(super) type Found = (Option<Value>, Vec<Repository>);

/// Reads the Secrets of all `registries`.
pub(super) fn read(
    registries: &[Registry],
    objects: &Objects,
    hidden: &mut Hidden,
) -> Result<Found, InputError> {
    let mut auths = Map::new();
    let mut repositories = Vec::new();
    for (index, registry) in registries.iter().enumerate() {
        let place = Place::secret(format!("registries[{index}]"), &registry.secret_ref.name);
        let secret = objects.get(&place)?;
        if let Some(host) = &registry.host {
            let entry = oci(&place, secret, host, hidden)?;
            if auths.insert(address(host).to_owned(), entry).is_some() {
                let problem = format!("`{host}` has credentials already");
                return Err(InputError::Spec { field: place.field, problem });
            }
        } else if let Some(url) = &registry.url {
            let (username, password) = login(&place, secret, host_of(url))?;
            hidden.add(&password);
            repositories.push(Repository { url: url.clone(), username, password });
        }
    }
    let config = (!auths.is_empty()).then(|| json!({"auths": auths}));
    Ok((config, repositories))
}

/// The name of a registry in the file. Docker Hub has one of its own there, whatever it is called.
fn address(host: &str) -> &str {
    match host {
        "docker.io" | "index.docker.io" | "registry-1.docker.io" => "https://index.docker.io/v1/",
        _ => host,
    }
}

fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or(rest)
}

const FILE: &str = ".dockerconfigjson";
/// What an entry of the file may hold. Anything else, such as the name of a program, is left out.
const TOKENS: [&str; 2] = ["identitytoken", "registrytoken"];

/// The entry of a host for helm's file.
fn oci(place: &Place<'_>, secret: &Object, host: &str, hidden: &mut Hidden) -> Result<Value, InputError> {
    if is_docker(secret) {
        let theirs = entry(place, secret, host)?;
        let tokens = TOKENS.iter().filter_map(|name| Some(((*name).to_owned(), theirs.get(*name)?.clone())));
        let tokens: Map<String, Value> = tokens.filter(|(_, token)| token.is_string()).collect();
        if !tokens.is_empty() {
            tokens.values().filter_map(Value::as_str).for_each(|token| hidden.add(token));
            return Ok(Value::Object(tokens));
        }
    }
    let (user, password) = login(place, secret, host)?;
    let auth = BASE64_STANDARD.encode(format!("{user}:{password}"));
    hidden.add(&password);
    hidden.add(&auth);
    Ok(json!({"auth": auth}))
}

fn is_docker(secret: &Object) -> bool {
    secret.type_of.as_deref() == Some("kubernetes.io/dockerconfigjson")
}

/// User and password for a host.
fn login(place: &Place<'_>, secret: &Object, host: &str) -> Result<(String, String), InputError> {
    if !is_docker(secret) {
        let user = place.needed_line(secret, "username")?;
        return Ok((user.to_owned(), place.needed_line(secret, "password")?.to_owned()));
    }
    let entry = entry(place, secret, host)?;
    let text = |name: &str| Some(entry.get(name)?.as_str()?.to_owned());
    let decoded = text("auth").filter(|auth| !auth.is_empty()).and_then(|auth| {
        let pair = String::from_utf8(BASE64_STANDARD.decode(auth).ok()?).ok()?;
        pair.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
    });
    decoded
        .or_else(|| text("username").zip(text("password")))
        .filter(|(user, password)| !user.chars().chain(password.chars()).any(char::is_control))
        .ok_or_else(|| place.invalid(format!("entry for `{host}` has no user and password that can be read")))
}

/// The entry of exactly this host. Helm knows one login for a host, so of entries for parts of it there may be only one.
fn entry(place: &Place<'_>, secret: &Object, host: &str) -> Result<Map<String, Value>, InputError> {
    let text = place.needed(secret, FILE)?;
    let file: Value = serde_json::from_str(text)
        .map_err(|error| place.invalid(format!("key `{FILE}` is no JSON (line {})", error.line())))?;
    let auths = file.get("auths").and_then(Value::as_object).cloned().unwrap_or_default();
    let exact = auths.get(host).or_else(|| auths.get(address(host)));
    let near: Vec<_> = auths.iter().filter(|(name, _)| address(host_of(name)) == address(host)).collect();
    let found = match (exact, near.as_slice()) {
        (Some(entry), _) => Some(entry),
        (None, [(_, first), others @ ..]) if others.iter().all(|(_, other)| other == first) => Some(*first),
        (None, []) => None,
        (None, several) => {
            let names: Vec<String> = several.iter().map(|(name, _)| format!("`{name}`")).collect();
            return Err(place.invalid(format!(
                "key `{FILE}` has different entries for parts of `{host}` ({}), and helm knows one login for a host; write the \
                 entry `{host}`",
                names.join(", ")
            )));
        }
    };
    found.and_then(Value::as_object).cloned().ok_or_else(|| {
        let there: Vec<String> = auths.keys().map(|name| format!("`{}`", host_of(name))).collect();
        let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
        place.invalid(format!("key `{FILE}` has no entry for `{host}`; it has {there}"))
    })
}
