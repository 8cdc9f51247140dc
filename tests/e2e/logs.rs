//! The whole log of runs that did something, as the admin server shows it.

use serde_json::{Value, json};

use crate::support::{
    control_plane::shared,
    http::get,
    operator::Operator,
    scene::{SOON, Scene, hello},
    wait::wait_until,
};

/// Says much, reports on the way, and writes only when the spec says so.
const TALKATIVE: &str = r#"mode=$(sed -n 's/.*"mode":"\([a-z]*\)".*/\1/p')
echo "debug: mode $mode" >&2
if [ "$mode" = quiet ]; then echo '{}'; exit; fi
echo "{\"status\": {\"did\": \"working on $mode\"}}" > "$HOOK_PROGRESS"
i=0; while [ $i -lt 2000 ]; do echo "debug: line $i of what a tool says, --token=hunter$mode" >&2; i=$((i+1)); done
echo "debug: end of $mode" >&2
if [ "$mode" = bad ]; then echo 'error: the end' >&2; exit 1; fi
echo "{\"status\": {\"did\": \"$mode\"}}""#;

const ENTRY: &str = "
- group: test.example.com
  version: v1
  kind: Hello
  reconciler: {exec: {command: ./hook.sh}}
";

/// Waits until the newest run has said this, and returns the runs, the newest first.
async fn runs(scene: &Scene<'_>, operator: &mut Operator, said: &str, query: &str) -> Vec<Value> {
    let path = format!("/debug/whitebox/objects/hello/{}/h{query}", scene.namespace);
    let admin = operator.admin().await;
    wait_until(&format!("a run that says {said}"), SOON, async || {
        let (_, text) = get(&admin, &path).await;
        let report: Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        let runs = report["entries"][0]["runs"].as_array().cloned().unwrap_or_default();
        let is_there = runs.first().is_some_and(|run| run["run"]["stderr"].to_string().contains(said));
        if is_there { Ok(runs) } else { Err(text) }
    })
    .await
}

fn texts(lines: &Value) -> Vec<&str> {
    lines.as_array().unwrap().iter().map(|line| line["text"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn whole_logs_are_kept_of_runs_that_wrote_or_failed() {
    let scene = Scene::new(shared().await, "logs").await;
    scene.hook("hook.sh", TALKATIVE);
    let mut operator = scene.start(ENTRY);
    scene.hello("h", json!({"mode": "good"})).await;
    runs(&scene, &mut operator, "end of good", "").await;
    scene.patch(&hello(), "h", json!({"spec": {"mode": "quiet"}})).await;
    let short = runs(&scene, &mut operator, "mode quiet", "").await;
    assert!(short.iter().all(|run| run["log"].is_null()), "nobody asked: {short:?}");
    scene.patch(&hello(), "h", json!({"spec": {"mode": "bad"}})).await;
    let all = runs(&scene, &mut operator, "the end", "?log=true").await;
    let log_of = |mode: &str| {
        let mut runs = all.iter().filter(|run| run["run"]["stderr"].to_string().contains(mode));
        runs.next().unwrap()["log"].clone()
    };
    let (good, bad) = (log_of("end of good"), log_of("the end"));
    for (mode, log) in [("good", &good), ("bad", &bad)] {
        let (head, tail) = (texts(&log["head"]), texts(&log["tail"]));
        assert_eq!(head[0], format!("debug: mode {mode}"));
        assert!(head[1].starts_with("debug: line 0 of what a tool says, --token=<redacted"), "{}", head[1]);
        assert!(tail.iter().any(|line| line.starts_with("debug: line 1999 ")), "{tail:?}");
        let left_out = log["leftOut"].as_u64().unwrap();
        assert!(head.len() + tail.len() < 2000 && left_out > 0, "{left_out}");
        assert!(!log.to_string().contains("--token=hunter"), "a secret shows");
        assert!(log["head"][0]["at"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    }
    assert_eq!(texts(&bad["tail"]).last(), Some(&"error: the end"));
    let quiet = all.iter().find(|run| run["run"]["stderr"].to_string().contains("mode quiet")).unwrap();
    assert!(quiet["log"].is_null(), "it did nothing: {quiet}");
}
