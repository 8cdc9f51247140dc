//! Writing a status: what one entry says among what others say.

use serde_json::{Map, Value, json};

use super::{
    context::Controller,
    difference::covers,
    error::ExecuteError,
    live::{Live, TRIES, look},
    plan::status_manifest,
    trace::{Trace, trace},
};
use crate::{
    cluster::{
        apply::{Part, Refusal, Written},
        discovery::Served,
    },
    engine::record::Verb,
    object::{self, Key},
};

/// The one list that several write, and that is one field for all of them where the CRD does not say otherwise (RULES 26).
const WHOLE_LIST: &str = ".status.conditions";

/// A status to write.
pub(super) struct StatusWrite<'a> {
    /// Of which object, as the handler was given it.
    pub(super) object: &'a Value,
    pub(super) kind: &'a Served,
    pub(super) status: &'a Value,
    /// In whose name.
    pub(super) manager: &'a str,
    /// Types of conditions that we said before, and may have to take back.
    pub(super) said: &'a [String],
}

impl StatusWrite<'_> {
    fn part(&self) -> Part {
        if self.kind.status_subresource { Part::Status } else { Part::Main }
    }

    /// Applies the status. By force where somebody else has written the same field, since a handler's status is its own to
    /// say; but never a whole list of conditions, in which others have theirs: there ours are merged into it.
    pub(super) async fn write(&self, controller: &Controller) -> Result<Vec<Trace>, ExecuteError> {
        let conditions = self.status.get("conditions").and_then(Value::as_array);
        if let Some(conditions) = conditions.filter(|_| controller.has_atomic_conditions()) {
            return self.merge(controller, conditions).await;
        }
        match (self.apply(controller, self.status).await, conditions) {
            (Err(ExecuteError::Write(error)), Some(conditions))
                if error.conflicts().any(|field| field == WHOLE_LIST) =>
            {
                controller.note_atomic_conditions();
                self.merge(controller, conditions).await
            }
            (applied, _) => Ok(vec![applied?]),
        }
    }

    /// Whether the status is written another way than we know. Asked when it did not arrive: the API server drops one that
    /// comes with an object whose status is apart, without a word, and knows no such place where it is not.
    async fn is_elsewhere(&self, controller: &Controller) -> bool {
        let discovery = &controller.shared.discovery;
        discovery.forget(&self.kind.gvk);
        let now = discovery.resolve(&self.kind.gvk).await;
        now.is_ok_and(|now| now.status_subresource != self.kind.status_subresource)
    }

    /// Applies to this very object. The UID alone does not ensure that: the API server does not look at it where a CRD's
    /// status is written apart. The version does, and when it is an old one we look which one it is now.
    async fn apply(&self, controller: &Controller, status: &Value) -> Result<Trace, ExecuteError> {
        let mut manifest = status_manifest(self.object, status);
        let name = Key::of(&manifest).of_kind(&self.kind.gvk);
        let before = controller.known(&name);
        let mut version = before.as_deref().and_then(|known| self.version(known));
        for attempt in 1.. {
            if version.is_none() {
                let live = look(&controller.shared.discovery, self.kind, &name.key()).await?;
                version = live.as_ref().and_then(|live| self.version(live));
            }
            let Some(version) = version.take() else { return Err(ExecuteError::Replaced(name)) };
            manifest["metadata"]["resourceVersion"] = version;
            match self.send(controller, &manifest).await {
                Err(ExecuteError::Write(error)) if error.refusal() == Refusal::Stale && attempt < TRIES => {}
                sent => {
                    let written = sent?;
                    return Ok(trace(
                        &controller.entry,
                        Verb::Status,
                        name,
                        before.as_deref(),
                        &written,
                        &manifest,
                    ));
                }
            }
        }
        Err(ExecuteError::Replaced(name))
    }

    /// The version of an object, if it is ours and not another one of that name.
    fn version(&self, object: &Value) -> Option<Value> {
        let is_it = object::uid(object) == object::uid(self.object);
        is_it.then(|| object["metadata"]["resourceVersion"].clone())
    }

    async fn send(&self, controller: &Controller, manifest: &Value) -> Result<Written, ExecuteError> {
        let writer = &controller.shared.writer;
        let forced = |force| writer.apply(self.kind, manifest, self.manager, force, self.part());
        let written = match forced(false).await {
            Err(error)
                if error.refusal() == Refusal::FieldConflict
                    && error.conflicts().all(|field| field != WHOLE_LIST) =>
            {
                forced(true).await
            }
            other => other,
        };
        let arrived = match &written {
            Ok(written) => {
                let now = written.object.get("status");
                self.kind.status_subresource || now.is_some_and(|now| covers(now, &manifest["status"]))
            }
            Err(error) => !self.kind.status_subresource || error.refusal() != Refusal::NotFound,
        };
        if !arrived && self.is_elsewhere(controller).await {
            return Err(ExecuteError::KindChanged(self.kind.gvk.clone()));
        }
        Ok(written?)
    }

    /// The list goes its own way, by a manager of its own: server-side apply would take it as a whole, or drop it.
    async fn merge(&self, controller: &Controller, ours: &[Value]) -> Result<Vec<Trace>, ExecuteError> {
        let mut traces = Vec::new();
        let mut rest = self.status.clone();
        if let Some(rest) = rest.as_object_mut() {
            rest.remove("conditions");
        }
        if rest.as_object().is_some_and(|rest| !rest.is_empty()) {
            traces.push(self.apply(controller, &rest).await?);
        }
        let (shared, entry, key) = (&controller.shared, &controller.entry, Key::of(self.object));
        let live = Live { shared, entry, served: self.kind, key: &key, uid: object::uid(self.object) };
        let manager = entry.conditions_manager();
        let merged = live.patch(&manager, Verb::Status, self.part(), |live| {
            let list = merged(live.pointer("/status/conditions"), ours, self.said)?;
            Some(json!({"status": {"conditions": list}}))
        });
        traces.extend(merged.await?);
        Ok(traces)
    }
}

