//! Whether objects are healthy, on a real API server with real controllers. There is no scheduler and no kubelet, so what
//! these would say of pods is written by the tests.

use std::path::PathBuf;

use helmfile_operator::{
    cluster::{
        client::{Target, connect},
        discovery::Discovery,
    },
    helmfile::health::{Report, look},
    object::{Gvk, ObjectRef},
};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{
    install::as_account,
    support::{
        control_plane::shared,
        kubelet::Kubelet,
        scene::{Scene, find},
    },
};

/// An object of this namespace, as the caller names it: also those that live in none.
fn reference(scene: &Scene<'_>, api_version: &str, kind: &str, name: &str) -> ObjectRef {
    scene.key(name).of_kind(&Gvk::from_api_version(api_version, kind))
}

async fn as_admin(scene: &Scene<'_>, objects: &[ObjectRef]) -> Report {
    look(&Discovery::new(scene.plane.client().await), objects).await
}

/// A new service account that may do this, as a kubeconfig.
async fn account(scene: &Scene<'_>, verbs: &str, resources: &str) -> PathBuf {
    let (plane, namespace) = (scene.plane, scene.namespace.as_str());
    let (verbs, resources) = (format!("--verb={verbs}"), format!("--resource={resources}"));
    let subject = format!("--serviceaccount={namespace}:looker");
    plane.kubectl(&["create", "serviceaccount", "looker", "-n", namespace]).await;
    plane.kubectl(&["create", "role", "looker", &verbs, &resources, "-n", namespace]).await;
    plane.kubectl(&["create", "rolebinding", "looker", "--role=looker", &subject, "-n", namespace]).await;
    as_account(plane, namespace, "looker").await.into()
}

async fn as_somebody(kubeconfig: PathBuf, objects: &[ObjectRef]) -> Report {
    let connection = connect(&Target { kubeconfig: Some(kubeconfig), context: None }).await.unwrap();
    look(&Discovery::new(connection.client), objects).await
}

fn deployments() -> Gvk {
    Gvk::new("apps", "v1", "Deployment")
}

/// A Deployment whose pods are on a node as soon as they are there.
fn deployment(name: &str, replicas: u32, node: Option<&str>) -> Value {
    let labels = json!({"app": name});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels},
            "spec": {"nodeName": node, "containers": [{"name": "app", "image": "example.com/app:1"}]},
        }},
    })
}

/// Waits until a Deployment's controller has made its pods, and gives their names in order.
async fn pods(scene: &Scene<'_>, name: &str, replicas: usize) -> Vec<String> {
    let made = |object: &Value| {
        object["status"]["replicas"] == replicas
            && object["status"]["observedGeneration"] == object["metadata"]["generation"]
    };
    scene.until(&deployments(), name, "its pods to be made", made).await;
    let pods: Api<Pod> = Api::namespaced(scene.plane.client().await, &scene.namespace);
    let list = pods.list(&ListParams::default().labels(&format!("app={name}"))).await.unwrap();
    let mut names: Vec<String> = list.items.into_iter().map(|pod| pod.metadata.name.unwrap()).collect();
    names.sort();
    assert_eq!(names.len(), replicas);
    names
}

/// Says what a kubelet would say of a pod.
async fn set_status(scene: &Scene<'_>, pod: &str, status: Value) {
    let pods: Api<Pod> = Api::namespaced(scene.plane.client().await, &scene.namespace);
    let patch = Patch::Merge(json!({ "status": status }));
    pods.patch_status(pod, &PatchParams::default(), &patch).await.unwrap();
}

fn container(state: &Value, last: &Value) -> Value {
    json!([{"name": "app", "image": "example.com/app:1", "imageID": "", "ready": false, "restartCount": 3,
            "state": state, "lastState": last}])
}

fn crash_loop() -> Value {
    let state = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}});
    let last = json!({"terminated": {"exitCode": 1, "reason": "Error"}});
    json!({"phase": "Running", "containerStatuses": container(&state, &last)})
}

fn ready() -> Value {
    json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]})
}

#[tokio::test]
async fn a_deployment_is_waited_for_until_all_its_pods_are_ready() {
    let scene = Scene::new(shared().await, "health-rollout").await;
    scene.apply(deployment("web", 3, None)).await;
    let web = [reference(&scene, "apps/v1", "Deployment", "web")];
    let pods = pods(&scene, "web", 3).await;
    let counted = |number: usize| {
        let said =
            format!("waiting for Deployment `{}/web`: {number} of 3 replicas are ready", scene.namespace);
        (number < 3).then_some(said)
    };
    for (number, pod) in std::iter::once(None).chain(pods.iter().map(Some)).enumerate() {
        if let Some(pod) = pod {
            set_status(&scene, pod, ready()).await;
        }
        let is_told =
            |object: &Value| object["status"]["readyReplicas"].as_u64().unwrap_or(0) == number as u64;
        scene.until(&deployments(), "web", "to be told of its pods", is_told).await;
        let report = as_admin(&scene, &web).await;
        assert_eq!((report.sentence(), report.looked), (counted(number), 1), "{report:?}");
        assert!(report.failed.is_empty() && report.unseen.is_empty(), "{report:?}");
    }
    scene
        .patch(&deployments(), "web", json!({"spec": {"template": {"metadata": {"labels": {"v": "2"}}}}}))
        .await;
    assert!(
        !as_admin(&scene, &web).await.is_healthy(),
        "the new generation is not rolled out, and may be unseen"
    );
}

