//! The `Helmfile` kind: what becomes of objects that somebody else has changed.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is done about objects of the releases that are not as their releases say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DriftSpec {
    /// What to do.
    #[serde(default, skip_serializing_if = "DriftMode::is_default")]
    pub mode: DriftMode,
    /// What is no drift, besides what autoscalers and Kubernetes' own controllers keep.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub ignore: Vec<DriftIgnore>,
}

impl DriftSpec {
    /// Whether nobody has chosen otherwise.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What is done about drift.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum DriftMode {
    /// It is told: in the condition `Drifted`, in `status.drift`, and by an Event.
    #[default]
    Warn,
    /// Nobody looks.
    Off,
}

impl DriftMode {
    /// Whether nobody has chosen otherwise.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Fields that may be as they are. What is not said matches everything; without `paths`, the whole object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DriftIgnore {
    /// The kind: `Deployment`, or with its group `Deployment.apps`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub kind: Option<String>,
    /// The object's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub name: Option<String>,
    /// The object's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// The fields, with all that is below them, as JSON pointers: `/spec/replicas`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(regex(pattern = "^/"), length(max = 512)))]
    pub paths: Vec<String>,
}

/// What is not as the releases say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DriftStatus {
    /// How many objects that is.
    #[schemars(range(min = 0), extend("format" = "int32"))]
    pub count: u32,
    /// The first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub objects: Vec<DriftedObject>,
}

/// An object that is not as its release says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DriftedObject {
    /// The object, as in the inventory: `Deployment.apps shop/web`.
    pub object: String,
    /// Its release: `shop/web`.
    pub release: String,
    /// Whether it is not there at all.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
    /// The fields, as JSON pointers; at most 10 of them, and never what is in them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub fields: Vec<String>,
    /// Those who wrote them last (field managers), as far as that is known: nobody is known to have removed something.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub writers: Vec<String>,
    /// Since when: when the first of them wrote, or when it was first seen.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub since: Timestamp,
}
