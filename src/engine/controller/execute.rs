//! Carrying out a plan, one step after the other.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use super::{
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
    /// The version that the write made; absent for a deletion.
    pub(super) version: Option<String>,
    pub(super) uid: String,
}

impl Trace {
    fn of(name: ObjectRef, written: &Value) -> Self {
        Self {
            object: name,
            version: object::resource_version(written).map(str::to_owned),
            uid: object::uid(written).unwrap_or_default().to_owned(),
        }
    }

    /// How the queue knows the event of this write.
    pub(super) fn event_version(&self) -> String {
        self.version.clone().unwrap_or_else(|| deleted(&self.uid))
    }
}

/// Writes for one object.
pub(super) struct Executor<'a> {
    pub(super) writer: &'a Writer,
    pub(super) client: &'a kube::Client,
    pub(super) manager: &'a str,
    pub(super) parent: &'a Value,
    pub(super) kind: &'a Arc<Served>,
    pub(super) dependents: &'a BTreeMap<String, Arc<Served>>,
}

impl Executor<'_> {
    /// Carries out one step and remembers it.
    pub(super) async fn step(&self, step: &Step, memory: &mut Memory) -> Result<Trace, ExecuteError> {
        match step {
            Step::Create { manifest } => {
                let served = self.served(manifest)?;
                let force = self.is_ours_already(served, manifest).await?;
                self.apply(served, manifest, force, memory).await
            }
            Step::Apply { manifest } => self.apply(self.served(manifest)?, manifest, true, memory).await,
            Step::Patch { object, patch, status } => {
                let served = self.served_ref(object)?;
                let part = if *status { Part::Status } else { Part::Main };
                let written = self.writer.merge(served, &object.key(), patch, self.manager, part).await?;
                Ok(Trace::of(object.clone(), &written.object))
            }
            Step::Delete { object, uid, resource_version } => {
                let served = self.served_ref(object)?;
                self.writer.delete(served, &object.key(), uid, resource_version.as_deref()).await?;
                memory.applied.remove(object);
                Ok(Trace { object: object.clone(), version: None, uid: uid.clone() })
            }
            Step::Status { manifest } => {
                let written = self.status(manifest, self.manager).await?;
                memory.status = Some(digest::of_json(&manifest["status"]));
                Ok(Trace::of(Key::of(manifest).of_kind(&self.kind.gvk), &written.object))
            }
        }
    }

    /// Applies a status in a manager's name. By force: what a handler answers as its status is its own to say.
    pub(super) async fn status(&self, manifest: &Value, manager: &str) -> Result<Written, WriteError> {
        let part = if self.kind.status_subresource { Part::Status } else { Part::Main };
        self.writer.apply(self.kind, manifest, manager, true, part).await
    }

    /// A status that a hook reports while it runs.
    pub(super) async fn progress(
        &self,
        status: Value,
        memory: &mut Memory,
    ) -> Result<Option<Trace>, ExecuteError> {
        if memory.status.as_ref() == Some(&digest::of_json(&status)) {
            return Ok(None);
        }
        self.step(&Step::Status { manifest: status_manifest(self.parent, &status) }, memory).await.map(Some)
    }

    async fn apply(
        &self,
        served: &Served,
        manifest: &Value,
        force: bool,
        memory: &mut Memory,
    ) -> Result<Trace, ExecuteError> {
        let written = self.writer.apply(served, manifest, self.manager, force, Part::Main).await?;
        let name = Key::of(manifest).of_kind(&served.gvk);
        memory
            .applied
            .insert(name.clone(), Applied { digest: digest::of_json(manifest), print: written.print });
        Ok(Trace::of(name, &written.object))
    }

    /// Our caches may lag, so the last look before a first apply is at the API server (RULES 11).
    async fn is_ours_already(&self, served: &Served, manifest: &Value) -> Result<bool, ExecuteError> {
        let key = Key::of(manifest);
        let object = || key.of_kind(&served.gvk);
        let live = discovery::get(self.client, served, &key).await;
        match live.map_err(|error| ExecuteError::Look { object: object(), reason: describe(&error) })? {
            None => Ok(false),
            Some(live) if owns(self.parent, &live) => Ok(true),
            Some(live) => Err(ExecuteError::NotOurs { object: object(), owner: describe_owner(&live) }),
        }
    }

    fn served(&self, manifest: &Value) -> Result<&Served, ExecuteError> {
        let name = ObjectRef::of(manifest);
        let known = name.as_ref().and_then(|name| self.dependents.get(&name.gvk.key()));
        known.map(AsRef::as_ref).ok_or_else(|| {
            ExecuteError::UnknownKind(name.unwrap_or_else(|| Key::of(manifest).of_kind(&self.kind.gvk)))
        })
    }

    fn served_ref(&self, object: &ObjectRef) -> Result<&Served, ExecuteError> {
        if object.gvk == self.kind.gvk {
            return Ok(self.kind);
        }
        let known = self.dependents.get(&object.gvk.key());
        known.map(AsRef::as_ref).ok_or_else(|| ExecuteError::UnknownKind(object.clone()))
    }
}
