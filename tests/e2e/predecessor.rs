//! whitebox-controller's configs and handlers, unchanged: the whole state comes in on stdin, and goes out edited.

use helmfile_operator::object::Gvk;
use serde_json::{Value, json};

use crate::support::{
    control_plane::shared,
    http::{Service, get},
    operator::Operator,
    scene::{SOON, Scene, config_map, find, hello},
    wait::wait_until,
};

/// The "containerset" pattern: makes a Deployment the first time, and edits the copy that it is given from then on.
const CONTAINER_SET: &str = r#"
import json, sys

state = json.load(sys.stdin)
obj = state["object"]
deployments = state["dependents"]["deployment.v1.apps"]
if len(deployments) == 0:
    labels = {"app": obj["metadata"]["name"]}
    deployments.append({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"namespace": obj["metadata"]["namespace"], "name": obj["metadata"]["name"]},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "app", "env": [{"name": "A", "value": "a"}]}]},
            },
        },
    })
    state.setdefault("events", []).append({"type": "Normal", "reason": "Created", "message": "made a Deployment"})
deploy = deployments[0]
container = deploy["spec"]["template"]["spec"]["containers"][0]
deploy["spec"]["replicas"] = obj["spec"]["replicas"]
container["image"] = obj["spec"]["image"]
if obj["spec"].get("bare") and "env" in container:
    del container["env"]
obj.setdefault("status", {})["image"] = container["image"]
obj["status"]["observed"] = deploy.get("status", {}).get("observedGeneration", 0)
json.dump(state, sys.stdout)
"#;

/// Starts an operator on a config of the predecessor: it has entries and nothing else. The kind is registered by somebody
/// else.
async fn start(scene: &Scene<'_>, entries: &str) -> Operator {
    scene.register_hello().await;
    restart(scene, entries)
}

fn restart(scene: &Scene<'_>, entries: &str) -> Operator {
    let config = scene.write("config.yaml", &format!("resources:\n{entries}"), 0o644);
    Operator::start(scene.plane, &["run", "-f", config.to_str().unwrap(), "-n", &scene.namespace], &[])
}

fn deployment() -> Gvk {
    Gvk::new("apps", "v1", "Deployment")
}

#[tokio::test]
async fn a_python_script_makes_a_deployment_and_then_edits_what_it_is_given() {
    let scene = Scene::new(shared().await, "containerset").await;
    scene.write("handler.py", CONTAINER_SET, 0o644);
    let _operator = start(
        &scene,
        "
- group: test.example.com
  version: v1
  kind: Hello
  dependents:
  - group: apps
    version: v1
    kind: Deployment
  reconciler:
    exec:
      command: python3
      args: [handler.py]
      timeout: 30s
",
    )
    .await;
    let container = |object: &Value| object["spec"]["template"]["spec"]["containers"][0].clone();
    scene.hello("web", json!({"image": "one", "replicas": 1})).await;
    let first = scene.until(&deployment(), "web", "made", Value::is_object).await;
    assert_eq!((&first["spec"]["replicas"], &container(&first)["image"]), (&json!(1), &json!("one")));
    assert_eq!(first["metadata"]["ownerReferences"][0]["kind"], "Hello");
    scene.event("web", "Created").await;
    // The Deployment's own controller writes its status, and the handler is woken and passes that on.
    scene
        .until(&hello(), "web", "status", |object| object["status"] == json!({"image": "one", "observed": 1}))
        .await;

    scene.hello("web", json!({"image": "two", "replicas": 3})).await;
    let second = scene.until(&deployment(), "web", "edited", |object| object["spec"]["replicas"] == 3).await;
    assert_eq!(container(&second)["image"], "two");
    assert_eq!(container(&second)["env"][0]["name"], "A");
    assert_eq!(first["metadata"]["uid"], second["metadata"]["uid"], "edited in place");

    scene.hello("web", json!({"image": "two", "replicas": 3, "bare": true})).await;
    scene.until(&deployment(), "web", "without env", |object| container(object).get("env").is_none()).await;
    let status = json!({"image": "two", "observed": 3});
    scene.until(&hello(), "web", "status", |object| object["status"] == status).await;
    scene.delete(&hello(), "web").await;
    scene.until(&deployment(), "web", "gone with its owner", Value::is_null).await;
}

const SHELL: &str = "
- group: test.example.com
  version: v1
  kind: Hello
  dependents:
  - version: v1
    kind: ConfigMap
  reconciler:
    exec:
      command: ./hook.sh
";

