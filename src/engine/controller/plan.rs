//! What to write, as data: a pure function of what was observed, what the handler answered, and the entry's rules.
//!
//! A plan on its own result is empty, never touches an object of somebody else, and never leaves the parent's namespace.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    difference::{self, merge_patch},
    ownership::{describe_owner, mark, may_take, owner_reference},
};
use crate::{
    cluster::cache::Fingerprint,
    contract::{Event, ObjectReply, Reply, WatchRequest},
    digest,
    object::{self, Gvk, Key, ObjectRef},
    suggest,
};

/// All that a plan depends on besides the reply.
pub struct Observed<'a> {
    /// The handled object, as the handler was given it.
    pub object: &'a Value,
    /// Its kind.
    pub kind: KindRules,
    /// The declared kinds of dependents by contract key.
    pub dependents: &'a BTreeMap<String, KindRules>,
    /// The dependents that the handler was given. Only these may be deleted (RULES 13).
    pub shown: &'a [Shown],
    /// An object of a declared kind that the handler was not given, because it is not owned by the handled object.
    pub stranger: &'a dyn Fn(&ObjectRef) -> Option<Value>,
    /// Whether the handled object is there as a whole, not just its metadata.
    pub whole: bool,
    /// The finalizer to take off once the handler has nothing left to do: the object is being deleted.
    pub finalizer: Option<&'a str>,
    /// What was written for this object before.
    pub memory: &'a Memory,
    /// Namespaces that are watched; none means all.
    pub namespaces: &'a [String],
    /// Seconds since 1970.
    pub now: i64,
}

/// What is known of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindRules {
    /// The kind.
    pub gvk: Gvk,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Whether status is written apart from the rest.
    pub status_subresource: bool,
    /// Whether they have no owner reference.
    pub orphan: bool,
}

/// A dependent that the handler was given.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The object.
    pub object: Value,
    /// What tells its changes apart; unknown offline.
    pub print: Option<Fingerprint>,
}

/// What was written for one object, so that it need not be written again.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Memory {
    /// Per dependent what was applied last, and how the object looked right after.
    pub applied: HashMap<ObjectRef, Applied>,
    /// Digest of the status applied last.
    pub status: Option<String>,
    /// The types of the conditions in it.
    pub conditions: Vec<String>,
}

/// A dependent as it was applied last.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// Digest of the manifest.
    pub digest: String,
    /// How the object looked right after.
    pub print: Fingerprint,
}

/// What to do.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Writes in order.
    pub steps: Vec<Step>,
    /// Events to publish.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Event>,
    /// Run again at once, with back-off.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub requeue: bool,
    /// When to run again.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "seconds")]
    pub requeue_after: Option<Duration>,
    /// What to watch from now on; `None` leaves it as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watches: Option<Vec<WatchRequest>>,
}

#[expect(clippy::ref_option, reason = "the signature that serde wants")]
fn seconds<S: serde::Serializer>(delay: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&crate::duration::GoDuration(delay.unwrap_or_default()))
}

/// One write.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "step", rename_all = "camelCase")]
pub enum Step {
    /// Server-side apply of a dependent that is not there as far as we know. Looks first, and never by force: what
    /// somebody else created in the meantime is not ours to adopt (RULES 11).
    Create {
        /// The whole manifest.
        manifest: Value,
    },
    /// Server-side apply of a dependent that is ours.
    Apply {
        /// The whole manifest.
        manifest: Value,
        /// The UID of what the handler was shown: whatever happens meanwhile, it does not land on another object of that
        /// name. Not printed, since it is no part of what the handler wants.
        #[serde(skip)]
        uid: Option<String>,
    },
    /// Merge patch of a dependent, or of the handled object, against the version that the handler saw.
    Patch {
        /// Which object.
        object: ObjectRef,
        /// What differs.
        patch: Value,
        /// Whether to write the status subresource.
        status: bool,
    },
    /// Deletion of exactly this object.
    Delete {
        /// Which object.
        object: ObjectRef,
        /// Its UID.
        uid: String,
        /// The version that the handler saw.
        #[serde(rename = "resourceVersion", skip_serializing_if = "Option::is_none")]
        resource_version: Option<String>,
    },
    /// Server-side apply of the handled object's status.
    Status {
        /// Kind, name, UID and status.
        manifest: Value,
    },
    /// Nothing holds the handled object any more, as far as we are concerned.
    RemoveFinalizer {
        /// Which object.
        object: ObjectRef,
        /// Our finalizer.
        finalizer: String,
    },
}

