use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::{
    contract::EventType,
    helmfile::{
        api::{
            ConditionStatus, HelmfileStatus, Inventory, InventoryRelease, check, get, is_true,
            names::{READY, RECONCILING, STALLED, reason},
        },
        applier::{decide::Cause, outcome::Failure},
    },
};

const ONE: Attempt<'_> =
    Attempt { revision: "main@sha1:1111111111111111111111111111111111111111", inputs: "i1", spec: "s1" };
const TWO: Attempt<'_> =
    Attempt { revision: "main@sha1:2222222222222222222222222222222222222222", inputs: "i2", spec: "s2" };

fn moment(generation: i64, second: i64) -> Moment {
    Moment { generation, now: Timestamp::from_second(second).unwrap() }
}

fn releases(count: usize) -> Inventory {
    let release = |index: usize| InventoryRelease {
        namespace: "n".into(),
        name: format!("r{index}"),
        chart: "c".into(),
        revision: Some(1),
        status: Some("deployed".into()),
        adopted: false,
        objects: Vec::new(),
    };
    Inventory::whole((0..count).map(release).collect())
}

fn made(changed: &[&str], count: usize) -> Delivered {
    Delivered {
        changed: changed.iter().map(|name| (*name).to_owned()).collect(),
        inventory: releases(count),
        refresh_reason: None,
        pending_prune: None,
        health: Health::Good,
    }
}

fn delivered(attempt: Attempt<'_>) -> Turn<'_> {
    Turn::Delivered(attempt, Box::new(made(&["n/r0"], 4)))
}

fn broken() -> Failure {
    Failure { reason: reason::UPGRADE_FAILED, message: "release `web` failed".into() }
}

fn failed(failure: &Failure, started: bool) -> Turn<'static> {
    let started = started.then(|| (ONE, Vec::new()));
    Turn::Failed { failure: failure.clone(), permanent: false, source: started.is_none(), started }
}

