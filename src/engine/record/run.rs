//! One run of a handler for one object.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    contract::{Event, ObjectReply, Reply, State, Trigger, TriggerType, WatchRequest},
    digest,
    duration::GoDuration,
    object::{self, Gvk, ObjectRef},
};

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// What the handler wanted is in place.
    Done {
        /// How many writes that took.
        writes: usize,
    },
    /// Somebody changed something in between; it runs again at once.
    Stale,
    /// The object is no more.
    Gone,
    /// It runs again after a pause.
    #[serde(rename_all = "camelCase")]
    Failed {
        /// One word.
        reason: String,
        /// One sentence.
        message: String,
        /// The pause.
        #[serde(with = "go")]
        retry_in: Duration,
    },
}

impl Outcome {
    /// One word for metrics: `Changed`, `Unchanged`, `Stale`, `Gone`, or the reason of the failure.
    pub fn word(&self) -> &str {
        match self {
            Self::Done { writes: 0 } => "Unchanged",
            Self::Done { .. } => "Changed",
            Self::Stale => "Stale",
            Self::Gone => "Gone",
            Self::Failed { reason, .. } => reason,
        }
    }
}

/// What a handler was given, without the contents.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Given {
    /// Equal for equal states: a digest of the objects' UIDs and versions, and of the entry's values.
    pub digest: String,
    /// The object's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
    /// The object's generation, where its kind has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// How often in a row it had failed before.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempt: u32,
    /// How many dependents, by kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dependents: BTreeMap<String, usize>,
    /// How many references, by kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub references: BTreeMap<String, usize>,
    /// How many watched objects with their bodies, by kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub watched: BTreeMap<String, usize>,
}

impl Given {
    /// Takes down what a state holds. Contents are not looked at, but for the entry's values, and those without what looks
    /// like a credential: nobody can try guesses against the digest.
    pub fn of(state: &State) -> Self {
        let count = |lists: &crate::contract::ByKind| {
            lists.iter().map(|(kind, list)| (kind.clone(), list.len())).collect()
        };
        let print = |object: &Value| {
            let part = |part: Option<&str>| part.unwrap_or_default().to_owned();
            Value::from(format!("{}@{}", part(object::uid(object)), part(object::resource_version(object))))
        };
        let lists = [&state.dependents, &state.references, &state.watched];
        let lists = lists.map(|lists| {
            Value::Object(
                lists.iter().map(|(kind, list)| (kind.clone(), list.iter().map(print).collect())).collect(),
            )
        });
        let all = [&[print(&state.object), super::redact::json(&state.values)], lists.as_slice()].concat();
        let mut digest = digest::of_json(&Value::Array(all));
        digest.truncate(16);
        Self {
            digest,
            resource_version: object::resource_version(&state.object).map(str::to_owned),
            generation: object::generation(&state.object),
            attempt: state.attempt,
            dependents: count(&state.dependents),
            references: count(&state.references),
            watched: count(&state.watched),
        }
    }
}

/// What a handler answered, in short.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answered {
    /// Whether it named the object: `edited` or `deleted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// Whether it gave a status.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub status: bool,
    /// How many desired dependents, by kind; kinds that it did not name are left alone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dependents: BTreeMap<String, usize>,
    /// Whether it asked to run again at once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub requeue: bool,
    /// When it asked to run again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requeue_after: Option<GoDuration>,
    /// What it asked to watch; absent when it left that alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watches: Option<Vec<WatchRequest>>,
}

impl Answered {
    /// Sums up a reply.
    pub fn of(reply: &Reply) -> Self {
        let object = match reply.object {
            ObjectReply::Unchanged => None,
            ObjectReply::Deleted => Some("deleted".to_owned()),
            ObjectReply::Edited(_) => Some("edited".to_owned()),
        };
        let lists = reply.dependents.iter().flatten();
        Self {
            object,
            status: reply.status.is_some(),
            dependents: lists.map(|(kind, list)| (kind.clone(), list.len())).collect(),
            requeue: reply.requeue,
            requeue_after: reply.requeue_after.map(GoDuration),
            watches: reply.watches.clone(),
        }
    }
}

/// How something was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verb {
    /// The first server-side apply.
    Create,
    /// Server-side apply.
    Apply,
    /// Merge patch.
    Patch,
    /// Deletion.
    Delete,
    /// Server-side apply of a status.
    Status,
}

