//! What controllers show of themselves, and what the admin server makes of it. `explain` reads what the server writes.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Recorded, run::go};
use crate::{
    contract::{Trigger, WatchRequest},
    object::{Gvk, Key, ObjectRef},
    telemetry::objects::ObjectGauges,
};

/// A look into running controllers. All methods but [`Self::gauges`] are quick: they take locks for a moment, never wait, and
/// look at no contents. `/readyz` and `/metrics` ask every few seconds.
pub trait Insight: Send + Sync {
    /// All entries, in the order of the config.
    fn entries(&self) -> Vec<EntryView>;

    /// What each entry that handles the kind knows of one object: one view per entry, also when there is no such object.
    /// [`ObjectQuery::names`] tells which entries those are.
    fn object(&self, query: &ObjectQuery) -> Vec<ObjectView>;

    /// What the config measures of objects. By default nothing.
    ///
    /// Objects that have changed since the last call are read: some 10 µs for each of its metrics. Calls wait for each other.
    fn gauges(&self) -> ObjectGauges {
        ObjectGauges::default()
    }

    /// Every watch of the process once, also those that replies asked for. By default those of the entries.
    fn watches(&self) -> Vec<WatchView> {
        let mut watches: Vec<WatchView> = Vec::new();
        for watch in self.entries().into_iter().flat_map(|entry| entry.watches) {
            if !watches.iter().any(|known| known.is_same(&watch)) {
                watches.push(watch);
            }
        }
        watches
    }
}

/// Which object somebody asks about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectQuery {
    /// `kind`, `kind.group` or `kind.version.group`, in any case.
    pub kind: String,
    /// Namespace. People may leave it to a default, so there may be one though the kind is cluster-scoped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

impl ObjectQuery {
    /// Whether it asks about this kind.
    pub fn names(&self, gvk: &Gvk) -> bool {
        let with_group = format!("{}.{}", gvk.kind, gvk.group);
        let names = [gvk.kind.as_str(), with_group.trim_end_matches('.'), &gvk.key()];
        names.iter().any(|name| name.eq_ignore_ascii_case(&self.kind))
    }

    /// Namespace and name, without the namespace where the kind has none.
    pub fn key(&self, namespaced: bool) -> Key {
        Key { namespace: self.namespace.clone().filter(|_| namespaced), name: self.name.clone() }
    }
}

/// An entry of the config, as it runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EntryView {
    /// Its identity.
    pub name: String,
    /// The handled kind.
    pub kind: Gvk,
    /// Who answers, in a few words and without arguments: `exec ./hook.sh`, `template`.
    pub handler: String,
    /// The kinds of its dependents, as contract keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependents: Vec<String>,
    /// What it can't do without: the watches of its kind and its dependents. Not those that replies ask for.
    pub watches: Vec<WatchView>,
    /// Its queue.
    pub queue: QueueView,
    /// How many objects at once.
    pub concurrency: usize,
}

/// How much of each object a watch keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DetailView {
    /// All of it.
    Full,
    /// Only its metadata.
    Metadata,
}

impl DetailView {
    /// For metrics and people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Metadata => "metadata",
        }
    }
}

/// A watch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WatchView {
    /// The kind.
    pub kind: Gvk,
    /// Namespaces; none means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// Only the object of this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Only objects with these labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<String>,
    /// How much of each object.
    pub detail: DetailView,
    /// Whether everything that exists has been seen once.
    pub synced: bool,
    /// The last trouble, until it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// How many objects it holds.
    pub objects: usize,
    /// How much memory they take, in bytes; roughly, and summed up as objects come and go.
    pub bytes: u64,
}

impl WatchView {
    /// Whether both are views of one watch.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.kind, &self.namespaces, &self.name, &self.labels, self.detail)
            == (&other.kind, &other.namespaces, &other.name, &other.labels, other.detail)
    }

    /// The kind, and which objects of it: `v1 ConfigMap in a, b`.
    pub fn scope(&self) -> String {
        let mut text = self.kind.to_string();
        if let Some(name) = &self.name {
            text = format!("{text} {name}");
        }
        if let Some(labels) = &self.labels {
            text = format!("{text} with {labels}");
        }
        if !self.namespaces.is_empty() {
            text = format!("{text} in {}", self.namespaces.join(", "));
        }
        text
    }
}

