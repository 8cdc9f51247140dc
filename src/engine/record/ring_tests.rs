use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    contract::{Event, EventType, Trigger, TriggerType},
    engine::record::{Given, Verb, Write},
    object::Gvk,
};

fn hello(name: &str) -> ObjectRef {
    let gvk = Gvk::new("example.com", "v1", "Hello");
    ObjectRef { gvk, namespace: Some("a".to_owned()), name: name.to_owned() }
}

fn run(name: &str, second: i64) -> Run {
    let began = Timestamp::from_second(second).unwrap();
    Run::new("hello".to_owned(), hello(name), vec![Trigger::plain(TriggerType::Resync)], began)
}

fn failed(name: &str, second: i64, message: &str, retry: u64) -> Run {
    let (reason, message, retry_in) =
        ("HookFailed".to_owned(), message.to_owned(), Duration::from_secs(retry));
    Run { outcome: Outcome::Failed { reason, message, retry_in }, ..run(name, second) }
}

fn wrote(name: &str, second: i64) -> Run {
    let writes = vec![Write { verb: Verb::Apply, object: hello(name) }];
    let plan = Some(json!({"steps": [{"step": "apply", "manifest": {"data": {"n": second}}}]}));
    Run { writes, plan, outcome: Outcome::Done { writes: 1 }, ..run(name, second) }
}

fn seconds(journal: &Journal, name: &str) -> Vec<(i64, u64)> {
    let runs = journal.of("hello", &hello(name));
    runs.iter().map(|recorded| (recorded.run.began.as_second(), recorded.count)).collect()
}

#[test]
fn the_newest_runs_are_kept_and_come_first() {
    let journal = Journal::default();
    (1..=15).for_each(|second| journal.add(wrote("x", second), None));
    let kept: Vec<(i64, u64)> = (6..=15).rev().map(|second| (second, 1)).collect();
    assert_eq!(seconds(&journal, "x"), kept);
    assert_eq!(journal.of("hello", &hello("y")), []);
    assert_eq!(journal.of("other", &hello("x")), []);
}

#[test]
fn an_hour_of_runs_that_change_nothing_is_one_record() {
    let journal = Journal::default();
    journal.add(wrote("x", 1), None);
    (2..=400).for_each(|second| journal.add(run("x", second), None));
    assert_eq!(seconds(&journal, "x"), [(400, 399), (1, 1)]);
    assert_eq!(journal.of("hello", &hello("x"))[0].since.as_second(), 2);
}

#[test]
fn failures_count_as_one_only_while_they_say_the_same() {
    let journal = Journal::default();
    for (second, message) in [(1, "no"), (2, "no"), (3, "never"), (4, "no")] {
        journal.add(failed("x", second, message, 1 << second), None);
    }
    assert_eq!(seconds(&journal, "x"), [(4, 1), (3, 1), (2, 2)]);
}

#[test]
fn a_run_comes_back_as_it_was_added_but_for_the_plan_of_one_that_did_nothing() {
    let journal = Journal::default();
    let full = Run {
        waited: Some(Duration::from_millis(3)),
        given: Some(Given { digest: "d".to_owned(), generation: Some(3), ..Given::default() }),
        handler: Some(Duration::from_micros(1_234_567)),
        stderr: "said".to_owned(),
        events: vec![Event {
            kind_of: EventType::Warning,
            reason: "Odd".to_owned(),
            message: "m".to_owned(),
        }],
        elapsed: Duration::from_secs(2),
        ..wrote("x", 1)
    };
    journal.add(full.clone(), None);
    assert_eq!(journal.of("hello", &hello("x"))[0].run, full);
    journal.add(Run { plan: Some(json!({"steps": []})), ..run("x", 2) }, None);
    assert_eq!(journal.of("hello", &hello("x"))[0].run.plan, None);
}