/// The list with our conditions in it: those of others stay where they are, those that we said before and say no more go.
/// `None` when it is like that already.
fn merged(current: Option<&Value>, ours: &[Value], said: &[String]) -> Option<Vec<Value>> {
    let current = current.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mine = |condition: &Value| ours.iter().find(|our| our["type"] == condition["type"]);
    let taken_back = |condition: &Value| {
        mine(condition).is_none()
            && condition["type"].as_str().is_some_and(|name| said.iter().any(|said| said == name))
    };
    let kept = current.iter().filter(|condition| !taken_back(condition));
    let mut list: Vec<Value> = kept.map(|condition| mine(condition).unwrap_or(condition).clone()).collect();
    for our in ours {
        if !current.iter().any(|known| known["type"] == our["type"]) {
            list.push(our.clone());
        }
    }
    (list != current).then_some(list)
}

/// The types of the conditions in a status.
pub(super) fn condition_types(status: &Map<String, Value>) -> Vec<String> {
    let conditions = status.get("conditions").and_then(Value::as_array).into_iter().flatten();
    conditions.filter_map(|condition| Some(condition.get("type")?.as_str()?.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_conditions_are_merged_into_those_of_others() {
        let theirs = json!({"type": "Theirs", "status": "True"});
        let ours = |status: &str| json!({"type": "Ours", "status": status});
        let old = json!({"type": "Old", "status": "True"});
        let current = json!([ours("False"), theirs, old]);
        let said = ["Ours".to_owned(), "Old".to_owned()];
        let list = merged(Some(&current), &[ours("True"), json!({"type": "New"})], &said);
        assert_eq!(list, Some(vec![ours("True"), theirs.clone(), json!({"type": "New"})]));
        assert_eq!(merged(Some(&json!([theirs, ours("True")])), &[ours("True")], &said), None);
        assert_eq!(merged(None, &[ours("True")], &[]), Some(vec![ours("True")]));
    }
}
