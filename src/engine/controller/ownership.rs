//! Who owns what, and what may be owned.

use serde_json::{Value, json};

use crate::object;

/// The owner reference that makes a child go away with `parent`, with the API server's garbage collector doing the work.
pub(super) fn owner_reference(parent: &Value) -> Value {
    json!({
        "apiVersion": parent["apiVersion"],
        "kind": parent["kind"],
        "name": object::name(parent),
        "uid": object::uid(parent).unwrap_or_default(),
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// Whether `child` is `parent`'s: it names it as an owner, by UID since names are used again, and no other object controls it.
pub(super) fn owns(parent: &Value, child: &Value) -> bool {
    let Some(uid) = object::uid(parent) else { return false };
    let others = object::controller_of(child).is_some_and(|controller| controller["uid"] != uid);
    !others && object::owner_uids(child).any(|owner| owner == uid)
}

/// Who else has a claim on an object, for a message.
pub(super) fn describe_owner(child: &Value) -> String {
    match object::controller_of(child) {
        Some(owner) => format!(
            "it belongs to {} `{}`",
            owner["kind"].as_str().unwrap_or("an object"),
            owner["name"].as_str().unwrap_or_default()
        ),
        None => "it was not created for this object".to_owned(),
    }
}
