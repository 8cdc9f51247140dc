//! Who owns what, and what may be owned.

use serde_json::{Map, Value, json};

use crate::{
    digest,
    object::{self, Gvk, Key, PARENT},
};

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
fn owns(parent: &Value, child: &Value) -> bool {
    let Some(uid) = object::uid(parent) else { return false };
    let others = object::controller_of(child).is_some_and(|controller| controller["uid"] != uid);
    !others && object::owner_uids(child).any(|owner| owner == uid)
}

/// By what a store finds the children: the owner's UID, or the value of the label.
pub(super) fn owned_key(parent: &Value, orphan: bool) -> String {
    if orphan { parent_marks(parent).0 } else { object::uid(parent).unwrap_or_default().to_owned() }
}

/// Whether `child` is `parent`'s, in the way that its kind is owned.
pub(super) fn owns_as(parent: &Value, child: &Value, orphan: bool) -> bool {
    if orphan { claims(parent, child) } else { owns(parent, child) }
}

/// Whether an existing child may be taken for `parent`'s, and applied: it is, in the way that its kind is owned; or its kind
/// has no owner references any more, and it has one from before, which the next apply takes off.
pub(super) fn may_take(parent: &Value, child: &Value, orphan: bool) -> bool {
    owns_as(parent, child, orphan) || (orphan && owns(parent, child))
}

/// The label value and the annotation of a child without owner reference: who wants it. By name and not by UID, since such a
/// child outlives its parent, and one of the same name takes it over.
fn parent_marks(parent: &Value) -> (String, String) {
    let gvk = Gvk::of(parent).unwrap_or_else(|| Gvk::new("", "", ""));
    let namespace = object::namespace(parent).unwrap_or_default();
    let name = format!("{}/{}/{namespace}/{}", gvk.group, gvk.kind, object::name(parent));
    // A label value has at most 63 characters.
    (digest::sha256_hex(name.as_bytes()).chars().take(40).collect(), name)
}

/// Whether `child`, which has no owner reference, is `parent`'s.
fn claims(parent: &Value, child: &Value) -> bool {
    object::controller_of(child).is_none() && object::label(child, PARENT) == Some(&parent_marks(parent).0)
}

/// The parent of a child without owner reference, if it is of this kind.
pub(super) fn claimant(gvk: &Gvk, child: &Value) -> Option<Key> {
    let name = child.pointer("/metadata/annotations")?.get(PARENT)?.as_str()?;
    let mut parts = name.splitn(4, '/');
    let (group, kind, namespace, name) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let namespace = (!namespace.is_empty()).then(|| namespace.to_owned());
    (group == gvk.group && kind == gvk.kind).then(|| Key { namespace, name: name.to_owned() })
}

/// Puts the marks of [`parent_marks`] on a child.
pub(super) fn mark(parent: &Value, metadata: &mut Map<String, Value>) {
    let (label, annotation) = parent_marks(parent);
    for (field, value) in [("labels", label), ("annotations", annotation)] {
        let map = metadata.entry(field).or_insert_with(|| json!({}));
        if !map.is_object() {
            *map = json!({});
        }
        map[PARENT] = value.into();
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marked_child_leads_back_to_its_parent_and_to_no_other() {
        let parent = |name: &str| json!({"apiVersion": "g.io/v1", "kind": "Hello", "metadata": {"namespace": "a", "name": name}});
        let mut child = json!({"metadata": {"name": "c"}});
        mark(&parent("x"), child["metadata"].as_object_mut().unwrap());
        assert!(claims(&parent("x"), &child));
        assert!(!claims(&parent("y"), &child));
        let key = Key { namespace: Some("a".into()), name: "x".into() };
        assert_eq!(claimant(&Gvk::new("g.io", "v2", "Hello"), &child), Some(key));
        assert_eq!(claimant(&Gvk::new("", "v1", "Hello"), &child), None);
    }

    #[test]
    fn a_child_from_before_its_kind_became_an_orphan_may_be_taken_but_no_orphan_becomes_owned() {
        let parent = |uid: &str| json!({"apiVersion": "g.io/v1", "kind": "A", "metadata": {"namespace": "n", "name": "x", "uid": uid}});
        let owned = json!({"metadata": {"name": "c", "ownerReferences": [owner_reference(&parent("1"))]}});
        assert!(may_take(&parent("1"), &owned, true));
        assert!(!owns_as(&parent("1"), &owned, true), "it is not shown as one of ours before that");
        assert!(!may_take(&parent("2"), &owned, true), "it goes with another object of that name");
        let mut orphan = json!({"metadata": {"name": "c"}});
        mark(&parent("1"), orphan["metadata"].as_object_mut().unwrap());
        assert!(may_take(&parent("2"), &orphan, true) && !may_take(&parent("1"), &orphan, false));
    }

    #[test]
    fn what_somebody_controls_is_not_claimed() {
        let parent = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}});
        let mut child =
            json!({"metadata": {"name": "c", "ownerReferences": [{"uid": "1", "controller": true}]}});
        mark(&parent, child["metadata"].as_object_mut().unwrap());
        assert!(!claims(&parent, &child));
    }
}
