//! Whether a pass has anything to do: a pure function of what is asked for and what is remembered.

use std::{fmt, time::Duration};

use jiff::Timestamp;

use crate::{
    clock,
    helmfile::api::{HelmfileStatus, Retry, get, is_true, names},
};

/// What the decision rests on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    /// What is remembered.
    pub status: &'a HelmfileStatus,
    /// The object's generation.
    pub generation: i64,
    /// The revision that the source has now.
    pub revision: &'a str,
    /// Digest of all inputs; see [`super::inputs`].
    pub inputs: &'a str,
    /// How often the source is asked.
    pub interval: Duration,
    /// How often helmfile runs for what is outside of its inputs, and the objects are looked at.
    pub refresh: Duration,
    /// How failures are tried again.
    pub retry: Retry,
    /// Whether health counts.
    pub wait: bool,
    /// Whether it counts that somebody else changes objects.
    pub drift: bool,
    /// Whether somebody may just have.
    pub touched: bool,
    /// When the objects were last looked at; `None` when nobody remembers.
    pub last_look: Option<Timestamp>,
    /// What people ask for by annotations, and has not been done yet.
    pub wish: Wish,
    /// The time.
    pub now: Timestamp,
}

/// What people ask for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    /// A pass at once.
    pub pass: bool,
    /// A full run of helmfile.
    pub force: bool,
    /// Releases that wait to be uninstalled may go.
    pub prune: bool,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Nothing, until then.
    Wait {
        /// When to look again at the latest.
        until: Timestamp,
        /// Why there is nothing to do.
        why: Idle,
    },
    /// Look how the objects are.
    Look,
    /// Look at those that somebody has touched.
    LookAtTouched,
    /// Run helmfile.
    Apply(Cause),
}

/// Why nothing is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Idle {
    /// The cluster has these inputs, and we looked not long ago.
    UpToDate,
    /// These inputs have just failed.
    BackingOff,
}

/// Why helmfile runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Nothing was ever delivered.
    First,
    /// The source has changed.
    NewRevision,
    /// The spec has changed.
    NewSpec,
    /// A ConfigMap or Secret has changed that the spec names, or a file of values from elsewhere.
    NewInputs,
    /// The last pass failed.
    Retry,
    /// The last pass did not come to its end.
    Interrupted,
    /// Somebody wants it.
    Forced,
    /// Somebody has said yes to what was held back.
    Approved,
    /// Nothing has changed that we can see, there are inputs that we can't see, and `refreshInterval` is over.
    Refresh,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::First => "first delivery",
            Self::NewRevision => "the source has a new revision",
            Self::NewSpec => "the spec has changed",
            Self::NewInputs => "values or variables have changed",
            Self::Retry => "the last delivery failed",
            Self::Interrupted => "the last delivery was interrupted",
            Self::Forced => "somebody has asked for it",
            Self::Approved => "somebody has approved what was held back",
            Self::Refresh => "the refresh interval is over",
        })
    }
}

/// Decides.
pub(crate) fn decide(facts: &Facts<'_>) -> Decision {
    let status = facts.status;
    let poll = later(facts.now, facts.interval.max(Duration::from_secs(1)));
    if status.last_applied_inputs.as_deref() == Some(facts.inputs) {
        return settled(facts, poll);
    }
    let cause = cause(facts);
    if cause == Cause::Retry
        && !facts.wish.pass
        && let Some(last) = status.last_attempt_time
        && let pause = facts.retry.pause(status.failures)
        && clock::since(facts.now, last) < pause
        && last <= facts.now
    {
        return Decision::Wait { until: poll.min(later(last, pause)), why: Idle::BackingOff };
    }
    Decision::Apply(cause)
}

