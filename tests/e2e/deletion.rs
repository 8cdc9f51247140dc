//! The end of a Helmfile: whatever is deleted and however, its applier has the time it needs, and nothing is stuck. The
//! applier is played by the tests: there are no nodes.

use helmfile_operator::{
    helmfile::api::names::{READY, annotation::GIVE_UP},
    object::{self, Gvk},
};
use kube::api::{DeleteParams, Patch, PatchParams, PropagationPolicy};
use serde_json::{Value, json};

use crate::support::{
    control_plane::{ControlPlane, shared},
    helmfiles::{Deliveries, ONE_RELEASE, helmfile},
    operator::Operator,
    scene::{SOON, Scene, config_map, find},
    wait::wait_until,
};

const FINALIZER: &str = "helmfile-controller.apps.mumoshu.github.io";

/// A namespace with the operator in its default mode.
struct Stage {
    scene: Scene<'static>,
    operator: Operator,
}

impl Stage {
    async fn new(name: &str) -> Self {
        let plane = shared().await;
        let scene = Scene::new(plane, name).await;
        let operator = default_mode(plane, &scene.namespace).await;
        Self { scene, operator }
    }

    /// A Helmfile with its applier, as far as there can be one.
    async fn with_applier(&self, name: &str, spec: Value) -> Value {
        apply(&self.scene, name, spec).await;
        self.applier(name).await
    }

    async fn applier(&self, name: &str) -> Value {
        let name = format!("{name}-applier");
        self.scene.until(&deployments(), &name, "rendered", Value::is_object).await
    }

    async fn is_gone(&self, name: &str) {
        self.scene.until(&helmfile(), name, "gone", Value::is_null).await;
        let applier = format!("{name}-applier");
        self.scene.until(&deployments(), &applier, "gone as well", Value::is_null).await;
    }

    async fn delete(&self, name: &str, policy: PropagationPolicy) {
        let params = DeleteParams { propagation_policy: Some(policy), ..DeleteParams::default() };
        self.scene.api(&helmfile()).await.delete(name, &params).await.unwrap();
    }

    /// Edits the spec, and waits until the applier is the same as before but for what was edited: by then whatever was
    /// there to be seen before has been acted upon.
    async fn edit_and_follow(&self, name: &str, applier: &Value, account: &str) {
        self.scene.patch(&helmfile(), name, json!({"spec": {"serviceAccountName": account}})).await;
        let follows = |found: &Value| found["spec"]["template"]["spec"]["serviceAccountName"] == account;
        let found =
            self.scene.until(&deployments(), &format!("{name}-applier"), "rendered anew", follows).await;
        assert_eq!(object::uid(&found), object::uid(applier), "it was never away");
        let held = self.scene.get(&helmfile(), name).await;
        assert!(object::is_terminating(&held) && finalizers(&held).contains(&FINALIZER), "{held:#}");
    }
}

async fn default_mode(plane: &ControlPlane, namespace: &str) -> Operator {
    let mut operator =
        Operator::start(plane, &["run", "-n", namespace, "--set", "image=example.com/operator:1"], &[]);
    operator.wait_for_log("watching").await;
    operator
}

async fn apply(scene: &Scene<'_>, name: &str, spec: Value) -> Value {
    let manifest = json!({"apiVersion": "apps.mumoshu.github.io/v1alpha1", "kind": "Helmfile",
                          "metadata": {"name": name}, "spec": spec});
    scene.apply(manifest).await
}

fn deployments() -> Gvk {
    Gvk::new("apps", "v1", "Deployment")
}

fn finalizers(object: &Value) -> Vec<&str> {
    object::finalizers(object).collect()
}

/// Reports conditions and two releases, as an applier does.
async fn report(scene: &Scene<'_>, name: &str, kind: &str, status: &str, reason: &str, generation: i64) {
    let condition = json!({"type": kind, "status": status, "reason": reason, "message": "played by a test",
                           "observedGeneration": generation, "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let releases = json!([{"namespace": "shop", "name": "web"}, {"namespace": "shop", "name": "db"}]);
    let manifest = json!({
        "apiVersion": "apps.mumoshu.github.io/v1alpha1", "kind": "Helmfile", "metadata": {"name": name},
        "status": {"observedGeneration": generation, "conditions": [condition],
                   "inventory": {"count": 2, "releases": releases}},
    });
    let params = PatchParams::apply("an-applier").force();
    scene.api(&helmfile()).await.patch_status(name, &params, &Patch::Apply(&manifest)).await.unwrap();
}

async fn generation(scene: &Scene<'_>, name: &str) -> i64 {
    object::generation(&scene.get(&helmfile(), name).await).unwrap()
}

/// A child of the Helmfile with an owner reference, which shows what the garbage collector has got to.
async fn canary(scene: &Scene<'_>, name: &str) {
    let owner = scene.get(&helmfile(), name).await;
    scene
        .apply(json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "ownerReferences": [{
                "apiVersion": owner["apiVersion"], "kind": "Helmfile", "name": name,
                "uid": owner["metadata"]["uid"], "blockOwnerDeletion": true,
            }]},
        }))
        .await;
}

