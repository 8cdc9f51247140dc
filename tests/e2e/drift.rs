//! What somebody else changes behind a release's back is seen within seconds, and said.

use helmfile_operator::object::Gvk;
use serde_json::{Value, json};

use crate::support::{
    control_plane::shared,
    helmfiles::{Deliveries, ONE_RELEASE, helmfile},
    operator::Operator,
    scene::{config_map, find},
};

const DEPLOYMENT: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: app, image: \"example.com/app:1\", env: [{name: A, value: a}], resources: {requests: {cpu: 0.5, memory: 1024Mi}}}
---
apiVersion: v1
kind: Secret
metadata: {name: login}
stringData: {password: s3cr3t-of-the-chart}
---
apiVersion: test.example.com/v1
kind: Hello
metadata: {name: custom}
spec: {text: hi}
";

fn deployment() -> Gvk {
    Gvk::new("apps", "v1", "Deployment")
}

fn hello() -> Gvk {
    Gvk::new("test.example.com", "v1", "Hello")
}

fn drifted(object: &Value) -> Value {
    find(object, "Drifted").clone()
}

/// A delivered Helmfile `h` with a ConfigMap, a Deployment, a Secret and a custom resource, and nothing drifted.
async fn delivered(name: &str, drift: Value) -> (Deliveries<'static>, Operator) {
    let stage = Deliveries::new(shared().await, name, &ONE_RELEASE).await;
    stage.scene.register_hello().await;
    stage.repository.commit(&[("chart/templates/more.yaml", DEPLOYMENT)]);
    let operator = stage.start(&[]).await;
    let spec = json!({"source": stage.source(""), "interval": "1h", "refreshInterval": "24h", "wait": false, "drift": drift});
    stage.apply("h", spec).await;
    stage.ready("h", "True", "1 release").await;
    (stage, operator)
}

/// Waits for a Drifted condition.
async fn until(stage: &Deliveries<'_>, status: &str, words: &str) -> Value {
    let what = format!("Drifted={status} with `{words}`");
    let is = |object: &Value| {
        let drifted = drifted(object);
        drifted["status"] == status && drifted["message"].as_str().unwrap_or_default().contains(words)
    };
    stage.scene.until(&helmfile(), "h", &what, is).await
}

#[tokio::test]
async fn edits_of_all_kinds_are_seen_and_named_and_so_is_their_end() {
    let (stage, _operator) = delivered("drift", json!({})).await;
    let ns = stage.scene.namespace.clone();
    let object = until(&stage, "False", "all objects are as their releases say").await;
    assert_eq!(find(&object, "Ready")["status"], "True");
    assert!(object["status"]["drift"].is_null());
    let kubectl = async |args: &[&str]| stage.scene.plane.kubectl(&[&["-n", &ns], args].concat()).await;

    kubectl(&["set", "image", "deployment/web", "app=example.com/app:evil"]).await;
    let object = until(&stage, "True", "1 object is not as its release says").await;
    let one = &object["status"]["drift"]["objects"][0];
    assert_eq!(one["object"], format!("Deployment.apps {ns}/web"));
    assert_eq!(one["release"], format!("{ns}/one"));
    assert_eq!(one["fields"], json!(["/spec/template/spec/containers/0/image"]));
    assert_eq!(one["writers"], json!(["kubectl-set"]));
    assert!(one["since"].is_string());
    assert_eq!(find(&object, "Ready")["status"], "True", "what was delivered is delivered");
    let event = stage.scene.event("h", "DriftDetected").await;
    assert!(event["note"].as_str().unwrap().contains("kubectl-set"), "{event}");

    stage.scene.patch(&hello(), "custom", json!({"spec": {"text": "changed"}})).await;
    until(&stage, "True", "Hello.test.example.com").await;
    stage.scene.patch(&config_map(), "one", json!({"data": {"a": "changed"}})).await;
    let object = until(&stage, "True", "3 objects").await;
    let mine = object["status"]["drift"]["objects"].as_array().unwrap().iter();
    let found = mine.clone().find(|one| one["object"] == format!("ConfigMap {ns}/one")).unwrap();
    assert_eq!(found["fields"], json!(["/data/a"]));
    kubectl(&["patch", "secret", "login", "-p", "{\"stringData\":{\"password\":\"s3cr3t-of-somebody\"}}"])
        .await;
    let object = until(&stage, "True", "4 objects").await;
    assert!(
        !object.to_string().contains("s3cr3t") && object.to_string().contains("/data/password"),
        "{object}"
    );

    stage.scene.delete(&config_map(), "one").await;
    let object = until(&stage, "True", &format!("ConfigMap {ns}/one (gone)")).await;
    assert_eq!(object["status"]["drift"]["count"], 4);

    // All of it as it was.
    kubectl(&["set", "image", "deployment/web", "app=example.com/app:1"]).await;
    stage.scene.patch(&hello(), "custom", json!({"spec": {"text": "hi"}})).await;
    kubectl(&["patch", "secret", "login", "-p", "{\"stringData\":{\"password\":\"s3cr3t-of-the-chart\"}}"])
        .await;
    until(&stage, "True", "1 object").await;
    stage
        .scene
        .apply(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": {"a": "1"}}),
        )
        .await;
    let object = until(&stage, "True", "/metadata").await;
    let fields = object["status"]["drift"]["objects"][0]["fields"].to_string();
    assert!(fields.contains("/metadata/labels"), "it is not Helm's any more: {fields}");
}

