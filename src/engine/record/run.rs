//! One run of a handler for one object.

use std::time::Duration;

use crate::{contract::Trigger, duration::GoDuration, object::ObjectRef};

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// What the handler wanted is in place.
    Done {
        /// How many writes that took.
        writes: usize,
    },
    /// Somebody changed something in between; it runs again at once.
    Stale,
    /// It runs again after a pause.
    Failed {
        /// One word.
        reason: String,
        /// One sentence.
        message: String,
        /// The pause.
        retry_in: Duration,
    },
}

/// What the engine remembers of a run.
#[derive(Debug, Clone)]
pub struct Run {
    /// The entry.
    pub entry: String,
    /// The object.
    pub object: ObjectRef,
    /// Why it ran.
    pub triggers: Vec<Trigger>,
    /// How long the handler took; absent when it was not called.
    pub handler: Option<Duration>,
    /// How long everything took.
    pub elapsed: Duration,
    /// How it ended.
    pub outcome: Outcome,
}

impl Run {
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
            Outcome::Stale => tracing::debug!(entry, %object, why, "changed in between; running again"),
            Outcome::Done { writes: 0 } => {
                tracing::debug!(entry, %object, why, %elapsed, "nothing to change");
            }
            Outcome::Done { writes } => tracing::info!(entry, %object, why, %elapsed, writes, "reconciled"),
        }
    }
}

fn round(duration: Duration) -> Duration {
    Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