#[tokio::test]
async fn the_cause_of_trouble_is_named_and_the_end_of_the_log_is_given_apart() {
    let scene = Scene::new(shared().await, "health-cause").await;
    let kubelet = Kubelet::start(scene.plane.client().await, &scene.namespace).await;
    scene.apply(deployment("calm", 1, None)).await;
    scene.apply(deployment("web", 2, Some(&kubelet.node))).await;
    let all = ["calm", "web"].map(|name| reference(&scene, "apps/v1", "Deployment", name));
    let pods = pods(&scene, "web", 2).await;
    let (namespace, crashed) = (&scene.namespace, &pods[1]);
    let pull = json!({"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}});
    set_status(
        &scene,
        &pods[0],
        json!({"phase": "Pending", "containerStatuses": container(&pull, &Value::Null)}),
    )
    .await;
    let cause = |report: &Report| report.waiting[1].cause.clone().unwrap_or_default();
    let report = as_admin(&scene, &all).await;
    let said = format!("container `app` of pod `{}` is in ImagePullBackOff: Back-off pulling image", pods[0]);
    assert_eq!((cause(&report), &report.waiting[1].log), (said, &None));

    set_status(&scene, crashed, crash_loop()).await;
    kubelet.log(&format!("{namespace}/{crashed}/app"), "1\n2\n3\n4\npassword=hunter2\npanic: no database\n");
    let report = as_admin(&scene, &all).await;
    assert_eq!(report.waiting[0].cause, None, "nobody has said anything of its pod");
    assert_eq!(
        report.sentence().unwrap(),
        format!(
            "waiting for Deployment `{namespace}/web`: 0 of 2 replicas are ready \
             (container `app` of pod `{crashed}` is in CrashLoopBackOff: exit 1), and 1 more object"
        )
    );
    assert_eq!(report.waiting[1].log.as_deref(), Some("2\n3\n4\npassword=hunter2\npanic: no database"));
    assert!(!format!("{report:?}").contains("hunter2"));
    let asked = kubelet.asked();
    assert!(
        asked.len() == 1 && asked[0].contains("previous=true") && asked[0].contains("tailLines=5"),
        "{asked:?}"
    );

    // Who may not read logs is told the cause all the same.
    let somebody = account(&scene, "get,list", "deployments.apps,pods").await;
    let report = as_somebody(somebody, &all).await;
    assert_eq!(report.waiting[1].log, None);
    assert!(cause(&report).ends_with("is in CrashLoopBackOff: exit 1"), "{report:?}");
    kubelet.remove().await;
}

#[tokio::test]
async fn the_cause_is_sought_for_three_objects_and_first_for_those_that_have_failed() {
    let scene = Scene::new(shared().await, "health-quota").await;
    scene.apply(json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}))
        .await;
    let counts = |quota: &Value| quota["status"]["hard"]["pods"] == "0";
    scene.until(&Gvk::new("", "v1", "ResourceQuota"), "none", "to be enforced", counts).await;
    let names = ["a", "b", "c", "d"];
    for name in names {
        let mut object = deployment(name, 1, None);
        if name == "d" {
            object["spec"]["progressDeadlineSeconds"] = 1.into();
        }
        scene.apply(object).await;
    }
    for name in names {
        let refused = |object: &Value| {
            let is_late = object.to_string().contains("ProgressDeadlineExceeded");
            find(object, "ReplicaFailure")["status"] == "True" && is_late == (name == "d")
        };
        scene.until(&deployments(), name, "refused", refused).await;
    }
    let objects = names.map(|name| reference(&scene, "apps/v1", "Deployment", name));
    let report = as_admin(&scene, &objects).await;
    let with_cause = report.failed.iter().chain(&report.waiting);
    let with_cause = with_cause.map(|finding| (finding.object.name.as_str(), finding.cause.is_some()));
    assert_eq!(with_cause.collect::<Vec<_>>(), [("d", true), ("a", true), ("b", true), ("c", false)]);
    let cause = report.waiting[0].cause.clone().unwrap_or_default();
    assert!(cause.starts_with("its pods cannot be made: FailedCreate: pods \"a-"), "{cause}");
    assert!(cause.contains("exceeded quota: none"), "{cause}");
    assert_eq!(report.failed[0].what, "it has made no progress for 1 s");
}