impl Verb {
    /// For metrics and people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Apply => "apply",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::Status => "status",
        }
    }
}

/// One write that was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Write {
    /// How.
    pub verb: Verb,
    /// What.
    pub object: ObjectRef,
}

/// When a run is followed by another though nothing happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Next {
    /// Why.
    pub trigger: TriggerType,
    /// When.
    pub at: Timestamp,
}

/// What the engine remembers of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// The entry.
    pub entry: String,
    /// The object.
    pub object: ObjectRef,
    /// Why it ran.
    pub triggers: Vec<Trigger>,
    /// When it began.
    pub began: Timestamp,
    /// How long the first of its triggers waited until then; absent when that is not known.
    #[serde(default, with = "go::option", skip_serializing_if = "Option::is_none")]
    pub waited: Option<Duration>,
    /// What the handler was given; absent when it did not come to that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given: Option<Given>,
    /// How long the handler took; absent when it was not called.
    #[serde(default, with = "go::option", skip_serializing_if = "Option::is_none")]
    pub handler: Option<Duration>,
    /// What it answered; absent when that was nothing usable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<Answered>,
    /// The plan, as JSON. The journal keeps it of runs that wrote or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Value>,
    /// What was written, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub writes: Vec<Write>,
    /// Kubernetes Events that were published.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Event>,
    /// The end of what the handler printed on stderr.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stderr: String,
    /// How long everything took.
    #[serde(with = "go")]
    pub elapsed: Duration,
    /// How it ended.
    pub outcome: Outcome,
    /// When it runs again by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Next>,
}

impl Run {
    /// A run that begins. All else is filled in as it becomes known.
    pub const fn new(entry: String, object: ObjectRef, triggers: Vec<Trigger>, began: Timestamp) -> Self {
        Self {
            entry,
            object,
            triggers,
            began,
            waited: None,
            given: None,
            handler: None,
            answered: None,
            plan: None,
            writes: Vec::new(),
            events: Vec::new(),
            stderr: String::new(),
            elapsed: Duration::ZERO,
            outcome: Outcome::Done { writes: 0 },
            next: None,
        }
    }

    /// Whether it left no trace in the cluster.
    pub fn is_quiet(&self) -> bool {
        self.writes.is_empty()
            && self.events.is_empty()
            && !matches!(self.outcome, Outcome::Done { writes: 1.. })
    }

    /// Whether it did something that people want to read about: it wrote, or failed.
    pub fn is_eventful(&self) -> bool {
        matches!(self.outcome, Outcome::Failed { .. } | Outcome::Done { writes: 1.. })
            || !self.writes.is_empty()
    }

    /// Whether it ended as another one did, and both changed nothing: telling one of them tells both.
    pub fn repeats(&self, before: &Self) -> bool {
        let same = match (&self.outcome, &before.outcome) {
            (Outcome::Failed { reason, message, .. }, Outcome::Failed { reason: of, message: than, .. }) => {
                (reason, message) == (of, than)
            }
            (mine, other) => mine == other,
        };
        // A failure's Event is no news the second time.
        let quiet = |run: &Self| match run.outcome {
            Outcome::Failed { .. } => run.writes.is_empty(),
            _ => run.is_quiet(),
        };
        same && quiet(self) && quiet(before)
    }

    /// Writes the run to the log: failures always, successes that wrote something at `info`, the rest at `debug`.
    pub fn log(&self) {
        let why: Vec<String> = self.triggers.iter().map(|trigger| format!("{:?}", trigger.kind_of)).collect();
        let why = why.join(",");
        let (entry, object, elapsed) = (&self.entry, &self.object, GoDuration(round(self.elapsed)));
        match &self.outcome {
            Outcome::Failed { reason, message, retry_in } => {
                let retry_in = GoDuration(round(*retry_in));
                tracing::warn!(entry, %object, why, reason, %retry_in, "{message}");
            }
            Outcome::Gone => tracing::info!(entry, %object, "gone"),
            Outcome::Stale => tracing::debug!(entry, %object, why, "changed in between; running again"),
            Outcome::Done { writes: 0 } => {
                tracing::debug!(entry, %object, why, %elapsed, "nothing to change");
            }
            Outcome::Done { writes } => tracing::info!(entry, %object, why, %elapsed, writes, "reconciled"),
        }
    }
}

