//! The generic engine: a config, a shell script, a controller.

use std::fs;

use serde_json::{Value, json};

use crate::support::{
    control_plane::shared,
    processes,
    scene::{SOON, Scene, config_map, find, hello},
    wait::wait_until,
};

/// A hook that makes one ConfigMap named after the object, with the object's `spec.text`, and counts its runs.
const MAKES_A_CONFIG_MAP: &str = r#"
input=$(cat)
echo "$TRIGGER" >> runs
printf '%s' "$input" > input.json
text=$(printf '%s' "$input" | sed -n 's/.*"spec":{"text":"\([^"]*\)".*/\1/p')
cat <<END
dependents:
  configmap.v1:
  - {apiVersion: v1, kind: ConfigMap, metadata: {name: $OBJECT_NAME}, data: {text: "$text"}}
status: {said: "$text"}
END
"#;

#[tokio::test]
async fn a_shell_script_is_a_controller() {
    let scene = Scene::new(shared().await, "hello").await;
    scene.hook("hook.sh", MAKES_A_CONFIG_MAP);
    let mut operator = scene.start_hello();
    let parent = scene.hello("h", json!({"text": "one"})).await;

    let child = scene.until(&config_map(), "h", "created", |object| object["data"]["text"] == "one").await;
    let owner = &child["metadata"]["ownerReferences"][0];
    assert_eq!(owner["uid"], parent["metadata"]["uid"]);
    assert_eq!((&owner["controller"], &owner["blockOwnerDeletion"]), (&json!(true), &json!(true)));
    scene.until(&hello(), "h", "status", |object| object["status"]["said"] == "one").await;

    scene.hello("h", json!({"text": "two"})).await;
    scene.until(&config_map(), "h", "updated", |object| object["data"]["text"] == "two").await;

    scene.patch(&config_map(), "h", json!({"data": {"text": "by hand"}})).await;
    scene.until(&config_map(), "h", "repaired", |object| object["data"]["text"] == "two").await;

    scene.delete(&config_map(), "h").await;
    scene.until(&config_map(), "h", "recreated", |object| object["data"]["text"] == "two").await;
    let input: Value =
        serde_json::from_str(&fs::read_to_string(scene.folder().join("input.json")).unwrap()).unwrap();
    assert_eq!(
        input["triggers"],
        json!([{"type": "DependentChanged", "kind": "ConfigMap", "namespace": scene.namespace, "name": "h"}])
    );
    assert_eq!(input["dependents"], json!({"configmap.v1": []}));

    scene.delete(&hello(), "h").await;
    scene.until(&config_map(), "h", "gone with its owner", Value::is_null).await;
    assert!(operator.stop().await.success(), "a drain on request is a success");
}

#[tokio::test]
async fn a_handler_does_not_run_again_because_of_what_it_wrote() {
    let scene = Scene::new(shared().await, "quiet").await;
    scene.hook("hook.sh", MAKES_A_CONFIG_MAP);
    let _operator = scene.start_hello();
    for text in ["1", "2", "3"] {
        scene.hello("h", json!({ "text": text })).await;
        scene.until(&config_map(), "h", "delivered", |object| object["data"]["text"] == text).await;
        scene.until(&hello(), "h", "told", |object| object["status"]["said"] == text).await;
    }
    // A second object that was made last and is done shows that nothing of the first one is waiting in the queue.
    scene.hello("last", json!({"text": "x"})).await;
    scene.until(&hello(), "last", "told", |object| object["status"]["said"] == "x").await;
    assert_eq!(scene.lines("runs"), 4, "{}", fs::read_to_string(scene.folder().join("runs")).unwrap());
}

