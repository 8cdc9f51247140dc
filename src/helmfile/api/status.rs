//! The `Helmfile` kind: what the applier reports.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{condition::Condition, drift::DriftStatus};
use crate::duration::GoDuration;

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

    /// Keyed digest of all inputs that were tried last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_attempted_inputs: Option<String>,

    /// When it was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub last_attempt_time: Option<Timestamp>,

    /// The revision of the source that was delivered last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_applied_revision: Option<String>,

    /// Keyed digest of all inputs (spec, values, revision) that the cluster has. Absent while a delivery of other inputs runs and
    /// after one that failed: nobody knows then what the cluster has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_applied_inputs: Option<String>,

    /// Digest of the part of the spec that says what is delivered, as the cluster has it. It holds nothing that the spec
    /// beside it does not show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_applied_spec: Option<String>,

    /// When a delivery last changed something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub last_applied_time: Option<Timestamp>,

    /// When helmfile last rendered everything with success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub last_full_render: Option<Timestamp>,

    /// Why helmfile is run at every `refreshInterval` though nothing has changed: what it takes from elsewhere. Absent when
    /// all that it depends on is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_reason: Option<String>,

    /// Since when the cluster has had the applied revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub revision_since: Option<Timestamp>,

    /// Since when objects of the releases are not healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub unhealthy_since: Option<Timestamp>,

    /// How many passes in a row have failed; the next try waits longer after each.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0), extend("format" = "int32"))]
    pub failures: u32,

    /// The last deliveries, the newest first; at most 5.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub history: Vec<HistoryEntry>,

    /// What the helmfile consists of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inventory: Option<Inventory>,

    /// Releases that have left the helmfile and would be uninstalled, if somebody said yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_prune: Option<PendingPrune>,

    /// Objects that are not as their releases say; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<DriftStatus>,

    /// The value of the annotation `reconcile.fluxcd.io/requestedAt` that was acted upon last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,

    /// The value of the annotation `reconcile.fluxcd.io/forceAt` that was acted upon last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_force_at: Option<String>,

    /// The value of the annotation `reconcile.fluxcd.io/resetAt` that was acted upon last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reset_at: Option<String>,
}

/// One delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// The revision of the source.
    pub revision: String,
    /// Digest of all inputs.
    pub inputs: String,
    /// When it began.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
    /// How long it took.
    pub duration: GoDuration,
    /// How it ended.
    pub outcome: Outcome,
    /// How many releases it has installed, upgraded or uninstalled.
    #[schemars(range(min = 0), extend("format" = "int32"))]
    pub changed: u32,
    /// Their names as `namespace/name`; at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub releases: Vec<String>,
}

/// How a delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Outcome {
    /// The cluster has what was asked for.
    Succeeded,
    /// Something went wrong; `changed` releases were delivered before.
    Failed,
}

/// Releases that wait to be uninstalled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PendingPrune {
    /// What the annotation `apps.mumoshu.github.io/approve-prune` has to be for them to go.
    pub id: String,
    /// Why they wait.
    pub reason: String,
    /// Their names as `namespace/name`; at most 50.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub releases: Vec<String>,
}

/// The releases of a helmfile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Inventory {
    /// How many releases there are, also when the list is cut.
    #[schemars(range(min = 0), extend("format" = "int32"))]
    pub count: u32,
    /// How many objects they have, also when the lists are cut.
    #[serde(default)]
    #[schemars(range(min = 0), extend("format" = "int32"))]
    pub objects: u32,
    /// The ConfigMap of the namespace that has the whole inventory, when it does not fit in here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overflow: Option<String>,
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
    /// Whether it was there before this Helmfile and has not been upgraded by it yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopted: bool,
    /// Its objects, hooks left out, as `Kind.group namespace/name` (`Kind name` for the core group and without a namespace);
    /// at most 500 over all releases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub objects: Vec<String>,
}

