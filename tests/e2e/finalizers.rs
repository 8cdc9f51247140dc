//! Finalizers: put on before anything is done, taken off when there is nothing left to do, never left behind.

use helmfile_operator::object::Gvk;
use serde_json::{Value, json};

use crate::support::{
    control_plane::shared,
    scene::{HELLO_CRD, Scene, config_map, hello},
};

const FINALIZER: &str = "hello-controller.test.example.com";

/// Counts reconciliations in `runs` and finalizations in `byes`; a finalization needs the file `go`.
const ENTRY: &str = "
- group: test.example.com
  version: v1
  kind: Hello
  dependents: [{version: v1, kind: ConfigMap}]
  reconciler: {exec: {command: ./hook.sh}}
  finalizer: {exec: {command: ./bye.sh}}
";

fn finalizers(object: &Value) -> &Value {
    &object["metadata"]["finalizers"]
}

fn hooks(scene: &Scene<'_>) {
    scene.hook("hook.sh", "cat > given.json; grep -q finalizers given.json && echo held >> runs");
    scene.hook(
        "bye.sh",
        r#"cat > bye.json; echo "$TRIGGER" >> byes
if [ -e go ]; then echo 'events: [{reason: Gone, message: bye}]'; else echo 'requeueAfter: 100ms'; fi"#,
    );
}

#[tokio::test]
async fn a_finalizer_holds_the_object_until_its_handler_is_done() {
    let scene = Scene::new(shared().await, "finalizer").await;
    hooks(&scene);
    let _operator = scene.start(ENTRY);
    scene.hello("h", json!({})).await;
    scene.until(&hello(), "h", "held", |object| finalizers(object) == &json!([FINALIZER])).await;
    scene.until_file("runs", 1).await;
    scene.delete(&hello(), "h").await;
    scene.until_file("byes", 3).await;
    let object = scene.get(&hello(), "h").await;
    assert_eq!(finalizers(&object), &json!([FINALIZER]), "it asked to run again, so it is not done");
    let given: Value = serde_json::from_str(&scene.read("bye.json")).unwrap();
    assert!(given["object"]["metadata"]["deletionTimestamp"].is_string());
    scene.write("go", "", 0o644);
    scene.until(&hello(), "h", "gone", Value::is_null).await;
    assert!(scene.read("byes").starts_with("Deleting\n"), "{}", scene.read("byes"));
    assert_eq!(scene.lines("runs"), 1, "the reconciler has nothing to say about an object that is going");
}

#[tokio::test]
async fn an_object_that_leaves_the_selection_keeps_no_finalizer_whether_we_see_it_or_not() {
    let scene = Scene::new(shared().await, "opt-out").await;
    hooks(&scene);
    let entry = format!("{ENTRY}  labelSelector: managed=yes\n");
    let mut operator = scene.start(&entry);
    let labelled = |name: &str| json!({"apiVersion": "test.example.com/v1", "kind": "Hello", "metadata": {"name": name, "labels": {"managed": "yes"}}});
    scene.crd().await;
    for name in ["seen", "unseen", "kept"] {
        scene.apply(labelled(name)).await;
        scene.until(&hello(), name, "held", |object| finalizers(object) == &json!([FINALIZER])).await;
    }
    let opt_out = json!({"metadata": {"labels": {"managed": "no"}}});
    scene.patch(&hello(), "seen", opt_out.clone()).await;
    scene.until(&hello(), "seen", "let go", |object| finalizers(object).is_null()).await;
    operator.stop().await;
    scene.patch(&hello(), "unseen", opt_out).await;
    let _operator = scene.start(&entry);
    scene.until(&hello(), "unseen", "let go", |object| finalizers(object).is_null()).await;
    assert_eq!(finalizers(&scene.get(&hello(), "kept").await), &json!([FINALIZER]));
    assert_eq!(scene.lines("byes"), 0, "nothing was finalized");
}

