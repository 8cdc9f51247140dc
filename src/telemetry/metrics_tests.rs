use std::collections::BTreeSet;

use super::*;
use crate::telemetry::objects::ObjectGauge;

/// With something in every metric.
fn used() -> String {
    let metrics = Metrics::new(Timestamp::from_second(1_000).unwrap(), "1.2.3");
    metrics.event_to_start("hello", Duration::from_millis(2));
    metrics.handler("hello", Duration::from_secs(2), "ok");
    metrics.run("hello", "Changed");
    metrics.api_calls("hello", 3);
    metrics.write("hello", "apply", "configmap.v1");
    metrics.retry("hello");
    metrics.reload(true);
    metrics.object_error("hello", "hello_ready");
    metrics.render(&Readings {
        queues: vec![QueueReading { entry: "hello".to_owned(), waiting: 2, ..QueueReading::default() }],
        watches: vec![watch(3), watch(4)],
        journal_objects: 5,
        journal_bytes: 600,
        ..Readings::default()
    })
}

fn watch(objects: usize) -> WatchReading {
    let kind = "configmap.v1".to_owned();
    WatchReading { kind, detail: "full", objects, bytes: 10, synced: false, trouble: true }
}

#[test]
fn what_is_told_and_what_is_asked_show() {
    let text = used();
    for line in [
        "helmfile_operator_build_info{version=\"1.2.3\"} 1",
        "process_start_time_seconds 1000.0",
        "helmfile_operator_event_to_start_seconds_bucket{le=\"0.0025\",entry=\"hello\"} 1",
        "helmfile_operator_handler_seconds_sum{entry=\"hello\",outcome=\"ok\"} 2.0",
        "helmfile_operator_runs_total{entry=\"hello\",outcome=\"Changed\"} 1",
        "helmfile_operator_run_api_calls_bucket{le=\"3.0\",entry=\"hello\"} 1",
        "helmfile_operator_writes_total{entry=\"hello\",verb=\"apply\",kind=\"configmap.v1\"} 1",
        "helmfile_operator_retries_total{entry=\"hello\"} 1",
        "helmfile_operator_config_reloads_total{result=\"ok\"} 1",
        "helmfile_operator_object_metric_errors_total{entry=\"hello\",metric=\"hello_ready\"} 1",
        "helmfile_operator_queue_waiting{entry=\"hello\"} 2",
        "helmfile_operator_cache_objects{kind=\"configmap.v1\",detail=\"full\"} 7",
        "helmfile_operator_cache_bytes{kind=\"configmap.v1\",detail=\"full\"} 20",
        "helmfile_operator_watches_unsynced{kind=\"configmap.v1\",detail=\"full\"} 2",
        "helmfile_operator_watches_interrupted{kind=\"configmap.v1\",detail=\"full\"} 2",
        "helmfile_operator_journal_objects 5",
        "helmfile_operator_journal_bytes 600",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
    let memory = text.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes ")).unwrap();
    assert!(memory.parse::<u64>().unwrap() > 1 << 20, "{memory}");
}

#[test]
fn what_is_not_read_any_more_goes() {
    let metrics = Metrics::new(Timestamp::UNIX_EPOCH, "1");
    let readings = Readings { watches: vec![watch(3)], ..Readings::default() };
    for _ in 0..2 {
        assert!(
            metrics.render(&readings).contains("cache_objects{kind=\"configmap.v1\",detail=\"full\"} 3\n")
        );
    }
    assert!(!metrics.render(&Readings::default()).contains("configmap"));
}

#[test]
fn gauges_of_objects_come_last_before_the_end() {
    let metrics = Metrics::new(Timestamp::UNIX_EPOCH, "1");
    let series = vec![([("name".into(), "x".into())].into(), 2.0)];
    let gauge = ObjectGauge { name: "hello_size".to_owned(), help: "Its size".to_owned(), series };
    let objects = Arc::new(ObjectGauges(vec![gauge]));
    let text = metrics.render(&Readings { objects, ..Readings::default() });
    let end = "# HELP hello_size Its size\n# TYPE hello_size gauge\nhello_size{name=\"x\"} 2.0\n# EOF\n";
    assert!(text.ends_with(end), "{text}");
    assert_eq!(text.matches("# EOF").count(), 1);
    assert!(!metrics.render(&Readings::default()).contains("hello"));
}

/// Metrics as docs/metrics.md lists them: name, type, labels, unit, meaning.
fn table(text: &str) -> String {
    let mut rows = Vec::new();
    let line = |word: &str, name: &str| {
        let start = format!("# {word} {name} ");
        text.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_default().to_owned()
    };
    for found in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = found.split_once(' ').unwrap();
        let samples = text.lines().filter(|line| line.starts_with(name));
        let labels: BTreeSet<&str> = samples
            .filter_map(|sample| sample.split_once('{')?.1.split_once('}'))
            .flat_map(|(labels, _)| labels.split(',').filter_map(|label| Some(label.split_once('=')?.0)))
            .filter(|label| *label != "le")
            .collect();
        let labels: Vec<String> = labels.into_iter().map(|label| format!("`{label}`")).collect();
        let suffix = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let (unit, help) = (line("UNIT", name), line("HELP", name));
        let help = help.trim_end_matches('.');
        rows.push(format!("| `{name}{suffix}` | {kind} | {} | {unit} | {help} |", labels.join(", ")));
    }
    rows.join("\n")
}

#[test]
fn the_page_lists_what_there_is() {
    let page = include_str!("../../docs/metrics.md");
    let (page, _) = page.split_once("## ").unwrap();
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    let expected = table(&used());
    assert!(expected.lines().count() > 15, "{expected}");
    assert_eq!(rows.join("\n"), expected, "docs/metrics.md should have these rows:\n{expected}");
}
