//! Which objects and which events: selectors, namespaces, `on`, `when`, `schedule`, `metadataOnly`, references.

use serde_json::{Value, json};

use crate::support::{
    control_plane::shared,
    scene::{Scene, config_map, hello},
};

/// Notes who ran and why.
const NOTES: &str = r#"cat > "$OBJECT_NAME.json"; echo "$OBJECT_NAMESPACE/$OBJECT_NAME $TRIGGER" >> runs"#;

fn map(name: &str, label: &str, text: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"tier": label}}, "data": {"k": text}})
}

#[tokio::test]
async fn the_api_server_selects_by_labels_and_fields() {
    let scene = Scene::new(shared().await, "selectors").await;
    scene.hook("hook.sh", NOTES);
    let _operator = scene.start(
        "
- name: labels
  version: v1
  kind: ConfigMap
  labelSelector: tier in (a, b)
  fieldSelector: metadata.name!=other
  reconciler: {exec: {command: ./hook.sh}}
",
    );
    for (name, tier) in [("other", "a"), ("not", "c"), ("first", "a"), ("second", "b")] {
        scene.apply(map(name, tier, "x")).await;
    }
    scene.until_file("runs", 2).await;
    scene.apply(map("last", "a", "x")).await;
    scene.until_file("runs", 3).await;
    let runs = scene.read("runs");
    assert!(!runs.contains("other") && !runs.contains("not"), "{runs}");
}

#[tokio::test]
async fn namespaces_are_chosen_by_name_glob_and_label_and_labels_may_change() {
    let scene = Scene::new(shared().await, "chosen").await;
    let other = Scene::new(shared().await, "skipped").await;
    scene.hook("hook.sh", NOTES);
    let entries = format!(
        "
- name: globs
  version: v1
  kind: ConfigMap
  labelSelector: tier=a
  namespaces: ['chosen-*', '!skipped-*']
  namespaceSelector: team={}
  reconciler: {{exec: {{command: ./hook.sh}}}}
",
        scene.namespace
    );
    let mut operator = scene.start_everywhere(&entries);
    operator.wait_for_log("watching").await;
    other.label_namespace(json!({"team": scene.namespace})).await;
    other.apply(map("m", "a", "x")).await;
    scene.apply(map("m", "a", "x")).await;
    scene.label_namespace(json!({"team": scene.namespace})).await;
    scene.until_file("runs", 1).await;
    scene.apply(map("n", "a", "x")).await;
    scene.until_file("runs", 2).await;
    let runs = scene.read("runs");
    assert!(runs.lines().all(|line| line.starts_with(&format!("{}/", scene.namespace))), "{runs}");
    scene.label_namespace(json!({"team": "another"})).await;
    scene.apply(map("o", "a", "x")).await;
    scene.label_namespace(json!({"team": scene.namespace})).await;
    scene.until(&config_map(), "o", "there", Value::is_object).await;
    wait_for(&scene, "/o ").await;
}

async fn wait_for(scene: &Scene<'_>, text: &str) {
    crate::support::wait::wait_until(text, crate::support::scene::SOON, async || {
        let runs = scene.read("runs");
        if runs.contains(text) { Ok(()) } else { Err(runs) }
    })
    .await;
}

#[tokio::test]
async fn only_chosen_events_for_which_the_expression_holds_run_the_handler() {
    let scene = Scene::new(shared().await, "when").await;
    scene.hook("hook.sh", NOTES);
    let mut operator = scene.start(
        "
- version: v1
  kind: ConfigMap
  labelSelector: tier=a
  on: [Updated]
  when: object.data.k != oldObject.data.k && object.data.k != 'ignored'
  reconciler: {exec: {command: ./hook.sh}}
",
    );
    operator.wait_for_log("watching").await;
    scene.apply(map("m", "a", "one")).await;
    scene.patch(&config_map(), "m", json!({"metadata": {"annotations": {"x": "y"}}})).await;
    scene.patch(&config_map(), "m", json!({"data": {"k": "ignored"}})).await;
    scene.patch(&config_map(), "m", json!({"data": {"k": "two"}})).await;
    scene.until_file("runs", 1).await;
    let given: Value = serde_json::from_str(&scene.read("m.json")).unwrap();
    assert_eq!(
        (&given["object"]["data"]["k"], &given["triggers"][0]["type"]),
        (&json!("two"), &json!("Updated"))
    );
    scene.patch(&config_map(), "m", json!({"data": {"k": "three"}})).await;
    scene.until_file("runs", 2).await;
}

#[tokio::test]
async fn a_schedule_runs_every_object() {
    let scene = Scene::new(shared().await, "schedule").await;
    scene.hook("hook.sh", NOTES);
    let _operator = scene.start(
        "
- version: v1
  kind: ConfigMap
  labelSelector: tier=a
  on: []
  schedule: '* * * * *'
  reconciler: {exec: {command: ./hook.sh}}
",
    );
    scene.apply(map("m", "a", "one")).await;
    // The next full minute.
    scene.until_file_within("runs", 1, std::time::Duration::from_secs(90)).await;
    assert_eq!(scene.read("runs"), format!("{}/m Schedule\n", scene.namespace));
}