/// A trigger for people: `DependentChanged by ConfigMap a/x`.
pub(super) fn trigger_text(trigger: &Trigger) -> String {
    let Trigger { kind_of, kind, namespace, name } = trigger;
    match (kind, name) {
        (Some(kind), Some(name)) => {
            let gvk = Gvk::new("", "", kind);
            let object = ObjectRef { gvk, namespace: namespace.clone(), name: name.clone() };
            format!("{kind_of:?} by {object}")
        }
        _ => format!("{kind_of:?}"),
    }
}

fn round(duration: Duration) -> Duration {
    Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde wants")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Durations in Go's syntax, cut to microseconds.
pub(super) mod go {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::duration::GoDuration;

    fn cut(duration: Duration) -> GoDuration {
        GoDuration(Duration::from_micros(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        cut(*duration).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        GoDuration::deserialize(deserializer).map(|duration| duration.0)
    }

    pub(crate) mod option {
        use super::{Deserialize as _, Deserializer, Duration, GoDuration, Serialize as _, Serializer, cut};

        #[expect(clippy::ref_option, reason = "the signature that serde wants")]
        pub(crate) fn serialize<S: Serializer>(
            duration: &Option<Duration>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            duration.map(cut).serialize(serializer)
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Duration>, D::Error> {
            Ok(Option::<GoDuration>::deserialize(deserializer)?.map(|duration| duration.0))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn state(version: &str, password: &str) -> State {
        let object = |name: &str| json!({"metadata": {"name": name, "uid": name, "resourceVersion": version, "generation": 3}});
        let mut state = State { object: object("x"), attempt: 2, ..State::default() };
        state.values = json!({"mode": "a", "password": password});
        let secret = json!({"kind": "Secret", "metadata": {"uid": "s"}, "data": {"p": password}});
        state.references.insert("secret.v1".to_owned(), vec![secret.clone(), secret]);
        state
    }

    #[test]
    fn what_was_given_is_counted_and_told_apart_without_its_secrets() {
        let given = Given::of(&state("1", "hunter2"));
        assert_eq!(given.references, BTreeMap::from([("secret.v1".to_owned(), 2)]));
        assert_eq!((given.generation, given.attempt, given.digest.len()), (Some(3), 2, 16));
        assert_eq!(Given::of(&state("1", "hunter3")).digest, given.digest, "else guesses could be tried");
        assert_ne!(Given::of(&state("2", "hunter2")).digest, given.digest);
        let other = State { values: json!({"mode": "b"}), ..state("1", "hunter2") };
        assert_ne!(Given::of(&other).digest, given.digest);
    }

    #[test]
    fn a_reply_is_summed_up() {
        assert_eq!(Answered::of(&Reply::default()), Answered::default());
        let text =
            br#"{"object": null, "status": {}, "dependents": {"configmap.v1": [{}, {}]}, "requeueAfter": 5}"#;
        let reply = Reply::parse(text, crate::contract::ReplyFormat::Program).unwrap();
        let answered = serde_json::to_value(Answered::of(&reply)).unwrap();
        assert_eq!(
            answered,
            json!({"object": "deleted", "status": true, "dependents": {"configmap.v1": 2}, "requeueAfter": "5s"})
        );
    }

    #[test]
    fn a_run_reads_back_what_it_writes() {
        let object = Gvk::new("", "v1", "Pod");
        let object = ObjectRef { gvk: object, namespace: None, name: "p".to_owned() };
        let mut run = Run::new("e".to_owned(), object, Vec::new(), Timestamp::UNIX_EPOCH);
        for outcome in [
            Outcome::Done { writes: 2 },
            Outcome::Stale,
            Outcome::Gone,
            Outcome::Failed {
                reason: "R".to_owned(),
                message: "m".to_owned(),
                retry_in: Duration::from_mins(1),
            },
        ] {
            run.outcome = outcome;
            let text = serde_json::to_string(&run).unwrap();
            assert_eq!(serde_json::from_str::<Run>(&text).unwrap(), run, "{text}");
        }
        assert!(serde_json::to_string(&run).unwrap().contains(r#""retryIn":"1m""#));
    }
}
