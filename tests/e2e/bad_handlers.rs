//! Handlers that do wrong: the object says what and why in one sentence, nothing is half done, and a good handler
//! afterwards is enough to recover.

use serde_json::{Value, json};

use helmfile_operator::object::Gvk;

use crate::support::{
    control_plane::shared,
    processes,
    scene::{HELLO_CRD, SOON, Scene, config_map, find, hello},
};

const GOOD: &str = "echo 'status: {ok: true}'";

/// Puts a bad handler in place, checks the condition and the recovery.
async fn recovers(scene: &Scene<'_>, name: &str, reason: &str, message: &str) {
    let bad = scene.condition(name, "Reconciled", "False").await;
    let text = bad["message"].as_str().unwrap();
    assert_eq!(bad["reason"], reason, "{bad}");
    assert!(text.contains(message), "expected `{message}` in `{text}`");
    assert_eq!(text.lines().count(), 1, "{text}");
    scene.hook("hook.sh", GOOD);
    scene.condition(name, "Reconciled", "True").await;
    scene.until(&hello(), name, "handled", |object| object["status"]["ok"] == true).await;
}

macro_rules! bad_hooks {
    ($($test:ident: $script:expr => $reason:expr, $message:expr;)*) => {$(
        #[tokio::test]
        async fn $test() {
            let scene = Scene::new(shared().await, "bad").await;
            scene.hook("hook.sh", $script);
            let _operator = scene.start_hello();
            scene.hello("h", json!({})).await;
            recovers(&scene, "h", $reason, $message).await;
        }
    )*};
}

bad_hooks! {
    a_hook_that_fails: "echo first >&2; echo 'no such customer' >&2; exit 3"
        => "HookFailed", "the hook `./hook.sh` failed with exit status 3: no such customer";
    a_hook_that_prints_half_a_json: "printf '{\"status\": {\"ok\": tr'"
        => "BadReply", "the reply is neither JSON nor YAML: line 1";
    a_hook_that_prints_too_much: "exec head -c 100000000 /dev/zero"
        => "HookOutputTooLarge", "the hook `./hook.sh` printed more than 16777216 bytes";
    a_reply_with_an_unknown_key: "echo 'staus: {}'"
        => "BadReply", "the reply has the unknown key `staus`; did you mean `status`?";
    a_reply_that_renames_the_object: "cat | sed 's/\"name\":\"h\"/\"name\":\"other\"/'"
        => "ReplyRefused", "the reply changes the object's name from `h` to `other`";
    a_reply_with_an_undeclared_kind: "echo 'dependents: {secret.v1: []}'"
        => "ReplyRefused", "the reply lists `secret.v1`, which is not a declared dependent";
}

#[tokio::test]
async fn a_hook_that_is_missing_or_not_executable() {
    let scene = Scene::new(shared().await, "bad").await;
    let _operator = scene.start_hello();
    scene.hello("h", json!({})).await;
    let missing = scene.condition("h", "Reconciled", "False").await;
    assert!(missing["message"].as_str().unwrap().ends_with("/hook.sh` does not exist"), "{missing}");
    scene.write("hook.sh", GOOD, 0o644);
    scene
        .until(&hello(), "h", "not executable", |object| {
            object["status"]["conditions"][0]["message"]
                .as_str()
                .is_some_and(|text| text.contains("run `chmod +x "))
        })
        .await;
    recovers(&scene, "h", "HookUnusable", "is not executable").await;
}

#[tokio::test]
async fn a_hook_that_hangs_is_ended_with_all_that_it_started() {
    let scene = Scene::new(shared().await, "hangs").await;
    // Ignores SIGTERM, and has a child in a session of its own.
    scene.hook(
        "hook.sh",
        "trap '' TERM; setsid sleep 1000 & echo $! > child; echo $$ > pid; while :; do sleep 1; done",
    );
    let entry = "
- group: test.example.com
  version: v1
  kind: Hello
  condition: Reconciled
  reconciler: {exec: {command: ./hook.sh, timeout: 500ms}}
";
    let _operator = scene.start(entry);
    scene.hello("h", json!({})).await;
    scene.condition("h", "Reconciled", "False").await;
    let pids: Vec<i32> = ["pid", "child"]
        .iter()
        .map(|file| std::fs::read_to_string(scene.folder().join(file)).unwrap().trim().parse().unwrap())
        .collect();
    scene.hook("hook.sh", GOOD);
    processes::wait_until_gone("the hook and its child", &pids, SOON).await;
    recovers(&scene, "h", "HookTimedOut", "the hook `./hook.sh` took longer than 500ms").await;
}