#[tokio::test]
async fn what_others_add_and_what_controllers_keep_is_no_drift() {
    let ignore = json!([{"kind": "ConfigMap", "name": "one", "paths": ["/data/a"]}, {"kind": "Hello.test.example.com"}]);
    let (stage, _operator) = delivered("no-drift", json!({"ignore": ignore})).await;
    let ns = stage.scene.namespace.clone();
    until(&stage, "False", "all objects").await;
    let kubectl = async |args: &[&str]| stage.scene.plane.kubectl(&[&["-n", &ns], args].concat()).await;
    // An autoscaler's write, additions, what the rules leave out, and what an annotation does.
    let scale = "{\"spec\":{\"replicas\":5}}";
    kubectl(&[
        "patch",
        "deployment",
        "web",
        "--subresource=scale",
        "--type=merge",
        "--field-manager=keda",
        "-p",
        scale,
    ])
    .await;
    let sidecar =
        "{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"side\",\"image\":\"x\"}]}}}}";
    kubectl(&["patch", "deployment", "web", "-p", sidecar]).await;
    stage.scene.patch(&config_map(), "one", json!({"data": {"a": "changed", "more": "x"}})).await;
    stage.scene.patch(&hello(), "custom", json!({"spec": {"text": "changed"}})).await;
    let opt_out =
        json!({"metadata": {"annotations": {"apps.mumoshu.github.io/drift-detection": "disabled"}}});
    stage.scene.patch(&Gvk::new("", "v1", "Secret"), "login", opt_out).await;
    kubectl(&["patch", "secret", "login", "-p", "{\"stringData\":{\"password\":\"other\"}}"]).await;
    // What is drift comes last, and is all there is.
    kubectl(&["scale", "deployment", "web", "--replicas=1"]).await;
    let object = until(&stage, "True", "1 object").await;
    let all = &object["status"]["drift"]["objects"];
    assert_eq!(
        (&all[0]["fields"], &all[0]["writers"]),
        (&json!(["/spec/replicas"]), &json!(["kubectl"])),
        "{all}"
    );
    assert_eq!(all.as_array().unwrap().len(), 1);
    // Nobody looks any more.
    let spec = json!({"source": stage.source(""), "interval": "1h", "wait": false, "drift": {"mode": "off"}});
    stage.apply("h", spec).await;
    stage
        .scene
        .until(&helmfile(), "h", "not said any more", |object| {
            drifted(object).is_null() && object["status"]["drift"].is_null()
        })
        .await;
    assert_eq!(stage.scene.get(&deployment(), "web").await["spec"]["replicas"], 1);
}
