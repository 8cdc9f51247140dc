//! Delivered is not yet healthy: `wait` says which of both Ready means. There is no scheduler and no kubelet, so what these
//! would say of pods is written by the tests.

use std::time::{Duration, Instant};

use helmfile_operator::object::Gvk;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::support::{
    control_plane::shared,
    helmfiles::{Deliveries, helmfile},
    scene::{SOON, Scene, config_map, find},
    wait::wait_until,
};

const DEPLOYMENT: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: example.com/c}]}
";
const WEB: [(&str, &str); 3] = [
    ("helmfile.yaml", "releases: [{name: web, chart: ./chart}]\n"),
    ("chart/Chart.yaml", "{apiVersion: v2, name: chart, version: 1.0.0}\n"),
    ("chart/templates/web.yaml", DEPLOYMENT),
];
const THING: &str = "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gauges.gate.example.com}
spec:
  group: gate.example.com
  scope: Namespaced
  names: {plural: gauges, singular: gauge, kind: Gauge, listKind: GaugeList}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
";

/// Says of all pods of the Deployment what a kubelet would say.
async fn set_pods(scene: &Scene<'_>, ready: bool) {
    let pods: Api<Pod> = Api::namespaced(scene.plane.client().await, &scene.namespace);
    let status = if ready { "True" } else { "False" };
    let names = wait_until("pods", SOON, async || {
        let list =
            pods.list(&ListParams::default().labels("app=web")).await.map_err(|error| error.to_string())?;
        let names: Vec<String> = list.items.into_iter().filter_map(|pod| pod.metadata.name).collect();
        if names.is_empty() { Err("no pod".to_owned()) } else { Ok(names) }
    })
    .await;
    let patch = json!({"status": {"phase": "Running", "conditions": [
        {"type": "Ready", "status": status, "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
    for name in names {
        pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }
}

fn assert_applied(object: &Value) {
    assert_eq!(find(object, "Applied")["status"], "True", "{:#}", object["status"]);
}

#[tokio::test]
async fn what_is_not_healthy_is_waited_for_by_name_and_blocks_no_commit() {
    let stage = Deliveries::new(shared().await, "waits", &WEB).await;
    let _operator = stage.start(&[]).await;
    stage.apply("h", json!({"source": stage.source(""), "interval": "1s", "refreshInterval": "3s"})).await;
    let named = format!("waiting for Deployment `{}/web`", stage.scene.namespace);
    let object = stage.ready("h", "Unknown", &named).await;
    assert_eq!(find(&object, "Ready")["reason"], "WaitingForHealth");
    assert_eq!(find(&object, "Reconciling")["status"], "True");
    assert_applied(&object);

    let commit = stage.repository.commit(&[(
        "chart/templates/map.yaml",
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: beside}}\n",
    )]);
    stage.scene.until(&config_map(), "beside", "delivered meanwhile", Value::is_object).await;
    let object = stage.ready("h", "Unknown", &named).await;
    assert_applied(&object);
    assert!(object["status"]["lastAppliedRevision"].as_str().unwrap().ends_with(&commit), "{object:#}");

    set_pods(&stage.scene, true).await;
    let since = Instant::now();
    let object = stage.ready("h", "True", "applied").await;
    assert!(since.elapsed() < Duration::from_secs(15), "{:?}", since.elapsed());
    assert_applied(&object);
    assert_eq!(*find(&object, "Reconciling"), Value::Null);

    // Later, when nothing is delivered.
    set_pods(&stage.scene, false).await;
    let object = stage.ready("h", "Unknown", &named).await;
    assert_applied(&object);
    set_pods(&stage.scene, true).await;
    stage.ready("h", "True", "applied").await;
    let history = &object["status"]["history"];
    assert_eq!(history.as_array().unwrap().len(), 2, "looks are no deliveries: {history:#}");
}

#[tokio::test]
async fn what_does_not_get_healthy_in_time_has_failed_and_may_still_recover() {
    let stage = Deliveries::new(shared().await, "too-late", &WEB).await;
    let _operator = stage.start(&[]).await;
    let spec =
        json!({"source": stage.source(""), "interval": "1s", "refreshInterval": "3s", "timeout": "6s"});
    stage.apply("h", spec.clone()).await;
    stage.ready("h", "Unknown", "waiting for Deployment").await;
    let named = format!("not healthy after 6s: waiting for Deployment `{}/web`", stage.scene.namespace);
    let object = stage.ready("h", "False", &named).await;
    assert_eq!(find(&object, "Ready")["reason"], "HealthCheckFailed");
    assert_applied(&object);
    let event = stage.scene.event("h", "HealthCheckFailed").await;
    assert_eq!(event["type"], "Warning", "{event:#}");

    set_pods(&stage.scene, true).await;
    assert_applied(&stage.ready("h", "True", "applied").await);
    let revision =
        stage.scene.get(&helmfile(), "h").await["status"]["inventory"]["releases"][0]["revision"].clone();
    assert_eq!(revision, 1, "nothing was upgraded for it");
}

#[tokio::test]
async fn without_wait_delivered_is_ready() {
    let stage = Deliveries::new(shared().await, "no-wait", &WEB).await;
    let _operator = stage.start(&[]).await;
    stage.apply("h", json!({"source": stage.source(""), "interval": "1s", "wait": false})).await;
    let object = stage.ready("h", "True", "applied").await;
    assert_applied(&object);
    let web = stage.scene.get(&Gvk::new("apps", "v1", "Deployment"), "web").await;
    assert!(web["status"]["readyReplicas"].is_null(), "{web:#}");
    // Switched on, it looks.
    stage.apply("h", json!({"source": stage.source(""), "interval": "1s", "wait": true})).await;
    assert_applied(&stage.ready("h", "Unknown", "waiting for Deployment").await);
    stage.apply("h", json!({"source": stage.source(""), "interval": "1s", "wait": false})).await;
    stage.ready("h", "True", "applied").await;
}

#[tokio::test]
async fn a_custom_resource_says_itself_how_it_is() {
    let stage = Deliveries::new(
        shared().await,
        "custom",
        &[
            ("helmfile.yaml", "releases: [{name: gauge, chart: ./chart}]\n"),
            WEB[1],
            ("chart/crds/gauge.yaml", THING),
            (
                "chart/templates/gauge.yaml",
                "{apiVersion: gate.example.com/v1, kind: Gauge, metadata: {name: it}}\n",
            ),
        ],
    )
    .await;
    let _operator = stage.start(&[]).await;
    let gauge = Gvk::new("gate.example.com", "v1", "Gauge");
    let say = async |kind: &str, status: &str, message: &str| {
        let condition = json!({"type": kind, "status": status, "reason": "Because", "message": message});
        stage.scene.patch(&gauge, "it", json!({"status": {"conditions": [condition]}})).await;
    };
    stage.apply("h", json!({"source": stage.source(""), "interval": "1s", "refreshInterval": "3s"})).await;
    stage.ready("h", "True", "applied").await;
    let name = format!("Gauge `{}/it`", stage.scene.namespace);
    say("Ready", "False", "the needle is stuck").await;
    let object = stage.ready("h", "Unknown", "the needle is stuck").await;
    assert!(find(&object, "Ready")["message"].as_str().unwrap().contains(&name), "{object:#}");
    assert_applied(&object);
    say("Stalled", "True", "the needle is broken").await;
    let object = stage.ready("h", "False", &format!("{name} has failed: ")).await;
    assert_eq!(find(&object, "Ready")["reason"], "HealthCheckFailed");
    assert_applied(&object);
    say("Ready", "True", "").await;
    stage.ready("h", "True", "applied").await;
}