#[tokio::test]
async fn what_a_handler_no_longer_lists_is_deleted() {
    let scene = Scene::new(shared().await, "prune").await;
    scene.hook(
        "hook.sh",
        r#"names=$(sed -n 's/.*"names":"\([^"]*\)".*/\1/p')
echo 'dependents: {configmap.v1: ['
for name in $names; do echo "{apiVersion: v1, kind: ConfigMap, metadata: {name: $name}},"; done
echo ']}'"#,
    );
    let _operator = scene.start_hello();
    let other = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "not-ours"}});
    scene.apply(other).await;
    scene.hello("h", json!({"names": "a b"})).await;
    scene.until(&config_map(), "a", "created", Value::is_object).await;
    scene.until(&config_map(), "b", "created", Value::is_object).await;
    scene.hello("h", json!({"names": "b c"})).await;
    scene.until(&config_map(), "a", "deleted", Value::is_null).await;
    scene.until(&config_map(), "c", "created", Value::is_object).await;
    assert!(scene.get(&config_map(), "b").await.is_object());
    assert!(scene.get(&config_map(), "not-ours").await.is_object());
}

#[tokio::test]
async fn a_template_is_a_controller() {
    let scene = Scene::new(shared().await, "template").await;
    let _operator = scene.start(
        "
- group: test.example.com
  version: v1
  kind: Hello
  dependents: [{version: v1, kind: ConfigMap}]
  values: {greeting: hi}
  reconciler:
    template:
      inline: |
        {{#if object.spec.text}}
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: {{object.metadata.name}} }
        data:
          text: {{quote object.spec.text}}
          greeting: {{values.greeting}}
        ---
        {{/if}}
        status: {seen: {{len dependents.[configmap.v1]}} }
",
    );
    scene.hello("h", json!({"text": "a: b # c"})).await;
    scene
        .until(&config_map(), "h", "rendered", |object| {
            object["data"] == json!({"text": "a: b # c", "greeting": "hi"})
        })
        .await;
    scene.hello("h", json!({"other": 1})).await;
    scene.until(&config_map(), "h", "no longer printed, so deleted", Value::is_null).await;
    scene.until(&hello(), "h", "status", |object| object["status"]["seen"] == 1).await;
}

#[tokio::test]
async fn a_long_hook_reports_before_it_ends() {
    let scene = Scene::new(shared().await, "progress").await;
    scene.hook(
        "hook.sh",
        r#"echo '{"status": {"step": "working"}, "events": [{"type": "Normal", "reason": "Started", "message": "under way"}]}' > "$HOOK_PROGRESS"
while [ ! -e go ]; do sleep 0.05; done
echo 'status: {step: done}'"#,
    );
    let _operator = scene.start_hello();
    scene.hello("h", json!({})).await;
    scene.until(&hello(), "h", "progress", |object| object["status"]["step"] == "working").await;
    scene.write("go", "", 0o644);
    scene.until(&hello(), "h", "the end", |object| object["status"]["step"] == "done").await;
    let plane = scene.plane;
    wait_until("the event", SOON, async || {
        let events = plane.kubectl(&["get", "events", "-n", &scene.namespace, "-o", "json"]).await;
        if events.contains("under way") { Ok(()) } else { Err(events) }
    })
    .await;
}

#[tokio::test]
async fn an_object_that_a_reply_watches_wakes_the_handler() {
    let scene = Scene::new(shared().await, "watches").await;
    scene.hook(
        "hook.sh",
        r"cat > input.json; cp input.json input.$TRIGGER.json
echo 'watches: [{apiVersion: v1, kind: ConfigMap, name: watched}, {apiVersion: v1, kind: Secret, labelSelector: use=me, body: true}]'
echo 'status: {runs: '$(ls input.*.json | wc -l)'}'",
    );
    let map = |text: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "watched"}, "data": {"a": text}});
    scene.apply(map("1")).await;
    let _operator = scene.start_hello();
    scene.hello("h", json!({})).await;
    scene.until(&hello(), "h", "first run", |object| object["status"]["runs"] == 1).await;
    // The watch starts after the first run; what it shows first is no news. So change the map until it is heard.
    let mut round = 0;
    wait_until("a run because of the watched object", SOON, async || {
        round += 1;
        scene.apply(map(&round.to_string())).await;
        fs::read_to_string(scene.folder().join("input.Watch.json")).map_err(|error| error.to_string())
    })
    .await;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "labels": {"use": "me"}}, "stringData": {"k": "v"}});
    scene.apply(secret).await;
    wait_until("the watched body in the state", SOON, async || {
        let input =
            fs::read_to_string(scene.folder().join("input.json")).map_err(|error| error.to_string())?;
        let input: Value = serde_json::from_str(&input).map_err(|error| error.to_string())?;
        if input["watched"]["secret.v1"][0]["metadata"]["name"] == "s" {
            Ok(())
        } else {
            Err(input.to_string())
        }
    })
    .await;
}