impl Default for HelmfileStatus {
    fn default() -> Self {
        Self {
            observed_generation: never(),
            conditions: Vec::new(),
            last_attempted_revision: None,
            last_attempted_inputs: None,
            last_attempt_time: None,
            last_applied_revision: None,
            last_applied_inputs: None,
            last_applied_spec: None,
            last_applied_time: None,
            last_full_render: None,
            refresh_reason: None,
            revision_since: None,
            unhealthy_since: None,
            failures: 0,
            history: Vec::new(),
            inventory: None,
            pending_prune: None,
            drift: None,
            last_handled_reconcile_at: None,
            last_handled_force_at: None,
            last_handled_reset_at: None,
        }
    }
}

impl Inventory {
    /// The most releases that are listed: a status must stay far below the size limit of an object.
    pub const RELEASES: usize = 200;
    /// The most objects that are listed, over all releases.
    pub const OBJECTS: usize = 500;
    /// The most that the lists may take together, in bytes of text.
    pub const BYTES: usize = 64 << 10;

    /// All of some releases, sorted, nothing cut.
    pub fn whole(mut releases: Vec<InventoryRelease>) -> Self {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        releases.sort();
        Self {
            count: number(releases.len()),
            objects: number(releases.iter().map(|release| release.objects.len()).sum()),
            overflow: None,
            releases,
        }
    }

    /// As much of it as a status may hold; whether anything had to be cut.
    #[must_use]
    pub fn bounded(&self) -> (Self, bool) {
        let (mut objects, mut bytes, mut cut) = (0, 0, self.releases.len() > Self::RELEASES);
        let mut releases: Vec<InventoryRelease> =
            self.releases.iter().take(Self::RELEASES).cloned().collect();
        for release in &mut releases {
            let whole = release.objects.len();
            release.objects.retain(|object| {
                objects += 1;
                bytes += object.len() + 4;
                objects <= Self::OBJECTS && bytes <= Self::BYTES
            });
            cut |= release.objects.len() < whole;
        }
        (Self { releases, ..self.clone() }, cut)
    }

    /// Which releases there still are, as far as the status knows and an Event can hold, behind a semicolon.
    pub fn left(inventory: Option<&Self>) -> String {
        // In bytes: all names together. The API server takes 1024 characters of an Event.
        const NAMES: usize = 700;
        let Some(inventory) = inventory else { return "the status names none".to_owned() };
        let mut names = String::new();
        let mut listed = 0_usize;
        for release in &inventory.releases {
            let name = format!("{}/{}", release.namespace, release.name);
            if names.len() + name.len() > NAMES {
                break;
            }
            names = if names.is_empty() { name } else { format!("{names}, {name}") };
            listed += 1;
        }
        let count = usize::try_from(inventory.count).unwrap_or(usize::MAX).max(inventory.releases.len());
        match (listed, count - listed) {
            (0, 0) => "the status names none".to_owned(),
            (0, more) => format!("{more} of them are left"),
            (_, 0) => format!("left: {names}"),
            (_, more) => format!("left: {names} and {more} more"),
        }
    }
}

/// A revision with as much of its digest as people compare.
pub fn short_revision(revision: &str) -> String {
    match revision.rsplit_once(':') {
        Some((name, digest)) => format!("{name}:{}", digest.chars().take(12).collect::<String>()),
        None => revision.to_owned(),
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
            adopted: false,
            objects: (0..4).map(|object| format!("ConfigMap n/{object}")).collect(),
        };
        let whole = Inventory::whole((0..300).map(release).collect());
        let (inventory, cut) = whole.bounded();
        assert_eq!((inventory.count, inventory.objects, inventory.releases.len()), (300, 1200, 200));
        assert_eq!(inventory.releases[0].name, "0700");
        let listed: usize = inventory.releases.iter().map(|release| release.objects.len()).sum();
        assert_eq!((listed, cut), (Inventory::OBJECTS, true));
        let long = InventoryRelease { objects: vec!["x".repeat(Inventory::BYTES)], ..release(0) };
        assert!(Inventory::whole(vec![long]).bounded().1);
        let small = Inventory::whole((0..3).map(release).collect());
        assert_eq!(small.bounded(), (small, false));
    }

    #[test]
    fn revisions_are_cut_at_the_digest() {
        assert_eq!(short_revision("main@sha1:5e0c2a7d91b4e8d0c19f1b6c"), "main@sha1:5e0c2a7d91b4");
        assert_eq!(short_revision("local"), "local");
    }
}
