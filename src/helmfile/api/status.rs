//! The `Helmfile` kind: what the applier reports.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::condition::Condition;

/// What is known of a delivery. Nothing in it is secret or unbounded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HelmfileStatus {
    /// The `metadata.generation` that the conditions speak of; -1 before the first.
    #[serde(default = "never")]
    pub observed_generation: i64,

    /// `Ready` always; `Reconciling` while a delivery runs; `Stalled` when only a change of the spec can help.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,

    /// The revision of the source that was tried last, for example `main@sha1:…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_attempted_revision: Option<String>,

    /// When it was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub last_attempt_time: Option<Timestamp>,

    /// The revision of the source that was delivered last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_applied_revision: Option<String>,

    /// Digest of all inputs (spec and revision) that the cluster has. Absent while a delivery of other inputs runs and
    /// after one that failed: nobody knows then what the cluster has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_applied_inputs: Option<String>,

    /// When a delivery last changed something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub last_applied_time: Option<Timestamp>,

    /// When helmfile last rendered everything with success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub last_full_render: Option<Timestamp>,

    /// How many passes in a row have failed; the next try waits longer after each.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0), extend("format" = "int32"))]
    pub failures: u32,

    /// What the helmfile consists of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inventory: Option<Inventory>,
}

/// The releases of a helmfile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Inventory {
    /// How many releases there are, also when the list is cut.
    #[schemars(range(min = 0), extend("format" = "int32"))]
    pub count: u32,
    /// The releases, by namespace and name; at most 200.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub releases: Vec<InventoryRelease>,
}

/// One Helm release.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InventoryRelease {
    /// Namespace of the release.
    pub namespace: String,
    /// Name of the release.
    pub name: String,
    /// The chart, and its version where the helmfile names one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub chart: String,
    /// Helm's revision number; absent when Helm's records could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0), extend("format" = "int32"))]
    pub revision: Option<u32>,
    /// Helm's word for its state, for example `deployed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

impl Default for HelmfileStatus {
    fn default() -> Self {
        Self {
            observed_generation: never(),
            conditions: Vec::new(),
            last_attempted_revision: None,
            last_attempt_time: None,
            last_applied_revision: None,
            last_applied_inputs: None,
            last_applied_time: None,
            last_full_render: None,
            failures: 0,
            inventory: None,
        }
    }
}

impl Inventory {
    /// The most releases that are listed: a status must stay far below the size limit of an object.
    pub const LIMIT: usize = 200;

    /// Sorts and cuts a list of releases.
    pub fn of(mut releases: Vec<InventoryRelease>) -> Self {
        let count = u32::try_from(releases.len()).unwrap_or(u32::MAX);
        releases.sort();
        releases.truncate(Self::LIMIT);
        Self { count, releases }
    }
}

const fn never() -> i64 {
    -1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_empty_status_is_a_status() {
        let status: HelmfileStatus = serde_json::from_value(json!({})).unwrap();
        assert_eq!(status, HelmfileStatus::default());
        assert_eq!(serde_json::to_value(&status).unwrap(), json!({"observedGeneration": -1}));
    }

    #[test]
    fn an_inventory_is_sorted_and_bounded() {
        let release = |index: usize| InventoryRelease {
            namespace: "n".into(),
            name: format!("{:04}", 999 - index),
            chart: String::new(),
            revision: None,
            status: None,
        };
        let inventory = Inventory::of((0..300).map(release).collect());
        assert_eq!((inventory.count, inventory.releases.len()), (300, 200));
        assert_eq!(inventory.releases[0].name, "0700");
    }
}
