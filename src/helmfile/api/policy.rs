//! The `Helmfile` kind: how it is delivered and what becomes of it.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::duration::GoDuration;

/// What becomes of the releases when a Helmfile is deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// They stay.
    #[default]
    Orphan,
    /// They are uninstalled, in the order that the helmfile needs, before the object goes.
    Destroy,
}

impl DeletionPolicy {
    /// Whether nobody has chosen otherwise.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A Helmfile that must be Ready first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Dependency {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its namespace. Default: that of this Helmfile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
}

/// How a delivery that failed is tried again: after 5 s, then after twice as long each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// The longest pause. At least `1s`.
    #[serde(default = "five_minutes")]
    #[schemars(extend("x-kubernetes-validations" = [json!({
        "rule": "duration(self) >= duration('1s')", "message": "retry.maxDelay is at least 1s"
    })]))]
    pub max_delay: GoDuration,
}

impl Retry {
    /// Whether nobody has chosen otherwise.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// How long to wait after this many failures in a row.
    pub fn pause(self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        Duration::from_secs(5 << doublings).min(self.max_delay.0)
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self { max_delay: five_minutes() }
    }
}

const fn five_minutes() -> GoDuration {
    GoDuration::from_secs(300)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let pauses = |retry: Retry, failures: &[u32]| {
            failures.iter().map(|count| retry.pause(*count).as_secs()).collect::<Vec<_>>()
        };
        assert_eq!(pauses(Retry::default(), &[0, 1, 2, 3, 7, 8, 1000]), [5, 5, 10, 20, 300, 300, 300]);
        let short = Retry { max_delay: GoDuration::from_secs(3) };
        assert_eq!(pauses(short, &[1, 9]), [3, 3]);
    }
}