#[tokio::test]
async fn metadata_alone_is_enough_to_run_and_to_write_status() {
    let scene = Scene::new(shared().await, "metadata").await;
    scene.hook("hook.sh", &format!("{NOTES}; echo 'status: {{seen: true}}'"));
    let _operator = scene.start(
        "
- group: test.example.com
  version: v1
  kind: Hello
  metadataOnly: true
  reconciler: {exec: {command: ./hook.sh}}
",
    );
    scene.hello("h", json!({"secret": "x"})).await;
    scene.until(&hello(), "h", "told", |object| object["status"]["seen"] == true).await;
    let given: Value = serde_json::from_str(&scene.read("h.json")).unwrap();
    assert_eq!(given["object"].get("spec"), None);
    assert_eq!(given["object"]["kind"], "Hello");
    scene.hello("last", json!({})).await;
    scene.until(&hello(), "last", "told", |object| object["status"]["seen"] == true).await;
    assert_eq!(scene.lines("runs"), 2, "its own writes are no news: {}", scene.read("runs"));
}

const REFERRING: &str = "
- group: test.example.com
  version: v1
  kind: Hello
  references: [{version: v1, kind: Secret, nameFieldPath: '.spec.secrets[*].name'}]
  reconciler: {exec: {command: ./hook.sh}}
";

fn secret(name: &str, text: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"k": text}})
}

/// Names and contents of the Secrets that the handler was given.
fn secrets(scene: &Scene<'_>) -> Vec<String> {
    let given: Value = serde_json::from_str(&scene.read("h.json")).unwrap();
    let list = given["references"]["secret.v1"].as_array().unwrap();
    list.iter()
        .map(|secret| format!("{}={}", secret["metadata"]["name"].as_str().unwrap(), secret["data"]["k"]))
        .collect()
}

#[tokio::test]
async fn what_an_object_refers_to_is_given_but_wakes_nobody_unless_asked_for() {
    let scene = Scene::new(shared().await, "references").await;
    scene.hook("hook.sh", NOTES);
    let mut operator = scene.start(REFERRING);
    scene.apply(secret("a", "1")).await;
    scene.hello("h", json!({"secrets": [{"name": "a"}, {"name": "missing"}, {"name": "a"}]})).await;
    scene.until_file("runs", 1).await;
    assert_eq!(secrets(&scene), ["a=\"MQ==\""]);
    scene.apply(secret("a", "2")).await;
    scene.hello("last", json!({})).await;
    scene.until_file("runs", 2).await;
    assert!(scene.read("runs").ends_with("last Created\n"), "{}", scene.read("runs"));
    operator.stop().await;

    let mut operator = scene.start(&format!("{REFERRING}  on: [Created, Updated, ReferenceChanged]\n"));
    operator.wait_for_log("watching").await;
    scene.apply(secret("a", "3")).await;
    scene.until_file("runs", 3).await;
    assert!(scene.read("runs").ends_with("h ReferenceChanged\n"), "{}", scene.read("runs"));
    assert_eq!(secrets(&scene), ["a=\"Mw==\""]);
    scene.apply(secret("missing", "4")).await;
    scene.until_file("runs", 4).await;
    assert_eq!(secrets(&scene), ["a=\"Mw==\"", "missing=\"NA==\""]);
    scene.delete(&helmfile_operator::object::Gvk::new("", "v1", "Secret"), "a").await;
    scene.until_file("runs", 5).await;
    assert_eq!(secrets(&scene), ["missing=\"NA==\""]);
}

#[tokio::test]
async fn a_cluster_scoped_object_is_referred_to_from_every_namespace() {
    let scene = Scene::new(shared().await, "cluster-reference").await;
    scene.hook("hook.sh", NOTES);
    let mut operator = scene.start(
        "
- group: test.example.com
  version: v1
  kind: Hello
  references: [{version: v1, kind: Namespace, nameFieldPath: .spec.namespace}]
  on: [Created, ReferenceChanged]
  reconciler: {exec: {command: ./hook.sh}}
",
    );
    operator.wait_for_log("watching").await;
    scene.hello("h", json!({"namespace": scene.namespace})).await;
    scene.until_file("runs", 1).await;
    let label = |given: Value| given["references"]["namespace.v1"][0]["metadata"]["labels"]["tier"].clone();
    assert_eq!(label(serde_json::from_str(&scene.read("h.json")).unwrap()), Value::Null);
    scene.label_namespace(json!({"tier": "gold"})).await;
    scene.until_file("runs", 2).await;
    assert_eq!(label(serde_json::from_str(&scene.read("h.json")).unwrap()), "gold");
}

#[tokio::test]
async fn what_a_reply_watches_by_label_wakes_the_handler_with_bodies() {
    let scene = Scene::new(shared().await, "watch-label").await;
    scene.hook(
        "hook.sh",
        &format!("{NOTES}; echo 'watches: [{{apiVersion: v1, kind: ConfigMap, labelSelector: tier=a, body: true}}]'"),
    );
    let mut operator = scene.start(
        "
- group: test.example.com
  version: v1
  kind: Hello
  on: [Created]
  reconciler: {exec: {command: ./hook.sh}}
",
    );
    operator.wait_for_log("watching").await;
    scene.hello("h", json!({})).await;
    scene.until_file("runs", 1).await;
    scene.apply(map("other", "b", "x")).await;
    scene.apply(map("m", "a", "one")).await;
    let bodies = async |count: usize| {
        crate::support::wait::wait_until("the bodies", crate::support::scene::SOON, async || {
            let given: Value =
                serde_json::from_str(&scene.read("h.json")).map_err(|error| error.to_string())?;
            let list = given["watched"]["configmap.v1"].as_array().cloned().unwrap_or_default();
            if list.len() == count { Ok(list) } else { Err(given.to_string()) }
        })
        .await
    };
    assert_eq!(bodies(1).await[0]["data"]["k"], "one");
    scene.apply(map("n", "a", "two")).await;
    assert_eq!(bodies(2).await[1]["data"]["k"], "two");
    scene.delete(&config_map(), "m").await;
    assert_eq!(bodies(1).await[0]["data"]["k"], "two");
}
