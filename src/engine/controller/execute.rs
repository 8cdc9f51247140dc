//! Carrying out a plan, one step after the other.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::{
    breaker::Change,
    context::{Controller, Shared},
    difference::{changed_fields, is_explained},
    observe::Observation,
    ownership::{describe_owner, owns_as},
    plan::{Applied, Memory, Step},
    queue::deleted,
    status::{StatusWrite, condition_types},
};
use crate::{
    cluster::{
        apply::{Part, Refusal, WriteError, Writer, Written},
        describe,
        discovery::{self, Served},
    },
    digest,
    engine::{config::Entry, record::Verb},
    object::{self, Gvk, Key, ObjectRef},
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
    /// The CRD was changed while its objects were watched, which goes on as if nothing had happened.
    #[error("the status of {0} is written another way since its CustomResourceDefinition was changed")]
    KindChanged(Gvk),
    /// The object is gone; there may be another one of its name.
    #[error("{0} is gone, or another one by now")]
    Replaced(ObjectRef),
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
                Refusal::NotFound | Refusal::Exists | Refusal::Other => "WriteFailed",
            },
            Self::NotOurs { .. } => "NotOurs",
            Self::KindChanged(_) => "KindChanged",
            Self::Replaced(_) => "Replaced",
            Self::Look { .. } | Self::UnknownKind(_) => "WriteFailed",
        }
    }

    /// Whether the object is not there any more.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self, Self::Write(error) if error.refusal() == Refusal::NotFound)
    }

    /// Whether looking again and deciding anew will do.
    pub(super) fn is_stale(&self) -> bool {
        match self {
            Self::Write(error) => error.refusal() == Refusal::Stale,
            Self::KindChanged(_) | Self::Replaced(_) => true,
            _ => false,
        }
    }
}