/// What there is to do when the cluster has these inputs.
fn settled(facts: &Facts<'_>, poll: Timestamp) -> Decision {
    let status = facts.status;
    if facts.wish.force {
        return Decision::Apply(Cause::Forced);
    }
    if facts.wish.prune {
        return Decision::Apply(Cause::Approved);
    }
    // A moment in the future is a clock that was wrong: it counts as long ago.
    let due = |last: Option<Timestamp>| {
        last.filter(|last| *last <= facts.now).map(|last| later(last, facts.refresh))
    };
    let mut until = poll;
    if status.refresh_reason.is_some() {
        match due(status.last_full_render) {
            Some(due) if facts.now < due => until = until.min(due),
            _ => return Decision::Apply(Cause::Refresh),
        }
    }
    if facts.wait || facts.drift {
        let unseen = facts.drift && get(&status.conditions, names::DRIFTED).is_none();
        let worth = facts.wish.pass || status.unhealthy_since.is_some() || unseen;
        match due(facts.last_look) {
            Some(due) if facts.now < due && !worth => until = until.min(due),
            _ => return Decision::Look,
        }
        if facts.drift && facts.touched {
            return Decision::LookAtTouched;
        }
    }
    Decision::Wait { until, why: Idle::UpToDate }
}

/// Why the cluster does not have these inputs.
fn cause(facts: &Facts<'_>) -> Cause {
    let status = facts.status;
    // A pass that has begun says so in its conditions; the status's own generation moves at its end.
    let begun = get(&status.conditions, names::READY).map(|ready| ready.observed_generation);
    match status.last_attempted_revision.as_deref() {
        None => Cause::First,
        Some(attempted) if attempted != facts.revision => Cause::NewRevision,
        Some(_) if begun.unwrap_or(status.observed_generation) != facts.generation => Cause::NewSpec,
        Some(_) if status.last_attempted_inputs.as_deref().is_some_and(|tried| tried != facts.inputs) => {
            Cause::NewInputs
        }
        Some(_) if status.failures > 0 && !is_reconciling(status) => Cause::Retry,
        Some(_) => Cause::Interrupted,
    }
}

/// Whether a pass has said that it starts, and none that it has ended.
fn is_reconciling(status: &HelmfileStatus) -> bool {
    is_true(&status.conditions, names::RECONCILING)
}

/// How soon to look again at objects that are not healthy yet: often at first, then less often.
pub(crate) fn look_again(unhealthy_for: Duration) -> Duration {
    (unhealthy_for / 4).clamp(Duration::from_secs(1), Duration::from_secs(15))
}

