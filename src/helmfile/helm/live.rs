//! A three-way comparison: the live objects, and what an upgrade would make of them.
//!
//! The API server is asked: a server-side apply by force, as Helm, that is not carried out. So custom resources, defaults and
//! whatever admission does are seen as they are; and what others have added to an object and Helm leaves alone is no
//! difference.

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::{
    ResourceExt as _,
    api::{DynamicObject, Patch, PatchParams},
};
use serde_json::{Map, Value, json};

use super::{cluster::Cluster, marks};
use crate::{
    cluster::{
        describe,
        discovery::{DiscoveryError, Served, to_json},
        in_time,
    },
    helmfile::diff::{Id, Object},
    object::{self, Gvk, Key, ObjectRef},
};

/// How many objects of a release are asked for at once.
const AT_ONCE: usize = 4;

/// Why the live objects can't be compared.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The API server did not say whether it serves a kind.
    #[error(transparent)]
    Kind(#[from] DiscoveryError),
    /// An object could not be read.
    #[error("failed to read {object}: {reason}")]
    Read {
        /// The object.
        object: ObjectRef,
        /// Why.
        reason: String,
    },
    /// The API server did not say what an upgrade would make of an object.
    #[error("failed to try an upgrade of {object} (a dry run, which needs the right to patch it): {reason}")]
    Try {
        /// The object.
        object: ObjectRef,
        /// Why.
        reason: String,
    },
}

/// Both sides of a comparison.
#[derive(Debug, Default)]
pub(super) struct Sides {
    pub(super) old: Vec<Object>,
    pub(super) new: Vec<Object>,
    /// What there is to say about objects that could not be compared so.
    pub(super) notes: Vec<String>,
}

/// A release in a cluster.
pub(super) struct Live<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) namespace: &'a str,
    pub(super) release: &'a str,
}

impl Live<'_> {
    /// Replaces what was delivered by what is there, and what was rendered by what would be there. Hooks, generated names and
    /// what can't be read as an object stay as they are: of them there is nothing in the cluster that could be named. What
    /// was delivered and is not rendered any more stays as well.
    pub(super) async fn sides(&self, old: Vec<Object>, new: Vec<Object>) -> Result<Sides, LiveError> {
        let (named, others): (Vec<_>, Vec<_>) = new.into_iter().partition(is_named);
        let mut delivered: BTreeMap<Id, Object> = BTreeMap::new();
        let mut sides = Sides { new: others, ..Sides::default() };
        for object in old {
            if is_named(&object) && named.iter().any(|new| new.id == object.id) {
                delivered.insert(object.id.clone(), object);
            } else {
                sides.old.push(object);
            }
        }
        let found: Vec<Found> = stream::iter(named)
            .map(|object| {
                let delivered = delivered.get(&object.id);
                async move { self.find(delivered, object).await }
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        for found in found {
            sides.old.extend(found.old);
            sides.new.push(found.new);
            sides.notes.extend(found.note);
        }
        Ok(sides)
    }

    async fn find(&self, delivered: Option<&Object>, rendered: Object) -> Result<Found, LiveError> {
        let added = |new| Found { old: None, new, note: None };
        let Some(value) = rendered.value() else { return Ok(added(rendered)) };
        let Some(gvk) = Gvk::of(value) else { return Ok(added(rendered)) };
        let Some(served) = self.cluster.served(&gvk).await? else { return Ok(added(rendered)) };
        let key = Key {
            namespace: served.namespaced.then(|| rendered.id.namespace.clone()),
            name: rendered.id.name.clone(),
        };
        let api = served.api_of(self.cluster.client(), &key);
        let object = key.of_kind(&gvk);
        let live = match in_time(api.get_opt(&key.name)).await {
            Ok(Some(live)) => live,
            Ok(None) => return Ok(added(rendered)),
            Err(error) => return Err(LiveError::Read { reason: said(&object, &error), object }),
        };
        let wanted =
            marks::as_helm_applies_it(value.clone(), self.namespace, self.release, key.namespace.as_deref());
        let params = PatchParams {
            dry_run: true,
            force: true,
            field_manager: Some(marks::MANAGER.into()),
            ..PatchParams::default()
        };
        match in_time(api.patch(&key.name, &params, &Patch::Apply(&wanted))).await {
            Ok(would) => {
                let old = delivered.and_then(Object::value);
                let would = upgraded(&served, &live, would, old, value);
                let old = rendered.as_in_cluster(to_json(&served.gvk, live));
                Ok(Found { old: Some(old), new: rendered.as_in_cluster(would), note: None })
            }
            Err(error) if is_refusal(&error) => {
                Ok(Found { old: delivered.cloned(), new: rendered, note: Some(refused(&object, &error)) })
            }
            Err(error) => Err(LiveError::Try { reason: said(&object, &error), object }),
        }
    }
}

/// What there is to compare of one object.
struct Found {
    old: Option<Object>,
    new: Object,
    note: Option<String>,
}

fn is_named(object: &Object) -> bool {
    object.hook.is_none() && object.value().is_some_and(|value| !object::name(value).is_empty())
}

/// Whether the API server has understood what was to be done, and does not do it: the object would be invalid, a field can't
/// be changed, a webhook allows no dry run, or the kind can't be applied. Then it is for the upgrade to fail, or not.
fn is_refusal(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 400 | 405 | 415 | 422))
}