#[tokio::test]
async fn only_objects_that_meet_the_finalizers_when_have_it_and_an_edit_changes_that() {
    let scene = Scene::new(shared().await, "finalizer-when").await;
    hooks(&scene);
    let entry = ENTRY.replace(
        "finalizer: {",
        "finalizer: {when: \"has(object.spec.text) && object.spec.text == 'hold'\", ",
    );
    let _operator = scene.start(&entry);
    scene.hook("hook.sh", "echo 'status: {seen: true}'");
    scene.hello("free", json!({"text": "no"})).await;
    scene.hello("held", json!({"text": "hold"})).await;
    scene.until(&hello(), "held", "held", |object| finalizers(object) == &json!([FINALIZER])).await;
    let is_seen = |object: &Value| object["status"]["seen"] == true;
    let free = scene.until(&hello(), "free", "handled", is_seen).await;
    assert!(finalizers(&free).is_null(), "{free}");

    scene.patch(&hello(), "free", json!({"spec": {"text": "hold"}})).await;
    scene.until(&hello(), "free", "held", |object| finalizers(object) == &json!([FINALIZER])).await;
    scene
        .patch(&hello(), "held", json!({"metadata": {"finalizers": [FINALIZER, "example.com/other"]}}))
        .await;
    scene.patch(&hello(), "held", json!({"spec": {"text": "no"}})).await;
    let is_let_go = |object: &Value| finalizers(object) == &json!(["example.com/other"]);
    scene.until(&hello(), "held", "let go, the others' kept", is_let_go).await;
    scene.patch(&hello(), "held", json!({"metadata": {"finalizers": null}})).await;

    scene.patch(&hello(), "free", json!({"spec": {"text": "no"}})).await;
    scene.until(&hello(), "free", "let go", |object| finalizers(object).is_null()).await;
    scene.delete(&hello(), "free").await;
    scene.until(&hello(), "free", "gone at once", Value::is_null).await;
    assert_eq!(scene.lines("byes"), 0, "nothing was finalized");
}

#[tokio::test]
async fn finalizers_that_are_left_to_another_program_are_acted_upon_but_neither_set_nor_removed() {
    let scene = Scene::new(shared().await, "leave").await;
    hooks(&scene);
    scene.write("go", "", 0o644);
    scene.register_hello().await;
    let when = "finalizer: {when: '!has(object.spec) || !has(object.spec.text)', ";
    let entry = format!("{}  labelSelector: left!=yes\n", ENTRY.replace("finalizer: {", when));
    let _operator = scene.start_with(&entry, &["--leave-finalizers"]);
    let given = json!([FINALIZER, "example.com/other"]);
    scene
        .apply(json!({"apiVersion": "test.example.com/v1", "kind": "Hello",
                      "metadata": {"name": "theirs", "finalizers": given}}))
        .await;
    scene.until_file("given.json", 1).await;
    scene.hook("hook.sh", "echo 'status: {seen: true}'");
    scene.hello("none", json!({})).await;
    let none = scene.until(&hello(), "none", "handled", |object| object["status"]["seen"] == true).await;
    assert!(finalizers(&none).is_null(), "{none}");

    let skipped = json!({"name": "skipped", "finalizers": given});
    scene
        .apply(json!({"apiVersion": "test.example.com/v1", "kind": "Hello", "metadata": skipped, "spec": {"text": "a"}}))
        .await;
    scene.delete(&hello(), "skipped").await;
    scene.delete(&hello(), "theirs").await;
    scene.event("theirs", "Gone").await;
    assert!(scene.read("byes").starts_with("Deleting\n"), "{}", scene.read("byes"));
    let theirs = scene.get(&hello(), "theirs").await;
    assert_eq!(finalizers(&theirs), &given, "its handler is done, and whoever holds it decides");
    scene.patch(&hello(), "theirs", json!({"metadata": {"finalizers": [FINALIZER]}})).await;
    scene.until_file("byes", 2).await;
    for name in ["theirs", "skipped"] {
        scene.patch(&hello(), name, json!({"metadata": {"finalizers": null}})).await;
        scene.until(&hello(), name, "gone", Value::is_null).await;
    }
    assert!(scene.events("skipped").await.is_empty(), "nothing was to be done for it");
}

#[tokio::test]
async fn an_entry_that_goes_away_takes_its_finalizers_with_it() {
    let scene = Scene::new(shared().await, "entry-gone").await;
    hooks(&scene);
    let mut operator = scene.start(ENTRY);
    scene.hello("h", json!({})).await;
    scene.until(&hello(), "h", "held", |object| finalizers(object) == &json!([FINALIZER])).await;
    scene.configure("- {version: v1, kind: ConfigMap, reconciler: {template: {inline: ''}}}");
    operator.wait_for_log("configmap").await;
    scene.until(&hello(), "h", "let go", |object| finalizers(object).is_null()).await;
}

#[tokio::test]
async fn finalizers_can_be_taken_off_before_the_program_is_removed() {
    let scene = Scene::new(shared().await, "uninstall").await;
    hooks(&scene);
    let mut operator = scene.start(ENTRY);
    scene.hello("h", json!({})).await;
    scene.until(&hello(), "h", "held", |object| finalizers(object) == &json!([FINALIZER])).await;
    operator.stop().await;
    let mut uninstall = scene.start_with(ENTRY, &["--remove-finalizers"]);
    assert!(uninstall.ended().await.success(), "{}", uninstall.log());
    assert!(finalizers(&scene.get(&hello(), "h").await).is_null());
}

