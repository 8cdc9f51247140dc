//! Changes as JSON, for programs.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    Change, Verb, View,
    text::{api, is_all_suppressed},
};

/// Which objects change, without what changes in them.
pub(super) fn names(changes: &[Change], view: &View) -> String {
    let name = |change| {
        let id = Change::id(change);
        Named {
            api: api(change),
            kind: &id.kind,
            namespace: &id.namespace,
            name: &id.name,
            change: word(change, view),
        }
    };
    array(&changes.iter().map(name).collect::<Vec<_>>())
}

/// Which objects change, and of those that stay, which fields.
pub(super) fn fields(changes: &[Change], view: &View) -> String {
    let entry = |change: &Change| {
        let id = change.id();
        let suppressed = view.suppresses(&id.kind);
        let (old, new) = change.shown(view.secrets);
        let mut walk = Walk { found: Vec::new(), view };
        if let (Some(old), Some(new)) = (&old, &new)
            && !suppressed
        {
            walk.values(&mut Vec::new(), Some(old), Some(new));
        }
        Entry {
            api_version: change.api_version().to_owned(),
            kind: id.kind.clone(),
            namespace: id.namespace.clone(),
            name: id.name.clone(),
            change_type: word(change, view),
            resource_status: Sides { old_exists: old.is_some(), new_exists: new.is_some() },
            changes: walk.found,
            changes_suppressed: suppressed,
        }
    };
    array(&changes.iter().map(entry).collect::<Vec<_>>())
}

fn array(entries: &[impl Serialize]) -> String {
    // Strings and JSON values always serialise.
    serde_json::to_string_pretty(entries).unwrap_or_else(|_| "[]".to_owned()) + "\n"
}

/// What happens, in helm-diff's words. `KEEP` is ours: helm-diff does not mention such objects at all.
fn word(change: &Change, view: &View) -> &'static str {
    match change.verb() {
        Verb::Added => "ADD",
        Verb::Changed if is_all_suppressed(change, view) => "MODIFY_SUPPRESSED",
        Verb::Changed => "MODIFY",
        Verb::Removed => "REMOVE",
        Verb::Kept => "KEEP",
    }
}

#[derive(Serialize)]
struct Named<'a> {
    api: &'a str,
    kind: &'a str,
    namespace: &'a str,
    name: &'a str,
    change: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(skip_serializing_if = "String::is_empty")]
    api_version: String,
    kind: String,
    namespace: String,
    name: String,
    change_type: &'static str,
    resource_status: Sides,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<FieldChange>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    changes_suppressed: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sides {
    old_exists: bool,
    new_exists: bool,
}

/// A field that is not the same on both sides.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FieldChange {
    /// What it is in, such as `spec.containers[0]`.
    #[serde(skip_serializing_if = "String::is_empty")]
    path: String,
    field: String,
    change: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    old_value: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new_value: Option<Value>,
}

/// A step into a value.
#[derive(Clone)]
enum Step {
    Field(String),
    Item(usize),
}

/// A walk over both sides of an object at once.
struct Walk<'a> {
    found: Vec<FieldChange>,
    view: &'a View,
}

impl Walk<'_> {
    fn values(&mut self, path: &mut Vec<Step>, old: Option<&Value>, new: Option<&Value>) {
        let empty = Map::new();
        match (old, new) {
            (old, new) if old == new => {}
            (Some(Value::Object(old)), Some(Value::Object(new))) => self.maps(path, old, new),
            // What comes as a whole is told field by field, what goes is told once.
            (None, Some(Value::Object(new))) if !new.is_empty() => self.maps(path, &empty, new),
            (Some(Value::Array(old)), Some(Value::Array(new))) => {
                for at in 0..old.len().max(new.len()) {
                    self.step(path, Step::Item(at), old.get(at), new.get(at));
                }
            }
            _ => self.differ(path, old, new),
        }
    }

    fn maps(&mut self, path: &mut Vec<Step>, old: &Map<String, Value>, new: &Map<String, Value>) {
        let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for key in keys {
            self.step(path, Step::Field(key.clone()), old.get(key), new.get(key));
        }
    }

    fn step(&mut self, path: &mut Vec<Step>, step: Step, old: Option<&Value>, new: Option<&Value>) {
        path.push(step);
        self.values(path, old, new);
        path.pop();
    }

    fn differ(&mut self, path: &[Step], old: Option<&Value>, new: Option<&Value>) {
        let (field, path) = path.split_last().map_or((String::new(), path), |(last, path)| {
            let field = match last {
                Step::Field(name) => name.clone(),
                Step::Item(at) => at.to_string(),
            };
            (field, path)
        });
        let is_suppressed = |side: Option<&Value>| side.is_some_and(|value| self.suppresses(&field, value));
        if is_suppressed(old) || is_suppressed(new) {
            return;
        }
        let change = match (old, new) {
            (None, _) => "add",
            (_, None) => "remove",
            _ => "replace",
        };
        self.found.push(FieldChange {
            path: shown(path),
            field,
            change,
            old_value: old.cloned(),
            new_value: new.cloned(),
        });
    }

    /// Whether a line of the field, as the text would have it, is not to be shown.
    fn suppresses(&self, field: &str, value: &Value) -> bool {
        if self.view.suppress_lines.is_empty() {
            return false;
        }
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        format!("{field}: {text}").lines().any(|line| self.view.suppresses_line(line))
    }
}

fn shown(path: &[Step]) -> String {
    let mut out = String::new();
    for step in path {
        match step {
            Step::Field(name) if out.is_empty() => out.push_str(name),
            Step::Field(name) => out.extend([".", name]),
            Step::Item(at) => out.extend(["[", &at.to_string(), "]"]),
        }
    }
    out
}
