use std::time::Duration;

use super::*;
use crate::{
    contract::{Event, TriggerType, WatchOn},
    engine::record::{
        Next, Verb, Write,
        view::{DetailView, ObjectQuery, QueueView, Slowed},
    },
    object::{Gvk, Key, ObjectRef},
};

const NOW: i64 = 1_800_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(NOW + second).unwrap()
}

fn object(kind: &str, name: &str) -> ObjectRef {
    let gvk = Gvk::new("", "v1", kind);
    ObjectRef { gvk, namespace: Some("a".to_owned()), name: name.to_owned() }
}

fn watch(kind: Gvk) -> WatchView {
    WatchView {
        kind,
        namespaces: Vec::new(),
        name: None,
        labels: None,
        detail: DetailView::Full,
        synced: true,
        trouble: None,
        objects: 1,
        bytes: 1,
    }
}

/// An object that has never run, in a controller where all is well.
fn handling() -> Handling {
    let hello = Gvk::new("example.com", "v1", "Hello");
    let entry = EntryView {
        name: "hello.example.com".to_owned(),
        kind: hello.clone(),
        handler: "exec ./hook.sh".to_owned(),
        dependents: vec!["configmap.v1".to_owned()],
        watches: vec![watch(hello.clone()), watch(Gvk::new("", "v1", "ConfigMap"))],
        queue: QueueView::default(),
        concurrency: 4,
    };
    let object = ObjectView {
        entry: entry.name.clone(),
        object: Key { namespace: Some("a".to_owned()), name: "x".to_owned() }.of_kind(&hello),
        known: true,
        deleting: false,
        selection: Selection::Selected,
        suspended: false,
        activity: Activity::Idle,
        watches: Vec::new(),
        slowed: None,
        last_error: None,
    };
    Handling { entry, object, runs: Vec::new() }
}

fn run(second: i64, trigger: Trigger, outcome: Outcome) -> Recorded {
    let name = handling().object.object;
    let run = Run::new("hello.example.com".to_owned(), name, vec![trigger], at(second));
    Recorded { run: Run { outcome, ..run }, count: 1, since: at(second), log: None }
}

fn wrote() -> Recorded {
    let trigger = Trigger::by(TriggerType::DependentChanged, &object("ConfigMap", "x-cfg"));
    run(-180, trigger, Outcome::Done { writes: 1 })
}

fn failed() -> Recorded {
    let message = "the hook `./hook.sh` ended with exit status 1\nand more".to_owned();
    let outcome =
        Outcome::Failed { reason: "HookFailed".to_owned(), message, retry_in: Duration::from_secs(8) };
    run(-3, Trigger::plain(TriggerType::Retry), outcome)
}