#[tokio::test]
async fn the_applier_outlives_every_kind_of_deletion_until_it_has_reported_that_all_is_destroyed() {
    let stage = Stage::new("destroy").await;
    let scene = &stage.scene;
    for (name, policy) in [
        ("background", PropagationPolicy::Background),
        ("foreground", PropagationPolicy::Foreground),
        ("orphan", PropagationPolicy::Orphan),
    ] {
        let applier = stage.with_applier(name, json!({"deletionPolicy": "Destroy"})).await;
        assert!(applier["metadata"]["ownerReferences"].is_null(), "{applier:#}");
        assert_eq!(finalizers(&scene.get(&helmfile(), name).await), [FINALIZER]);
        canary(scene, name).await;
        // Of another deletion: before this one, in another cluster.
        report(scene, name, "Destroyed", "True", "Destroyed", 1).await;
        stage.delete(name, policy.clone()).await;
        let is_collected: fn(&Value) -> bool = match policy {
            PropagationPolicy::Background => Value::is_object,
            PropagationPolicy::Foreground => Value::is_null,
            PropagationPolicy::Orphan => |found| found["metadata"]["ownerReferences"].is_null(),
        };
        scene.until(&config_map(), name, "what the garbage collector makes of it", is_collected).await;
        stage.edit_and_follow(name, &applier, "one").await;

        report(scene, name, READY, "False", "DestroyFailed", generation(scene, name).await).await;
        stage.edit_and_follow(name, &applier, "two").await;
        let failed = scene.get(&helmfile(), name).await;
        assert_eq!(find(&failed, READY)["reason"], "DestroyFailed", "{failed:#}");
        assert!(find(&failed, "RunnerReady").is_object(), "it is still told how the applier is: {failed:#}");

        report(scene, name, "Destroyed", "True", "Destroyed", generation(scene, name).await).await;
        stage.is_gone(name).await;
        assert_eq!(stage.scene.events(name).await.len(), 0, "all went well");
    }
}

#[tokio::test]
async fn an_applier_that_is_missing_is_made_again_as_long_as_there_is_something_to_destroy() {
    let stage = Stage::new("destroy-missing").await;
    let applier = stage.with_applier("h", json!({"deletionPolicy": "Destroy"})).await;
    stage.scene.delete(&helmfile(), "h").await;
    stage.scene.delete(&deployments(), "h-applier").await;
    let is_new = |found: &Value| found.is_object() && object::uid(found) != object::uid(&applier);
    stage.scene.until(&deployments(), "h-applier", "made again", is_new).await;
    let last = generation(&stage.scene, "h").await;
    report(&stage.scene, "h", "Destroyed", "True", "Destroyed", last).await;
    stage.is_gone("h").await;
}

#[tokio::test]
async fn without_destroy_nothing_is_waited_for_but_the_end_of_the_applier() {
    let stage = Stage::new("orphans").await;
    for (name, policy) in
        [("background", PropagationPolicy::Background), ("foreground", PropagationPolicy::Foreground)]
    {
        stage.with_applier(name, json!({})).await;
        report(&stage.scene, name, READY, "True", "ReconciliationSucceeded", 1).await;
        stage.delete(name, policy).await;
        stage.is_gone(name).await;
        assert_eq!(stage.scene.events(name).await.len(), 0, "the releases stay because they are to");
    }
    // A change of mind counts as long as the object waits.
    stage.with_applier("changed", json!({"deletionPolicy": "Destroy"})).await;
    stage.scene.delete(&helmfile(), "changed").await;
    stage.scene.patch(&helmfile(), "changed", json!({"spec": {"deletionPolicy": "Orphan"}})).await;
    stage.is_gone("changed").await;
}

