//! Observers: told of everything, deletions included, and writing nothing at all.

use serde_json::{Value, json};

use crate::support::{
    control_plane::shared,
    scene::{Scene, config_map},
};

/// Keeps what it is told, one file per trigger type, and answers with all that an observer must not do.
const NOSY: &str = r#"input=$(cat); printf '%s' "$input" > "$TRIGGER.json"; echo "$TRIGGER $OBJECT_NAME" >> told
if [ -e fail ]; then echo 'error: not now' >&2; exit 1; fi
printf '%s' "$input" | sed 's/"data":{"k":"[^"]*"}/"data":{"k":"by the observer"}/'"#;

const ENTRY: &str = "
- version: v1
  kind: ConfigMap
  labelSelector: observed=yes
  reconciler: {observe: true, exec: {command: ./observe.sh}}
";

fn map(name: &str, text: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"observed": "yes"}}, "data": {"k": text}})
}

#[tokio::test]
async fn an_observer_hears_of_everything_and_changes_nothing() {
    let scene = Scene::new(shared().await, "observer").await;
    scene.hook("observe.sh", NOSY);
    let mut operator = scene.start(ENTRY);
    operator.wait_for_log("watching").await;
    scene.apply(map("m", "one")).await;
    scene.until_file("Created.json", 1).await;
    scene.apply(map("m", "two")).await;
    scene.until_file("Updated.json", 1).await;
    let before = scene.get(&config_map(), "m").await;
    assert_eq!(before["data"]["k"], "two");
    scene.delete(&config_map(), "m").await;
    scene.until_file("Deleted.json", 1).await;
    let told: Value = serde_json::from_str(&scene.read("Deleted.json")).unwrap();
    assert_eq!(
        told["object"],
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "namespace": scene.namespace}})
    );
    assert_eq!(told["lastObject"]["data"]["k"], "two");
    assert_eq!(scene.read("told"), "Created m\nUpdated m\nDeleted m\n");
    assert!(scene.events("m").await.is_empty(), "not even an Event");
}

#[tokio::test]
async fn an_observer_that_fails_is_told_of_the_end_again_and_of_a_new_one_as_new() {
    let scene = Scene::new(shared().await, "observer-fails").await;
    scene.hook("observe.sh", NOSY);
    let mut operator = scene.start(ENTRY);
    operator.wait_for_log("watching").await;
    scene.apply(map("m", "one")).await;
    scene.until_file("told", 1).await;
    scene.write("fail", "", 0o644);
    scene.delete(&config_map(), "m").await;
    scene.until_file("told", 2).await;
    std::fs::remove_file(scene.folder().join("fail")).unwrap();
    scene.until_file("told", 3).await;
    scene.apply(map("m", "new")).await;
    scene.until_file("told", 4).await;
    assert_eq!(scene.read("told"), "Created m\nDeleted m\nDeleted m\nCreated m\n");
}

#[tokio::test]
async fn ends_of_one_name_are_told_one_by_one_also_by_a_repaired_hook() {
    let scene = Scene::new(shared().await, "observer-ends").await;
    scene.hook("observe.sh", "echo \"$TRIGGER\" >> tries; exit 1");
    let mut operator = scene.start(ENTRY);
    operator.wait_for_log("watching").await;
    let mut uids = Vec::new();
    for _ in 0..2 {
        uids.push(scene.apply(map("m", "x")).await["metadata"]["uid"].as_str().unwrap().to_owned());
        scene.delete(&config_map(), "m").await;
    }
    scene.until_file("tries", 2).await;
    // Another hook is another entry: it takes over what the first could not tell.
    scene.hook("observe.sh", r#"sed -n 's/.*"lastObject":.*"uid":"\([^"]*\)".*/\1/p' >> ends; echo >> ends"#);
    scene.until_file("ends", 2).await;
    assert_eq!(scene.read("ends").lines().collect::<Vec<_>>(), uids);
}
