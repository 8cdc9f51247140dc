//! The examples, from the files as they are in `examples/`.

use std::{fs, path::Path};

use helmfile_operator::object::Gvk;
use serde_json::{Value, json};

use crate::support::{
    control_plane::shared,
    operator::Operator,
    scene::{SOON, Scene, config_map, find},
    wait::wait_until,
};

/// An example at work: a copy of its folder, since some write files, and an operator that runs it.
struct Example {
    scene: Scene<'static>,
    operator: Operator,
}

impl Example {
    /// Starts it in the namespace that its objects are in.
    async fn start(name: &str) -> Self {
        let scene = stage(name).await;
        let operator = run(&scene, &["-n", "default"]);
        Self { scene, operator }.ready().await
    }

    /// Starts it in all namespaces.
    async fn start_everywhere(name: &str) -> Self {
        let scene = stage(name).await;
        let operator = run(&scene, &[]);
        Self { scene, operator }.ready().await
    }

    async fn ready(mut self) -> Self {
        self.operator.wait_for_log("watching").await;
        self
    }

    /// `kubectl apply -f` of one of its files, as its README says.
    async fn kubectl_apply(&self, file: &str) {
        let file = self.scene.folder().join(file);
        self.scene.plane.kubectl(&["apply", "-f", file.to_str().unwrap()]).await;
    }

    async fn kubectl(&self, args: &[&str]) -> String {
        self.scene.plane.kubectl(args).await
    }
}

async fn stage(name: &str) -> Scene<'static> {
    let mut scene = Scene::new(shared().await, &format!("example-{name}")).await;
    "default".clone_into(&mut scene.namespace);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
    for file in fs::read_dir(source).unwrap().map(|file| file.unwrap().path()).filter(|path| path.is_file()) {
        fs::copy(&file, scene.folder().join(file.file_name().unwrap())).unwrap();
    }
    scene
}

fn run(scene: &Scene<'_>, args: &[&str]) -> Operator {
    let config = scene.folder().join("config.yaml");
    Operator::start(scene.plane, &[&["run", "-f", config.to_str().unwrap()], args].concat(), &[])
}

#[tokio::test]
async fn hello_gets_a_config_map() {
    let example = Example::start("hello").await;
    example.kubectl_apply("hello.yaml").await;
    let scene = &example.scene;
    scene.until(&config_map(), "first", "made", |map| map["data"]["hello"] == "world").await;
    let hello = Gvk::new("example.com", "v1", "Hello");
    scene.until(&hello, "first", "told", |hello| hello["status"]["greeted"] == true).await;
    scene.delete(&hello, "first").await;
    scene.until(&config_map(), "first", "gone with it", Value::is_null).await;
}

#[tokio::test]
async fn app_is_a_deployment_and_a_service_and_says_how_far_they_are() {
    let example = Example::start("app").await;
    example.kubectl_apply("app.yaml").await;
    let scene = &example.scene;
    let (app, deployment) = (Gvk::new("example.com", "v1", "App"), Gvk::new("apps", "v1", "Deployment"));
    scene.until(&deployment, "web", "made", |found| found["spec"]["replicas"] == 2).await;
    scene
        .until(&Gvk::new("", "v1", "Service"), "web", "made", |found| found["spec"]["ports"][0]["port"] == 80)
        .await;
    let condition = scene.condition_of(&app, "web", "Ready", "False").await;
    assert_eq!(condition["message"], "0 of 2 replicas ready");
    scene.event("web", "Progressing").await;

    pods_become_ready(&example, 2).await;
    let condition = scene.condition_of(&app, "web", "Ready", "True").await;
    assert_eq!(condition["message"], "2 of 2 replicas ready");
    assert_eq!(scene.get(&app, "web").await["status"]["readyReplicas"], 2);
    scene.event("web", "Ready").await;
    let table = example.kubectl(&["get", "apps.example.com", "web", "-n", "default"]).await;
    let columns: Vec<&str> = table.lines().last().unwrap().split_whitespace().collect();
    assert_eq!(columns, ["web", "True", "2", "2", "of", "2", "replicas", "ready"], "{table}");

    // What an App does not decide is left to others; what it decides comes from its spec.
    example.kubectl(&["set", "resources", "deployment/web", "-n", "default", "--requests=cpu=10m"]).await;
    example.kubectl(&["scale", "apps.example.com/web", "-n", "default", "--replicas=1"]).await;
    let scaled = scene.until(&deployment, "web", "scaled", |found| found["spec"]["replicas"] == 1).await;
    let container = &scaled["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["resources"]["requests"]["cpu"], "10m");

    scene.delete(&app, "web").await;
    scene.until(&deployment, "web", "gone with it", Value::is_null).await;
}

/// Says what a kubelet would say of the pods of `web`: this control plane has no nodes.
async fn pods_become_ready(example: &Example, count: usize) {
    let list = ["get", "pods", "-n", "default", "-l", "app.kubernetes.io/name=web", "-o", "name"];
    let pods = wait_until("the pods", SOON, async || {
        let pods = example.kubectl(&list).await;
        if pods.lines().count() == count { Ok(pods) } else { Err(pods) }
    })
    .await;
    for pod in pods.lines() {
        set_status(
            example,
            pod,
            json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}),
        )
        .await;
    }
}

async fn set_status(example: &Example, pod: &str, status: Value) {
    let patch = json!({ "status": status }).to_string();
    let args = ["patch", pod, "-n", "default", "--subresource=status", "--type=merge", "-p", &patch];
    example.kubectl(&args).await;
}