/// A queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueView {
    /// Objects whose time has come, and that wait for a free place.
    pub waiting: usize,
    /// How long the first of them has waited.
    #[serde(default, with = "go::option", skip_serializing_if = "Option::is_none")]
    pub head_age: Option<Duration>,
    /// Objects that run later, if nothing happens before.
    pub scheduled: usize,
    /// When the first of those runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_due: Option<Timestamp>,
    /// Objects that run now.
    pub running: usize,
    /// Objects whose last run failed.
    pub retrying: usize,
}

/// Whether an entry handles an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Selection {
    /// It does.
    Selected,
    /// Its labels are not those of the entry's `selector`.
    Selector(String),
    /// Its namespace is not one of those that are watched.
    Namespaces(Vec<String>),
    /// The entry's `when` says no.
    When(String),
    /// The operator works on another object alone.
    Only(Key),
}

/// What an object does at the moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Activity {
    /// Nothing; a change will wake it.
    Idle,
    /// It runs at `due`, or sooner when something happens.
    Waiting {
        /// When; in the past when there is no free place.
        due: Timestamp,
        /// Why.
        triggers: Vec<Trigger>,
    },
    /// It runs.
    Running {
        /// Since when.
        since: Timestamp,
        /// Why.
        triggers: Vec<Trigger>,
    },
    /// Its last run failed; it runs again by itself.
    Retrying {
        /// How often in a row it has failed.
        attempt: u32,
        /// When.
        next: Timestamp,
    },
}

/// The hot-loop breaker's hold on an object that changes again and again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Slowed {
    /// What keeps changing: a path such as `Deployment a/web: spec.replicas`.
    pub field: String,
    /// Until when runs are held back.
    pub until: Timestamp,
}

/// What an entry knows of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectView {
    /// The entry.
    pub entry: String,
    /// The object.
    pub object: ObjectRef,
    /// Whether the cache has it.
    pub known: bool,
    /// Whether the API server has been asked to delete it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleting: bool,
    /// Whether the entry handles it.
    pub selection: Selection,
    /// Whether its owner has asked to leave it alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspended: bool,
    /// What it does.
    pub activity: Activity,
    /// What its last reply asked to watch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub watches: Vec<WatchRequest>,
    /// Whether it is held back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slowed: Option<Slowed>,
    /// The failure of the last run, until one succeeds. As the engine has it: the server takes out what it shows of secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// All that is known of an object: what the admin server answers, and `explain` reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectReport {
    /// The server's time.
    pub now: Timestamp,
    /// What was asked.
    pub query: ObjectQuery,
    /// One per entry that handles the kind.
    pub entries: Vec<Handling>,
}

/// An entry's part of a report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Handling {
    /// The entry.
    pub entry: EntryView,
    /// What it knows of the object.
    pub object: ObjectView,
    /// The object's runs, the newest first.
    pub runs: Vec<Recorded>,
}

/// What the admin server answers about the whole program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProgramReport {
    /// The program's version.
    pub version: String,
    /// The server's time.
    pub now: Timestamp,
    /// The entries.
    pub entries: Vec<EntryView>,
    /// Every watch once, also those that replies asked for.
    pub watches: Vec<WatchView>,
    /// Of how many objects runs are remembered.
    pub remembered: usize,
}

/// What the admin server answers when it has nothing to show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// One sentence.
    pub message: String,
    /// The kinds that are handled, where it asked for another one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub handled: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_may_be_written_with_and_without_group_and_version() {
        let hello = Gvk::new("example.com", "v1", "Hello");
        for (kind, expected) in [
            ("Hello", true),
            ("hello", true),
            ("HELLO.example.com", true),
            ("hello.v1.example.com", true),
            ("hello.example.org", false),
            ("hello.v2.example.com", false),
            ("hell", false),
        ] {
            let query = ObjectQuery { kind: kind.to_owned(), namespace: None, name: "x".to_owned() };
            assert_eq!(query.names(&hello), expected, "{kind}");
        }
        let query = ObjectQuery { kind: "configmap".to_owned(), namespace: None, name: "x".to_owned() };
        assert!(query.names(&Gvk::new("", "v1", "ConfigMap")));
    }
}