#[tokio::test]
async fn the_annotation_gives_up_and_one_event_says_what_was_left() {
    let stage = Stage::new("give-up").await;
    let applier = stage.with_applier("h", json!({"deletionPolicy": "Destroy"})).await;
    report(&stage.scene, "h", READY, "False", "DestroyFailed", 1).await;
    stage.scene.delete(&helmfile(), "h").await;
    let give_up = |value: &str| json!({"metadata": {"annotations": {GIVE_UP: value}}});
    stage.scene.patch(&helmfile(), "h", give_up("no")).await;
    stage.edit_and_follow("h", &applier, "one").await;
    stage.scene.patch(&helmfile(), "h", give_up("true")).await;
    stage.is_gone("h").await;
    let event = stage.scene.event("h", "DestroyGivenUp").await;
    let note = event["note"].as_str().unwrap();
    assert!(note.contains(GIVE_UP) && note.ends_with("left: shop/web, shop/db"), "{note}");
    assert_eq!(event["type"], "Warning");
    let events = stage.scene.events("h").await;
    assert_eq!(events.len(), 1, "{events:#?}");
    assert!(events[0]["series"].is_null(), "{events:#?}");
}

#[tokio::test]
async fn a_namespace_that_is_deleted_goes_and_what_is_left_elsewhere_is_told_of_it() {
    let stage = Stage::new("terminating").await;
    let (scene, namespaces) = (&stage.scene, Gvk::new("", "v1", "Namespace"));
    stage.with_applier("destroy", json!({"deletionPolicy": "Destroy"})).await;
    report(scene, "destroy", READY, "True", "ReconciliationSucceeded", 1).await;
    stage.with_applier("orphan", json!({})).await;
    stage.with_applier("waiting", json!({"deletionPolicy": "Destroy"})).await;
    // One is being deleted already when the namespace's end begins.
    scene.delete(&helmfile(), "waiting").await;
    scene.delete_in_cluster(&namespaces, &scene.namespace).await;
    scene.until_in_cluster(&namespaces, &scene.namespace, "gone", Value::is_null).await;

    let events =
        scene.plane.kubectl(&["get", "events.v1.events.k8s.io", "-n", "default", "-o", "json"]).await;
    let events: Value = serde_json::from_str(&events).unwrap();
    let is_ours = |event: &&Value| {
        event["regarding"]["kind"] == "Namespace" && event["regarding"]["name"] == *scene.namespace
    };
    let ours: Vec<&Value> = events["items"].as_array().unwrap().iter().filter(is_ours).collect();
    let about = |name: &str| {
        let name = format!("Helmfile {}/{name}: ", scene.namespace);
        let about = ours.iter().filter(|event| event["reason"] == "DestroyGivenUp");
        about.filter_map(|event| event["note"].as_str()?.strip_prefix(&name)).collect::<Vec<_>>()
    };
    let [note] = about("destroy")[..] else { panic!("{ours:#?}") };
    assert!(note.contains("namespace") && note.ends_with("left: shop/web, shop/db"), "{note}");
    assert_eq!(about("waiting").len(), 1, "{ours:#?}");
    assert_eq!(about("orphan").len(), 0, "{ours:#?}");
    assert!(!stage.operator.log().contains("ERROR"), "{}", stage.operator.log());
}

#[tokio::test]
async fn an_applier_of_an_older_version_is_taken_over_and_not_refused() {
    let plane = shared().await;
    let scene = Scene::new(plane, "older").await;
    // As it was: children with an owner reference, and no finalizer.
    let config = include_str!("../../config.yaml").replace(", orphan: true", "");
    let (before, after) = config.split_once("  finalizer:").unwrap();
    let (_, values) = after.split_once("  values:").unwrap();
    let config = scene.write("older.yaml", &format!("{before}  values:{values}"), 0o644);
    let args = ["run", "-f", config.to_str().unwrap(), "-n", &scene.namespace];
    let mut operator = Operator::start(plane, &args, &[]);
    operator.wait_for_log("watching").await;
    apply(&scene, "h", json!({"deletionPolicy": "Destroy"})).await;
    let old = scene.until(&deployments(), "h-applier", "rendered", Value::is_object).await;
    assert_eq!(object::owner_uids(&old).count(), 1, "{old:#}");
    operator.stop().await;

    let operator = default_mode(plane, &scene.namespace).await;
    let is_taken = |found: &Value| object::owner_uids(found).count() == 0;
    let new = scene.until(&deployments(), "h-applier", "without an owner", is_taken).await;
    assert_eq!(object::uid(&new), object::uid(&old));
    assert!(object::label(&new, object::PARENT).is_some(), "{new:#}");
    let stage = Stage { scene, operator };
    canary(&stage.scene, "h").await;
    stage.delete("h", PropagationPolicy::Foreground).await;
    stage.scene.until(&config_map(), "h", "collected", Value::is_null).await;
    stage.edit_and_follow("h", &old, "one").await;
    let last = generation(&stage.scene, "h").await;
    report(&stage.scene, "h", "Destroyed", "True", "Destroyed", last).await;
    stage.is_gone("h").await;
}

