//! Carrying out a plan, one step after the other.

use serde_json::Value;

use super::{
    breaker::Change,
    context::Controller,
    error::ExecuteError,
    finalize,
    live::look,
    observe::Observation,
    ownership::{describe_owner, may_take},
    plan::{Applied, Memory, Step},
    queue::deleted,
    status::{StatusWrite, condition_types},
    trace::{Trace, trace},
};
use crate::{
    cluster::{
        apply::{Part, Refusal, Writer, Written},
        cache::Cached,
        discovery::Served,
    },
    digest,
    engine::record::Verb,
    object::{self, Key, ObjectRef},
};

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
            Step::Apply { manifest, uid } => self.apply(manifest, uid.as_deref(), memory).await,
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
                let mut events = vec![left.clone().unwrap_or_else(|| deleted(uid))];
                if object.gvk == self.seen.kind.gvk {
                    // That the handled object is going is news: our finalizer may hold it.
                    events.clear();
                }
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
        let object = &self.seen.object;
        let whose = (&Key::of(object), object::uid(object));
        finalize::remove_finalizer(shared, entry, &self.seen.kind, whose, finalizer).await
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
        // Twice: what was in the way may go while we look at it.
        for _ in 0..2 {
            match self.writer().create(served, manifest, self.manager).await {
                Ok(written) => {
                    return Ok(self.applied(Verb::Create, served, None, manifest, &written, memory));
                }
                Err(error) if error.refusal() == Refusal::Exists => {}
                Err(error) => return Err(error.into()),
            }
            if let Some(uid) = self.uid_of_ours(served, manifest, orphan).await? {
                return self.apply(manifest, Some(&uid), memory).await;
            }
        }
        let object = Key::of(manifest).of_kind(&served.gvk);
        Err(ExecuteError::Look { object, reason: "it comes and goes".to_owned() })
    }

    async fn apply(
        &self,
        manifest: &Value,
        uid: Option<&str>,
        memory: &mut Memory,
    ) -> Result<Trace, ExecuteError> {
        let (served, _) = self.served(manifest)?;
        let name = Key::of(manifest).of_kind(&served.gvk);
        let before = self.controller.known(&name);
        // Until it has been applied again, what was applied before says nothing.
        memory.applied.remove(&name);
        let mut sent = manifest.clone();
        if let Some(uid) = uid {
            sent["metadata"]["uid"] = uid.into();
        }
        let written = self.writer().apply_whole(served, &sent, self.manager).await?;
        Ok(self.applied(Verb::Apply, served, before.as_deref(), manifest, &written, memory))
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
        Ok(trace(&self.controller.entry, Verb::Patch, object.clone(), before.as_deref(), &written, &patch))
    }

    /// The version to ask for: the one that we wrote last in this run; or that of the moment, when only status has moved
    /// since the handler was given the object; else the one it was given, so that the write is refused.
    fn still(&self, object: &ObjectRef, planned: Option<&str>, done: &[Trace]) -> Option<String> {
        let planned = planned?;
        let last = done.iter().rev().find(|trace| trace.object == *object);
        let last = last.and_then(|trace| trace.events.last().cloned());
        let moment = self.controller.shared.clock.now().as_second();
        let is_same = |cached: &Cached| {
            self.seen.print(object).is_some_and(|print| !cached.print.differs(print, moment))
        };
        let now = self.controller.cached(object).filter(is_same);
        let now = now.and_then(|cached| object::resource_version(&cached.object).map(str::to_owned));
        Some(last.or(now).unwrap_or_else(|| planned.to_owned()))
    }

    /// The UID of what has the manifest's name, if that is ours; nothing when it is gone again.
    async fn uid_of_ours(
        &self,
        served: &Served,
        manifest: &Value,
        orphan: bool,
    ) -> Result<Option<String>, ExecuteError> {
        let key = Key::of(manifest);
        match look(&self.controller.shared.discovery, served, &key).await? {
            Some(live) if !may_take(&self.seen.object, &live, orphan) => {
                Err(ExecuteError::NotOurs { object: key.of_kind(&served.gvk), owner: describe_owner(&live) })
            }
            live => Ok(live.as_ref().and_then(object::uid).map(str::to_owned)),
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
