//! An object as the API server has it at this moment, where the caches are not enough.

use serde_json::{Value, json};

use super::{
    context::Shared,
    error::ExecuteError,
    trace::{Trace, trace},
};
use crate::{
    cluster::{
        apply::{Part, Refusal},
        describe,
        discovery::{self, Discovery, Served},
    },
    engine::{config::Entry, record::Verb},
    object::{self, Key},
};

/// How often others may change an object while we look at it and write it.
pub(super) const TRIES: u32 = 5;

/// Reads an object; `None` when there is none.
pub(super) async fn look(
    discovery: &Discovery,
    served: &Served,
    key: &Key,
) -> Result<Option<Value>, ExecuteError> {
    discovery::get(discovery.client(), served, key).await.map_err(|error| {
        let object = key.of_kind(&served.gvk);
        ExecuteError::Look { object, reason: describe(&error) }
    })
}

/// An object to change as it is when that is done.
pub(super) struct Live<'a> {
    pub(super) shared: &'a Shared,
    pub(super) entry: &'a Entry,
    pub(super) served: &'a Served,
    pub(super) key: &'a Key,
    /// Of which object of that name, if that matters.
    pub(super) uid: Option<&'a str>,
}

impl Live<'_> {
    /// Merge-patches the object with what `change` makes of it, whatever else others are changing meanwhile. Nothing is
    /// written when it is gone or another one, or when `change` has nothing to say.
    pub(super) async fn patch(
        &self,
        manager: &str,
        verb: Verb,
        part: Part,
        change: impl Fn(&Value) -> Option<Value>,
    ) -> Result<Option<Trace>, ExecuteError> {
        let Self { shared, entry, served, key, uid } = *self;
        for attempt in 1.. {
            let live = look(&shared.discovery, served, key).await?;
            let is_it = |live: &Value| uid.is_none_or(|uid| object::uid(live) == Some(uid));
            let Some(live) = live.filter(is_it) else { break };
            let Some(mut patch) = change(&live) else { break };
            let metadata = &mut patch["metadata"];
            if metadata.is_null() {
                *metadata = json!({});
            }
            metadata["resourceVersion"] = live["metadata"]["resourceVersion"].clone();
            match shared.writer.merge(served, key, &patch, manager, part).await {
                Ok(written) => {
                    let name = key.of_kind(&served.gvk);
                    return Ok(Some(trace(entry, verb, name, Some(&live), &written, &patch)));
                }
                Err(error) if error.refusal() == Refusal::NotFound => break,
                Err(error) if error.refusal() == Refusal::Stale && attempt < TRIES => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }
}