#[tokio::test]
async fn a_failed_job_has_failed_and_its_pod_says_why() {
    let scene = Scene::new(shared().await, "health-job").await;
    let jobs = Gvk::new("batch", "v1", "Job");
    scene.apply(json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "migrate"}, "spec": {
        "backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "app", "image": "example.com/app:1"}]}}}}))
        .await;
    let job = [reference(&scene, "batch/v1", "Job", "migrate")];
    scene.until(&jobs, "migrate", "started", |job| job["status"]["active"] == 1).await;
    assert_eq!(as_admin(&scene, &job).await.sentence(), None, "a Job that runs is what it should be");
    let pods: Api<Pod> = Api::namespaced(scene.plane.client().await, &scene.namespace);
    let pod = pods.list(&ListParams::default()).await.unwrap().items.remove(0).metadata.name.unwrap();
    let state =
        json!({"terminated": {"exitCode": 3, "reason": "Error", "finishedAt": "2026-01-01T00:00:00Z"}});
    set_status(
        &scene,
        &pod,
        json!({"phase": "Failed", "containerStatuses": container(&state, &Value::Null)}),
    )
    .await;
    scene.until(&jobs, "migrate", "failed", |job| find(job, "Failed")["status"] == "True").await;
    let report = as_admin(&scene, &job).await;
    assert_eq!(
        report.sentence().unwrap(),
        format!(
            "Job `{}/migrate` has failed: BackoffLimitExceeded: Job has reached the specified backoff limit \
             (container `app` of pod `{pod}` ended: exit 3)",
            scene.namespace
        )
    );
    scene.delete(&jobs, "migrate").await;
    scene.until(&jobs, "migrate", "gone", Value::is_null).await;
    let report = as_admin(&scene, &job).await;
    assert!(report.is_healthy() && report.unseen.len() == 1, "{report:?}");
}

#[tokio::test]
async fn what_may_not_be_read_is_unseen_and_what_needs_no_look_is_not_asked_for() {
    let scene = Scene::new(shared().await, "health-rights").await;
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}});
    scene.apply(service).await;
    scene.apply(deployment("web", 1, None)).await;
    let objects = [
        reference(&scene, "v1", "Service", "web"),
        // It is not there, and nobody asks.
        reference(&scene, "v1", "Secret", "none"),
        reference(&scene, "rbac.authorization.k8s.io/v1", "Role", "none"),
        reference(&scene, "apps/v1", "Deployment", "web"),
    ];
    let somebody = account(&scene, "get", "services").await;
    let report = as_somebody(somebody, &objects).await;
    assert!(report.is_healthy() && report.looked == 2, "{report:?}");
    let said = report.unseen_sentence().unwrap();
    let start = format!(
        "1 object was not looked at, first Deployment `{}/web`: deployments.apps \"web\" is forbidden: ",
        scene.namespace
    );
    assert!(said.starts_with(&start), "{said}");
}

#[tokio::test]
async fn all_sorts_of_objects_are_told_in_the_order_in_which_they_were_given() {
    let scene = Scene::new(shared().await, "health-order").await;
    scene.register_hello().await;
    let held = json!({"apiVersion": "test.example.com/v1", "kind": "Hello", "spec": {},
        "metadata": {"name": "held", "finalizers": ["example.com/held"]}});
    scene.apply(held).await;
    let hellos = Gvk::new("test.example.com", "v1", "Hello");
    scene.delete(&hellos, "held").await;
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    scene.apply(claim).await;
    let claims = Gvk::new("", "v1", "PersistentVolumeClaim");
    scene.until(&claims, "data", "seen", |claim| claim["status"]["phase"] == "Pending").await;
    let crd = "apiextensions.k8s.io/v1";
    let mut objects = vec![
        reference(&scene, "test.example.com/v1", "Hello", "held"),
        reference(&scene, "v1", "PersistentVolumeClaim", "data"),
        reference(&scene, "apps/v1", "StatefulSet", "gone"),
        reference(&scene, "example.com/v1", "Nothing", "odd"),
        reference(&scene, crd, "CustomResourceDefinition", "nothings.example.com"),
        // Both are current, and live in no namespace.
        reference(&scene, crd, "CustomResourceDefinition", "hellos.test.example.com"),
        reference(&scene, "v1", "Namespace", &scene.namespace),
    ];
    let namespace = &scene.namespace;
    let expected = |objects: &[ObjectRef]| -> Vec<String> {
        let said = [
            format!("Hello `{namespace}/held`: it is being deleted"),
            format!("PersistentVolumeClaim `{namespace}/data`: it is not bound but `Pending`"),
            format!("StatefulSet `{namespace}/gone`: it does not exist"),
            format!(
                "Nothing `{namespace}/odd`: the API server does not serve example.com/v1 Nothing; \
                 is its CustomResourceDefinition installed?"
            ),
            "CustomResourceDefinition `nothings.example.com`: it does not exist".to_owned(),
        ];
        let of = |object: &ObjectRef| {
            said.iter().find(|line| line.contains(&object.name) && line.starts_with(&object.gvk.kind))
        };
        objects.iter().filter_map(of).cloned().collect()
    };
    for _ in 0..objects.len() {
        let report = as_admin(&scene, &objects).await;
        let told: Vec<String> = report.waiting.iter().map(ToString::to_string).collect();
        assert_eq!(told, expected(&objects));
        assert_eq!((report.looked, report.failed.len(), report.unseen.len(), told.len()), (7, 0, 0, 5));
        objects.rotate_left(3);
    }
    scene.patch(&hellos, "held", json!({"metadata": {"finalizers": null}})).await;
}