#[test]
fn what_is_long_is_cut_at_whole_letters() {
    let journal = Journal::default();
    let long = "ü".repeat(10_000);
    let plan = Some(json!({"steps": [long]}));
    let triggers = vec![Trigger::plain(TriggerType::Updated); 100];
    let writes = vec![Write { verb: Verb::Delete, object: hello("x") }; 100];
    let run = Run { stderr: format!("{long}!"), plan, triggers, writes, ..failed("x", 1, &long, 1) };
    journal.add(run, None);
    let kept = journal.of("hello", &hello("x")).remove(0).run;
    assert_eq!(kept.plan, Some("left out: 20014 bytes".into()));
    assert!(kept.stderr.len() <= STDERR_BYTES && kept.stderr.ends_with("ü!"), "{}", kept.stderr.len());
    let Outcome::Failed { message, .. } = kept.outcome else { panic!("{:?}", kept.outcome) };
    assert_eq!(message.len(), MESSAGE_BYTES);
    assert_eq!((kept.triggers.len(), kept.writes.len()), (LISTED, LISTED));
}

#[test]
fn memory_is_bounded_and_what_ran_least_recently_goes_first() {
    let journal = Journal::default();
    let padding = "x".repeat(3000);
    let big = |name: &str, second| Run { plan: Some(json!({"steps": [padding]})), ..wrote(name, second) };
    journal.add(big("first", 0), None);
    for number in 1..3000 {
        journal.add(big(&number.to_string(), number), None);
        // It runs again and again.
        journal.add(run("first", number), None);
        assert!(journal.size().1 <= BYTES);
    }
    assert_eq!(seconds(&journal, "first")[0].0, 2999);
    assert_eq!(seconds(&journal, "2999"), [(2999, 1)]);
    assert_eq!(seconds(&journal, "1"), []);
}

#[test]
fn what_is_counted_is_what_is_held() {
    let journal = Journal::default();
    for second in 1..100 {
        let name = (second % 7).to_string();
        journal.add(if second % 3 == 0 { wrote(&name, second) } else { run(&name, second) }, None);
    }
    assert_eq!(journal.size().0, 7);
    (0..7).for_each(|name| journal.forget("hello", &hello(&name.to_string())));
    journal.forget("hello", &hello("stranger"));
    assert_eq!(journal.size(), (0, 0));
    assert_eq!(seconds(&journal, "1"), []);
}

fn log(text: &str) -> Log {
    let mut log = Log::default();
    log.push(Timestamp::UNIX_EPOCH, text);
    log
}

/// The beginning of each run that has a log, and the first line of that.
fn logs(journal: &Journal, name: &str) -> Vec<(i64, String)> {
    let runs = journal.with_logs_of("hello", &hello(name)).into_iter();
    runs.filter_map(|found| Some((found.run.began.as_second(), found.log?.head[0].text.clone()))).collect()
}

#[test]
fn the_last_runs_that_did_something_keep_their_logs() {
    let journal = Journal::default();
    for second in 1..=40 {
        let run = match second % 4 {
            0 => wrote("x", second),
            1 => failed("x", second, &format!("no {second}"), 1),
            2 => Run { outcome: Outcome::Stale, ..run("x", second) },
            _ => run("x", second),
        };
        journal.add_with_log(run, log(&format!("said at {second}")), None);
    }
    let expected = [40, 37, 36, 33, 32].map(|second| (second, format!("said at {second}")));
    assert_eq!(logs(&journal, "x"), expected, "and those that did nothing do not push them out");
    assert_eq!(journal.of("hello", &hello("x")).len(), RUNS_PER_OBJECT);
    assert!(journal.of("hello", &hello("x")).iter().all(|found| found.log.is_none()), "nobody asked");
    // One that failed in the same way again has the newer log.
    for second in [41, 42] {
        journal.add_with_log(failed("x", second, "again", 1), log(&second.to_string()), None);
    }
    assert_eq!(logs(&journal, "x")[0], (42, "42".to_owned()));
    assert_eq!(logs(&journal, "x").len(), LOGS_PER_OBJECT);
}

