//! Finalizers: put on, taken off, never left behind.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    context::{Controller, Shared},
    error::ExecuteError,
    listen::holds,
    live::Live,
    trace::{Trace, trace},
};
use crate::{
    cluster::{
        apply::{Part, Written},
        cache::{Detail, WatchKey},
        discovery::Served,
    },
    engine::{
        config::{Config, Entry},
        query::Facts,
        record::Verb,
    },
    object::{self, Key},
};

/// Whether an object is to have our finalizer.
pub(super) fn is_wanted(controller: &Controller, object: &Value) -> bool {
    let Controller { entry, warned, .. } = controller;
    let facts = Facts { object, old: None, trigger: None };
    entry.finalizer.as_ref().is_some_and(|finalizer| holds(finalizer.when.as_ref(), entry, warned, &facts))
}

/// Whether there is something to do before an object that is being deleted is gone. What we hold we must let go, whatever
/// the entry wants by now.
pub(super) fn is_due(controller: &Controller, object: &Value) -> bool {
    if controller.shared.leave_finalizers {
        return is_wanted(controller, object);
    }
    let ours = controller.entry.finalizer_name();
    controller.entry.finalizer.is_some() && object::finalizers(object).any(|finalizer| finalizer == ours)
}

/// Takes a finalizer off an object, whatever else others are changing. Nothing to do when it is gone; with a UID, when it is
/// another one of its name as well.
pub(super) async fn remove_finalizer(
    shared: &Shared,
    entry: &Entry,
    served: &Served,
    (key, uid): (&Key, Option<&str>),
    finalizer: &str,
) -> Result<Option<Trace>, ExecuteError> {
    let manager = entry.engine_manager();
    let live = Live { shared, entry, served, key, uid };
    live.patch(&manager, Verb::Patch, Part::Main, |object| {
        let left: Vec<&str> = object::finalizers(object).filter(|other| *other != finalizer).collect();
        let is_there = left.len() < object::finalizers(object).count();
        is_there.then(|| json!({"metadata": {"finalizers": left}}))
    })
    .await
}

/// Puts a finalizer on an object that is `wanted` to have it, and takes it off one that is not. Returns the object as it is
/// then; nothing when it is so already.
pub(super) async fn set_finalizer(
    controller: &Controller,
    served: &Served,
    object: &Value,
    (finalizer, wanted): (&str, bool),
) -> Result<Option<(Written, Trace)>, ExecuteError> {
    if object::finalizers(object).any(|known| known == finalizer) == wanted {
        return Ok(None);
    }
    let others = object::finalizers(object).filter(|other| *other != finalizer);
    let all: Vec<&str> = others.chain(wanted.then_some(finalizer)).collect();
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

/// How long to wait for a look at all objects before their finalizers are left alone.
const STRIP_PATIENCE: Duration = Duration::from_secs(30);

/// Takes the entry's finalizer off all objects of its kind that it must not hold any more (RULES 18): those that are not
/// `kept`. Best effort: what fails is logged.
pub(super) async fn strip(entry: &Entry, shared: &Shared, kept: impl Fn(&Key) -> bool) {
    let finalizer = entry.finalizer_name();
    let served = match shared.discovery.resolve(&entry.gvk).await {
        Ok(served) => served,
        Err(error) => return tracing::warn!(entry = entry.name, "failed to take finalizers off: {error}"),
    };
    let mut scope = shared.scope();
    scope.name = shared.only.as_ref().map(|only| only.name.clone());
    let key = WatchKey { gvk: entry.gvk.clone(), scope, detail: Detail::Metadata };
    let watch = shared.caches.watch(&key);
    let mut state = watch.store.state();
    if tokio::time::timeout(STRIP_PATIENCE, state.wait_for(|state| state.synced)).await.is_err() {
        tracing::warn!(entry = entry.name, "failed to look for objects that still have our finalizer");
    }
    for key in watch.store.keys().into_iter().filter(|key| !kept(key)) {
        let Some(cached) = watch.store.get(&key) else { continue };
        if object::finalizers(&cached.object).any(|known| known == finalizer) {
            let whose = (&key, object::uid(&cached.object));
            let removed = remove_finalizer(shared, entry, &served, whose, &finalizer).await;
            if let Err(error) = removed {
                tracing::warn!(entry = entry.name, "failed to take our finalizer off: {error}");
            }
        }
    }
}

/// Takes the finalizers of all entries off all objects: for the time before the program is removed.
pub async fn remove_finalizers(config: &Config, shared: &Shared) {
    for entry in config.entries.iter().filter(|entry| entry.finalizer.is_some()) {
        strip(entry, shared, |_| false).await;
    }
}
