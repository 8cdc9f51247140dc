//! Asks the API server about objects of a release.

use futures::{StreamExt as _, stream};
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::Value;

use super::{
    compare::{Field, differences},
    ignore::{self, Left},
};
use crate::{
    cluster::{describe, in_time},
    helmfile::{
        api::DriftIgnore,
        diff,
        helm::{cluster::Cluster, live::said, marks},
        ledger::ReleaseId,
    },
    object::{Gvk, Key, ObjectRef},
};

/// How many objects are asked for at once.
const AT_ONCE: usize = 8;

/// What was found of one object.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The object.
    pub object: ObjectRef,
    /// How it is.
    pub state: State,
}

/// How an object is.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// As its release says.
    Same,
    /// Not so.
    Drifted(Vec<Field>),
    /// It is not there.
    Gone,
    /// That could not be told, and why.
    Unknown(String),
}

/// Compares objects of a release, as its `manifest` has them, with the live ones. Only those that `wanted` wants.
pub async fn check(
    cluster: &Cluster,
    release: &ReleaseId,
    manifest: &str,
    rules: &[DriftIgnore],
    wanted: impl Fn(&ObjectRef) -> bool,
) -> Vec<Finding> {
    let checks: Vec<_> = diff::objects(manifest, &release.namespace)
        .into_iter()
        .filter(|object| object.hook.is_none())
        .filter_map(|object| {
            let name = ObjectRef {
                gvk: Gvk::from_api_version(&object.api_version, &object.id.kind),
                namespace: Some(object.id.namespace.clone()),
                name: object.id.name.clone(),
            };
            wanted(&name).then(|| check_one(cluster, release, name, object.value().cloned(), rules))
        })
        .collect();
    stream::iter(checks).buffered(AT_ONCE).collect().await
}

async fn check_one(
    cluster: &Cluster,
    release: &ReleaseId,
    object: ObjectRef,
    manifest: Option<Value>,
    rules: &[DriftIgnore],
) -> Finding {
    let state = match (ignore::left(rules, &object), manifest) {
        (Left::Whole, _) => State::Same,
        (_, None) => State::Unknown("its manifest can't be read".to_owned()),
        (Left::Fields(left), Some(manifest)) => compare(cluster, release, &object, manifest, &left).await,
    };
    Finding { object, state }
}

async fn compare(
    cluster: &Cluster,
    release: &ReleaseId,
    object: &ObjectRef,
    manifest: Value,
    left: &[&str],
) -> State {
    let served = match cluster.served(&object.gvk).await {
        Ok(Some(served)) => served,
        // With its kind it is gone itself.
        Ok(None) => return State::Gone,
        Err(error) => return State::Unknown(error.to_string()),
    };
    let key = Key {
        namespace: served.namespaced.then(|| object.namespace.clone()).flatten(),
        name: object.name.clone(),
    };
    let api = served.api_of(cluster.client(), &key);
    let live = match in_time(api.get_opt(&key.name)).await {
        Ok(Some(live)) => raw(live),
        Ok(None) => return State::Gone,
        Err(error) => return State::Unknown(describe(&error)),
    };
    if ignore::is_opted_out(&live) || live.pointer("/metadata/deletionTimestamp").is_some() {
        return State::Same;
    }
    let goes_to = key.namespace.as_deref();
    let mut body = marks::as_helm_applies_it(manifest, &release.namespace, &release.name, goes_to);
    for pointer in left {
        ignore::keep(&mut body, &live, pointer);
    }
    let params = PatchParams {
        dry_run: true,
        force: true,
        field_manager: Some(marks::MANAGER.to_owned()),
        ..PatchParams::default()
    };
    match in_time(api.patch(&key.name, &params, &Patch::Apply(&body))).await {
        Ok(would) => match differences(&live, &raw(would)) {
            fields if fields.is_empty() => State::Same,
            fields => State::Drifted(fields),
        },
        Err(error) => State::Unknown(said(object, &error)),
    }
}

fn raw(object: DynamicObject) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}