fn later(moment: Timestamp, by: Duration) -> Timestamp {
    moment.saturating_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::helmfile::api::{Condition, ConditionStatus};

    const NOW: i64 = 100_000;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn delivered() -> HelmfileStatus {
        HelmfileStatus {
            observed_generation: 1,
            last_attempted_revision: Some("r1".into()),
            last_attempted_inputs: Some("i1".into()),
            refresh_reason: Some("values from `ref+vault`".into()),
            last_attempt_time: Some(at(NOW - 30)),
            last_applied_revision: Some("r1".into()),
            last_applied_inputs: Some("i1".into()),
            last_full_render: Some(at(NOW - 30)),
            ..HelmfileStatus::default()
        }
    }

    fn failed(failures: u32) -> HelmfileStatus {
        HelmfileStatus { last_applied_inputs: None, failures, ..delivered() }
    }

    fn facts(status: &HelmfileStatus) -> Facts<'_> {
        Facts {
            status,
            generation: 1,
            revision: "r1",
            inputs: "i1",
            interval: Duration::from_mins(1),
            refresh: Duration::from_mins(10),
            retry: Retry::default(),
            wait: false,
            drift: false,
            touched: false,
            last_look: None,
            wish: Wish::default(),
            now: at(NOW),
        }
    }

    #[test]
    fn nothing_runs_when_nothing_changed() {
        let status = delivered();
        let wait = |until: i64| Decision::Wait { until: at(until), why: Idle::UpToDate };
        assert_eq!(decide(&facts(&status)), wait(NOW + 60));
        // A change of the schedule alone is no change of inputs.
        assert_eq!(decide(&Facts { generation: 7, ..facts(&status) }), wait(NOW + 60));
        // The next look is at the refresh when that comes first.
        assert_eq!(decide(&Facts { refresh: Duration::from_secs(45), ..facts(&status) }), wait(NOW + 15));
        // A source that could not be asked is no reason to run helmfile once it can be asked again.
        assert_eq!(decide(&facts(&HelmfileStatus { failures: 3, ..delivered() })), wait(NOW + 60));
    }

    #[test]
    fn every_change_runs_helmfile_and_says_why() {
        let run = |facts: Facts<'_>| match decide(&facts) {
            Decision::Apply(cause) => Some(cause),
            Decision::Wait { .. } | Decision::Look | Decision::LookAtTouched => None,
        };
        let old = delivered();
        assert_eq!(run(facts(&HelmfileStatus::default())), Some(Cause::First));
        assert_eq!(run(Facts { revision: "r2", inputs: "i2", ..facts(&old) }), Some(Cause::NewRevision));
        assert_eq!(run(Facts { generation: 2, inputs: "i2", ..facts(&old) }), Some(Cause::NewSpec));
        assert_eq!(run(Facts { inputs: "i2", ..facts(&old) }), Some(Cause::NewInputs));
        assert_eq!(
            run(Facts { wish: Wish { force: true, ..Wish::default() }, ..facts(&old) }),
            Some(Cause::Forced)
        );
        assert_eq!(
            run(Facts { wish: Wish { prune: true, ..Wish::default() }, ..facts(&old) }),
            Some(Cause::Approved)
        );
        assert_eq!(run(Facts { wish: Wish { pass: true, ..Wish::default() }, ..facts(&old) }), None);
        assert_eq!(run(Facts { now: at(NOW + 570), ..facts(&old) }), Some(Cause::Refresh));
        assert_eq!(run(Facts { refresh: Duration::ZERO, ..facts(&old) }), Some(Cause::Refresh));
        let interrupted = HelmfileStatus { last_applied_inputs: None, ..delivered() };
        assert_eq!(run(facts(&interrupted)), Some(Cause::Interrupted));
        // The very first one, too.
        let ready = Condition {
            observed_generation: 1,
            ..Condition::new("Ready", ConditionStatus::Unknown, "", "", at(NOW))
        };
        let begun = HelmfileStatus { observed_generation: -1, conditions: vec![ready], ..interrupted };
        assert_eq!(run(facts(&begun)), Some(Cause::Interrupted));
        // Even when the pass before it had failed.
        let reconciling =
            Condition::new(names::RECONCILING, ConditionStatus::True, "Progressing", "", at(NOW));
        let interrupted = HelmfileStatus { conditions: vec![reconciling], ..failed(9) };
        assert_eq!(run(facts(&interrupted)), Some(Cause::Interrupted));
    }

    #[test]
    fn what_somebody_touches_is_looked_at_and_all_of_it_from_time_to_time() {
        let told = Condition::new(names::DRIFTED, ConditionStatus::False, "NoDrift", "", at(NOW));
        let status = HelmfileStatus { refresh_reason: None, conditions: vec![told], ..delivered() };
        let quiet = Facts { drift: true, last_look: Some(at(NOW - 10)), ..facts(&status) };
        assert!(matches!(decide(&quiet), Decision::Wait { .. }));
        assert_eq!(decide(&Facts { touched: true, ..quiet }), Decision::LookAtTouched);
        assert_eq!(decide(&Facts { touched: true, now: at(NOW + 600), ..quiet }), Decision::Look);
        assert!(matches!(decide(&Facts { touched: true, drift: false, ..quiet }), Decision::Wait { .. }));
        let untold = HelmfileStatus { conditions: Vec::new(), ..status.clone() };
        assert_eq!(decide(&Facts { status: &untold, ..quiet }), Decision::Look);
        assert_eq!(
            decide(&Facts { inputs: "i2", touched: true, ..quiet }),
            Decision::Apply(Cause::NewInputs)
        );
    }

    #[test]
    fn a_clock_that_was_wrong_delays_nothing() {
        let status = HelmfileStatus { last_full_render: Some(at(NOW + 9999)), ..delivered() };
        assert_eq!(decide(&facts(&status)), Decision::Apply(Cause::Refresh));
        let status = HelmfileStatus { last_attempt_time: Some(at(NOW + 9999)), ..failed(9) };
        assert_eq!(decide(&facts(&status)), Decision::Apply(Cause::Retry));
    }

    #[test]
    fn a_failure_is_tried_again_after_a_while() {
        // 30 s ago; after three failures 20 s are enough, after five it takes 80.
        assert_eq!(decide(&facts(&failed(3))), Decision::Apply(Cause::Retry));
        assert_eq!(decide(&facts(&failed(5))), Decision::Wait { until: at(NOW + 50), why: Idle::BackingOff });
        // The source is still asked at its interval …
        assert_eq!(decide(&facts(&failed(9))), Decision::Wait { until: at(NOW + 60), why: Idle::BackingOff });
        // … and a fix is delivered at once.
        assert_eq!(
            decide(&Facts { revision: "r2", inputs: "i2", ..facts(&failed(9)) }),
            Decision::Apply(Cause::NewRevision)
        );
        assert_eq!(
            decide(&Facts { generation: 2, inputs: "i2", ..facts(&failed(9)) }),
            Decision::Apply(Cause::NewSpec)
        );
    }

    #[test]
    fn nothing_runs_for_ever_when_all_inputs_are_in_sight() {
        let fixed = HelmfileStatus { refresh_reason: None, ..delivered() };
        let year = Facts { now: at(NOW + 365 * 86_400), ..facts(&fixed) };
        assert!(matches!(decide(&year), Decision::Wait { why: Idle::UpToDate, .. }));
    }

    #[test]
    fn objects_are_looked_at_now_and_then_and_while_they_are_ill() {
        let fixed = HelmfileStatus { refresh_reason: None, ..delivered() };
        let looked = |ago: i64| Facts { wait: true, last_look: Some(at(NOW - ago)), ..facts(&fixed) };
        assert_eq!(decide(&looked(590)), Decision::Wait { until: at(NOW + 10), why: Idle::UpToDate });
        assert_eq!(decide(&looked(600)), Decision::Look);
        assert_eq!(decide(&looked(-5)), Decision::Look);
        assert_eq!(decide(&Facts { last_look: None, ..looked(0) }), Decision::Look);
        assert_eq!(
            decide(&Facts { wish: Wish { pass: true, ..Wish::default() }, ..looked(1) }),
            Decision::Look
        );
        let ill = HelmfileStatus { unhealthy_since: Some(at(NOW - 3)), ..fixed.clone() };
        assert_eq!(decide(&Facts { status: &ill, ..looked(1) }), Decision::Look);
        assert_eq!(
            decide(&Facts { wait: false, ..looked(900) }),
            Decision::Wait { until: at(NOW + 60), why: Idle::UpToDate }
        );
        let pauses: Vec<_> =
            [0, 3, 8, 40, 600].map(|ill| look_again(Duration::from_secs(ill)).as_secs()).into();
        assert_eq!(pauses, [1, 1, 2, 10, 15]);
    }

    #[test]
    fn whoever_asks_need_not_wait_for_the_next_try() {
        let failed = failed(9);
        let asked = Facts { wish: Wish { pass: true, ..Wish::default() }, ..facts(&failed) };
        assert_eq!(decide(&asked), Decision::Apply(Cause::Retry));
        let fixed = Facts { inputs: "i2", ..facts(&failed) };
        assert_eq!(decide(&fixed), Decision::Apply(Cause::NewInputs));
    }

    proptest! {
        #[test]
        fn a_wait_ends_after_now_and_within_the_interval(
            failures in 0_u32..20, attempt in -1000_i64..1000, render in -1000_i64..1000,
            applied in prop::option::of(0_u8..2), interval in 0_u64..1000, refresh in 0_u64..1000,
        ) {
            let status = HelmfileStatus {
                last_applied_inputs: applied.map(|number| format!("i{number}")),
                last_full_render: Some(at(NOW + render)),
                last_attempt_time: Some(at(NOW + attempt)),
                ..failed(failures)
            };
            let facts = Facts {
                interval: Duration::from_secs(interval), refresh: Duration::from_secs(refresh), ..facts(&status)
            };
            if let Decision::Wait { until, .. } = decide(&facts) {
                prop_assert!(until > facts.now);
                prop_assert!(until <= later(facts.now, Duration::from_secs(interval.max(1))));
            }
        }
    }
}