#[tokio::test]
async fn a_built_in_kind_gets_a_qualified_finalizer() {
    let scene = Scene::new(shared().await, "built-in").await;
    scene.hook("bye.sh", "echo bye >> byes");
    let _operator = scene.start(
        "
- version: v1
  kind: ConfigMap
  labelSelector: finalize=me
  finalizer: {exec: {command: ./bye.sh}}
",
    );
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "labels": {"finalize": "me"}}});
    scene.apply(map).await;
    let name = "helmfile-operator.github.io/configmap-controller";
    scene.until(&config_map(), "m", "held", |object| finalizers(object) == &json!([name])).await;
    scene.delete(&config_map(), "m").await;
    scene.until(&config_map(), "m", "gone", Value::is_null).await;
    assert_eq!(scene.lines("byes"), 1);
}

#[tokio::test]
async fn orphans_outlive_their_parent_and_the_next_one_of_its_name_takes_them_over() {
    let scene = Scene::new(shared().await, "orphan").await;
    scene.hook(
        "hook.sh",
        r#"cat > given.json
text=$(sed -n 's/.*"spec":{"text":"\([^"]*\)".*/\1/p' given.json)
case $text in none) echo 'dependents: {configmap.v1: []}'; exit;; esac
cat <<END
dependents:
  configmap.v1: [{apiVersion: v1, kind: ConfigMap, metadata: {name: kept}, data: {text: "$text"}}]
END"#,
    );
    let _operator = scene.start(
        "
- group: test.example.com
  version: v1
  kind: Hello
  dependents: [{version: v1, kind: ConfigMap, orphan: true}]
  reconciler: {exec: {command: ./hook.sh}}
",
    );
    let first = scene.hello("h", json!({"text": "one"})).await;
    let child = scene.until(&config_map(), "kept", "made", |object| object["data"]["text"] == "one").await;
    assert_eq!(child["metadata"].get("ownerReferences"), None);
    assert!(child["metadata"]["labels"]["helmfile-operator.github.io/parent"].is_string());
    scene.patch(&config_map(), "kept", json!({"data": {"text": "by hand"}})).await;
    scene.until(&config_map(), "kept", "repaired", |object| object["data"]["text"] == "one").await;
    scene.delete(&hello(), "h").await;
    scene.until(&hello(), "h", "gone", Value::is_null).await;
    let second = scene.hello("h", json!({"text": "two"})).await;
    assert_ne!(first["metadata"]["uid"], second["metadata"]["uid"]);
    let same =
        scene.until(&config_map(), "kept", "taken over", |object| object["data"]["text"] == "two").await;
    assert_eq!(same["metadata"]["uid"], child["metadata"]["uid"]);
    scene.hello("h", json!({"text": "none"})).await;
    scene.until(&config_map(), "kept", "deleted", Value::is_null).await;
}

#[tokio::test]
async fn an_orphan_may_be_cluster_scoped() {
    let plane = shared().await;
    let scene = Scene::new(plane, "orphan-cluster").await;
    let name = format!("{}-made", scene.namespace);
    scene.hook("hook.sh", &format!("echo 'dependents: {{priorityclass.v1.scheduling.k8s.io: [{{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {{name: {name}}}, value: 7}}]}}'"));
    let _operator = scene.start(
        "
- group: test.example.com
  version: v1
  kind: Hello
  dependents: [{group: scheduling.k8s.io, version: v1, kind: PriorityClass, orphan: true}]
  reconciler: {exec: {command: ./hook.sh}}
",
    );
    scene.hello("h", json!({})).await;
    let class = Gvk::new("scheduling.k8s.io", "v1", "PriorityClass");
    scene.until_in_cluster(&class, &name, "made", |object| object["value"] == 7).await;
    scene.delete_in_cluster(&class, &name).await;
    scene.until_in_cluster(&class, &name, "made again", |object| object["value"] == 7).await;
}

#[tokio::test]
async fn an_object_that_its_own_handler_deletes_is_finalized() {
    let scene = Scene::new(shared().await, "deletes-itself").await;
    scene.hook("hook.sh", "echo 'object: null'");
    scene.hook("bye.sh", "echo bye >> byes");
    let _operator = scene.start(ENTRY);
    scene.hello("h", json!({})).await;
    scene.until_file("byes", 1).await;
    scene.until(&hello(), "h", "gone", Value::is_null).await;
}

