//! Finding what differs between two manifests, object by object.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    Secrets, hide,
    manifest::{Body, Id, Object},
};

/// What happens to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// It is new.
    Added,
    /// It differs.
    Changed,
    /// It is deleted.
    Removed,
    /// It leaves the release, but stays in the cluster (`helm.sh/resource-policy: keep`).
    Kept,
}

/// One object that is not the same on both sides.
#[derive(Debug, Clone)]
pub struct Change {
    id: Id,
    old: Option<Object>,
    new: Option<Object>,
}

impl Change {
    /// Which object.
    pub fn id(&self) -> &Id {
        &self.id
    }

    /// What happens to it.
    pub fn verb(&self) -> Verb {
        match (&self.old, &self.new) {
            (None, _) => Verb::Added,
            (Some(_), Some(_)) => Verb::Changed,
            (Some(old), None) if is_kept(old) => Verb::Kept,
            (Some(_), None) => Verb::Removed,
        }
    }

    /// The API version it gets, or had.
    pub fn api_version(&self) -> &str {
        self.new.as_ref().or(self.old.as_ref()).map_or("", |object| &object.api_version)
    }

    /// Whether its values must not be shown.
    pub fn is_secret(&self) -> bool {
        hide::is_secret(&self.id.kind)
    }

    /// Both sides as they may be shown.
    pub fn shown(&self, secrets: Secrets) -> (Option<Value>, Option<Value>) {
        let value = |side: &Option<Object>| side.as_ref().map(showable);
        let (old, new) = (value(&self.old), value(&self.new));
        match secrets {
            _ if !self.is_secret() => (old, new),
            Secrets::Hidden => hide::hide(old.as_ref(), new.as_ref()),
            Secrets::Shown => (old, new),
            Secrets::Decoded => (old.map(hide::decode), new.map(hide::decode)),
        }
    }
}

fn is_kept(object: &Object) -> bool {
    let policy =
        object.value().and_then(|value| value.pointer("/metadata/annotations/helm.sh~1resource-policy"));
    policy.and_then(Value::as_str).is_some_and(|policy| policy.trim() == "keep")
}

fn showable(object: &Object) -> Value {
    match &object.body {
        Body::Object(value) => value.clone(),
        Body::Unreadable(text) => format!("unreadable as an object, not shown ({} bytes)", text.len()).into(),
    }
}

/// Finds the objects that differ, in a stable order. Objects of the same identity are compared in the order of their
/// appearance: a hook and a plain object may share one.
pub fn compare(old: Vec<Object>, new: Vec<Object>) -> Vec<Change> {
    let mut sides: BTreeMap<(Id, usize), (Option<Object>, Option<Object>)> = BTreeMap::new();
    for (key, object) in numbered(old) {
        sides.entry(key).or_default().0 = Some(object);
    }
    for (key, object) in numbered(new) {
        sides.entry(key).or_default().1 = Some(object);
    }
    sides
        .into_iter()
        .filter(|(_, (old, new))| old != new)
        .map(|((id, _), (old, new))| Change { id, old, new })
        .collect()
}

fn numbered(objects: Vec<Object>) -> impl Iterator<Item = ((Id, usize), Object)> {
    // Plain objects before hooks, since the two sides come in different orders.
    let (plain, hooks): (Vec<_>, Vec<_>) = objects.into_iter().partition(|object| object.hook.is_none());
    let mut seen: BTreeMap<Id, usize> = BTreeMap::new();
    plain.into_iter().chain(hooks).map(move |object| {
        let count = seen.entry(object.id.clone()).or_default();
        *count += 1;
        ((object.id.clone(), *count), object)
    })
}