fn refused(object: &ObjectRef, error: &kube::Error) -> String {
    let reason = said(object, error);
    format!(
        "{object} is compared with the last deployed revision, since the API server did not try the upgrade: {reason}"
    )
}

/// What the API server said. What it says about a Secret may quote one, so only the sort of it is told then.
pub fn said(object: &ObjectRef, error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if object.gvk.kind.eq_ignore_ascii_case("Secret") => {
            format!("{} {}", status.code, status.reason).trim().to_owned()
        }
        error => describe(error),
    }
}

/// What an upgrade would leave of an object. Releases that were made by client-side writes are upgraded by such, which remove
/// what the last revision had and the new one has not; an apply does not know that it was Helm's.
fn upgraded(
    served: &Served,
    live: &DynamicObject,
    would: DynamicObject,
    old: Option<&Value>,
    new: &Value,
) -> Value {
    let mut would = to_json(&served.gvk, would);
    if let Some(old) = old.filter(|_| is_written_by_update(live)) {
        remove_dropped(&mut would, &declared(old), &declared(new));
    }
    would
}

/// What a manifest declares, without what names the object.
fn declared(manifest: &Value) -> Value {
    let mut declared = manifest.clone();
    if let Some(fields) = declared.as_object_mut() {
        fields.retain(|field, _| !matches!(field.as_str(), "apiVersion" | "kind" | "status"));
        let marks = |field| manifest.pointer(field).filter(|marks| marks.is_object()).cloned();
        let marks = |field| marks(field).unwrap_or_else(|| json!({}));
        fields.insert(
            "metadata".into(),
            json!({"labels": marks("/metadata/labels"), "annotations": marks("/metadata/annotations")}),
        );
    }
    declared
}

/// Whether Helm has written the object by updates only.
fn is_written_by_update(live: &DynamicObject) -> bool {
    let wrote = |operation: &str| {
        live.managed_fields().iter().any(|entry| {
            entry.manager.as_deref() == Some(marks::MANAGER)
                && entry.operation.as_deref() == Some(operation)
                && entry.subresource.as_deref().unwrap_or_default().is_empty()
        })
    };
    wrote("Update") && !wrote("Apply")
}

/// Removes what `old` has and `new` has not.
fn remove_dropped(would: &mut Value, old: &Value, new: &Value) {
    match (would, old, new) {
        (Value::Object(would), Value::Object(old), Value::Object(new)) => {
            remove_dropped_fields(would, old, new);
        }
        (Value::Array(would), Value::Array(old), Value::Array(new)) => {
            let dropped: Vec<&str> =
                old.iter().filter_map(name_of).filter(|name| named(new, name).is_none()).collect();
            would.retain(|item| name_of(item).is_none_or(|name| !dropped.contains(&name)));
            for item in would {
                let Some(name) = name_of(item).map(str::to_owned) else { continue };
                if let (Some(old), Some(new)) = (named(old, &name), named(new, &name)) {
                    remove_dropped(item, old, new);
                }
            }
        }
        _ => {}
    }
}

fn remove_dropped_fields(would: &mut Map<String, Value>, old: &Map<String, Value>, new: &Map<String, Value>) {
    for (field, old) in old {
        match (new.get(field), would.get_mut(field)) {
            (None, _) => {
                would.remove(field);
            }
            (Some(new), Some(would)) => remove_dropped(would, old, new),
            (Some(_), None) => {}
        }
    }
}

/// By this items of lists are told apart in most kinds.
fn name_of(item: &Value) -> Option<&str> {
    item.get("name")?.as_str()
}

fn named<'a>(items: &'a [Value], name: &str) -> Option<&'a Value> {
    items.iter().find(|item| name_of(item) == Some(name))
}

#[cfg(test)]
#[path = "live_tests.rs"]
mod tests;
