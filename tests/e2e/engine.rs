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

/// The same, but for the text `none`.
const MAKES_A_CONFIG_MAP_UNLESS_TOLD: &str = r#"
text=$(sed -n 's/.*"spec":{"text":"\([^"]*\)".*/\1/p')
echo "status: {said: $text}"
if [ "$text" = none ]; then echo 'dependents: {configmap.v1: []}'; exit; fi
echo "dependents: {configmap.v1: [{apiVersion: v1, kind: ConfigMap, metadata: {name: $OBJECT_NAME}, data: {text: $text}}]}"
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
async fn the_last_word_is_the_replys_even_when_it_says_what_was_so_before() {
    let scene = Scene::new(shared().await, "progress-again").await;
    scene.hook(
        "hook.sh",
        r#"cat > /dev/null
echo '{"status": {"step": "working"}}' > "$HOOK_PROGRESS"
touch working; while [ ! -e go ]; do sleep 0.05; done
echo 'status: {step: done}'; echo run >> runs"#,
    );
    let _operator = scene.start_hello();
    scene.write("go", "", 0o644);
    scene.hello("h", json!({})).await;
    scene.until(&hello(), "h", "the end", |object| object["status"]["step"] == "done").await;
    fs::remove_file(scene.folder().join("go")).unwrap();
    scene.hello("h", json!({"again": true})).await;
    scene.until(&hello(), "h", "progress", |object| object["status"]["step"] == "working").await;
    scene.write("go", "", 0o644);
    scene.until(&hello(), "h", "the end again", |object| object["status"]["step"] == "done").await;
}

#[tokio::test]
async fn an_object_that_a_reply_watches_wakes_the_handler() {
    let scene = Scene::new(shared().await, "watches").await;
    scene.hook(
        "hook.sh",
        r#"cat > input.new; mv input.new input.json
echo 'watches: [{apiVersion: v1, kind: ConfigMap, name: watched}, {apiVersion: v1, kind: Secret, labelSelector: use=me, body: true}]'
echo "$TRIGGER" >> runs"#,
    );
    let map = |text: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "watched"}, "data": {"a": text}});
    let secret = |name: &str| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "labels": {"use": "me"}}, "stringData": {"k": "v"}});
    scene.apply(map("1")).await;
    scene.apply(secret("before")).await;
    let _operator = scene.start_hello();
    scene.hello("h", json!({})).await;
    let given = async |what: &str, check: &(dyn Fn(&Value) -> bool + Sync)| {
        wait_until(what, SOON, async || {
            let input =
                fs::read_to_string(scene.folder().join("input.json")).map_err(|error| error.to_string())?;
            let input: Value = serde_json::from_str(&input).map_err(|error| error.to_string())?;
            if check(&input) { Ok(()) } else { Err(input.to_string()) }
        })
        .await;
    };
    given("the body of what was there before the watch", &|input| {
        input["watched"]["secret.v1"][0]["metadata"]["name"] == "before"
    })
    .await;
    scene.apply(map("2")).await;
    given("a run because of the watched object", &|input| {
        input["triggers"]
            .as_array()
            .unwrap()
            .iter()
            .any(|trigger| trigger["type"] == "Watch" && trigger["name"] == "watched")
    })
    .await;
    scene.apply(secret("later")).await;
    given("the bodies of both", &|input| {
        input["watched"]["secret.v1"].as_array().is_some_and(|list| list.len() == 2)
    })
    .await;
}

#[tokio::test]
async fn a_field_that_was_patched_in_goes_when_the_handler_states_the_whole_object_without_it() {
    let scene = Scene::new(shared().await, "fold").await;
    let whole = |data: &str| {
        format!(
            "echo 'dependents: {{configmap.v1: [{{apiVersion: v1, kind: ConfigMap, metadata: {{name: h}}, data: {data}}}]}}'"
        )
    };
    scene.hook("hook.sh", &whole("{a: one}"));
    let _operator = scene.start_hello();
    scene.hello("h", json!({})).await;
    scene.until(&config_map(), "h", "created", |object| object["data"] == json!({"a": "one"})).await;
    // The classic script: takes what it is given, edits it, prints it.
    scene.hook("hook.sh", r#"sed 's/"a":"one"/"a":"one","extra":"x"/'"#);
    scene.hello("h", json!({"step": 2})).await;
    scene
        .until(&config_map(), "h", "edited", |object| object["data"] == json!({"a": "one", "extra": "x"}))
        .await;
    scene.hook("hook.sh", &whole("{a: two}"));
    scene.hello("h", json!({"step": 3})).await;
    scene
        .until(&config_map(), "h", "stated as a whole", |object| object["data"] == json!({"a": "two"}))
        .await;
}

#[tokio::test]
async fn a_child_that_is_held_by_a_finalizer_comes_back_when_it_is_wanted_again() {
    let scene = Scene::new(shared().await, "held").await;
    scene.hook("hook.sh", MAKES_A_CONFIG_MAP_UNLESS_TOLD);
    let _operator = scene.start_hello();
    scene.hello("h", json!({"text": "one"})).await;
    let first = scene.until(&config_map(), "h", "created", Value::is_object).await;
    scene.patch(&config_map(), "h", json!({"metadata": {"finalizers": ["test.example.com/hold"]}})).await;
    scene.hello("h", json!({"text": "none"})).await;
    scene
        .until(&config_map(), "h", "going", |object| object["metadata"]["deletionTimestamp"].is_string())
        .await;
    scene.hello("h", json!({"text": "two"})).await;
    scene.until(&hello(), "h", "wanted again", |object| object["status"]["said"] == "two").await;
    scene.patch(&config_map(), "h", json!({"metadata": {"finalizers": null}})).await;
    let second = scene.until(&config_map(), "h", "made anew", |object| object["data"]["text"] == "two").await;
    assert_ne!(first["metadata"]["uid"], second["metadata"]["uid"]);
}

#[tokio::test]
async fn an_object_that_is_replaced_by_one_of_the_same_name_is_handled_again() {
    let scene = Scene::new(shared().await, "replaced").await;
    scene.hook("hook.sh", MAKES_A_CONFIG_MAP);
    let _operator = scene.start_hello();
    for round in 0..10 {
        let text = format!("round {round}");
        let made = scene.hello("h", json!({ "text": text })).await;
        let child = scene
            .until(&config_map(), "h", "made for this round", |object| {
                object["metadata"]["ownerReferences"][0]["uid"] == made["metadata"]["uid"]
            })
            .await;
        assert_eq!(child["data"]["text"], text.as_str());
        scene.delete(&hello(), "h").await;
    }
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
async fn resync_period_runs_every_object_though_nothing_happens() {
    let scene = Scene::new(shared().await, "resync").await;
    scene.hook("hook.sh", "echo \"$TRIGGER\" >> runs");
    let _operator = scene.start(
        "- {group: test.example.com, version: v1, kind: Hello, resyncPeriod: 50ms, reconciler: {exec: {command: ./hook.sh}}}",
    );
    scene.hello("h", json!({})).await;
    wait_until("three runs for resync", SOON, async || {
        let runs = fs::read_to_string(scene.folder().join("runs")).unwrap_or_default();
        if runs.lines().filter(|line| *line == "Resync").count() >= 3 { Ok(()) } else { Err(runs) }
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