/// A write as far as the caches have to show it.
#[derive(Debug, Clone)]
pub(super) struct Trace {
    pub(super) object: ObjectRef,
    pub(super) uid: String,
    /// The object's version after the write; absent when it is gone.
    pub(super) version: Option<String>,
    /// Whether there was such an object before.
    pub(super) existed: bool,
    /// How it was written.
    pub(super) verb: Verb,
    /// How many calls that took.
    pub(super) calls: u32,
    /// How the queue knows the events of this write; none when it is not certainly ours.
    pub(super) events: Vec<String>,
    /// What it changed.
    pub(super) changes: Vec<Change>,
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
    ) -> Result<Vec<Trace>, ExecuteError> {
        let trace = match step {
            Step::Create { manifest } => self.create(manifest, memory).await,
            Step::Apply { manifest } => self.apply(manifest, memory).await,
            Step::Patch { object, patch, status } => self.patch(object, patch, *status, done).await,
            Step::RemoveFinalizer { finalizer, .. } => {
                return Ok(self.remove_finalizer(finalizer).await?.into_iter().collect());
            }
            Step::Delete { object, uid, resource_version } => {
                let version = self.still(object, resource_version.as_deref(), done);
                let served = self.served_ref(object)?;
                let left = self.writer().delete(served, &object.key(), uid, version.as_deref()).await?;
                memory.applied.remove(object);
                // While finalizers hold it, its end is still news: somebody may want it back by then.
                let events = vec![left.clone().unwrap_or_else(|| deleted(uid))];
                let changes = vec![Change { field: object.to_string(), value: "deleted".to_owned() }];
                Ok(Trace {
                    object: object.clone(),
                    uid: uid.clone(),
                    version: left,
                    existed: true,
                    verb: Verb::Delete,
                    calls: 1,
                    events,
                    changes,
                })
            }
            Step::Status { manifest } => return self.status(&manifest["status"], memory).await,
        };
        Ok(vec![trace?])
    }

    async fn remove_finalizer(&self, finalizer: &str) -> Result<Option<Trace>, ExecuteError> {
        let Controller { shared, entry, .. } = self.controller;
        remove_finalizer(shared, entry, &self.seen.kind, &self.seen.object, finalizer).await
    }

    async fn status(&self, status: &Value, memory: &mut Memory) -> Result<Vec<Trace>, ExecuteError> {
        let write = StatusWrite {
            object: &self.seen.object,
            kind: &self.seen.kind,
            status,
            manager: self.manager,
            said: &memory.conditions,
        };
        let traces = write.write(self.controller).await?;
        memory.status = Some(digest::of_json(status));
        memory.conditions = status.as_object().map(condition_types).unwrap_or_default();
        Ok(traces)
    }

    /// A status that a hook reports while it runs.
    pub(super) async fn progress(
        &self,
        status: &Value,
        memory: &mut Memory,
    ) -> Result<Vec<Trace>, ExecuteError> {
        if memory.status.as_ref() == Some(&digest::of_json(status)) {
            return Ok(Vec::new());
        }
        self.status(status, memory).await
    }

    /// Creates a child. The API server refuses when there is one of that name already, so nothing is adopted by accident,
    /// whatever our caches know (RULES 11).
    async fn create(&self, manifest: &Value, memory: &mut Memory) -> Result<Trace, ExecuteError> {
        let (served, orphan) = self.served(manifest)?;
        let created = self.writer().create(served, manifest, self.manager).await;
        match created {
            Ok(written) => Ok(self.applied(Verb::Create, served, None, manifest, &written, memory)),
            Err(error) if error.refusal() == Refusal::Exists => {
                self.must_be_ours(served, manifest, orphan).await?;
                self.apply(manifest, memory).await
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn apply(&self, manifest: &Value, memory: &mut Memory) -> Result<Trace, ExecuteError> {
        let (served, _) = self.served(manifest)?;
        let before = self.controller.known(&Key::of(manifest).of_kind(&served.gvk));
        let written = self.writer().apply(served, manifest, self.manager, true, Part::Main).await?;
        Ok(self.applied(Verb::Apply, served, before.as_ref(), manifest, &written, memory))
    }

    fn applied(
        &self,
        verb: Verb,
        served: &Served,
        before: Option<&Value>,
        manifest: &Value,
        written: &Written,
        memory: &mut Memory,
    ) -> Trace {
        let name = Key::of(manifest).of_kind(&served.gvk);
        let applied = Applied { digest: digest::of_json(manifest), print: written.print.clone() };
        memory.applied.insert(name.clone(), applied);
        trace(&self.controller.entry, verb, name, before, written, manifest)
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
        Ok(trace(&self.controller.entry, Verb::Patch, object.clone(), before.as_ref(), &written, &patch))
    }

    /// The version to ask for: the one that we wrote last in this run; or that of the moment, when only status has moved
    /// since the handler was given the object; else the one it was given, so that the write is refused.
    fn still(&self, object: &ObjectRef, planned: Option<&str>, done: &[Trace]) -> Option<String> {
        let planned = planned?;
        let last = done.iter().rev().find(|trace| trace.object == *object);
        let last = last.and_then(|trace| trace.events.last().cloned());
        let now =
            self.controller.cached(object).filter(|cached| Some(&cached.print) == self.seen.print(object));
        let now = now.and_then(|cached| object::resource_version(&cached.object).map(str::to_owned));
        Some(last.or(now).unwrap_or_else(|| planned.to_owned()))
    }

    async fn must_be_ours(
        &self,
        served: &Served,
        manifest: &Value,
        orphan: bool,
    ) -> Result<(), ExecuteError> {
        let key = Key::of(manifest);
        let object = || key.of_kind(&served.gvk);
        let live = discovery::get(self.controller.shared.discovery.client(), served, &key).await;
        match live.map_err(|error| ExecuteError::Look { object: object(), reason: describe(&error) })? {
            // Gone again: applying makes it anew.
            None => Ok(()),
            Some(live) if owns_as(&self.seen.object, &live, orphan) => Ok(()),
            Some(live) => Err(ExecuteError::NotOurs { object: object(), owner: describe_owner(&live) }),
        }
    }

    fn writer(&self) -> &Writer {
        &self.controller.shared.writer
    }

    /// The kind of a child, and whether it has no owner reference.
    fn served(&self, manifest: &Value) -> Result<(&Served, bool), ExecuteError> {
        let name = ObjectRef::of(manifest);
        let known = name.as_ref().and_then(|name| self.seen.dependents.get(&name.gvk.key()));
        known.map(|(served, orphan)| (served.as_ref(), *orphan)).ok_or_else(|| {
            ExecuteError::UnknownKind(name.unwrap_or_else(|| Key::of(manifest).of_kind(&self.seen.kind.gvk)))
        })
    }

    fn served_ref(&self, object: &ObjectRef) -> Result<&Served, ExecuteError> {
        if object.gvk == self.seen.kind.gvk {
            return Ok(&self.seen.kind);
        }
        let known = self.seen.dependents.get(&object.gvk.key());
        known.map(|(served, _)| served.as_ref()).ok_or_else(|| ExecuteError::UnknownKind(object.clone()))
    }
}

/// How often others may change an object while we take our finalizer off.
const TRIES: u32 = 5;

/// Takes a finalizer off an object, whatever else others are changing. Nothing to do when it is gone.
pub(super) async fn remove_finalizer(
    shared: &Shared,
    entry: &Entry,
    served: &Served,
    object: &Value,
    finalizer: &str,
) -> Result<Option<Trace>, ExecuteError> {
    let key = Key::of(object);
    let name = key.of_kind(&served.gvk);
    for attempt in 1.. {
        let live = discovery::get(shared.discovery.client(), served, &key).await;
        let live =
            live.map_err(|error| ExecuteError::Look { object: name.clone(), reason: describe(&error) })?;
        let Some(live) = live.filter(|live| object::uid(live) == object::uid(object)) else { break };
        let left: Vec<&str> = object::finalizers(&live).filter(|other| *other != finalizer).collect();
        if left.len() == object::finalizers(&live).count() {
            break;
        }
        let patch = json!({"metadata": {
            "resourceVersion": live["metadata"]["resourceVersion"], "finalizers": left,
        }});
        let manager = entry.engine_manager();
        match shared.writer.merge(served, &key, &patch, &manager, Part::Main).await {
            Ok(written) => return Ok(Some(trace(entry, Verb::Patch, name, Some(&live), &written, &patch))),
            Err(error) if error.refusal() == Refusal::NotFound => break,
            Err(error) if error.refusal() == Refusal::Stale && attempt < TRIES => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

/// Puts a finalizer on an object, if it has not got it. Returns the object as it is then.
pub(super) async fn add_finalizer(
    controller: &Controller,
    served: &Served,
    object: &Value,
    finalizer: &str,
) -> Result<Option<(Written, Trace)>, ExecuteError> {
    if object::finalizers(object).any(|known| known == finalizer) {
        return Ok(None);
    }
    let all: Vec<&str> = object::finalizers(object).chain([finalizer]).collect();
    let patch = json!({"metadata": {
        "resourceVersion": object["metadata"]["resourceVersion"], "uid": object["metadata"]["uid"], "finalizers": all,
    }});
    let manager = controller.entry.engine_manager();
    let key = Key::of(object);
    let written = controller.shared.writer.merge(served, &key, &patch, &manager, Part::Main).await?;
    let trace =
        trace(&controller.entry, Verb::Patch, key.of_kind(&served.gvk), Some(object), &written, &patch);
    Ok(Some((written, trace)))
}

/// A write as far as the caches, the queue and the record care.
pub(super) fn trace(
    entry: &Entry,
    verb: Verb,
    object: ObjectRef,
    before: Option<&Value>,
    written: &Written,
    said: &Value,
) -> Trace {
    let version = object::resource_version(&written.object).map(str::to_owned);
    let mut after = Cow::Borrowed(&written.object);
    // Where only metadata is watched, there is nothing else to compare with.
    if entry.metadata_only && object.gvk == entry.gvk {
        after = Cow::Owned(json!({
            "apiVersion": written.object["apiVersion"], "kind": written.object["kind"],
            "metadata": written.object["metadata"],
        }));
    }
    let ours = before.is_none_or(|before| {
        object::resource_version(before) != version.as_deref() && is_explained(before, &after, said)
    });
    let uid = object::uid(&written.object).unwrap_or_default().to_owned();
    let changes = before.map(|before| changed_fields(&object, before, &after)).unwrap_or_default();
    Trace {
        object,
        uid,
        existed: before.is_some(),
        verb,
        calls: 1 + u32::try_from(written.passed.len()).unwrap_or(u32::MAX - 1),
        events: written.passed.iter().cloned().chain(version.clone()).filter(|_| ours).collect(),
        version,
        changes,
    }
}
