//! Keeps secrets out of records: values of Secrets, of environment variables, and whatever is called like a credential.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Map, Value};

use crate::{contract::State, redact::urls};

/// A shorter text is not looked for in other texts: it would be found by chance.
const SHORTEST: usize = 6;
/// The most secrets that are looked for; beyond that only what is where a secret belongs is hidden.
const MOST: usize = 512;

/// A JSON value without what is in the place of a secret; each is replaced by its length.
pub(super) fn json(value: &Value) -> Value {
    let mut hidden = value.clone();
    Secrets::default().hide(&mut hidden);
    hidden
}

/// A text without what is told as a credential: in a URL, or after `password=` and the like.
pub fn text(text: &str) -> String {
    Secrets::default().text(text)
}

/// A text without what is told as a credential, and without the values of secrets that are in the state or the plan.
pub fn text_of(text: &str, given: Option<&State>, plan: Option<&Value>) -> String {
    Secrets::of(given, plan).text(text)
}

/// Secrets that are known by their values, so that they are found where nobody expects them: in a status, or on stderr.
#[derive(Debug, Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// Those in what a handler was given, and in what it wants to write.
    pub(super) fn of(given: Option<&State>, plan: Option<&Value>) -> Self {
        let mut secrets = Self::default();
        let of_state = given.into_iter().flat_map(|state| {
            let lists = [&state.dependents, &state.references, &state.watched];
            let objects = lists.into_iter().flat_map(|list| list.values().flatten());
            [&state.object, &state.values].into_iter().chain(objects)
        });
        of_state.chain(plan).for_each(|value| walk(value, Place::Free, &mut |text| secrets.learn(text)));
        // The longest first: a secret may be a part of another.
        secrets.0.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets
    }

    fn learn(&mut self, text: &str) {
        self.add(text);
        let decoded = BASE64_STANDARD.decode(text.trim()).ok();
        if let Some(decoded) = decoded.and_then(|bytes| String::from_utf8(bytes).ok()) {
            self.add(&decoded);
        }
    }

    /// As a whole, and each of its lines.
    fn add(&mut self, secret: &str) {
        let lines = secret.lines().filter(|_| secret.contains('\n'));
        for text in std::iter::once(secret.trim()).chain(lines.map(str::trim)) {
            if self.0.len() < MOST && text.len() >= SHORTEST && !self.0.iter().any(|known| known == text) {
                self.0.push(text.to_owned());
            }
        }
    }

    /// Hides what is in the place of a secret, and the known ones everywhere.
    pub(super) fn hide(&self, value: &mut Value) {
        self.hide_at(value, Place::Free);
    }

    fn hide_at(&self, value: &mut Value, place: Place) {
        let is_hidden = matches!(place, Place::Secret | Place::Doubtful);
        match value {
            Value::Object(map) => {
                let whole = Whole::of(map, place);
                let fields = std::mem::take(map);
                map.extend(fields.into_iter().map(|(key, mut inner)| {
                    self.hide_at(&mut inner, whole.place(&key));
                    (self.known(key), inner)
                }));
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.hide_at(item, place)),
            Value::String(text) if is_hidden => *text = mask(text),
            Value::String(text) => *text = self.text(text),
            Value::Number(number) if is_hidden => *value = mask(&number.to_string()).into(),
            _ => {}
        }
    }

    /// A text without the known secrets, credentials in URLs, and what follows `password=` and the like.
    pub(super) fn text(&self, text: &str) -> String {
        assignments(&urls(&self.known(text.to_owned())))
    }

    /// The same with as many lines as before.
    pub(super) fn lines(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in self.0.iter().filter(|secret| secret.contains('\n')) {
            let ends = "\n".repeat(secret.matches('\n').count());
            text = text.replace(secret.as_str(), &(mask(secret) + &ends));
        }
        self.text(&text)
    }

    fn known(&self, mut text: String) -> String {
        for secret in &self.0 {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), &mask(secret));
            }
        }
        text
    }
}

fn mask(secret: &str) -> String {
    format!("<redacted: {} bytes>", secret.len())
}

/// Where a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Anywhere.
    Free,
    /// Somewhere in a Secret, or in a patch of one.
    OfSecret,
    /// Among environment variables.
    Env,
    /// What is here is a secret.
    Secret,
    /// What is here may be one: it is hidden here, but may be a common word elsewhere.
    Doubtful,
}

