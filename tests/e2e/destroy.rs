//! `deletionPolicy: Destroy` with the real applier: what it removes, in which order, and what becomes of an object whose
//! releases can't be removed.

use helmfile_operator::{
    helmfile::{
        api::names::{READY, annotation::GIVE_UP},
        applier,
    },
    object::Gvk,
};
use kube::api::{DeleteParams, PropagationPolicy};
use serde_json::{Value, json};

use crate::support::{
    control_plane::shared,
    helmfiles::{Deliveries, helmfile},
    operator::Operator,
    releases::{deliveries, helmfile_of},
    scene::{SOON, config_map, find},
    wait::wait_until,
};

const FINALIZER: &str = "helmfile-controller.apps.mumoshu.github.io";

fn destroying(stage: &Deliveries<'_>) -> Value {
    stage.spec(&json!({"deletionPolicy": "Destroy", "retry": {"maxDelay": "1s"}}))
}

/// A stage with a Helmfile `h` that has delivered this helmfile and is to destroy it.
async fn delivered(name: &str, file: &str) -> (Deliveries<'static>, Operator) {
    let stage = deliveries(shared().await, name, file).await;
    let operator = stage.start(&[]).await;
    stage.apply("h", destroying(&stage)).await;
    let object = stage.applied("h", &stage.repository.head()).await;
    assert_eq!(object["metadata"]["finalizers"], json!([FINALIZER]));
    (stage, operator)
}

async fn delete(stage: &Deliveries<'_>, name: &str, policy: PropagationPolicy) {
    let params = DeleteParams { propagation_policy: Some(policy), ..DeleteParams::default() };
    stage.scene.api(&helmfile()).await.delete(name, &params).await.unwrap();
}

async fn gone(stage: &Deliveries<'_>, name: &str) {
    stage.scene.until(&helmfile(), name, "gone", Value::is_null).await;
}

/// Nothing of what is kept beside a Helmfile is there any more.
async fn nothing_is_left_beside(stage: &Deliveries<'_>, name: &str) {
    let scene = &stage.scene;
    for (kind, name) in [
        (config_map(), format!("{name}.helmfile")),
        (config_map(), format!("{name}.helmfile-inventory")),
        (Gvk::new("", "v1", "Secret"), format!("{name}.helmfile")),
        (Gvk::new("coordination.k8s.io", "v1", "Lease"), format!("{name}.helmfile")),
    ] {
        let found = scene.get(&kind, &name).await;
        assert!(found.is_null(), "{found:#}");
    }
    let key = applier::key(&format!("{}/{name}", scene.namespace));
    assert!(!stage.cache().join("objects").join(key).exists(), "its downloads are gone as well");
}

/// Releases that need each other, each with a hook that notes when helmfile removes it.
fn in_order(stage_folder: &str) -> String {
    let release = |name: &str, more: &str| {
        format!(
            "- name: {name}\n  chart: ./chart\n{more}  hooks:\n  - events: [preuninstall]\n    command: sh\n    args: [-c, 'echo {name} >> {stage_folder}/order']\n"
        )
    };
    format!(
        "releases:\n{}{}{}",
        release("db", ""),
        release("web", "  needs: [api]\n"),
        release("api", "  needs: [db]\n")
    )
}

#[tokio::test]
async fn every_kind_of_deletion_uninstalls_once_and_in_the_order_of_needs() {
    let stage = deliveries(shared().await, "destroy-order", &helmfile_of(&["placeholder"])).await;
    let commit = stage.commit_helmfile(&in_order(&stage.scene.folder().display().to_string()));
    let _operator = stage.start(&[]).await;
    for policy in [PropagationPolicy::Background, PropagationPolicy::Foreground, PropagationPolicy::Orphan] {
        stage.scene.write("order", "", 0o644);
        stage.apply("h", destroying(&stage)).await;
        stage.applied("h", &commit).await;
        assert_eq!(stage.releases().await, ["api", "db", "web"]);
        delete(&stage, "h", policy).await;
        gone(&stage, "h").await;
        assert_eq!(stage.releases().await, [""; 0]);
        assert_eq!(stage.scene.get(&config_map(), "db").await, Value::Null);
        assert_eq!(stage.scene.read("order"), "web\napi\ndb\n");
        nothing_is_left_beside(&stage, "h").await;
    }
}