#[tokio::test]
async fn a_shell_script_prints_the_state_with_one_edit() {
    let scene = Scene::new(shared().await, "sed").await;
    scene.hook(
        "hook.sh",
        r#"sed 's/"phase":"new"/"phase":"seen"/; s/"data":{"k":"one"}/"data":{"k":"two"}/'"#,
    );
    let _operator = start(&scene, SHELL).await;
    let parent = scene.hello("h", json!({"phase": "new"})).await;
    let seen = scene.until(&hello(), "h", "edited", |object| object["spec"]["phase"] == "seen").await;
    assert_eq!(seen["metadata"]["generation"], 2, "one write, and no more");
    let child = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"k": "one", "other": "1"}, "metadata": {"name": "c",
        "ownerReferences": [{"apiVersion": "test.example.com/v1", "kind": "Hello", "name": "h", "uid": parent["metadata"]["uid"]}]}});
    scene.apply(child).await;
    // Does not match, since there is another key: given, and left as it is.
    scene.patch(&config_map(), "c", json!({"data": {"other": null}})).await;
    scene.until(&config_map(), "c", "edited", |object| object["data"] == json!({"k": "two"})).await;
}

/// Waits until the newest run of an object has been for a reason, and returns how it ended.
async fn outcome(scene: &Scene<'_>, operator: &mut Operator, name: &str, reason: &str) -> Value {
    let admin = operator.admin().await;
    let path = format!("/debug/whitebox/objects/Hello/{}/{name}", scene.namespace);
    wait_until(&format!("a run of {name} because of {reason}"), SOON, async || {
        let (_, text) = get(&admin, &path).await;
        let report: Value = serde_json::from_str(&text).unwrap();
        let run = &report["entries"][0]["runs"][0]["run"];
        let is_it = run["triggers"].as_array().into_iter().flatten().any(|trigger| trigger["type"] == reason);
        if is_it { Ok(run["outcome"].clone()) } else { Err(text) }
    })
    .await
}

#[tokio::test]
async fn an_echo_of_the_whole_state_writes_nothing() {
    let scene = Scene::new(shared().await, "echo").await;
    let mut operator = start(&scene, &SHELL.replace("./hook.sh", "cat")).await;
    // A child that is there at the start is no event.
    operator.wait_for_log("watching").await;
    let parent = scene.hello("h", json!({"n": 1, "nothing": null, "number": 1.0, "deep": {"a": []}})).await;
    scene
        .apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"k": "one"}, "metadata": {"name": "c",
            "ownerReferences": [{"apiVersion": "test.example.com/v1", "kind": "Hello", "name": "h", "uid": parent["metadata"]["uid"]}]}}))
        .await;
    let unchanged = json!({"done": {"writes": 0}});
    assert_eq!(outcome(&scene, &mut operator, "h", "DependentChanged").await, unchanged);
    let child = scene.get(&config_map(), "c").await;
    scene.touch(&hello(), "h").await;
    let touched = scene.get(&hello(), "h").await;
    assert_eq!(outcome(&scene, &mut operator, "h", "Updated").await, unchanged);
    let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
    assert_eq!(version(&scene.get(&hello(), "h").await), version(&touched));
    assert_eq!(version(&scene.get(&config_map(), "c").await), version(&child));
}

#[tokio::test]
async fn an_echo_is_enough_of_a_finalizer() {
    let scene = Scene::new(shared().await, "echo-finalizer").await;
    scene.hook("bye.sh", "tee -a byes; echo >> byes");
    let entries =
        format!("{}  finalizer:\n    exec:\n      command: ./bye.sh\n", SHELL.replace("./hook.sh", "cat"));
    let _operator = start(&scene, &entries).await;
    scene.hello("h", json!({})).await;
    let held =
        |object: &Value| object["metadata"]["finalizers"] == json!(["hello-controller.test.example.com"]);
    scene.until(&hello(), "h", "held", held).await;
    scene.delete(&hello(), "h").await;
    scene.until(&hello(), "h", "gone", Value::is_null).await;
    assert!(scene.read("byes").contains("deletionTimestamp"), "{}", scene.read("byes"));
}