/// What a map is, as far as it tells where its fields are.
struct Whole {
    place: Place,
    /// Whether it is a variable with a name and a value, and the name is that of a credential.
    variable: Option<bool>,
    patches_secret: bool,
}

impl Whole {
    fn of(map: &Map<String, Value>, place: Place) -> Self {
        let is_secret = |map: &Map<String, Value>| {
            matches!(map.get("kind").and_then(Value::as_str), Some("Secret" | "SecretList"))
        };
        let place = if place == Place::Free && is_secret(map) { Place::OfSecret } else { place };
        Self {
            place,
            variable: map
                .get("name")
                .and_then(Value::as_str)
                .filter(|_| place == Place::Env)
                .map(is_credential),
            patches_secret: map.get("object").and_then(Value::as_object).is_some_and(is_secret),
        }
    }

    fn place(&self, key: &str) -> Place {
        match (self.place, key) {
            (Place::Env, _) => self.place_among_variables(key),
            (Place::Secret, _) | (Place::OfSecret, "data" | "stringData") => Place::Secret,
            // The annotation has the whole manifest as a text.
            (Place::Doubtful, _) | (_, "kubectl.kubernetes.io/last-applied-configuration") => Place::Doubtful,
            _ if is_credential(key) => Place::Secret,
            (Place::OfSecret, _) => Place::OfSecret,
            (_, "patch") if self.patches_secret => Place::OfSecret,
            (_, "env") => Place::Env,
            _ => Place::Free,
        }
    }

    /// Variables are `{name, value}`, or fields of a map.
    fn place_among_variables(&self, key: &str) -> Place {
        match (self.variable, key) {
            (Some(true), "value") => Place::Secret,
            (Some(false), "value") => Place::Doubtful,
            (Some(_), _) => Place::Free,
            (None, name) if is_credential(name) => Place::Secret,
            (None, _) => Place::Doubtful,
        }
    }
}

/// Shows `found` every text that is in the place of a secret.
fn walk(value: &Value, place: Place, found: &mut dyn FnMut(&str)) {
    match value {
        Value::Object(map) => {
            let whole = Whole::of(map, place);
            map.iter().for_each(|(key, inner)| walk(inner, whole.place(key), found));
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, place, found)),
        Value::String(text) if place == Place::Secret => found(text),
        _ => {}
    }
}

/// Words that a credential's name has in it, in lower case and without separators.
const CREDENTIALS: [&str; 11] = [
    "password",
    "passwd",
    "passphrase",
    "token",
    "secret",
    "apikey",
    "accesskey",
    "privatekey",
    "credential",
    "authorization",
    "bearer",
];
/// How names end that only say where a credential is.
const POINTERS: [&str; 10] =
    ["name", "names", "namespace", "ref", "refs", "file", "path", "type", "version", "pullsecrets"];

/// Whether a field, a variable or a flag is called like a credential.
fn is_credential(name: &str) -> bool {
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    let plain: String = letters.map(|letter| letter.to_ascii_lowercase()).collect();
    CREDENTIALS.iter().any(|word| plain.contains(word)) && !POINTERS.iter().any(|end| plain.ends_with(end))
}

/// Hides what follows the name of a credential: `--password=x`, `token: x`, `Bearer x`.
fn assignments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut follows = false;
    for word in text.split_inclusive(char::is_whitespace) {
        let bare = word.trim_end();
        let space = word.strip_prefix(bare).unwrap_or_default();
        let split = bare.split_once(['=', ':']).filter(|(name, _)| is_credential(name));
        match split {
            _ if bare.is_empty() => out.push_str(word),
            _ if follows && !bare.eq_ignore_ascii_case("bearer") && !bare.eq_ignore_ascii_case("basic") => {
                out.push_str(&mask(bare));
                out.push_str(space);
                follows = false;
            }
            // What follows a colon may stand apart, and so may what follows a scheme.
            Some((_, "" | "\"" | "'")) => {
                out.push_str(word);
                follows = true;
            }
            Some((name, value)) if !value.starts_with("//") => {
                let separator = bare.strip_prefix(name).and_then(|rest| rest.chars().next()).unwrap_or('=');
                out.push_str(name);
                out.push(separator);
                out.push_str(&mask(value));
                out.push_str(space);
            }
            _ => {
                out.push_str(word);
                follows |= bare.eq_ignore_ascii_case("bearer");
            }
        }
    }
    out
}

#[cfg(test)]
#[path = "redact_tests.rs"]
mod tests;