#[tokio::test]
async fn pod_observer_tells_of_phases_and_of_the_end() {
    let mut example = Example::start("pod-observer").await;
    example.kubectl_apply("pod.yaml").await;
    example.operator.wait_for_log("default/observed is Pending").await;
    set_status(&example, "pod/observed", json!({"phase": "Running"})).await;
    example.operator.wait_for_log("default/observed is Running").await;
    example.kubectl(&["label", "pod/observed", "-n", "default", "of-no=interest"]).await;
    example.kubectl(&["delete", "pod/observed", "-n", "default", "--grace-period=0", "--force"]).await;
    example.operator.wait_for_log("default/observed is gone, it was Running").await;
    assert_eq!(
        example.operator.log().matches("default/observed is ").count(),
        3,
        "{}",
        example.operator.log()
    );
}

#[tokio::test]
async fn namespace_defaults_are_made_changed_and_removed() {
    let mut example = Example::start_everywhere("namespace-defaults").await;
    "team-blue".clone_into(&mut example.scene.namespace);
    example.kubectl_apply("namespace.yaml").await;
    let scene = &example.scene;
    let (quota, limits) = (Gvk::new("", "v1", "ResourceQuota"), Gvk::new("", "v1", "LimitRange"));
    let policy = Gvk::new("networking.k8s.io", "v1", "NetworkPolicy");
    let made = scene.until(&quota, "default", "made", Value::is_object).await;
    assert_eq!(made["spec"]["hard"], json!({"cpu": "4", "memory": "32Gi", "pods": "50"}));
    scene.until(&limits, "default", "made", Value::is_object).await;
    let made = scene.until(&policy, "default-deny", "made", Value::is_object).await;
    assert_eq!(made["spec"], json!({"podSelector": {}, "policyTypes": ["Ingress"]}));

    example.kubectl(&["annotate", "namespace", "team-blue", "quota.example.com/cpu=8"]).await;
    scene.until(&quota, "default", "changed", |quota| quota["spec"]["hard"]["cpu"] == "8").await;
    scene.delete(&policy, "default-deny").await;
    scene.until(&policy, "default-deny", "back", Value::is_object).await;

    example.kubectl(&["label", "namespace", "team-blue", "--overwrite", "example.com/defaults=off"]).await;
    for (kind, name) in [(&quota, "default"), (&limits, "default"), (&policy, "default-deny")] {
        scene.until(kind, name, "removed", Value::is_null).await;
    }
    scene.delete_in_cluster(&Gvk::new("", "v1", "Namespace"), "team-blue").await;
}

#[tokio::test]
async fn cleanup_deletes_what_is_old_enough() {
    let mut example = Example::start("cleanup").await;
    let scene = &example.scene;
    example.kubectl_apply("configmap.yaml").await;
    let aged = |name: &str, ttl: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"ttl": ttl}}});
    scene.apply(aged("at-once", "0s")).await;
    scene.until(&config_map(), "at-once", "deleted", Value::is_null).await;
    scene.apply(aged("never", "soon")).await;
    let event = scene.event("never", "HookFailed").await;
    assert!(event["note"].as_str().unwrap().contains("the label ttl is soon"), "{event}");
    assert!(example.operator.stop().await.success());

    scene.apply(aged("while-away", "0s")).await;
    let _operator = run(scene, &["-n", "default"]);
    scene.until(&config_map(), "while-away", "deleted", Value::is_null).await;
    assert!(scene.get(&config_map(), "short-lived").await.is_object());
    scene.delete(&config_map(), "short-lived").await;
    scene.delete(&config_map(), "never").await;
}

#[tokio::test]
async fn a_deployment_restarts_when_its_config_changes() {
    let example = Example::start("restart-on-config-change").await;
    example.kubectl_apply("deployment.yaml").await;
    let scene = &example.scene;
    let deployment = Gvk::new("apps", "v1", "Deployment");
    let sum = |found: &Value| {
        found["spec"]["template"]["metadata"]["annotations"]["checksum.example.com/configmap.site"].clone()
    };
    let first = sum(&scene.until(&deployment, "site", "marked", |found| sum(found).is_string()).await);
    scene.patch(&config_map(), "site", json!({"data": {"greeting": "bye"}})).await;
    let second = scene.until(&deployment, "site", "marked anew", |found| sum(found) != first).await;
    // What matters: there are new pods.
    let generation = &second["metadata"]["generation"];
    let rolled = |found: &Value| {
        found["status"]["observedGeneration"] == *generation && found["status"]["updatedReplicas"] == 1
    };
    scene.until(&deployment, "site", "rolled out", rolled).await;
    assert!(find(&second, "Progressing").is_object());
    scene.delete(&deployment, "site").await;
    scene.delete(&config_map(), "site").await;
}

#[tokio::test]
async fn a_dns_record_is_removed_before_its_object_goes() {
    let example = Example::start("dns-record").await;
    example.kubectl_apply("record.yaml").await;
    let scene = &example.scene;
    let record = Gvk::new("example.com", "v1", "Record");
    scene.until(&record, "www", "written", |found| found["status"]["address"] == "192.0.2.1").await;
    assert_eq!(scene.read("zone/www.default"), "192.0.2.1\n");
    scene.patch(&record, "www", json!({"spec": {"address": "192.0.2.2"}})).await;
    scene.until(&record, "www", "changed", |found| found["status"]["address"] == "192.0.2.2").await;
    scene.delete(&record, "www").await;
    scene.until(&record, "www", "gone", Value::is_null).await;
    assert!(!scene.folder().join("zone/www.default").exists());
}