#[tokio::test]
async fn a_hook_that_leaves_a_process_behind_does_not_keep_us_waiting() {
    let scene = Scene::new(shared().await, "grandchild").await;
    scene.hook("hook.sh", "sleep 1000 & echo $! > child; echo 'status: {ok: true}'");
    let _operator = scene.start_hello();
    scene.hello("h", json!({})).await;
    scene.until(&hello(), "h", "handled", |object| object["status"]["ok"] == true).await;
    let child = std::fs::read_to_string(scene.folder().join("child")).unwrap().trim().parse().unwrap();
    processes::wait_until_gone("the process left behind", &[child], SOON).await;
}

#[tokio::test]
async fn a_child_that_somebody_else_owns_is_left_alone_and_named() {
    let scene = Scene::new(shared().await, "theirs").await;
    let theirs =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "h"}, "data": {"a": "theirs"}});
    let before = scene.apply(theirs).await;
    scene.hook(
        "hook.sh",
        "echo 'dependents: {configmap.v1: [{apiVersion: v1, kind: ConfigMap, metadata: {name: h}, data: {a: ours}}]}'",
    );
    let _operator = scene.start_hello();
    scene.hello("h", json!({})).await;
    let refused = scene.condition("h", "Reconciled", "False").await;
    assert_eq!(
        refused["message"],
        format!(
            "ConfigMap {}/h exists and is not ours: it was not created for this object; delete it or choose another name",
            scene.namespace
        )
    );
    assert_eq!(
        scene.get(&config_map(), "h").await["metadata"]["resourceVersion"],
        before["metadata"]["resourceVersion"]
    );
    scene.delete(&config_map(), "h").await;
    scene.until(&config_map(), "h", "ours", |object| object["data"]["a"] == "ours").await;
    scene.condition("h", "Reconciled", "True").await;
}

#[tokio::test]
async fn an_object_that_is_deleted_while_its_handler_runs_is_no_trouble() {
    let scene = Scene::new(shared().await, "deleted").await;
    scene.hook("hook.sh", "touch started; while [ ! -e go ]; do sleep 0.05; done; echo 'status: {ok: true}'");
    let _operator = scene.start_hello();
    scene.hello("h", json!({})).await;
    crate::support::wait::wait_until("the hook to run", SOON, async || {
        if scene.folder().join("started").exists() { Ok(()) } else { Err("not started".to_owned()) }
    })
    .await;
    scene.delete(&hello(), "h").await;
    scene.until(&hello(), "h", "gone", Value::is_null).await;
    scene.write("go", "", 0o644);
    scene.hello("h2", json!({})).await;
    scene.until(&hello(), "h2", "handled", |object| object["status"]["ok"] == true).await;
}

