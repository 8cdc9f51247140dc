//! The only reader of wall-clock time, so that decisions can be tested with a time of our choice.

use jiff::{SignedDuration, Timestamp};

/// Where "now" comes from.
#[derive(Debug, Clone, Copy, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// Always the same moment.
    Fixed(Timestamp),
}

impl Clock {
    /// The current time, cut to whole seconds as Kubernetes stores it.
    pub fn now(&self) -> Timestamp {
        let now = match self {
            #[expect(clippy::disallowed_methods, reason = "this is the one place that may")]
            Self::System => Timestamp::now(),
            Self::Fixed(moment) => *moment,
        };
        now.round(jiff::TimestampRound::new().smallest(jiff::Unit::Second).mode(jiff::RoundMode::Floor))
            .unwrap_or(now)
    }
}

/// Time since `then`, zero when `then` lies in the future.
pub fn since(now: Timestamp, then: Timestamp) -> std::time::Duration {
    let elapsed: SignedDuration = now.duration_since(then);
    std::time::Duration::try_from(elapsed).unwrap_or_default()
}