/// A status that is written with the object shares its managers with the finalizer: neither may take the other away.
#[tokio::test]
async fn without_a_status_subresource_a_failure_leaves_the_finalizer_and_the_handlers_edits_alone() {
    let scene = Scene::new(shared().await, "no-subresource").await;
    let crd = HELLO_CRD.replace("hello", "bare").replace("Hello", "Bare");
    let crd = crd.replace("    subresources: {status: {}}\n", "");
    scene.write("crd.yaml", &crd, 0o644);
    scene.hook(
        "hook.sh",
        r#"input=$(cat); if [ -e fail ]; then echo 'error: not now' >&2; exit 1; fi
printf '%s' "$input" | sed 's/"spec":{"text":"a"}/"spec":{"text":"edited"}/' > reply
printf '{"object": %s, "status": {"seen": true}}' "$(sed 's/^{"object"://; s/,"dependents":.*//' reply)""#,
    );
    scene.hook("bye.sh", "if [ -e go ]; then exit; fi; echo bye >> byes; echo 'error: not yet' >&2; exit 1");
    let entry = ENTRY.replace("Hello", "Bare") + "  condition: Reconciled\n";
    let mut operator = scene.start(&entry);
    let crds = Gvk::new("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let is_established = |crd: &Value| crd.to_string().contains("\"Established\"");
    scene.until_in_cluster(&crds, "bares.test.example.com", "established", is_established).await;
    operator.wait_for_log("watching").await;
    let bare = Gvk::new("test.example.com", "v1", "Bare");
    scene
        .apply(json!({"apiVersion": "test.example.com/v1", "kind": "Bare", "metadata": {"name": "b"}, "spec": {"text": "a"}}))
        .await;
    scene.until(&bare, "b", "told", |object| object["status"]["seen"] == true).await;
    let found = scene.get(&bare, "b").await;
    assert_eq!(found["spec"]["text"], "edited", "{found}");
    assert_eq!(finalizers(&found), &json!(["bare-controller.test.example.com"]));
    scene.write("fail", "", 0o644);
    scene.touch(&bare, "b").await;
    scene.condition_of(&bare, "b", "Reconciled", "False").await;
    let found = scene.get(&bare, "b").await;
    assert_eq!(found["spec"]["text"], "edited", "{found}");
    assert_eq!(finalizers(&found), &json!(["bare-controller.test.example.com"]));
    scene.delete(&bare, "b").await;
    scene.until_file("byes", 2).await;
    assert!(scene.get(&bare, "b").await.is_object(), "it has not been finalized");
    scene.write("go", "", 0o644);
    scene.until(&bare, "b", "gone", Value::is_null).await;
}

#[tokio::test]
async fn an_operator_for_one_object_leaves_the_finalizers_of_the_others_alone() {
    let scene = Scene::new(shared().await, "only").await;
    hooks(&scene);
    let entry = format!("{ENTRY}  fieldSelector: metadata.name!=nobody\n");
    let mut operator = scene.start(&entry);
    scene.hello("other", json!({})).await;
    scene.hello("mine", json!({})).await;
    for name in ["other", "mine"] {
        scene.until(&hello(), name, "held", |object| finalizers(object) == &json!([FINALIZER])).await;
    }
    operator.stop().await;
    let only = format!("{}/mine", scene.namespace);
    let mut operator = scene.start_with(&entry, &["--only", &only]);
    operator.wait_for_log("watching").await;
    assert_eq!(finalizers(&scene.get(&hello(), "other").await), &json!([FINALIZER]));
    operator.stop().await;
    let mut uninstall = scene.start_with(&entry, &["--only", &only, "--remove-finalizers"]);
    assert!(uninstall.ended().await.success(), "{}", uninstall.log());
    assert!(finalizers(&scene.get(&hello(), "mine").await).is_null());
    assert_eq!(finalizers(&scene.get(&hello(), "other").await), &json!([FINALIZER]));
}

#[tokio::test]
async fn what_a_finalizer_says_of_itself_is_no_reason_to_run_it_again() {
    let scene = Scene::new(shared().await, "finalizer-pace").await;
    hooks(&scene);
    scene.hook(
        "bye.sh",
        r#"cat > bye.json; echo "$TRIGGER" >> byes
echo '{"status": {"conditions": [{"type": "Reconciling", "status": "True"}, {"type": "Ready", "status": "False"}]}}' > "$HOOK_PROGRESS"
note=$(grep -o '"example.com/note":"[a-z]*"' bye.json | cut -d'"' -f4)
echo "{status: {seen: 'note $note', conditions: [{type: Ready, status: 'False', message: '$(wc -l < byes)'}]}, requeueAfter: 1h}""#,
    );
    let _operator = scene.start(ENTRY);
    scene.hello("h", json!({})).await;
    scene.until(&hello(), "h", "held", |object| finalizers(object) == &json!([FINALIZER])).await;
    scene.delete(&hello(), "h").await;
    for (word, runs) in [("", 1), ("a", 2), ("b", 3)] {
        if !word.is_empty() {
            let note = json!({"metadata": {"annotations": {"example.com/note": word}}});
            scene.patch(&hello(), "h", note).await;
        }
        let seen = format!("note {word}");
        scene.until(&hello(), "h", "seen", |object| object["status"]["seen"] == *seen).await;
        assert_eq!(scene.lines("byes"), runs, "{}", scene.read("byes"));
    }
}