#[test]
fn logs_show_no_secrets_also_of_runs_whose_stderr_is_not_kept() {
    let journal = Journal::default();
    let mut state = State::default();
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "stringData": {"p": "hunter2hunter2"}});
    state.references.insert("secret.v1".to_owned(), vec![secret]);
    let said = log("debug: it is hunter2hunter2, and --token=abcdef");
    journal.add_with_log(wrote("x", 1), said, Some(&state));
    let shown = "debug: it is <redacted: 14 bytes>, and --token=<redacted: 6 bytes>";
    assert_eq!(logs(&journal, "x"), [(1, shown.to_owned())]);
}

#[test]
fn logs_have_a_share_of_their_own_and_the_oldest_go_first() {
    let journal = Journal::default();
    let packed = || Some(vec![0; 64 << 10].into_boxed_slice());
    for number in 0..600 {
        let run = wrote(&number.to_string(), number);
        let text = serde_json::to_vec(&run).unwrap().into_boxed_slice();
        journal.lock().add(&run, text, packed());
        assert!(journal.size().1 <= BYTES + LOG_BYTES);
    }
    let has_log = |number: i64| {
        let inner = journal.lock();
        inner.entries["hello"][&hello(&number.to_string()).key()].log_bytes() > 0
    };
    let kept: Vec<i64> = (0..600).filter(|number| has_log(*number)).collect();
    assert!(kept.len() > 200 && kept.len() <= LOG_BYTES >> 16, "{}", kept.len());
    assert_eq!((kept.last(), 600 - kept[0]), (Some(&599), i64::try_from(kept.len()).unwrap()));
    assert_eq!(journal.size().0, 600, "a log that goes takes no record along");
    (0..600).for_each(|name| journal.forget("hello", &hello(&name.to_string())));
    assert_eq!(journal.size(), (0, 0));
}

#[test]
fn many_quiet_objects_take_little() {
    let journal = Journal::default();
    for number in 0..2500 {
        let given = Given { digest: "0123456789abcdef".to_owned(), ..Given::default() };
        let run = Run { given: Some(given), ..run(&format!("object-{number}"), 1) };
        journal.add(run, None);
    }
    let (objects, bytes) = journal.size();
    assert_eq!(objects, 2500);
    assert!(bytes < 2 << 20, "{bytes}");
}

proptest! {
    #[test]
    fn a_value_of_a_secret_never_shows(
        secret in "[A-Za-z0-9+/=:@\"\\\\{}$#%-]{6,40}",
        encoded in any::<bool>(),
        in_state in any::<bool>(),
        around in "[a-z ]{0,10}",
    ) {
        let value = if encoded { BASE64.encode(&secret) } else { secret.clone() };
        let field = if encoded { "data" } else { "stringData" };
        let manifest = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, field: {"p": value}});
        let said = format!("{around}{secret}{around}");
        let mut steps = vec![json!({"step": "status", "manifest": {"status": {"said": said, "list": [[said]]}}})];
        let mut state = State::default();
        if in_state {
            state.references.insert("secret.v1".to_owned(), vec![manifest]);
        } else {
            steps.push(json!({"step": "apply", "manifest": manifest}));
        }
        let event = Event { kind_of: EventType::Normal, reason: "R".to_owned(), message: said.clone() };
        let run = Run {
            plan: Some(json!({ "steps": steps })),
            stderr: said.clone(),
            events: vec![event],
            given: Some(Given::of(&state)),
            ..failed("x", 1, &said, 1)
        };
        let journal = Journal::default();
        journal.add(run, Some(&state));
        let kept = serde_json::to_value(&journal.of("hello", &hello("x"))[0].run).unwrap();
        let texts = texts(&kept);
        for hidden in [secret.trim(), value.trim()] {
            prop_assert!(!texts.iter().any(|text| text.contains(hidden)), "{hidden} in {kept}");
        }
    }
}

const BASE64: base64::engine::GeneralPurpose = base64::prelude::BASE64_STANDARD;
use base64::Engine as _;

/// All texts in a value, keys as well.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(map) => {
            map.iter().flat_map(|(key, inner)| [vec![key.clone()], texts(inner)].concat()).collect()
        }
        _ => Vec::new(),
    }
}
