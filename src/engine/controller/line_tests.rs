//! The line.

use super::*;
use TriggerType::{Created, DependentChanged, Requeue, Resync, Retry, Start, Updated};

fn key(name: &str) -> Key {
    Key { namespace: None, name: name.to_owned() }
}

fn add(line: &mut Line, name: &str, kind_of: TriggerType, version: &str, due: Instant) {
    line.add(&key(name), Trigger::plain(kind_of), Some(version), due);
}

fn own<const N: usize>(versions: [&str; N]) -> Ended {
    Ended { own: versions.map(str::to_owned).to_vec(), ..Ended::default() }
}

fn again(why: TriggerType, due: Instant) -> Ended {
    Ended { again: Some(Later { why, due }), ..Ended::default() }
}

fn turn(line: &mut Line, now: Instant) -> Option<(String, Vec<TriggerType>)> {
    line.take(now).map(|turn| (turn.key.name, turn.triggers.iter().map(|trigger| trigger.kind_of).collect()))
}

#[test]
fn one_place_per_object_with_all_its_reasons_in_order_of_arrival() {
    let (mut line, now) = (Line::default(), Instant::now());
    add(&mut line, "a", Created, "1", now);
    add(&mut line, "b", Created, "2", now);
    add(&mut line, "a", Updated, "3", now);
    assert_eq!(turn(&mut line, now), Some(("a".into(), vec![Created, Updated])));
    assert_eq!(turn(&mut line, now), Some(("b".into(), vec![Created])));
    assert_eq!(turn(&mut line, now), None);
}

#[test]
fn never_two_runs_of_one_object_and_nothing_is_lost_meanwhile() {
    let (mut line, now) = (Line::default(), Instant::now());
    add(&mut line, "a", Created, "1", now);
    turn(&mut line, now).unwrap();
    add(&mut line, "a", Updated, "2", now);
    assert_eq!(turn(&mut line, now), None);
    line.done(&key("a"), Ended::default(), now);
    assert_eq!(turn(&mut line, now), Some(("a".into(), vec![Updated])));
}

#[test]
fn our_own_writes_are_no_news_whether_their_events_come_before_or_after_the_end_of_the_run() {
    let (mut line, now) = (Line::default(), Instant::now());
    add(&mut line, "a", Created, "1", now);
    turn(&mut line, now).unwrap();
    add(&mut line, "a", Updated, "2", now);
    line.done(&key("a"), own(["2", "3"]), now);
    add(&mut line, "a", DependentChanged, "3", now);
    assert_eq!(turn(&mut line, now), None);
    add(&mut line, "a", Updated, "4", now);
    assert_eq!(turn(&mut line, now), Some(("a".into(), vec![Updated])));
}

#[test]
fn more_own_writes_than_are_remembered_are_still_no_news_of_this_run() {
    let (mut line, now) = (Line::default(), Instant::now());
    add(&mut line, "a", Created, "0", now);
    turn(&mut line, now).unwrap();
    let own: Vec<String> = (1..=60).map(|version| version.to_string()).collect();
    for version in &own {
        add(&mut line, "a", Updated, version, now);
    }
    let more: Vec<String> = (100..200).map(|version| version.to_string()).collect();
    line.done(&key("a"), Ended { own: [own, more].concat(), ..Ended::default() }, now);
    assert_eq!(turn(&mut line, now), None);
}

#[test]
fn a_foreign_change_among_many_of_ours_is_never_lost() {
    let (mut line, now) = (Line::default(), Instant::now());
    add(&mut line, "a", Created, "0", now);
    turn(&mut line, now).unwrap();
    let own: Vec<String> = (1..=500).map(|version| version.to_string()).collect();
    for version in own.iter().chain(["foreign".to_owned()].iter()) {
        add(&mut line, "a", Updated, version, now);
    }
    line.done(&key("a"), Ended { own, ..Ended::default() }, now);
    assert_eq!(turn(&mut line, now), Some(("a".into(), vec![Updated])));
}

#[test]
fn an_object_that_is_made_anew_while_its_predecessor_is_forgotten_gets_its_turn() {
    let (mut line, now) = (Line::default(), Instant::now());
    add(&mut line, "a", TriggerType::Deleted, "1", now);
    turn(&mut line, now).unwrap();
    add(&mut line, "a", Created, "2", now);
    line.forget(&key("a"), now);
    assert_eq!(turn(&mut line, now), Some(("a".into(), vec![Created])));
    line.forget(&key("a"), now);
    assert!(line.items.is_empty() && line.front.is_empty() && line.back.is_empty());
}

#[test]
fn a_pause_is_kept_until_something_new_happens() {
    let (mut line, now) = (Line::default(), Instant::now());
    let later = now + Duration::from_secs(10);
    add(&mut line, "a", Created, "1", now);
    turn(&mut line, now).unwrap();
    line.done(&key("a"), again(Retry, later), now);
    assert_eq!(turn(&mut line, now), None);
    assert_eq!(line.next_due(), Some(later));
    add(&mut line, "a", Updated, "2", now);
    // The retry did not happen, so it is not told.
    assert_eq!(turn(&mut line, now), Some(("a".into(), vec![Updated])));
}

#[test]
fn an_earlier_turn_is_never_put_off() {
    let (mut line, now) = (Line::default(), Instant::now());
    add(&mut line, "a", Created, "1", now);
    line.plan(&key("a"), Later { why: Requeue, due: now + Duration::from_mins(1) }, now);
    assert!(turn(&mut line, now).is_some());
}