/// A reply that must not be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The object's identity was edited.
    #[error("the reply changes the object's {field} from `{from}` to `{to}`; a handler can't do that")]
    Renamed {
        /// Which part of the identity.
        field: &'static str,
        /// As it is.
        from: String,
        /// As replied.
        to: String,
    },
    /// A kind that the entry does not name.
    #[error("the reply lists `{key}`, which is not a declared dependent; {}", remedy(.meant.as_deref()))]
    Undeclared {
        /// The kind's contract key.
        key: String,
        /// The declared key that was probably meant.
        meant: Option<String>,
    },
    /// An object under the key of another kind, or without a kind or a name.
    #[error("an object under `{key}` {problem}")]
    Malformed {
        /// The key.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// An object of somebody else.
    #[error("{object} exists and is not ours: {owner}; delete it or choose another name")]
    NotOurs {
        /// The object.
        object: ObjectRef,
        /// Whose it is.
        owner: String,
    },
    /// An owner reference can't cross namespaces.
    #[error(
        "{object} is outside the namespace `{namespace}` of its parent; an owned object must be in it, unless `orphan: true`"
    )]
    OtherNamespace {
        /// The object.
        object: ObjectRef,
        /// The parent's.
        namespace: String,
    },
    /// We would never see it again, and create it for ever.
    #[error("{0} is in a namespace that this operator does not watch; see its --namespace")]
    Unwatched(ObjectRef),
    /// A namespaced object can't own a cluster-scoped one.
    #[error("{0} is cluster-scoped and can't be owned by an object in a namespace; see `orphan`")]
    ClusterScoped(ObjectRef),
    /// Listed twice.
    #[error("{0} is listed twice")]
    Twice(ObjectRef),
    /// A copy of an object that was not given.
    #[error("{0} carries a resourceVersion but was not given to the handler; leave out the resourceVersion")]
    UnknownCopy(ObjectRef),
    /// More watches than one object may hold.
    #[error("the reply asks for {count} watches; at most {WATCHES} are allowed, use a labelSelector")]
    TooManyWatches {
        /// How many.
        count: usize,
    },
    /// A watch for nothing in particular.
    #[error("a watch of {gvk} in the reply must have exactly one of `name` and `labelSelector`")]
    VagueWatch {
        /// The kind.
        gvk: Gvk,
    },
}

/// The most that one object may watch.
const WATCHES: usize = 1000;

/// Decides what to write.
///
/// # Errors
/// When any part of the reply must not be carried out; then none of it is.
pub fn plan(observed: &Observed<'_>, reply: Reply) -> Result<Plan, PlanError> {
    let mut steps = Vec::new();
    let mut removals = Vec::new();
    for (key, desired) in reply.dependents.unwrap_or_default() {
        let kind = observed.dependents.get(&key).ok_or_else(|| undeclared(observed, &key))?;
        let mut listed: Vec<ObjectRef> = Vec::new();
        for manifest in desired {
            let (name, step) = dependent(observed, kind, &key, manifest)?;
            if listed.contains(&name) {
                return Err(PlanError::Twice(name));
            }
            listed.push(name);
            steps.extend(step);
        }
        let of_kind = observed.shown.iter().filter(|shown| is_kind(&shown.object, kind));
        removals.extend(of_kind.filter_map(|shown| removal(&shown.object, &listed)));
    }
    // Deletions last: what replaces an object is there before it goes.
    steps.append(&mut removals);
    steps.extend(own_object(observed, reply.object)?);
    if let Some(status) = reply.status {
        steps.extend(own_status(observed, status));
    }
    check_watches(reply.watches.as_deref().unwrap_or_default())?;
    // After no time at all is at once, and that has a back-off.
    let requeue_after = reply.requeue_after.filter(|delay| !delay.is_zero());
    let requeue = reply.requeue || reply.requeue_after != requeue_after;
    if let (Some(finalizer), false, None) = (observed.finalizer, requeue, requeue_after) {
        let object = Key::of(observed.object).of_kind(&observed.kind.gvk);
        steps.push(Step::RemoveFinalizer { object, finalizer: finalizer.to_owned() });
    }
    Ok(Plan { requeue, steps, events: reply.events, requeue_after, watches: reply.watches })
}

fn undeclared(observed: &Observed<'_>, key: &str) -> PlanError {
    let meant = suggest::closest(key, observed.dependents.keys().map(String::as_str));
    PlanError::Undeclared { key: key.to_owned(), meant: meant.map(str::to_owned) }
}

fn remedy(meant: Option<&str>) -> String {
    meant.map_or_else(
        || "add it to `dependents` in the config".to_owned(),
        |meant| format!("did you mean `{meant}`?"),
    )
}

