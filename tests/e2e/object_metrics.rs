//! Metrics that a config asks for: values move with their objects, vanish with them, and follow the config.

use serde_json::json;

use crate::support::{
    control_plane::shared,
    http::get,
    operator::Operator,
    scene::{SOON, Scene, hello},
    wait::wait_until,
};

const METRICS: &str = "
  metrics:
  - name: hello_ready
    help: Whether it is ready
    value: object.status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')
  - {name: hello_size, help: How large, value: object.spec.size, labels: {team: object.spec.team}}
  - {name: hello_wrong, help: What is no number, value: object.metadata.name}
";

/// Hellos of this entry say that they are ready when they have a size.
fn entry(more: &str) -> String {
    format!(
        "
- group: test.example.com
  version: v1
  kind: Hello
  reconciler: {{exec: {{command: ./hook.sh}}}}{more}
"
    )
}

const HOOK: &str = r#"case "$(cat)" in *'"size":'*) ready=True;; *) ready=False;; esac
echo "{\"status\": {\"conditions\": [{\"type\": \"Ready\", \"status\": \"$ready\", \"reason\": \"R\", \"message\": \"\", \"lastTransitionTime\": \"2024-11-23T22:00:00Z\"}]}}""#;

/// Waits until the lines of metrics that begin with `hello_` are these; `NS` is the namespace.
async fn until_lines(scene: &Scene<'_>, operator: &mut Operator, expected: &[&str]) {
    let expected: Vec<String> = expected.iter().map(|line| line.replace("NS", &scene.namespace)).collect();
    let admin = operator.admin().await;
    wait_until(&format!("metrics {expected:?}"), SOON, async || {
        let (_, text) = get(&admin, "/metrics").await;
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("hello_")).collect();
        if lines == expected { Ok(()) } else { Err(text) }
    })
    .await;
}

#[tokio::test]
async fn metrics_follow_objects_and_the_config() {
    let scene = Scene::new(shared().await, "object-metrics").await;
    scene.hook("hook.sh", HOOK);
    let mut operator = scene.start(&entry(METRICS));
    scene.hello("a", json!({"size": 3, "team": "red"})).await;
    scene.hello("b", json!({})).await;
    let both = [
        r#"hello_ready{namespace="NS",name="a"} 1.0"#,
        r#"hello_ready{namespace="NS",name="b"} 0.0"#,
        r#"hello_size{namespace="NS",name="a",team="red"} 3.0"#,
    ];
    until_lines(&scene, &mut operator, &both).await;
    scene.patch(&hello(), "b", json!({"spec": {"size": 8, "team": null}})).await;
    scene.patch(&hello(), "a", json!({"spec": {"team": "\"blue\""}})).await;
    let moved = [
        r#"hello_ready{namespace="NS",name="a"} 1.0"#,
        r#"hello_ready{namespace="NS",name="b"} 1.0"#,
        r#"hello_size{namespace="NS",name="a",team="\"blue\""} 3.0"#,
        r#"hello_size{namespace="NS",name="b",team=""} 8.0"#,
    ];
    until_lines(&scene, &mut operator, &moved).await;
    let (_, text) = get(&operator.admin().await, "/metrics").await;
    assert!(text.contains("# HELP hello_ready Whether it is ready\n# TYPE hello_ready gauge\n"), "{text}");
    let errors = r#"object_metric_errors_total{entry="hello.test.example.com",metric="hello_wrong"}"#;
    assert!(text.contains(errors), "{text}");
    assert_eq!(operator.log().matches("no value for a metric").count(), 1, "{}", operator.log());

    scene.delete(&hello(), "a").await;
    until_lines(&scene, &mut operator, &[moved[1], moved[3]]).await;

    let another = "\n  metrics: [{name: hello_there, help: That it is there, value: '1'}]";
    scene.configure(&entry(another));
    until_lines(&scene, &mut operator, &[r#"hello_there{namespace="NS",name="b"} 1.0"#]).await;
    let (_, text) = get(&operator.admin().await, "/metrics").await;
    assert!(!text.contains("hello_size"), "families go with the config: {text}");
    scene.configure(&entry(""));
    until_lines(&scene, &mut operator, &[]).await;
    assert!(operator.stop().await.success());
}
