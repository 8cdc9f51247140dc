//! config.yaml exactly as it is written. The doc comments are its reference: the JSON schema carries them to editors.
//!
//! Every map refuses fields it does not know.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// A config file.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RawConfig {
    /// What to watch and which handler answers. Entries of several files are merged by name; the last one wins.
    #[serde(default)]
    pub resources: Vec<RawEntry>,
    /// Values handed to every handler, under those of the entry and those of `--set`.
    #[serde(default)]
    pub values: Map<String, Value>,
    /// CustomResourceDefinitions to apply at start and to wait for: files, relative to this one, or `builtin:NAME`.
    /// A newer one in the cluster is left alone.
    #[serde(default)]
    pub crds: Vec<String>,
}

/// One kind of object and what to do about it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RawEntry {
    /// Identity of the entry in logs, field managers and metrics. Default: `kind.group` in lower case.
    pub name: Option<String>,
    /// API group; empty or absent for the core group.
    #[serde(default)]
    pub group: String,
    /// API version, for example `v1`.
    pub version: String,
    /// Kind, for example `ConfigMap`.
    pub kind: String,
    /// Kinds of objects that the handler creates for the object. They are owned by it and go away with it.
    #[serde(default)]
    pub dependents: Vec<RawKind>,
    /// What to do when the object, or something it depends on, changes.
    pub reconciler: RawReconciler,
    /// Run the handler for every object this often even when nothing happens, as a Go duration. Default: never.
    pub resync_period: Option<String>,
    /// Values handed to this entry's handler, over those of the file.
    #[serde(default)]
    pub values: Map<String, Value>,
    /// How many objects are handled at once. Default: 4.
    #[schemars(range(min = 1, max = 1000))]
    pub concurrency: Option<u16>,
    /// Name of a condition that the engine keeps in `status.conditions` when a run fails (False, with the reason) and
    /// recovers (True). The kind's conditions must be a list with map key `type`. Default: none, only Events.
    pub condition: Option<String>,
}

/// A kind by name.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RawKind {
    /// API group; empty or absent for the core group.
    #[serde(default)]
    pub group: String,
    /// API version.
    pub version: String,
    /// Kind.
    pub kind: String,
}

/// A handler: exactly one of `exec` and `template`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RawReconciler {
    /// Run a program with the state on stdin; it prints what it wants.
    pub exec: Option<RawExec>,
    /// Render a Handlebars template; its output is the complete list of the dependents.
    pub template: Option<RawTemplate>,
    /// Run again this long after each success, as a Go duration, unless the reply says otherwise. Default: never.
    pub requeue_after: Option<String>,
}

/// A program.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RawExec {
    /// The program: a name on PATH, or a path relative to this file. `helmfile-operator` is this program itself.
    pub command: String,
    /// Its arguments.
    #[serde(default)]
    pub args: Vec<String>,
    /// Its working directory, relative to this file. Default: the folder of this file.
    pub working_dir: Option<String>,
    /// Environment variables on top of the operator's own.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// How long it may run, as a Go duration; then it gets SIGTERM. `0` is no limit. Default: `60s`.
    pub timeout: Option<String>,
    /// How long it may take to end after SIGTERM, as a Go duration; then it gets SIGKILL. Default: `5s`.
    pub grace: Option<String>,
    /// Log what it is given and what it prints. Default: false. Shows whatever the objects hold, Secrets included.
    #[serde(default)]
    pub debug: bool,
}

/// A template: exactly one of `file` and `inline`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RawTemplate {
    /// A file relative to this one, or `builtin:NAME`.
    pub file: Option<String>,
    /// The template itself.
    pub inline: Option<String>,
}

/// The JSON schema of a config file.
pub fn schema() -> Value {
    schemars::schema_for!(RawConfig).to_value()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_committed_schema_is_fresh() {
        let committed = include_str!("../../../assets/schema/config.json");
        let fresh = serde_json::to_string_pretty(&super::schema()).unwrap() + "\n";
        let refresh = "helmfile-operator generate schema > assets/schema/config.json";
        assert!(committed == fresh, "assets/schema/config.json is stale; run `{refresh}`");
    }
}
