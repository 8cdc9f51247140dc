//! What a handler is given.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Trigger;

/// Objects by kind: `kind.version[.group]` in lower case → objects.
pub type ByKind = BTreeMap<String, Vec<Value>>;

/// The state handed to a handler: on stdin, as POST body or as template context.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The handled object.
    pub object: Value,
    /// Only when an observer is told that the object is gone: what was seen of it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_object: Option<Value>,
    /// Objects of the declared kinds that it owns.
    #[serde(default)]
    pub dependents: ByKind,
    /// Objects that it refers to.
    #[serde(default)]
    pub references: ByKind,
    /// Objects that the last reply asked to watch with `body`.
    #[serde(default)]
    pub watched: ByKind,
    /// Why the handler runs.
    #[serde(default)]
    pub triggers: Vec<Trigger>,
    /// The config's `values`: those of the file, under those of the entry, under `--set`.
    #[serde(default)]
    pub values: Value,
    /// How often in a row the handler has failed for this object.
    #[serde(default)]
    pub attempt: u32,
}