#[tokio::test]
async fn pooled_only_destroy_holds_an_object_and_a_cluster_can_change_modes() {
    let plane = shared().await;
    let stage = Deliveries::new(plane, "modes", &ONE_RELEASE).await;
    let (scene, namespace) = (&stage.scene, stage.scene.namespace.clone());
    let mut pooled = stage.start(&[]).await;
    let held = |object: &Value| finalizers(object) == [FINALIZER];
    let free = |object: &Value| finalizers(object).is_empty();
    // Suspended, so that this is about nothing but the finalizer.
    stage.apply("h", json!({"suspend": true})).await;
    let object = stage.ready("h", "False", "suspended").await;
    assert!(free(&object), "{object:#}");
    let policy = |policy: &str| json!({"spec": {"deletionPolicy": policy}});
    scene.patch(&helmfile(), "h", policy("Destroy")).await;
    scene.until(&helmfile(), "h", "held", held).await;
    scene.patch(&helmfile(), "h", policy("Orphan")).await;
    scene.until(&helmfile(), "h", "free", free).await;
    scene.patch(&helmfile(), "h", policy("Destroy")).await;
    scene.until(&helmfile(), "h", "held", held).await;
    assert!(pooled.stop().await.success());

    // What pooled mode held is destroyed by an applier, which is made for that.
    scene.delete(&helmfile(), "h").await;
    let operator = default_mode(plane, &namespace).await;
    scene.until(&deployments(), "h-applier", "rendered", Value::is_object).await;
    report(scene, "h", "Destroyed", "True", "Destroyed", generation(scene, "h").await).await;
    scene.until(&helmfile(), "h", "gone", Value::is_null).await;

    // What the default mode held is free in pooled mode, whether it is being deleted or not.
    for name in ["stays", "goes"] {
        stage.apply(name, json!({"suspend": true})).await;
        scene.until(&helmfile(), name, "held", held).await;
    }
    let mut operator = operator;
    assert!(operator.stop().await.success());
    scene.delete(&helmfile(), "goes").await;
    let _pooled = stage.start(&[]).await;
    scene.until(&helmfile(), "stays", "free", free).await;
    scene.until(&helmfile(), "goes", "gone", Value::is_null).await;
}

#[tokio::test]
async fn the_pod_has_what_the_runner_says_but_not_our_labels_and_nothing_of_its_security() {
    let stage = Stage::new("runner").await;
    let runner = json!({
        "resources": {"requests": {"memory": "100Mi"}}, "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "dedicated", "operator": "Exists"}],
        "labels": {"team": "blue", "app.kubernetes.io/instance": "another", "app.kubernetes.io/name": "another"},
        "annotations": {"note": "\"a: b\"", "container.apparmor.security.beta.kubernetes.io/applier": "unconfined"},
    });
    let plain = stage.with_applier("plain", json!({})).await;
    let applier = stage.with_applier("h", json!({"runner": runner})).await;
    let (pod, metadata) = (&applier["spec"]["template"]["spec"], &applier["spec"]["template"]["metadata"]);
    assert_eq!(pod["containers"][0]["resources"], json!({"requests": {"memory": "100Mi"}}));
    assert_eq!(pod["nodeSelector"], json!({"disk": "ssd"}));
    assert_eq!(pod["tolerations"], json!([{"key": "dedicated", "operator": "Exists"}]));
    let labels = json!({"app.kubernetes.io/name": "helmfile-applier", "app.kubernetes.io/instance": "h", "team": "blue"});
    assert_eq!(metadata["labels"], labels);
    assert_eq!(metadata["annotations"], json!({"note": "\"a: b\""}));
    let plain = &plain["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"], plain["securityContext"]);
    assert_eq!(pod["containers"][0]["securityContext"], plain["containers"][0]["securityContext"]);
    wait_until("the Deployment to be fit for pods", SOON, async || {
        let sets =
            stage.scene.plane.kubectl(&["get", "rs", "-n", &stage.scene.namespace, "-o", "name"]).await;
        if sets.contains("/h-applier-") { Ok(()) } else { Err(sets) }
    })
    .await;
}
