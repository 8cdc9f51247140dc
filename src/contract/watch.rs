//! Dynamic watches: a reply names objects whose changes run the handler again.

use serde::{Deserialize, Serialize};

use crate::object::Gvk;

/// Which changes count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WatchOn {
    /// Everything but status: generation, labels, annotations, deletion, and the data of kinds without a generation.
    #[default]
    Spec,
    /// Any new version of the object.
    Any,
}

/// Objects that the handled object depends on from now on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WatchRequest {
    /// `apps/v1`.
    pub api_version: String,
    /// `Deployment`.
    pub kind: String,
    /// Namespace; default the handled object's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// One object by name. Exactly one of `name` and `labelSelector`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// All objects with these labels, in kubectl's syntax (`app=web,tier in (a,b)`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_selector: Option<String>,
    /// Which changes count; default `spec`.
    #[serde(default)]
    pub on: WatchOn,
    /// Whether the handler is given the whole objects under `watched`; default only their metadata is kept.
    #[serde(default)]
    pub body: bool,
}

impl WatchRequest {
    /// The kind to watch.
    pub fn gvk(&self) -> Gvk {
        Gvk::from_api_version(&self.api_version, &self.kind)
    }
}