/// Walks the steps and checks each status against the rules of kstatus.
fn walk(steps: &[(Turn<'_>, Moment)]) -> HelmfileStatus {
    let mut status = HelmfileStatus::default();
    for (turn, moment) in steps {
        status = next(&status, turn, *moment);
        assert_eq!(check(&status, moment.generation), [""; 0], "after {turn:?}: {status:?}");
    }
    status
}

fn ready(status: &HelmfileStatus) -> (ConditionStatus, &str, &str) {
    let ready = get(&status.conditions, READY).unwrap();
    (ready.status, &ready.reason, &ready.message)
}

#[test]
fn a_delivery_is_seen_from_start_to_end() {
    let started = walk(&[(Turn::Started(ONE, Cause::First), moment(1, 10))]);
    let words = "delivering main@sha1:111111111111: first delivery";
    assert_eq!(ready(&started), (ConditionStatus::Unknown, "Progressing", words));
    assert!(is_true(&started.conditions, RECONCILING));
    assert_eq!(started.last_attempted_revision.as_deref(), Some(ONE.revision));
    assert_eq!(started.observed_generation, -1);

    let done = next(&started, &delivered(ONE), moment(1, 20));
    let words = "applied main@sha1:111111111111: 4 releases";
    assert_eq!(ready(&done), (ConditionStatus::True, "ReconciliationSucceeded", words));
    let kinds: Vec<_> = done.conditions.iter().map(|condition| condition.kind_of.as_str()).collect();
    assert_eq!(kinds, ["Ready", "SourceReady", "Applied"]);
    assert_eq!((done.observed_generation, done.failures), (1, 0));
    assert_eq!(done.last_applied_revision.as_deref(), Some(ONE.revision));
    assert_eq!(done.last_applied_inputs.as_deref(), Some("i1"));
    assert_eq!(done.last_full_render, Some(moment(1, 20).now));
    assert_eq!(done.last_applied_time, done.last_full_render);
}

#[test]
fn a_look_that_changes_nothing_leaves_the_object_healthy() {
    let done = walk(&[(Turn::Started(ONE, Cause::First), moment(1, 10)), (delivered(ONE), moment(1, 20))]);
    let looking = next(&done, &Turn::Started(ONE, Cause::Refresh), moment(1, 700));
    assert_eq!(looking.conditions, done.conditions);
    let unchanged = Turn::Delivered(ONE, Box::new(made(&[], 4)));
    let after = next(&looking, &unchanged, moment(1, 701));
    assert_eq!(after.conditions, done.conditions, "not even a time moves");
    assert_eq!(after.last_full_render, Some(moment(1, 701).now));
    assert_eq!(after.last_applied_time, done.last_applied_time);
    assert_eq!(events(&done, &after), []);
}

#[test]
fn nobody_trusts_the_inputs_of_a_delivery_that_did_not_end_well() {
    let before = walk(&[(Turn::Started(ONE, Cause::First), moment(1, 10)), (delivered(ONE), moment(1, 20))]);
    let started = next(&before, &Turn::Started(TWO, Cause::NewRevision), moment(1, 30));
    assert_eq!(started.last_applied_inputs, None);
    let failure = broken();
    let after = next(&started, &failed(&failure, true), moment(1, 40));
    assert_eq!(after.last_applied_inputs, None);
    assert_eq!(
        after.last_applied_revision.as_deref(),
        Some(ONE.revision),
        "but what was delivered last is still told"
    );
    assert_eq!(ready(&after), (ConditionStatus::False, "UpgradeFailed", "release `web` failed"));
    // A refresh that fails counts as well.
    let refreshed = next(&before, &Turn::Started(ONE, Cause::Refresh), moment(1, 700));
    assert_eq!(next(&refreshed, &failed(&failure, true), moment(1, 701)).last_applied_inputs, None);
}

#[test]
fn a_source_that_cannot_be_asked_is_said_and_changes_nothing_else() {
    let before = walk(&[(Turn::Started(ONE, Cause::First), moment(1, 10)), (delivered(ONE), moment(1, 20))]);
    let failure = Failure { reason: "GitOperationFailed", message: "no route".into() };
    let away = next(&before, &failed(&failure, false), moment(1, 80));
    assert_eq!(away.last_applied_inputs.as_deref(), Some("i1"));
    assert_eq!((away.failures, ready(&away).0), (1, ConditionStatus::False));
    let back = next(&away, &Turn::UpToDate, moment(1, 140));
    assert_eq!(ready(&back), ready(&before));
    assert_eq!(back.failures, 0);
    assert_eq!(back.conditions[0].last_transition_time, moment(1, 140).now);
}

#[test]
fn failures_are_counted_until_something_else_is_tried() {
    let failure = broken();
    let twice = walk(&[
        (Turn::Started(ONE, Cause::First), moment(1, 10)),
        (failed(&failure, true), moment(1, 20)),
        (Turn::Started(ONE, Cause::Retry), moment(1, 30)),
        (failed(&failure, true), moment(1, 40)),
    ]);
    assert_eq!(twice.failures, 2);
    let fixed = next(&twice, &Turn::Started(TWO, Cause::NewRevision), moment(1, 50));
    assert_eq!(next(&fixed, &failed(&failure, true), moment(1, 60)).failures, 1);
    assert_eq!(next(&twice, &failed(&failure, false), moment(2, 60)).failures, 1, "another spec");
}

#[test]
fn a_spec_that_can_never_work_is_stalled() {
    let failure = Failure { reason: reason::INVALID_SPEC, message: "no".into() };
    let stalled = walk(&[(
        Turn::Failed { failure: failure.clone(), permanent: true, source: true, started: None },
        moment(3, 10),
    )]);
    assert!(is_true(&stalled.conditions, STALLED));
    assert_eq!(ready(&stalled), (ConditionStatus::False, "InvalidSpec", "no"));
    let again = next(&stalled, &Turn::Started(ONE, Cause::Retry), moment(3, 20));
    for kind in [READY, STALLED] {
        let told = |status: &HelmfileStatus| get(&status.conditions, kind).cloned();
        assert_eq!(told(&again), told(&stalled), "a try in vain from time to time says nothing");
    }
    let fixed = next(&stalled, &Turn::Started(ONE, Cause::First), moment(4, 20));
    assert!(get(&fixed.conditions, STALLED).is_none());
}

#[test]
fn a_suspended_object_keeps_its_health_and_says_that_it_sleeps() {
    let healthy = walk(&[(Turn::Started(ONE, Cause::First), moment(1, 10)), (delivered(ONE), moment(1, 20))]);
    let asleep = next(&healthy, &Turn::Suspended { delivered: true }, moment(2, 30));
    let words = "suspended; the cluster has main@sha1:111111111111";
    assert_eq!(ready(&asleep), (ConditionStatus::True, "Suspended", words));
    assert_eq!(next(&asleep, &Turn::Suspended { delivered: true }, moment(2, 40)), asleep);
    // A spec that was changed in its sleep is not delivered.
    let changed = next(&asleep, &Turn::Suspended { delivered: false }, moment(3, 50));
    let words = "suspended; the cluster does not have what is asked for";
    assert_eq!(ready(&changed), (ConditionStatus::False, "Suspended", words));
    let awake = next(&asleep, &Turn::UpToDate, moment(3, 60));
    assert_eq!(ready(&awake).1, "ReconciliationSucceeded");
    let back = next(&changed, &Turn::Suspended { delivered: true }, moment(4, 55));
    assert_eq!(ready(&back), (ready(&asleep)), "changed back");
    let ill = next(&healthy, &Turn::Looked(Some(Health::Bad("bad".into())), None), moment(1, 30));
    let ill = next(&ill, &Turn::Suspended { delivered: true }, moment(2, 40));
    let words = "suspended; the cluster has main@sha1:111111111111, which was not healthy";
    assert_eq!(ready(&ill), (ConditionStatus::False, "Suspended", words));
    let never = walk(&[(Turn::Suspended { delivered: false }, moment(1, 10))]);
    assert_eq!(ready(&never), (ConditionStatus::False, "Suspended", "suspended before the first delivery"));
    // Asleep in the middle of a delivery, which was killed.
    let killed = next(&healthy, &Turn::Started(TWO, Cause::NewRevision), moment(1, 30));
    let asleep = next(&killed, &Turn::Suspended { delivered: false }, moment(2, 40));
    assert!(ready(&asleep).0 == ConditionStatus::False && !is_true(&asleep.conditions, RECONCILING));
}

#[test]
fn patience_with_what_is_not_healthy_begins_when_health_counts() {
    let waiting =
        || Turn::Looked(Some(Health::Waiting("waiting for x".into(), Duration::from_mins(1))), None);
    let ill = walk(&[
        (Turn::Started(ONE, Cause::First), moment(1, 10)),
        (delivered(ONE), moment(1, 20)),
        (waiting(), moment(1, 30)),
    ]);
    // With `wait: false` nobody looks.
    let unwatched = next(&ill, &Turn::UpToDate, moment(2, 40));
    assert_eq!(ready(&unwatched).0, ConditionStatus::True);
    let watched = next(&unwatched, &waiting(), moment(3, 4000));
    assert_eq!(ready(&watched), (ConditionStatus::Unknown, "WaitingForHealth", "waiting for x"));
}

#[test]
fn an_event_tells_each_transition_once() {
    let failure = broken();
    let born = HelmfileStatus::default();
    let started = next(&born, &Turn::Started(ONE, Cause::First), moment(1, 10));
    assert_eq!(events(&born, &started), []);
    let done = next(&started, &delivered(ONE), moment(1, 20));
    let told = events(&born, &done);
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].kind_of, told[0].reason.as_str()), (EventType::Normal, "ReconciliationSucceeded"));
    assert_eq!(told[0].message, "applied main@sha1:111111111111: 4 releases");
    assert_eq!(events(&done, &next(&done, &Turn::UpToDate, moment(2, 30))), []);

    let fell = next(
        &next(&done, &Turn::Started(TWO, Cause::NewRevision), moment(2, 40)),
        &failed(&failure, true),
        moment(2, 50),
    );
    let told = events(&done, &fell);
    assert_eq!((told[0].kind_of, told[0].message.as_str()), (EventType::Warning, "release `web` failed"));
    let again = next(
        &next(&fell, &Turn::Started(TWO, Cause::Retry), moment(2, 60)),
        &failed(&failure, true),
        moment(2, 70),
    );
    assert_eq!(events(&fell, &again), [], "the same failure again");
    let other = next(
        &next(&fell, &Turn::Started(ONE, Cause::NewRevision), moment(2, 60)),
        &failed(&failure, true),
        moment(2, 70),
    );
    assert_eq!(events(&fell, &other).len(), 1, "the same failure of another revision");
    let repaired = next(&fell, &delivered(TWO), moment(2, 80));
    assert_eq!(events(&fell, &repaired)[0].kind_of, EventType::Normal);
    // A refresh that did change something.
    let changed = next(&repaired, &delivered(TWO), moment(2, 700));
    assert_eq!(events(&repaired, &changed).len(), 1);
}