#[test]
fn what_happens_now_comes_before_what_only_happens_again_but_that_is_never_starved() {
    let (mut line, now) = (Line::default(), Instant::now());
    for number in 0..20 {
        add(&mut line, &format!("old-{number:02}"), Start, "1", now);
    }
    for number in 0..20 {
        add(&mut line, &format!("new-{number:02}"), Updated, "2", now);
    }
    let names: Vec<String> = std::iter::from_fn(|| turn(&mut line, now).map(|(name, _)| name)).collect();
    assert!(names[..7].iter().all(|name| name.starts_with("new")), "{names:?}");
    assert_eq!(names[7], "old-00", "one turn in eight is theirs");
    assert_eq!(names.len(), 40);
    assert!(names[23..].iter().all(|name| name.starts_with("old")), "{names:?}");
}

#[test]
fn an_event_moves_an_object_out_of_the_back_lane() {
    let (mut line, now) = (Line::default(), Instant::now());
    add(&mut line, "a", Start, "1", now);
    add(&mut line, "b", Start, "1", now);
    let later = now + Duration::from_millis(5);
    add(&mut line, "b", Updated, "2", later);
    assert_eq!(turn(&mut line, later), Some(("b".into(), vec![Updated, Start])));
    assert_eq!(turn(&mut line, later), Some(("a".into(), vec![Start])));
}

#[test]
fn a_turn_that_came_to_nothing_gives_back_what_it_replaced() {
    let (mut line, now) = (Line::default(), Instant::now());
    let later = now + Duration::from_mins(1);
    add(&mut line, "a", Created, "1", now);
    turn(&mut line, now).unwrap();
    line.done(&key("a"), again(Resync, later), now);
    add(&mut line, "a", Updated, "2", now);
    let skipped = line.take(now).unwrap();
    assert_eq!(skipped.later, Some(Later { why: Resync, due: later }));
    line.done(&key("a"), Ended { again: skipped.later, ..Ended::default() }, now);
    assert_eq!(turn(&mut line, later), Some(("a".into(), vec![Resync])));
}

#[test]
fn an_object_that_is_held_gets_no_turn_whatever_happens_and_loses_nothing() {
    let (mut line, now) = (Line::default(), Instant::now());
    let until = now + Duration::from_secs(10);
    add(&mut line, "a", Created, "1", now);
    turn(&mut line, now).unwrap();
    add(&mut line, "a", DependentChanged, "2", now);
    line.done(&key("a"), Ended { held: Some(until), ..Ended::default() }, now);
    add(&mut line, "a", Updated, "3", now);
    assert_eq!(turn(&mut line, now), None);
    assert_eq!(turn(&mut line, until), Some(("a".into(), vec![Updated, DependentChanged])));
    line.done(&key("a"), Ended::default(), until);
    add(&mut line, "a", Updated, "4", until);
    assert!(turn(&mut line, until).is_some(), "once the time is over it is over");
}

#[test]
fn a_schedule_that_fires_during_a_run_is_kept() {
    let (mut line, now) = (Line::default(), Instant::now());
    add(&mut line, "a", Created, "1", now);
    turn(&mut line, now).unwrap();
    line.plan(&key("a"), Later { why: TriggerType::Schedule, due: now }, now);
    line.done(&key("a"), again(Resync, now + Duration::from_mins(1)), now);
    assert_eq!(turn(&mut line, now), Some(("a".into(), vec![TriggerType::Schedule])));
}

#[test]
fn the_line_can_be_looked_at() {
    let (mut line, now) = (Line::default(), Instant::now());
    add(&mut line, "a", Created, "1", now);
    add(&mut line, "b", Created, "1", now);
    add(&mut line, "c", Created, "1", now);
    turn(&mut line, now).unwrap();
    turn(&mut line, now).unwrap();
    line.done(&key("b"), again(Retry, now + Duration::from_secs(5)), now);
    let second = now + Duration::from_secs(1);
    let length = line.length(second);
    assert_eq!((length.due, length.later, length.running), (1, 1, 1));
    assert_eq!(length.head_age, Duration::from_secs(1));
    assert_eq!(
        line.standing(&key("a")),
        Standing::Running { since: now, triggers: vec![Trigger::plain(Created)] }
    );
    let retry = vec![Trigger::plain(Retry)];
    assert_eq!(
        line.standing(&key("b")),
        Standing::Waiting { due: now + Duration::from_secs(5), triggers: retry }
    );
    assert_eq!(line.standing(&key("z")), Standing::Idle);
}

#[test]
fn a_time_that_comes_does_not_shorten_the_pause_after_a_failure_and_is_told_with_the_retry() {
    let (mut line, now) = (Line::default(), Instant::now());
    let later = now + Duration::from_secs(10);
    add(&mut line, "a", Created, "1", now);
    turn(&mut line, now).unwrap();
    line.done(&key("a"), again(Retry, later), now);
    add(&mut line, "a", TriggerType::Schedule, "2", now);
    assert_eq!(turn(&mut line, now), None);
    assert_eq!(turn(&mut line, later), Some(("a".into(), vec![TriggerType::Schedule, Retry])));
}

#[test]
fn a_turn_that_is_put_off_comes_again_with_all_its_reasons() {
    let (mut line, now) = (Line::default(), Instant::now());
    let until = now + Duration::from_secs(1);
    add(&mut line, "a", Created, "1", now);
    let put_off = line.take(now).unwrap();
    line.postpone(put_off, until, now);
    add(&mut line, "a", Updated, "2", now);
    assert_eq!(turn(&mut line, now), None);
    assert_eq!(turn(&mut line, until), Some(("a".into(), vec![Created, Updated])));
}