fn check_watches(watches: &[WatchRequest]) -> Result<(), PlanError> {
    if watches.len() > WATCHES {
        return Err(PlanError::TooManyWatches { count: watches.len() });
    }
    match watches.iter().find(|watch| watch.name.is_some() == watch.label_selector.is_some()) {
        Some(vague) => Err(PlanError::VagueWatch { gvk: vague.gvk() }),
        None => Ok(()),
    }
}

fn is_kind(object: &Value, kind: &KindRules) -> bool {
    Gvk::of(object).is_some_and(|gvk| gvk.same_kind(&kind.gvk))
}

fn removal(shown: &Value, listed: &[ObjectRef]) -> Option<Step> {
    let name = ObjectRef::of(shown)?;
    if listed.iter().any(|kept| kept.key() == name.key()) || object::is_terminating(shown) {
        return None;
    }
    Some(Step::Delete {
        object: name,
        uid: object::uid(shown)?.to_owned(),
        resource_version: object::resource_version(shown).map(str::to_owned),
    })
}

fn dependent(
    observed: &Observed<'_>,
    kind: &KindRules,
    key: &str,
    mut manifest: Value,
) -> Result<(ObjectRef, Option<Step>), PlanError> {
    let malformed = |problem: &str| PlanError::Malformed { key: key.to_owned(), problem: problem.to_owned() };
    match Gvk::of(&manifest) {
        Some(gvk) if gvk != kind.gvk => return Err(malformed(&format!("is a {gvk}"))),
        Some(_) => {}
        None => return Err(malformed("has no apiVersion and kind")),
    }
    if object::name(&manifest).is_empty() {
        return Err(malformed("has no metadata.name"));
    }
    place(observed, kind, &mut manifest)?;
    let name = Key::of(&manifest).of_kind(&kind.gvk);
    let is_watched =
        |namespace: &String| observed.namespaces.is_empty() || observed.namespaces.contains(namespace);
    if !name.namespace.as_ref().is_none_or(is_watched) {
        return Err(PlanError::Unwatched(name));
    }
    let shown = observed
        .shown
        .iter()
        .find(|shown| is_kind(&shown.object, kind) && Key::of(&shown.object) == name.key());
    let step = match shown {
        // Its removal will bring the handler back, and a new one then.
        Some(shown) if object::is_terminating(&shown.object) => None,
        Some(shown) if object::resource_version(&manifest).is_some() => {
            edited_copy(&name, &shown.object, &manifest)
        }
        Some(shown) => desired(observed, kind, &name, shown, manifest),
        None if object::resource_version(&manifest).is_some() => return Err(PlanError::UnknownCopy(name)),
        None => {
            if let Some(stranger) = (observed.stranger)(&name)
                && !may_take(observed.object, &stranger, kind.orphan)
            {
                return Err(PlanError::NotOurs { object: name, owner: describe_owner(&stranger) });
            }
            Some(Step::Create { manifest: owned(observed.object, manifest, kind.orphan) })
        }
    };
    Ok((name, step))
}

/// Puts a dependent into the parent's namespace, or refuses it where owner references can't reach (RULES 12).
fn place(observed: &Observed<'_>, kind: &KindRules, manifest: &mut Value) -> Result<(), PlanError> {
    let home = object::namespace(observed.object);
    match (home, kind.namespaced) {
        (Some(_), false) if kind.orphan => Ok(()),
        (Some(_), false) => Err(PlanError::ClusterScoped(Key::of(manifest).of_kind(&kind.gvk))),
        (Some(home), true) => match object::namespace(manifest) {
            Some(elsewhere) if elsewhere != home && !kind.orphan => {
                let object = Key::of(manifest).of_kind(&kind.gvk);
                Err(PlanError::OtherNamespace { object, namespace: home.to_owned() })
            }
            Some(_) => Ok(()),
            None => {
                manifest["metadata"]["namespace"] = home.into();
                Ok(())
            }
        },
        (None, true) if object::namespace(manifest).is_none() => Err(PlanError::Malformed {
            key: kind.gvk.key(),
            problem: format!(
                "(`{}`) has no namespace, and its parent is cluster-scoped",
                object::name(manifest)
            ),
        }),
        (None, _) => Ok(()),
    }
}

/// The manifest as it is sent: with our owner reference or our marks, without what only the API server writes.
fn owned(parent: &Value, mut manifest: Value, orphan: bool) -> Value {
    if let Some(map) = manifest.as_object_mut() {
        map.remove("status");
    }
    if let Some(metadata) = manifest.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in ["uid", "creationTimestamp", "generation", "managedFields", "selfLink"] {
            metadata.remove(field);
        }
        if orphan {
            mark(parent, metadata);
            return manifest;
        }
        let ours = owner_reference(parent);
        let others = metadata.remove("ownerReferences").unwrap_or_default();
        let mut owners: Vec<Value> = others.as_array().cloned().unwrap_or_default();
        owners.retain(|owner| owner["uid"] != ours["uid"]);
        owners.push(ours);
        metadata.insert("ownerReferences".to_owned(), owners.into());
    }
    manifest
}

