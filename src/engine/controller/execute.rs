//! Carrying out a plan, one step after the other.

use serde_json::Value;

use super::{
    context::Controller,
    difference::is_explained,
    observe::Observation,
    ownership::{describe_owner, owns},
    plan::{Applied, Memory, Step, status_manifest},
    queue::deleted,
};
use crate::{
    cluster::{
        apply::{Part, Refusal, WriteError, Writer, Written},
        describe,
        discovery::{self, Served},
    },
    digest,
    object::{self, Key, ObjectRef},
};

/// Why a plan was not carried out to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExecuteError {
    /// A write was refused.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Somebody else has an object of that name.
    #[error("{object} exists and is not ours: {owner}; delete it or choose another name")]
    NotOurs { object: ObjectRef, owner: String },
    /// It could not be checked whether an object exists.
    #[error("failed to look for {object}: {reason}")]
    Look { object: ObjectRef, reason: String },
    /// A step names a kind that the entry does not have: a bug in the planner.
    #[error("the plan writes {0}, whose kind this entry does not declare")]
    UnknownKind(ObjectRef),
}

impl ExecuteError {
    /// One word for conditions and Events.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Write(error) => match error.refusal() {
                Refusal::FieldConflict => "FieldConflict",
                Refusal::Stale => "Conflict",
                Refusal::Forbidden => "Forbidden",
                Refusal::NotFound | Refusal::Other => "WriteFailed",
            },
            Self::NotOurs { .. } => "NotOurs",
            Self::Look { .. } | Self::UnknownKind(_) => "WriteFailed",
        }
    }

    /// Whether looking again and deciding anew will do.
    pub(super) fn is_stale(&self) -> bool {
        matches!(self, Self::Write(error) if error.refusal() == Refusal::Stale)
    }
}

/// A write as far as the caches have to show it.
#[derive(Debug, Clone)]
pub(super) struct Trace {
    pub(super) object: ObjectRef,
    pub(super) uid: String,
    /// The object's version after the write; absent when it is gone.
    pub(super) version: Option<String>,
    /// How the queue knows the event of this write; absent when it is not certainly ours.
    pub(super) event: Option<String>,
}

/// Writes for one object, in the name of one manager.
pub(super) struct Executor<'a> {
    pub(super) controller: &'a Controller,
    pub(super) seen: &'a Observation,
    pub(super) manager: &'a str,
}