#[tokio::test]
async fn a_service_answers_instead_of_a_program() {
    let scene = Scene::new(shared().await, "service").await;
    let service = Service::start(200, r#"{"status": {"by": "service"}}"#).await;
    let entries = format!(
        "
- group: test.example.com
  version: v1
  kind: Hello
  condition: Reconciled
  reconciler:
    http:
      url: {}/reconcile
      timeout: 10s
",
        service.url
    );
    let _operator = start(&scene, &entries).await;
    scene.hello("h", json!({"n": 1})).await;
    scene.until(&hello(), "h", "answered", |object| object["status"]["by"] == "service").await;
    assert_eq!(service.asked()[0]["object"]["spec"], json!({"n": 1}));
    service.say(500, "the database is away");
    scene.hello("h", json!({"n": 2})).await;
    let failed = scene.condition("h", "Reconciled", "False").await;
    let message = failed["message"].as_str().unwrap();
    assert!(message.contains("500") && message.contains("the database is away"), "{failed}");
    assert_eq!(scene.get(&hello(), "h").await["status"]["by"], "service", "what was said before stays");
    service.say(200, r#"{"status": {"by": "service again"}}"#);
    scene.condition("h", "Reconciled", "True").await;
    let object =
        scene.until(&hello(), "h", "recovered", |object| object["status"]["by"] == "service again").await;
    assert_eq!(find(&object, "Reconciled")["status"], "True");
}

/// Prints the manifest in the file `manifest`, as one that states all it wants.
const STATES_ALL: &str = "cat > /dev/null; cat manifest";

fn manifest(scene: &Scene<'_>, labels: &str, data: &str) {
    let object = format!(
        "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: c, labels: {{{labels}}}}}, data: {{{data}}}}}"
    );
    scene.write("manifest", &format!("dependents: {{configmap.v1: [{object}]}}"), 0o644);
}

/// Waits until the child is exactly that.
async fn until_child(scene: &Scene<'_>, what: &str, labels: Value, data: Value) {
    scene
        .until(&config_map(), "c", what, |object| {
            let found = object["metadata"].get("labels").cloned().unwrap_or_else(|| json!({}));
            found == labels && object["data"] == data
        })
        .await;
}

#[tokio::test]
async fn what_a_handler_leaves_out_of_a_dependent_goes_at_the_first_update_and_at_later_ones() {
    let scene = Scene::new(shared().await, "removal").await;
    scene.hook("hook.sh", STATES_ALL);
    manifest(&scene, "l: x", "a: '1', b: '2'");
    let mut operator = start(&scene, SHELL).await;
    scene.hello("h", json!({"n": 0})).await;
    until_child(&scene, "made", json!({"l": "x"}), json!({"a": "1", "b": "2"})).await;

    manifest(&scene, "", "a: '1'");
    scene.hello("h", json!({"n": 1})).await;
    until_child(&scene, "first update", json!({}), json!({"a": "1"})).await;
    manifest(&scene, "m: w", "a: '1', c: '3'");
    scene.hello("h", json!({"n": 2})).await;
    until_child(&scene, "second update", json!({"m": "w"}), json!({"a": "1", "c": "3"})).await;
    // What others have added stays.
    scene.patch(&config_map(), "c", json!({"metadata": {"labels": {"theirs": "z"}}})).await;
    manifest(&scene, "", "c: '4'");
    scene.hello("h", json!({"n": 3})).await;
    until_child(&scene, "third update", json!({"theirs": "z"}), json!({"c": "4"})).await;

    operator.stop().await;
    manifest(&scene, "", "d: '5'");
    let mut operator = restart(&scene, SHELL);
    until_child(&scene, "after a restart", json!({"theirs": "z"}), json!({"d": "5"})).await;
    operator.stop().await;
    // And one whose first update comes from another process than its creation.
    scene.delete(&config_map(), "c").await;
    manifest(&scene, "l: x", "a: '1', b: '2'");
    let mut operator = restart(&scene, SHELL);
    until_child(&scene, "made anew", json!({"l": "x"}), json!({"a": "1", "b": "2"})).await;
    operator.stop().await;
    manifest(&scene, "", "b: '2'");
    let _operator = restart(&scene, SHELL);
    until_child(&scene, "first update after a restart", json!({}), json!({"b": "2"})).await;
}

#[tokio::test]
async fn what_a_handler_takes_out_of_its_copy_goes_and_stays_away() {
    let scene = Scene::new(shared().await, "copy").await;
    scene.hook("hook.sh", STATES_ALL);
    manifest(&scene, "l: x", "a: '1', b: '2', c: '3'");
    let mut operator = start(&scene, SHELL).await;
    scene.hello("h", json!({"n": 0})).await;
    until_child(&scene, "made", json!({"l": "x"}), json!({"a": "1", "b": "2", "c": "3"})).await;
    scene.hook("hook.sh", r#"sed 's/"b":"2",//'"#);
    scene.hello("h", json!({"n": 1})).await;
    until_child(&scene, "taken out of the copy", json!({"l": "x"}), json!({"a": "1", "c": "3"})).await;
    operator.stop().await;
    scene.hook("hook.sh", r#"sed 's/"a":"1",//; s/"labels":{"l":"x"},//'"#);
    let mut operator = restart(&scene, SHELL);
    until_child(&scene, "after a restart", json!({}), json!({"c": "3"})).await;
    operator.stop().await;
    // Edits of copies and whole manifests may take turns.
    scene.hook("hook.sh", STATES_ALL);
    manifest(&scene, "", "d: '4'");
    let _operator = restart(&scene, SHELL);
    until_child(&scene, "stated as a whole", json!({}), json!({"d": "4"})).await;
}