fn desired(
    observed: &Observed<'_>,
    kind: &KindRules,
    name: &ObjectRef,
    shown: &Shown,
    manifest: Value,
) -> Option<Step> {
    let manifest = owned(observed.object, manifest, kind.orphan);
    let digest = digest::of_json(&manifest);
    // Written before and untouched since: nothing to do. What others changed is put right by applying again.
    let untouched = observed.memory.applied.get(name).is_some_and(|applied| {
        applied.digest == digest
            && shown.print.as_ref().is_some_and(|print| {
                // Two edits within one second look alike (RULES 25): then the fields themselves are looked at.
                *print == applied.print
                    && (!print.differs(&applied.print, observed.now)
                        || difference::covers(&shown.object, &manifest))
            })
    });
    let uid = object::uid(&shown.object).map(str::to_owned);
    (!untouched).then_some(Step::Apply { manifest, uid })
}

/// The classic script reads an object, edits the copy and prints it: only what it edited is sent.
fn edited_copy(name: &ObjectRef, shown: &Value, copy: &Value) -> Option<Step> {
    let mut patch = merge_patch(shown, copy)?;
    patch["metadata"]["resourceVersion"] = copy["metadata"]["resourceVersion"].clone();
    Some(Step::Patch { object: name.clone(), patch, status: false })
}

fn own_object(observed: &Observed<'_>, reply: ObjectReply) -> Result<Vec<Step>, PlanError> {
    let given = observed.object;
    let Some(name) = ObjectRef::of(given) else { return Ok(Vec::new()) };
    let edited = match reply {
        ObjectReply::Unchanged => return Ok(Vec::new()),
        ObjectReply::Deleted if object::is_terminating(given) => return Ok(Vec::new()),
        ObjectReply::Deleted => {
            let uid = object::uid(given).unwrap_or_default().to_owned();
            return Ok(vec![Step::Delete { object: name, uid, resource_version: None }]);
        }
        ObjectReply::Edited(edited) => edited,
    };
    for (field, pointer) in [
        ("kind", "/kind"),
        ("apiVersion", "/apiVersion"),
        ("name", "/metadata/name"),
        ("namespace", "/metadata/namespace"),
        ("uid", "/metadata/uid"),
    ] {
        let text =
            |value: &Value| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (from, to) = (text(given), text(&edited));
        if from != to {
            return Err(PlanError::Renamed { field, from, to });
        }
    }
    let (main, status) =
        difference::split_status(merge_patch(given, &edited), observed.kind.status_subresource);
    let version = &given["metadata"]["resourceVersion"];
    let step = |mut patch: Value, status: bool| {
        // Neither on a new object of the same name, nor over what others have changed since.
        patch["metadata"]["resourceVersion"] = version.clone();
        patch["metadata"]["uid"] = given["metadata"]["uid"].clone();
        Step::Patch { object: name.clone(), patch, status }
    };
    Ok(main
        .map(|patch| step(patch, false))
        .into_iter()
        .chain(status.map(|patch| step(patch, true)))
        .collect())
}

fn own_status(observed: &Observed<'_>, status: Map<String, Value>) -> Option<Step> {
    let status = Value::Object(status);
    let current = observed.object.get("status").unwrap_or(&Value::Null);
    // What the object had when the handler was given it says nothing once progress has been written since.
    let last = observed.memory.status.as_ref().map(|last| *last == digest::of_json(&status));
    let in_place = match last {
        None => *current == status,
        Some(same) => same && (!observed.whole || difference::covers(current, &status)),
    };
    if in_place {
        return None;
    }
    let object = observed.object;
    Some(Step::Status { manifest: status_manifest(object, &status) })
}

/// A status as it is sent, but for the version that keeps it from a new object of the same name: the API server does not look
/// at the UID everywhere.
pub fn status_manifest(object: &Value, status: &Value) -> Value {
    let mut metadata = Map::new();
    for field in ["name", "namespace", "uid"] {
        if let Some(value) = object["metadata"].get(field) {
            metadata.insert(field.to_owned(), value.clone());
        }
    }
    serde_json::json!({
        "apiVersion": object["apiVersion"], "kind": object["kind"], "metadata": metadata, "status": status,
    })
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