proptest! {
    #[test]
    fn every_sequence_of_steps_keeps_the_rules(steps in prop::collection::vec((0_u8..16, 0_i64..2, 1_i64..100), 1..30)) {
        let failure = broken();
        let (mut status, mut generation, mut second) = (HelmfileStatus::default(), 1, 0);
        for (step, newer, later) in steps {
            generation += newer;
            second += later;
            let turn = match step {
                0 => Turn::Suspended { delivered: false },
                // These two only when there was a delivery.
                1 if status.last_applied_spec.is_some() => Turn::Suspended { delivered: true },
                2 if status.last_applied_inputs.is_some() => Turn::UpToDate,
                3 => Turn::Started(ONE, Cause::Retry),
                4 => Turn::Started(TWO, Cause::NewSpec),
                5 => delivered(ONE),
                6 => Turn::Delivered(TWO, Box::new(made(&[], 0))),
                7 => failed(&failure, true),
                8 => failed(&failure, false),
                9 => Turn::Looked(Some(Health::Waiting("waiting".into(), Duration::from_mins(1))), None),
                10 => Turn::Looked(Some(Health::Bad("bad".into())), None),
                11 => Turn::Looked(Some(Health::Good), None),
                12 => Turn::Blocked(failure.clone()),
                13 => Turn::Destroying("going".into()),
                14 => Turn::Destroyed("gone".into()),
                _ => Turn::Failed { failure: failure.clone(), permanent: true, source: false, started: None },
            };
            let after = next(&status, &turn, moment(generation, second));
            prop_assert_eq!(check(&after, generation), [""; 0], "after {:?}: {:?}", turn, after);
            for condition in &after.conditions {
                let old = get(&status.conditions, &condition.kind_of);
                let moved = old.is_none_or(|old| old.status != condition.status);
                prop_assert_eq!(condition.last_transition_time == moment(generation, second).now, moved);
            }
            prop_assert!(events(&status, &after).len() <= 1);
            status = after;
        }
    }
}
