//! What a write leaves behind: for the caches to show, for the queue to recognise, for the record.

use std::{borrow::Cow, time::Duration};

use serde_json::Value;

use super::{
    breaker::Change,
    context::Controller,
    difference::{changed_fields, is_explained},
};
use crate::{
    cluster::{apply::Written, cache::Cached},
    engine::{config::Entry, record::Verb},
    object::{self, ObjectRef},
};

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
        after = Cow::Owned(object::metadata_of(&written.object));
    }
    let ours = before.is_none_or(|before| {
        let is_news = object::resource_version(before) != version.as_deref();
        // Where only metadata is compared, the generation is what shows that somebody changed the rest.
        let is_same_spec = !entry.metadata_only || object::generation(before) == object::generation(&after);
        is_news && is_same_spec && is_explained(before, &after, said)
    });
    let uid = object::uid(&written.object).unwrap_or_default().to_owned();
    let changes = match before {
        Some(before) => changed_fields(&object, before, &after),
        None => vec![Change { field: object.to_string(), value: "created".to_owned() }],
    };
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

/// How long to wait for the caches to show what we wrote, before the next run may start on older copies.
const CATCH_UP: Duration = Duration::from_secs(5);
/// No run of an object before the caches show our last writes to it and its dependents (RULES 13).
pub(super) async fn catch_up(controller: &Controller, traces: &[Trace]) {
    let all = async {
        for trace in traces {
            let is_shown = |cached: Option<&Cached>| match (&trace.version, cached) {
                (Some(version), Some(cached)) => at_least(object::resource_version(&cached.object), version),
                // What was there before and is not there now has gone since.
                (Some(_), None) => trace.existed,
                (None, cached) => {
                    cached.is_none_or(|cached| object::uid(&cached.object) != Some(trace.uid.as_str()))
                }
            };
            controller.store(&trace.object.gvk).wait(&trace.object.key(), is_shown).await;
        }
    };
    if tokio::time::timeout(CATCH_UP, all).await.is_err() {
        tracing::debug!("the caches have not shown our writes in time");
    }
}

/// Resource versions of one API server are numbers that grow.
fn at_least(found: Option<&str>, wanted: &str) -> bool {
    let number = |text: &str| text.parse::<u128>().ok();
    match (found.and_then(number), number(wanted)) {
        (Some(found), Some(wanted)) => found >= wanted,
        _ => found == Some(wanted),
    }
}