#[tokio::test]
async fn conditions_that_are_one_list_for_all_are_merged_into_it() {
    let scene = Scene::new(shared().await, "atomic").await;
    // The same kind under another name, whose conditions have no map key: a list that one writer owns as a whole.
    let crd = HELLO_CRD.replace("hello", "plain").replace("Hello", "Plain");
    let crd = crd.lines().filter(|line| !line.contains("x-kubernetes-list")).collect::<Vec<_>>().join("\n");
    scene.write("crd.yaml", &crd, 0o644);
    scene.hook("hook.sh", "cat said");
    let say = |conditions: &str| {
        scene.write("said", &format!("status: {{step: 1, conditions: [{conditions}]}}"), 0o644);
    };
    let plain = Gvk::new("test.example.com", "v1", "Plain");
    say("{type: Ours, status: 'True'}");
    let entry = "- {group: test.example.com, version: v1, kind: Plain, condition: Reconciled, reconciler: {exec: {command: ./hook.sh}}}\n";
    let mut operator = scene.start(entry);
    let crds = Gvk::new("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    scene
        .until_in_cluster(&crds, "plains.test.example.com", "established", |crd| {
            crd.to_string().contains("\"Established\"")
        })
        .await;
    operator.wait_for_log("watching").await;
    scene
        .apply(json!({"apiVersion": "test.example.com/v1", "kind": "Plain", "metadata": {"name": "p"}}))
        .await;
    let theirs = |status: &str| json!({"type": "Theirs", "status": status});
    let write_theirs = async |list: Value| {
        let patch = json!({"status": {"conditions": list}}).to_string();
        let args = [
            "patch",
            "plain",
            "p",
            "-n",
            &scene.namespace,
            "--subresource=status",
            "--type=merge",
            "-p",
            &patch,
        ];
        scene.plane.kubectl(&args).await;
    };
    let until = async |expected: Value| {
        scene.until(&plain, "p", "conditions", |object| object["status"]["conditions"] == expected).await;
    };
    let ours = json!({"type": "Ours", "status": "True"});
    until(json!([ours])).await;
    write_theirs(json!([theirs("True"), ours])).await;
    say("{type: Ours, status: 'False'}");
    scene.touch(&plain, "p").await;
    until(json!([theirs("True"), {"type": "Ours", "status": "False"}])).await;
    write_theirs(json!([theirs("False"), {"type": "Ours", "status": "False"}])).await;
    say("{type: New, status: 'True'}");
    scene.touch(&plain, "p").await;
    until(json!([theirs("False"), {"type": "New", "status": "True"}])).await;
    assert_eq!(scene.get(&plain, "p").await["status"]["step"], 1);
    // What the engine says itself is one among them too.
    scene.write("said", "nonsense: 1", 0o644);
    scene.touch(&plain, "p").await;
    scene.condition_of(&plain, "p", "Reconciled", "False").await;
    assert_eq!(find(&scene.get(&plain, "p").await, "Theirs"), &theirs("False"));
}

#[tokio::test]
async fn a_field_that_the_childs_kind_does_not_have_is_refused_from_the_first_time_on() {
    let scene = Scene::new(shared().await, "misspelt").await;
    scene.hook(
        "hook.sh",
        "echo 'dependents: {configmap.v1: [{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, dat: {k: v}}]}'",
    );
    let _operator = scene.start_hello();
    scene.hello("h", json!({})).await;
    let told = scene.condition("h", "Reconciled", "False").await;
    assert!(told["message"].as_str().unwrap().contains("unknown field \"dat\""), "{told}");
    assert!(scene.get(&config_map(), "c").await.is_null());
    // A retry says the same.
    scene.touch(&hello(), "h").await;
    scene.hook("hook.sh", GOOD);
    scene.touch(&hello(), "h").await;
    scene.condition("h", "Reconciled", "True").await;
}

#[tokio::test]
async fn a_cluster_scoped_child_of_a_namespaced_parent_is_refused_and_named() {
    let scene = Scene::new(shared().await, "cluster-scoped").await;
    let name = format!("{}-made", scene.namespace);
    scene.hook(
        "hook.sh",
        &format!("echo 'dependents: {{namespace.v1: [{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}}}}}]}}'"),
    );
    let _operator = scene.start(
        "
- group: test.example.com
  version: v1
  kind: Hello
  dependents: [{version: v1, kind: Namespace}]
  condition: Reconciled
  reconciler: {exec: {command: ./hook.sh}}
",
    );
    scene.hello("h", json!({})).await;
    let told = scene.condition("h", "Reconciled", "False").await;
    assert_eq!(told["reason"], "ReplyRefused");
    assert!(
        told["message"].as_str().unwrap().contains(&format!("Namespace {name} is cluster-scoped")),
        "{told}"
    );
    let namespaces = scene.cluster_api(&Gvk::new("", "v1", "Namespace")).await;
    assert!(namespaces.get_opt(&name).await.unwrap().is_none());
}