impl Executor<'_> {
    /// Carries out one step and remembers it. `done` is what this run has written before.
    pub(super) async fn step(
        &self,
        step: &Step,
        done: &[Trace],
        memory: &mut Memory,
    ) -> Result<Trace, ExecuteError> {
        match step {
            Step::Create { manifest } => {
                let force = self.is_ours_already(self.served(manifest)?, manifest).await?;
                self.apply(manifest, force, memory).await
            }
            Step::Apply { manifest } => self.apply(manifest, true, memory).await,
            Step::Patch { object, patch, status } => self.patch(object, patch, *status, done).await,
            Step::Delete { object, uid, resource_version } => {
                let version = self.still(object, resource_version.as_deref(), done);
                let served = self.served_ref(object)?;
                let left = self.writer().delete(served, &object.key(), uid, version.as_deref()).await?;
                memory.applied.remove(object);
                // While finalizers hold it, its end is still news: somebody may want it back by then.
                let event = Some(left.clone().unwrap_or_else(|| deleted(uid)));
                Ok(Trace { object: object.clone(), uid: uid.clone(), version: left, event })
            }
            Step::Status { manifest } => {
                let trace = apply_status(self.controller, &self.seen.kind, manifest, self.manager).await?;
                memory.status = Some(digest::of_json(&manifest["status"]));
                Ok(trace)
            }
        }
    }

    /// A status that a hook reports while it runs.
    pub(super) async fn progress(
        &self,
        status: &Value,
        memory: &mut Memory,
    ) -> Result<Option<Trace>, ExecuteError> {
        if memory.status.as_ref() == Some(&digest::of_json(status)) {
            return Ok(None);
        }
        let manifest = status_manifest(&self.seen.object, status);
        self.step(&Step::Status { manifest }, &[], memory).await.map(Some)
    }

    async fn apply(&self, manifest: &Value, force: bool, memory: &mut Memory) -> Result<Trace, ExecuteError> {
        let served = self.served(manifest)?;
        let name = Key::of(manifest).of_kind(&served.gvk);
        let before = self.controller.known(&name);
        let written = self.writer().apply(served, manifest, self.manager, force, Part::Main).await?;
        let applied = Applied { digest: digest::of_json(manifest), print: written.print.clone() };
        memory.applied.insert(name.clone(), applied);
        Ok(trace(name, before.as_ref(), &written, manifest))
    }

    /// A merge patch never lands on a new object of the same name, nor on what others have changed since.
    async fn patch(
        &self,
        object: &ObjectRef,
        patch: &Value,
        status: bool,
        done: &[Trace],
    ) -> Result<Trace, ExecuteError> {
        let mut patch = patch.clone();
        let planned = patch.pointer("/metadata/resourceVersion").and_then(Value::as_str);
        if let Some(version) = self.still(object, planned, done) {
            patch["metadata"]["resourceVersion"] = version.into();
        }
        let before = self.controller.known(object);
        let part = if status { Part::Status } else { Part::Main };
        let served = self.served_ref(object)?;
        let written = self.writer().merge(served, &object.key(), &patch, self.manager, part).await?;
        Ok(trace(object.clone(), before.as_ref(), &written, &patch))
    }

    /// The version to ask for: the one that we wrote last in this run; or that of the moment, when only status has moved
    /// since the handler was given the object; else the one it was given, so that the write is refused.
    fn still(&self, object: &ObjectRef, planned: Option<&str>, done: &[Trace]) -> Option<String> {
        let planned = planned?;
        let last =
            done.iter().rev().find(|trace| trace.object == *object).and_then(|trace| trace.event.clone());
        let now =
            self.controller.cached(object).filter(|cached| Some(&cached.print) == self.seen.print(object));
        let now = now.and_then(|cached| object::resource_version(&cached.object).map(str::to_owned));
        Some(last.or(now).unwrap_or_else(|| planned.to_owned()))
    }

    /// Our caches may lag, so the last look before a first apply is at the API server (RULES 11).
    async fn is_ours_already(&self, served: &Served, manifest: &Value) -> Result<bool, ExecuteError> {
        let key = Key::of(manifest);
        let object = || key.of_kind(&served.gvk);
        let live = discovery::get(self.controller.shared.discovery.client(), served, &key).await;
        match live.map_err(|error| ExecuteError::Look { object: object(), reason: describe(&error) })? {
            None => Ok(false),
            Some(live) if owns(&self.seen.object, &live) => Ok(true),
            Some(live) => Err(ExecuteError::NotOurs { object: object(), owner: describe_owner(&live) }),
        }
    }

    fn writer(&self) -> &Writer {
        &self.controller.shared.writer
    }

    fn served(&self, manifest: &Value) -> Result<&Served, ExecuteError> {
        let name = ObjectRef::of(manifest);
        let known = name.as_ref().and_then(|name| self.seen.dependents.get(&name.gvk.key()));
        known.map(AsRef::as_ref).ok_or_else(|| {
            ExecuteError::UnknownKind(name.unwrap_or_else(|| Key::of(manifest).of_kind(&self.seen.kind.gvk)))
        })
    }

    fn served_ref(&self, object: &ObjectRef) -> Result<&Served, ExecuteError> {
        if object.gvk == self.seen.kind.gvk {
            return Ok(&self.seen.kind);
        }
        let known = self.seen.dependents.get(&object.gvk.key());
        known.map(AsRef::as_ref).ok_or_else(|| ExecuteError::UnknownKind(object.clone()))
    }
}

/// Applies a status. By force where somebody else has written the same field, since a handler's status is its own to say;
/// but never a whole list of conditions, in which others have theirs (RULES 26).
pub(super) async fn apply_status(
    controller: &Controller,
    kind: &Served,
    manifest: &Value,
    manager: &str,
) -> Result<Trace, ExecuteError> {
    const WHOLE_LIST: &str = ".status.conditions";
    let writer = &controller.shared.writer;
    let part = if kind.status_subresource { Part::Status } else { Part::Main };
    let name = Key::of(manifest).of_kind(&kind.gvk);
    let before = controller.known(&name);
    let written = match writer.apply(kind, manifest, manager, false, part).await {
        Err(error)
            if error.refusal() == Refusal::FieldConflict
                && error.conflicts().all(|field| field != WHOLE_LIST) =>
        {
            writer.apply(kind, manifest, manager, true, part).await?
        }
        other => other?,
    };
    Ok(trace(name, before.as_ref(), &written, manifest))
}

fn trace(object: ObjectRef, before: Option<&Value>, written: &Written, said: &Value) -> Trace {
    let version = object::resource_version(&written.object).map(str::to_owned);
    let ours = before.is_none_or(|before| {
        object::resource_version(before) != version.as_deref() && is_explained(before, &written.object, said)
    });
    let uid = object::uid(&written.object).unwrap_or_default().to_owned();
    Trace { object, uid, event: version.clone().filter(|_| ours), version }
}
