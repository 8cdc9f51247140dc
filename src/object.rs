//! Names of kinds and objects, and the few fields of `metadata` that the whole program reads.
//!
//! Objects are plain JSON (`serde_json::Value`) throughout: the engine handles kinds it has never heard of.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Group, version and kind of a resource. The core group is the empty string.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Gvk {
    /// API group, empty for the core group.
    pub group: String,
    /// API version, for example `v1`.
    pub version: String,
    /// Kind in camel case, for example `ConfigMap`.
    pub kind: String,
}

impl Gvk {
    /// Builds a name from its three parts.
    pub fn new(group: impl Into<String>, version: impl Into<String>, kind: impl Into<String>) -> Self {
        Self { group: group.into(), version: version.into(), kind: kind.into() }
    }

    /// Reads `apiVersion` and `kind` of an object; `None` when either is missing or empty.
    pub fn of(object: &Value) -> Option<Self> {
        let api_version = object.get("apiVersion")?.as_str()?;
        let kind = object.get("kind")?.as_str()?;
        (!api_version.is_empty() && !kind.is_empty()).then(|| Self::from_api_version(api_version, kind))
    }

    /// Splits an `apiVersion` (`apps/v1`, `v1`).
    pub fn from_api_version(api_version: &str, kind: &str) -> Self {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Self::new(group, version, kind)
    }

    /// `apps/v1`, or `v1` for the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The key of this kind in the handler contract: `kind.version[.group]` in lower case.
    pub fn key(&self) -> String {
        let mut key = format!("{}.{}", self.kind, self.version);
        if !self.group.is_empty() {
            key.push('.');
            key.push_str(&self.group);
        }
        key.to_lowercase()
    }

    /// Whether both name the same kind, whatever the version.
    pub fn same_kind(&self, other: &Self) -> bool {
        self.group == other.group && self.kind == other.kind
    }
}

impl fmt::Display for Gvk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.api_version(), self.kind)
    }
}

/// Names one object of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectRef {
    /// The kind.
    #[serde(flatten)]
    pub gvk: Gvk,
    /// Namespace; absent for cluster-scoped objects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

impl ObjectRef {
    /// Reads the identity of an object; `None` when it has no kind or no name.
    pub fn of(object: &Value) -> Option<Self> {
        let name = name(object);
        (!name.is_empty()).then_some(())?;
        Some(Self {
            gvk: Gvk::of(object)?,
            namespace: namespace(object).map(str::to_owned),
            name: name.to_owned(),
        })
    }

    /// Namespace and name.
    pub fn key(&self) -> Key {
        Key { namespace: self.namespace.clone(), name: self.name.clone() }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.gvk.kind, self.name),
            None => write!(f, "{} {}", self.gvk.kind, self.name),
        }
    }
}

/// Namespace and name of an object whose kind is known from the context.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// Namespace; absent for cluster-scoped objects.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

impl Key {
    /// The key of an object.
    pub fn of(object: &Value) -> Self {
        Self { namespace: namespace(object).map(str::to_owned), name: name(object).to_owned() }
    }

    /// With a kind this names an object completely.
    pub fn of_kind(&self, gvk: &Gvk) -> ObjectRef {
        ObjectRef { gvk: gvk.clone(), namespace: self.namespace.clone(), name: self.name.clone() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{namespace}/{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

fn meta<'a>(object: &'a Value, field: &str) -> Option<&'a str> {
    object.get("metadata")?.get(field)?.as_str().filter(|text| !text.is_empty())
}

/// `metadata.name`, empty when absent.
pub fn name(object: &Value) -> &str {
    meta(object, "name").unwrap_or_default()
}

/// `metadata.namespace`.
pub fn namespace(object: &Value) -> Option<&str> {
    meta(object, "namespace")
}

/// `metadata.uid`.
pub fn uid(object: &Value) -> Option<&str> {
    meta(object, "uid")
}

/// `metadata.resourceVersion`.
pub fn resource_version(object: &Value) -> Option<&str> {
    meta(object, "resourceVersion")
}

/// Whether the API server has been asked to delete the object.
pub fn is_terminating(object: &Value) -> bool {
    meta(object, "deletionTimestamp").is_some()
}

/// `metadata.generation`; only kinds that tell spec from status have one.
pub fn generation(object: &Value) -> Option<i64> {
    object.get("metadata")?.get("generation")?.as_i64()
}

/// The label and the annotation by which a child without owner reference is found.
pub const PARENT: &str = "helmfile-operator.github.io/parent";

/// A label's value.
pub fn label<'a>(object: &'a Value, label: &str) -> Option<&'a str> {
    object.pointer("/metadata/labels")?.get(label)?.as_str()
}

/// Of an object only what it is and its metadata, as a watch of metadata shows it.
pub fn metadata_of(object: &Value) -> Value {
    serde_json::json!({
        "apiVersion": object["apiVersion"], "kind": object["kind"], "metadata": object["metadata"],
    })
}

/// The labels.
pub fn labels(object: &Value) -> Option<&serde_json::Map<String, Value>> {
    object.pointer("/metadata/labels")?.as_object()
}

/// The finalizers.
pub fn finalizers(object: &Value) -> impl Iterator<Item = &str> {
    object
        .pointer("/metadata/finalizers")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

/// The UIDs of all owners.
pub fn owner_uids(object: &Value) -> impl Iterator<Item = &str> {
    object
        .pointer("/metadata/ownerReferences")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|owner| owner.get("uid")?.as_str())
}

/// How much memory a value takes, in bytes; roughly.
pub fn weight(value: &Value) -> u64 {
    /// A value itself, and what the allocator and a map add to each.
    const VALUE: usize = 32;
    const MEMBER: usize = 48;
    fn bytes(value: &Value) -> usize {
        VALUE
            + match value {
                Value::Null | Value::Bool(_) | Value::Number(_) => 0,
                Value::String(text) => text.len(),
                Value::Array(items) => items.iter().map(bytes).sum(),
                Value::Object(map) => map.iter().map(|(key, value)| key.len() + MEMBER + bytes(value)).sum(),
            }
    }
    bytes(value).try_into().unwrap_or(u64::MAX)
}

/// The owner reference that is marked as controller, if any.
pub fn controller_of(object: &Value) -> Option<&Value> {
    object
        .pointer("/metadata/ownerReferences")?
        .as_array()?
        .iter()
        .find(|owner| owner.get("controller").and_then(Value::as_bool) == Some(true))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_follow_the_handler_contract() {
        assert_eq!(Gvk::new("apps", "v1", "Deployment").key(), "deployment.v1.apps");
        assert_eq!(Gvk::new("", "v1", "ConfigMap").key(), "configmap.v1");
    }

    #[test]
    fn identity_needs_kind_and_name() {
        let object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "n"}});
        assert_eq!(ObjectRef::of(&object).unwrap().to_string(), "Pod n/a");
        assert_eq!(ObjectRef::of(&json!({"kind": "Pod", "metadata": {"name": "a"}})), None);
        assert_eq!(ObjectRef::of(&json!({"apiVersion": "v1", "kind": "Pod"})), None);
    }

    #[test]
    fn an_empty_namespace_is_none() {
        assert_eq!(namespace(&json!({"metadata": {"namespace": ""}})), None);
    }
}