#[tokio::test]
async fn requeue_after_runs_again_without_a_change() {
    let scene = Scene::new(shared().await, "requeue").await;
    scene.hook("hook.sh", "echo \"$TRIGGER\" >> runs; echo 'requeueAfter: 50ms'");
    let _operator = scene.start_hello();
    scene.hello("h", json!({})).await;
    wait_until("three requeued runs", SOON, async || {
        let runs = fs::read_to_string(scene.folder().join("runs")).unwrap_or_default();
        if runs.lines().filter(|line| *line == "Requeue").count() >= 3 { Ok(()) } else { Err(runs) }
    })
    .await;
}

#[tokio::test]
async fn a_kind_that_is_not_served_yet_is_waited_for_while_the_rest_runs() {
    let scene = Scene::new(shared().await, "missing-kind").await;
    scene.hook("hook.sh", "echo 'status: {ok: true}'");
    let mut operator = scene.start(
        "
- {group: test.example.com, version: v1, kind: Hello, reconciler: {exec: {command: ./hook.sh}}}
- {group: nowhere.example.com, version: v1, kind: Missing, reconciler: {exec: {command: ./hook.sh}}}
",
    );
    operator.wait_for_log("does not serve nowhere.example.com/v1 Missing").await;
    scene.hello("h", json!({})).await;
    scene.until(&hello(), "h", "handled", |object| object["status"]["ok"] == true).await;
}

#[tokio::test]
async fn the_first_signal_drains_and_the_second_aborts() {
    let scene = Scene::new(shared().await, "signals").await;
    scene.hook("hook.sh", "echo $$ > pid; while [ ! -e go ]; do sleep 0.05; done; echo 'status: {ok: true}'");
    let mut operator = scene.start_hello();
    scene.hello("h", json!({})).await;
    let pid = hook_pid(&scene).await;
    operator.signal(rustix::process::Signal::TERM).await;
    operator.wait_for_log("a second signal aborts").await;
    scene.write("go", "", 0o644);
    assert!(operator.ended().await.success());
    assert_eq!(scene.get(&hello(), "h").await["status"]["ok"], true, "a run that had begun came to its end");

    fs::remove_file(scene.folder().join("go")).unwrap();
    fs::remove_file(scene.folder().join("pid")).unwrap();
    let mut operator = scene.start_hello();
    let again = hook_pid(&scene).await;
    operator.signal(rustix::process::Signal::TERM).await;
    operator.wait_for_log("a second signal aborts").await;
    assert_eq!(operator.stop().await, helmfile_operator::process::Status::Signaled(15));
    assert!(!processes::is_alive(pid) && !processes::is_alive(again));
}

#[tokio::test]
async fn an_operator_that_is_killed_leaves_no_hook_behind_and_the_next_one_converges() {
    let scene = Scene::new(shared().await, "killed").await;
    scene.hook(
        "hook.sh",
        "echo $$ > pid; sleep 1000 & while [ ! -e go ]; do sleep 0.05; done; echo 'status: {ok: true}'",
    );
    let mut operator = scene.start_hello();
    scene.hello("h", json!({})).await;
    let pid = hook_pid(&scene).await;
    operator.kill().await;
    processes::wait_until_gone("the hook", &[pid], SOON).await;
    assert_eq!(find(&scene.get(&hello(), "h").await, "Reconciled"), &Value::Null);
    scene.write("go", "", 0o644);
    let _operator = scene.start_hello();
    scene.until(&hello(), "h", "handled", |object| object["status"]["ok"] == true).await;
}

async fn hook_pid(scene: &Scene<'_>) -> i32 {
    wait_until("the hook to run", SOON, async || {
        let text = fs::read_to_string(scene.folder().join("pid")).map_err(|error| error.to_string())?;
        text.trim().parse::<i32>().map_err(|error| error.to_string())
    })
    .await
}
