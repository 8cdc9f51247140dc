//! What a pass comes to, and how it is told to the engine.

use std::time::Duration;

use serde_json::{Value, json};

use super::{depends, status, subject::Subject};
use crate::{
    contract::{Event, WatchRequest},
    duration::GoDuration,
    helmfile::{api::HelmfileStatus, inputs},
};

/// What a pass came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The object's status from now on.
    pub status: HelmfileStatus,
    /// Whether the status differs from the one that the pass began with.
    pub status_changed: bool,
    /// What to tell people.
    pub events: Vec<Event>,
    /// The objects whose changes start a pass.
    pub watches: Vec<WatchRequest>,
    /// When to look again; `None` when only a change of the object can make a difference.
    pub again: Option<Duration>,
    /// The pass in a word.
    pub verdict: Verdict,
}

/// A pass in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The spec says to do nothing.
    Suspended,
    /// Nothing has changed, and helmfile did not run.
    UpToDate,
    /// What failed just now is not tried again yet.
    BackingOff,
    /// Helmfile ran and found nothing to do.
    Unchanged,
    /// Helmfile ran and changed something.
    Changed,
    /// Something failed.
    Failed,
}

/// The pass was ended from outside; the object says that a delivery is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stopped before the end of the pass")]
pub struct Stopped;

impl Answer {
    pub(crate) fn new(
        subject: &Subject,
        status: HelmfileStatus,
        again: Option<Duration>,
        verdict: Verdict,
    ) -> Self {
        let events = status::events(&subject.status, &status);
        let status_changed = status != subject.status;
        let watches =
            subject.spec.as_ref().map(|spec| inputs::watches(spec).into_iter().chain(depends::watches(spec)));
        let watches = watches.map(Iterator::collect).unwrap_or_default();
        Self { status, status_changed, events, watches, again, verdict }
    }

    /// The reply of the handler contract.
    pub fn reply(&self) -> Value {
        let mut reply = json!({});
        if self.status_changed {
            reply["status"] = json!(self.status);
        }
        if !self.events.is_empty() {
            reply["events"] = json!(self.events);
        }
        reply["watches"] = json!(self.watches);
        if let Some(after) = self.again {
            // Whole seconds, upwards: a look just before something is due would be for nothing.
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            reply["requeueAfter"] = json!(GoDuration::from_secs(seconds.max(1)));
        }
        reply
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{EventType, Reply, ReplyFormat};

    #[test]
    fn the_engine_reads_what_is_replied() {
        let event = Event { kind_of: EventType::Warning, reason: "Odd".into(), message: "m".into() };
        let answer = Answer {
            status: HelmfileStatus { failures: 2, ..HelmfileStatus::default() },
            status_changed: true,
            events: vec![event.clone()],
            watches: Vec::new(),
            again: Some(Duration::from_millis(5100)),
            verdict: Verdict::Failed,
        };
        let read = |answer: &Answer| {
            Reply::parse(answer.reply().to_string().as_bytes(), ReplyFormat::Program).unwrap()
        };
        let reply = read(&answer);
        assert_eq!(reply.status.unwrap()["failures"], 2);
        assert_eq!((reply.events, reply.requeue_after), (vec![event], Some(Duration::from_secs(6))));
        let silent = Answer { status_changed: false, events: Vec::new(), again: None, ..answer };
        assert_eq!(read(&silent), Reply { watches: Some(Vec::new()), ..Reply::default() });
    }
}