/// What is special about an object, and the first sentence about it.
type Case = (fn(&mut Handling), &'static str);

fn assert_answers(cases: &[Case]) {
    for (change, expected) in cases {
        let mut handling = handling();
        change(&mut handling);
        assert_eq!(part(&handling, at(0)).lines().next(), Some(*expected));
    }
}

#[test]
fn what_is_at_rest_says_why_it_last_ran() {
    assert_answers(&[
        (
            |it| it.runs = vec![wrote()],
            "Hello a/x last ran 3m ago because DependentChanged by ConfigMap a/x-cfg; it wrote 1 object; it waits for changes.",
        ),
        (|_| {}, "Hello a/x has not run since the operator started; it waits for changes."),
        (
            |it| {
                it.runs = vec![run(-3600, Trigger::plain(TriggerType::Start), Outcome::Done { writes: 0 })];
                let triggers = vec![Trigger::plain(TriggerType::Resync)];
                it.object.activity = Activity::Waiting { due: at(60), triggers };
            },
            "Hello a/x last ran 1h ago because Start; it changed nothing; it waits for changes, and runs in 1m for Resync.",
        ),
        (
            |it| {
                it.runs = vec![run(-1, Trigger::plain(TriggerType::Updated), Outcome::Stale)];
                it.runs[0].run.triggers = vec![Trigger::plain(TriggerType::Updated); 5];
            },
            "Hello a/x last ran 1s ago because Updated, Updated, Updated and 2 more; it lost a race against another writer; it waits for changes.",
        ),
    ]);
}

#[test]
fn what_is_held_up_says_by_what() {
    assert_answers(&[
        (
            |it| it.object.last_error = Some("no\u{1b}[2Jway\nat all".to_owned()),
            "Hello a/x has failed: no[2Jway; it waits for changes.",
        ),
        (
            |it| {
                it.runs = vec![wrote()];
                it.object.deleting = true;
            },
            "Hello a/x last ran 3m ago because DependentChanged by ConfigMap a/x-cfg; it wrote 1 object; it is being deleted.",
        ),
        (
            |it| {
                it.entry.watches[1].synced = false;
                it.entry.watches[1].trouble = Some("forbidden".to_owned());
            },
            "Hello a/x has not run since the operator started; hello.example.com waits for the watch of v1 ConfigMap: forbidden.",
        ),
        (
            |it| {
                it.runs = vec![failed()];
                it.object.activity = Activity::Retrying { attempt: 3, next: at(5) };
            },
            "Hello a/x last ran 3s ago because Retry; it failed: the hook `./hook.sh` ended with exit status 1 (HookFailed); it has failed 3 times in a row and runs again in 5s.",
        ),
        (
            |it| {
                it.runs = vec![failed()];
                it.object.activity = Activity::Retrying { attempt: 1, next: at(0) };
            },
            "Hello a/x last ran 3s ago because Retry; it failed: the hook `./hook.sh` ended with exit status 1 (HookFailed); it has failed once and runs again now.",
        ),
        (
            |it| {
                it.runs = vec![wrote()];
                it.object.slowed =
                    Some(Slowed { field: "ConfigMap a/x-cfg: data.n".to_owned(), until: at(50) });
            },
            "Hello a/x last ran 3m ago because DependentChanged by ConfigMap a/x-cfg; it wrote 1 object; it is held back for 50s, since this changes again and again: ConfigMap a/x-cfg: data.n.",
        ),
        (
            |it| {
                it.runs = vec![wrote()];
                it.object.suspended = true;
            },
            "Hello a/x last ran 3m ago because DependentChanged by ConfigMap a/x-cfg; it wrote 1 object; it is suspended.",
        ),
        (
            |it| {
                it.runs = vec![wrote()];
                let triggers = vec![Trigger::plain(TriggerType::Updated)];
                it.object.activity = Activity::Running { since: at(-5), triggers };
            },
            "Hello a/x has been running for 5s because Updated.",
        ),
        (
            |it| {
                (it.entry.queue.running, it.entry.queue.waiting) = (4, 9);
                let triggers = vec![Trigger::plain(TriggerType::Start)];
                it.object.activity = Activity::Waiting { due: at(-5), triggers };
            },
            "Hello a/x has not run since the operator started; it waits for a free place: 4 of 4 are taken.",
        ),
    ]);
}

#[test]
fn what_does_not_run_says_why() {
    assert_answers(&[
        (
            |it| it.object.selection = Selection::Selector("app=web".to_owned()),
            "Hello a/x has not run because its labels do not match the selector `app=web` of hello.example.com.",
        ),
        (
            |it| {
                it.object.selection = Selection::When("spec.paused".to_owned());
                it.runs = vec![wrote()];
            },
            "Hello a/x does not run any more because `when` of hello.example.com says no: spec.paused; it last ran 3m ago because DependentChanged by ConfigMap a/x-cfg; it wrote 1 object.",
        ),
        (
            |it| {
                it.object.known = false;
                it.object.selection = Selection::Namespaces(vec!["b".to_owned(), "c".to_owned()]);
            },
            "Hello a/x has not run because only these namespaces are watched: b, c.",
        ),
        (
            |it| {
                let other = Key { namespace: Some("a".to_owned()), name: "y".to_owned() };
                it.object.selection = Selection::Only(other);
            },
            "Hello a/x has not run because this operator works on a/y alone (--only).",
        ),
        (
            |it| {
                it.object.known = false;
                it.entry.watches[0].synced = false;
                it.entry.watches[0].trouble =
                    Some("the API server does not serve example.com/v1 Hello".to_owned());
            },
            "Hello a/x is not known yet: the watch of example.com/v1 Hello has not seen everything: the API server does not serve example.com/v1 Hello.",
        ),
        (
            |it| {
                it.runs = vec![wrote()];
                it.object.known = false;
            },
            "Hello a/x is gone; it last ran 3m ago because DependentChanged by ConfigMap a/x-cfg; it wrote 1 object.",
        ),
        (|it| it.object.known = false, "Hello a/x is not there, and no run of it is remembered."),
    ]);
}

/// A run with everything in it.
fn full() -> Recorded {
    let mut recorded = wrote();
    let run = &mut recorded.run;
    run.triggers.push(Trigger::plain(TriggerType::Resync));
    run.waited = Some(Duration::from_micros(3_456));
    run.handler = Some(Duration::from_millis(1_500));
    run.elapsed = Duration::from_millis(1_700);
    let kinds = |count| BTreeMap::from([("configmap.v1".to_owned(), count)]);
    run.given = Some(Given {
        digest: "0123456789abcdef".to_owned(),
        resource_version: Some("12".to_owned()),
        generation: Some(3),
        attempt: 2,
        dependents: kinds(1),
        ..Given::default()
    });
    run.answered = Some(Answered {
        status: true,
        dependents: kinds(2),
        requeue_after: Some(GoDuration::from_secs(300)),
        watches: Some(Vec::new()),
        ..Answered::default()
    });
    run.writes = vec![Write { verb: Verb::Apply, object: object("ConfigMap", "x-cfg") }];
    run.events = vec![Event {
        kind_of: EventType::Normal,
        reason: "Greeted".to_owned(),
        message: "hi\nyou".to_owned(),
    }];
    run.stderr = "one\n\u{1b}[31mtwo\n".to_owned();
    run.next = Some(Next { trigger: TriggerType::Requeue, at: at(120) });
    recorded
}

#[test]
fn the_sections_tell_what_the_answer_rests_on() {
    let mut handling = handling();
    let quiet = run(-400, Trigger::plain(TriggerType::Resync), Outcome::Done { writes: 0 });
    handling.runs = vec![full(), Recorded { count: 7, since: at(-900), ..quiet }];
    handling.object.watches = vec![WatchRequest {
        api_version: "v1".to_owned(),
        kind: "Pod".to_owned(),
        namespace: Some("a".to_owned()),
        name: None,
        label_selector: Some("app=x".to_owned()),
        on: WatchOn::Any,
        body: false,
    }];
    let text = part(&handling, at(0));
    assert_eq!(
        text,
        "Hello a/x last ran 3m ago because DependentChanged by ConfigMap a/x-cfg, Resync; it wrote 1 object; it waits for changes.

Entry:         hello.example.com (exec ./hook.sh)
Last run:
  Began:       2027-01-15T07:57:00Z (3m ago)
  Because of:  DependentChanged by ConfigMap a/x-cfg
               Resync
  Waited:      3ms in line
  Took:        1.7s, 1.5s of it the handler
Given:
  Object:      version 12, generation 3
  Dependents:  1 configmap.v1
  Attempt:     2
  Digest:      0123456789abcdef
Answered:
  Status:      given
  Dependents:  2 configmap.v1
  Requeue:     after 5m
  Watches:     0
Wrote:
  apply:       ConfigMap a/x-cfg
  Event:       Normal Greeted: hi
Printed on stderr, at the end:
    one
    [31mtwo
Waits for:
  Turn:        2027-01-15T08:02:00Z (in 2m) for Requeue
  Changes of:  Hello a/x
  Changes of:  configmap.v1 that it owns
  Changes of:  Pod a/* with app=x (asked for by the handler, whatever changes)
Earlier runs:
  6m40s ago:   Resync: changed nothing (7 times)
"
    );
}

#[test]
fn a_failure_is_told_whole() {
    let mut handling = handling();
    handling.runs = vec![Recorded { count: 3, since: at(-30), ..failed() }];
    handling.object.activity = Activity::Retrying { attempt: 3, next: at(5) + Duration::from_nanos(1) };
    let text = part(&handling, at(0));
    assert!(
        text.ends_with(
            "  Because of:  Retry
  Took:        0s
  Repeated:    3 runs in a row ended like this, the first one 30s ago
  Failed:      HookFailed
    the hook `./hook.sh` ended with exit status 1
    and more
Given: nothing; the handler was not called
Answered: nothing usable
Wrote: nothing
Waits for:
  Retry:       2027-01-15T08:00:05Z (in 5s), after 3 failures
  Changes of:  Hello a/x
  Changes of:  configmap.v1 that it owns
"
        ),
        "{text}"
    );
}

#[test]
fn several_entries_tell_one_after_the_other() {
    let query =
        ObjectQuery { kind: "hello".to_owned(), namespace: Some("a".to_owned()), name: "x".to_owned() };
    let report = ObjectReport { now: at(0), query, entries: vec![handling(), handling()] };
    assert_eq!(explain(&report).matches("Hello a/x has not run since").count(), 2);
    assert!(explain(&report).contains("\n\nHello a/x has not run"));
}