#[tokio::test]
async fn a_change_of_mind_before_the_deletion_counts_however_it_is_deleted() {
    let stage = deliveries(shared().await, "destroy-changed", &helmfile_of(&["a", "b"])).await;
    let _operator = stage.start(&[]).await;
    stage.apply("h", stage.spec(&json!({}))).await;
    stage.applied("h", &stage.repository.head()).await;
    let owners =
        async || stage.scene.get(&config_map(), "h.helmfile").await["metadata"]["ownerReferences"].clone();
    assert!(owners().await.is_array(), "it goes with its Helmfile");
    stage.apply("h", destroying(&stage)).await;
    stage.acted("h", "True").await;
    assert!(owners().await.is_null(), "the proof outlives a deletion in the foreground");
    delete(&stage, "h", PropagationPolicy::Foreground).await;
    gone(&stage, "h").await;
    assert_eq!(stage.releases().await, [""; 0]);
    nothing_is_left_beside(&stage, "h").await;

    // And the other way.
    stage.apply("o", destroying(&stage)).await;
    stage.applied("o", &stage.repository.head()).await;
    stage.apply("o", stage.spec(&json!({}))).await;
    stage.acted("o", "True").await;
    delete(&stage, "o", PropagationPolicy::Foreground).await;
    gone(&stage, "o").await;
    assert_eq!(stage.releases().await, ["a", "b"]);
    wait_until("the record to go with it", SOON, async || {
        let found = stage.scene.get(&config_map(), "o.helmfile").await;
        if found.is_null() { Ok(()) } else { Err(found.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn without_its_source_the_record_says_what_to_uninstall() {
    let (stage, _operator) = delivered("destroy-no-source", &helmfile_of(&["a", "b", "c"])).await;
    stage.install("foreign", &[]).await;
    std::fs::rename(stage.repository.path().join(".git"), stage.repository.path().join("gone")).unwrap();
    delete(&stage, "h", PropagationPolicy::Background).await;
    gone(&stage, "h").await;
    assert_eq!(stage.releases().await, ["foreign"]);
    nothing_is_left_beside(&stage, "h").await;
}

#[tokio::test]
async fn without_what_its_source_had_the_record_says_what_to_uninstall() {
    let stage = deliveries(shared().await, "destroy-no-content", &helmfile_of(&["a", "b"])).await;
    stage.repository.commit(&[("values.yaml", "{}\n")]);
    let _operator = stage.start(&[]).await;
    for lost in ["helmfile.yaml", "values.yaml"] {
        let commit = stage.repository.head();
        let mut spec = destroying(&stage);
        spec["valuesFiles"] = json!(["values.yaml"]);
        stage.apply("h", spec).await;
        stage.applied("h", &commit).await;
        assert_eq!(stage.releases().await, ["a", "b"]);
        let file = stage.repository.path().join(lost);
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        stage.repository.commit(&[]);
        delete(&stage, "h", PropagationPolicy::Background).await;
        gone(&stage, "h").await;
        assert_eq!(stage.releases().await, [""; 0]);
        nothing_is_left_beside(&stage, "h").await;
        stage.repository.commit(&[(lost, &text)]);
    }
}

#[tokio::test]
async fn what_was_adopted_stays_and_is_named() {
    let stage = deliveries(shared().await, "destroy-adopted", &helmfile_of(&["a", "b"])).await;
    let _operator = stage.start(&[]).await;
    stage.install("b", &[]).await;
    stage.apply("h", destroying(&stage)).await;
    stage.applied("h", &stage.repository.head()).await;
    let namespace = stage.scene.namespace.clone();
    delete(&stage, "h", PropagationPolicy::Background).await;
    gone(&stage, "h").await;
    assert_eq!(stage.releases().await, ["b"]);
    let event = stage.scene.event("h", "Destroyed").await;
    let note = event["note"].as_str().unwrap();
    assert!(note.contains("uninstalled 1 release") && note.contains(&format!("`{namespace}/b`")), "{note}");
    nothing_is_left_beside(&stage, "h").await;
}

/// A chart whose release can't be uninstalled.
const STUBBORN: [(&str, &str); 2] = [
    ("stubborn/Chart.yaml", "{apiVersion: v2, name: stubborn, version: 1.0.0}\n"),
    (
        "stubborn/templates/hook.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: Not_A_Name\n  annotations: {helm.sh/hook: pre-delete}\n",
    ),
];

#[tokio::test]
async fn what_can_not_be_uninstalled_holds_the_object_until_it_can_or_somebody_gives_up() {
    let stage = deliveries(shared().await, "destroy-failing", &helmfile_of(&["a"])).await;
    stage.repository.commit(&STUBBORN);
    let commit = stage.commit_helmfile(
        "releases:\n- {name: a, chart: ./chart}\n- {name: b, chart: ./stubborn, needs: [a]}\n",
    );
    let _operator = stage.start(&[]).await;
    let namespace = stage.scene.namespace.clone();
    for name in ["h", "g"] {
        stage.apply(name, destroying(&stage)).await;
        stage.applied(name, &commit).await;
        delete(&stage, name, PropagationPolicy::Background).await;
        let object = stage
            .scene
            .until(&helmfile(), name, "failed", |object| find(object, READY)["reason"] == "DestroyFailed")
            .await;
        let ready = find(&object, READY);
        let message = ready["message"].as_str().unwrap();
        assert_eq!(ready["status"], "False");
        assert!(message.contains(&format!("`{namespace}/b`")) && message.contains("Not_A_Name"), "{message}");
        assert!(message.contains(GIVE_UP) && message.lines().count() == 1, "{message}");
        let again = |object: &Value| object["status"]["failures"].as_u64() >= Some(2);
        let object = stage.scene.until(&helmfile(), name, "tried again", again).await;
        assert_eq!(object["metadata"]["finalizers"], json!([FINALIZER]));
        if name == "h" {
            // What was in the way is removed.
            let args = ["uninstall", "b", "-n", &namespace, "--no-hooks"];
            stage.scene.plane.helm(&args).await;
            gone(&stage, name).await;
            assert_eq!(stage.releases().await, [""; 0]);
            nothing_is_left_beside(&stage, name).await;
        } else {
            stage
                .scene
                .patch(&helmfile(), name, json!({"metadata": {"annotations": {GIVE_UP: "true"}}}))
                .await;
            gone(&stage, name).await;
            let event = wait_until("an Event that says what is left", SOON, async || {
                let events = stage.scene.events(name).await;
                let found =
                    events.iter().find(|event| event["note"].as_str().unwrap_or_default().contains("left"));
                found.cloned().ok_or_else(|| format!("{events:#?}"))
            })
            .await;
            let note = event["note"].as_str().unwrap();
            assert_eq!(event["type"], "Warning");
            assert!(note.contains(&format!("{namespace}/b")), "{note}");
            assert!(stage.releases().await.contains(&"b".to_owned()));
        }
    }
}

#[tokio::test]
async fn a_suspended_helmfile_and_one_that_never_worked_are_destroyed_as_well() {
    let (stage, _operator) = delivered("destroy-suspended", &helmfile_of(&["a"])).await;
    let mut spec = destroying(&stage);
    spec["suspend"] = true.into();
    stage.apply("h", spec).await;
    stage.ready("h", "True", "suspended").await;
    delete(&stage, "h", PropagationPolicy::Foreground).await;
    gone(&stage, "h").await;
    assert_eq!(stage.releases().await, [""; 0]);

    let never = json!({"source": "git::file:///nowhere/at/all", "deletionPolicy": "Destroy"});
    stage.apply("never", never).await;
    stage.scene.condition_of(&helmfile(), "never", READY, "False").await;
    delete(&stage, "never", PropagationPolicy::Background).await;
    gone(&stage, "never").await;
    nothing_is_left_beside(&stage, "never").await;
}

#[tokio::test]
async fn a_namespace_that_is_deleted_does_not_wait_for_ever() {
    let (stage, _operator) = delivered("destroy-namespace", &helmfile_of(&["a", "b"])).await;
    let namespaces = Gvk::new("", "v1", "Namespace");
    stage.scene.delete_in_cluster(&namespaces, &stage.scene.namespace).await;
    stage.scene.until_in_cluster(&namespaces, &stage.scene.namespace, "gone", Value::is_null).await;
}

#[tokio::test]
async fn without_destroy_the_releases_stay_and_nothing_is_stuck() {
    let stage = deliveries(shared().await, "orphan", &helmfile_of(&["a"])).await;
    let mut operator = stage.start(&[]).await;
    for policy in [PropagationPolicy::Background, PropagationPolicy::Foreground] {
        stage.apply("h", stage.spec(&json!({}))).await;
        let object = stage.applied("h", &stage.repository.head()).await;
        assert!(object["metadata"]["finalizers"].is_null(), "{object:#}");
        delete(&stage, "h", policy).await;
        gone(&stage, "h").await;
        assert_eq!(stage.releases().await, ["a"]);
        wait_until("the record to go with it", SOON, async || {
            let found = stage.scene.get(&config_map(), "h.helmfile").await;
            if found.is_null() { Ok(()) } else { Err(found.to_string()) }
        })
        .await;
    }
    assert!(operator.stop().await.success());
}

#[tokio::test]
async fn an_operator_that_is_killed_while_it_destroys_goes_on_with_what_is_left() {
    let stage = deliveries(shared().await, "destroy-killed", &helmfile_of(&["placeholder"])).await;
    let folder = stage.scene.folder().display().to_string();
    let file = format!(
        "releases:\n- {{name: a, chart: ./chart}}\n- name: b\n  chart: ./chart\n  needs: [a]\n- name: c\n  chart: ./chart\n  needs: [b]\n  hooks:\n  - events: [postuninstall]\n    command: sh\n    args: [-c, 'touch {folder}/there; while [ ! -e {folder}/go ]; do sleep 0.05; done']\n"
    );
    let commit = stage.commit_helmfile(&file);
    let mut operator = stage.start(&[]).await;
    stage.apply("h", destroying(&stage)).await;
    stage.applied("h", &commit).await;
    delete(&stage, "h", PropagationPolicy::Background).await;
    wait_until("one release to be gone", SOON, async || {
        if stage.scene.folder().join("there").exists() { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    assert_eq!(stage.releases().await, ["a", "b"]);
    operator.kill().await;
    stage.scene.write("go", "", 0o644);
    assert!(stage.scene.get(&helmfile(), "h").await.is_object());
    let _operator = stage.start(&[]).await;
    gone(&stage, "h").await;
    assert_eq!(stage.releases().await, [""; 0]);
    nothing_is_left_beside(&stage, "h").await;
}

#[tokio::test]
async fn what_a_delivery_that_failed_has_left_is_named_when_somebody_gives_up() {
    let stage = deliveries(shared().await, "destroy-half", &helmfile_of(&["a"])).await;
    stage.repository.commit(&STUBBORN);
    let broken = "{{ if .Values.broken }}\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: Also_Not_A_Name}\n{{ end }}\n";
    stage.repository.commit(&[
        ("chart/templates/broken.yaml", broken),
        ("helmfile.yaml", "releases:\n- {name: a, chart: ./stubborn}\n- {name: b, chart: ./chart, needs: [a], values: [{broken: true}]}\n"),
    ]);
    let _operator = stage.start(&[]).await;
    stage.apply("h", destroying(&stage)).await;
    stage.ready("h", "False", "release `b`").await;
    delete(&stage, "h", PropagationPolicy::Background).await;
    let failed = |object: &Value| find(object, READY)["reason"] == "DestroyFailed";
    stage.scene.until(&helmfile(), "h", "failed", failed).await;
    stage.scene.patch(&helmfile(), "h", json!({"metadata": {"annotations": {GIVE_UP: "true"}}})).await;
    gone(&stage, "h").await;
    let namespace = &stage.scene.namespace;
    wait_until("an Event that names what is left", SOON, async || {
        let events = stage.scene.events("h").await;
        let says = |event: &&Value| {
            event["note"]
                .as_str()
                .is_some_and(|note| note.contains("left") && note.contains(&format!("{namespace}/a")))
        };
        events.iter().find(says).map(|_| ()).ok_or_else(|| format!("{events:#?}"))
    })
    .await;
}
