//! What an operator holds: with nothing to do, and per object that it keeps a copy of.

use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, api::PostParams};
use serde_json::{Value, json};

use crate::{
    report::Report,
    support::{control_plane::ControlPlane, operator::Operator, scene::Scene},
    usage,
};

/// Resident memory of `run` with the default config, after it has nothing more to do.
pub(crate) async fn idle(plane: &ControlPlane, report: &mut Report) {
    let mut operator = Operator::start(plane, &["run"], &[]);
    operator.wait_for_log("watching").await;
    let mut samples = Vec::new();
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        samples.push(usage::resident_mib(operator.pid().await));
    }
    operator.stop().await;
    report.percentile("operator_idle_mib", "MiB", 50, &samples);
}

/// Objects of each measurement.
const OBJECTS: usize = 10_000;
/// Objects that are made at once.
const MAKERS: usize = 16;

/// `ConfigMaps` that are watched as dependents of nobody, so that no handler runs for them.
const FULL: &str = "
- group: test.example.com
  version: v1
  kind: Hello
  dependents: [{version: v1, kind: ConfigMap}]
  reconciler: {template: {inline: ''}}
";
/// The same `ConfigMaps`, watched without their bodies because a reply asked for that.
const METADATA: &str = "
- group: test.example.com
  version: v1
  kind: Hello
  reconciler:
    template:
      inline: |
        watches: [{apiVersion: v1, kind: ConfigMap, labelSelector: 'app.kubernetes.io/part-of=bench'}]
";

/// What 10,000 objects add to the resident memory: all of them, and only their metadata.
pub(crate) async fn per_object(plane: &ControlPlane, report: &mut Report) {
    let (empty, filled) = (Scene::new(plane, "empty").await, Scene::new(plane, "filled").await);
    fill(&filled).await;
    for (name, entry) in [("full", FULL), ("metadata", METADATA)] {
        let (without, with) = (resident(&empty, entry).await, resident(&filled, entry).await);
        println!("{name}: {without:.1} MiB without objects, {with:.1} MiB with {OBJECTS}");
        assert!(with - without > 1.0, "the objects were not watched");
        report.value(format!("mib_per_10000_objects_{name}"), "MiB", with - without);
    }
}

/// Resident memory of an operator once it has come to rest, in MiB.
async fn resident(scene: &Scene<'_>, entry: &str) -> f64 {
    scene.register_hello().await;
    scene
        .apply(json!({"apiVersion": "test.example.com/v1", "kind": "Hello", "metadata": {"name": "h"}}))
        .await;
    let mut operator = scene.start(entry);
    operator.wait_for_log("watching").await;
    let pid = operator.pid().await;
    usage::at_rest(pid).await;
    let resident = usage::resident_mib(pid);
    operator.stop().await;
    resident
}

async fn fill(scene: &Scene<'_>) {
    let api: Api<ConfigMap> = Api::namespaced(scene.plane.client().await, &scene.namespace);
    futures::stream::iter(0..OBJECTS)
        .for_each_concurrent(MAKERS, async |number| {
            let object = serde_json::from_value(object(number)).unwrap();
            api.create(&PostParams::default(), &object).await.unwrap();
        })
        .await;
}

/// A `ConfigMap` of the size that they have in clusters: 2 KiB in a dozen settings, usual labels and annotations.
fn object(number: usize) -> Value {
    let settings = (0..12)
        .map(|key| (format!("SETTING_{key}"), format!("{number}-{key}-{}", "value".repeat(30)).into()));
    json!({
        "metadata": {
            "name": format!("settings-of-service-{number}"),
            "labels": {"app.kubernetes.io/name": format!("service-{number}"), "app.kubernetes.io/part-of": "bench",
                       "app.kubernetes.io/managed-by": "Helm", "helm.sh/chart": "service-1.2.3"},
            "annotations": {"meta.helm.sh/release-name": format!("service-{number}"), "meta.helm.sh/release-namespace": "bench"},
        },
        "data": settings.collect::<serde_json::Map<String, Value>>(),
    })
}
