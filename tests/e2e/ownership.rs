//! Which releases are a Helmfile's own: what it may prune, what it takes over, and what belongs to somebody else.

use helmfile_operator::helmfile::api::names::{PLAN_PENDING, READY, STALLED, annotation::APPROVE_PRUNE};
use serde_json::{Value, json};

use crate::support::{
    control_plane::shared,
    helmfiles::{Deliveries, helmfile},
    releases::{deliveries, helmfile_of, inventory},
    scene::{config_map, find},
};

/// A stage with a Helmfile `h` that prunes and has delivered these releases.
async fn delivered(
    name: &str,
    releases: &[&str],
) -> (Deliveries<'static>, crate::support::operator::Operator) {
    let stage = deliveries(shared().await, name, &helmfile_of(releases)).await;
    let operator = stage.start(&[]).await;
    stage.apply("h", stage.spec(&json!({"prune": true}))).await;
    stage.applied("h", &stage.repository.head()).await;
    (stage, operator)
}

/// Waits until a prune is held, checks what the object says of it, and gives its id.
async fn held(stage: &Deliveries<'_>, why: &str, releases: &[&str]) -> String {
    let object = stage
        .scene
        .until(&helmfile(), "h", &format!("held: {why}"), |object| {
            let reason = object["status"]["pendingPrune"]["reason"].as_str();
            find(object, READY)["status"] == "True" && reason.is_some_and(|reason| reason.contains(why))
        })
        .await;
    let pending = &object["status"]["pendingPrune"];
    let full: Vec<String> = releases.iter().map(|name| format!("{}/{name}", stage.scene.namespace)).collect();
    assert_eq!(pending["releases"], json!(full), "{object:#}");
    let condition = find(&object, PLAN_PENDING);
    assert_eq!((&condition["status"], &condition["reason"]), (&json!("True"), &json!("PruneNeedsApproval")));
    let id = pending["id"].as_str().unwrap().to_owned();
    let message = condition["message"].as_str().unwrap();
    assert!(message.contains(why) && message.contains(&format!("{APPROVE_PRUNE}={id}")), "{message}");
    id
}

async fn approve(stage: &Deliveries<'_>, id: &str) {
    stage.scene.patch(&helmfile(), "h", json!({"metadata": {"annotations": {APPROVE_PRUNE: id}}})).await;
}

/// Waits until nothing is held any more.
async fn free(stage: &Deliveries<'_>) {
    stage
        .scene
        .until(&helmfile(), "h", "nothing held", |object| {
            find(object, READY)["status"] == "True"
                && object["status"]["pendingPrune"].is_null()
                && find(object, PLAN_PENDING).is_null()
        })
        .await;
}

fn owns(names: &[&str]) -> Vec<(String, bool)> {
    names.iter().map(|name| ((*name).to_owned(), false)).collect()
}

#[tokio::test]
async fn what_has_left_the_helmfile_is_uninstalled_and_nothing_but_that() {
    let stage = deliveries(shared().await, "prune", &helmfile_of(&["a", "b", "c", "d", "e"])).await;
    let _operator = stage.start(&[]).await;
    stage.install("foreign", &[]).await;
    let object = stage.apply("h", stage.spec(&json!({"prune": true}))).await;
    stage.applied("h", &stage.repository.head()).await;
    let uid = object["metadata"]["uid"].as_str().unwrap();
    assert_eq!(stage.owned("h").await, owns(&["a", "b", "c", "d", "e"]));
    assert_eq!(stage.revision("a").await, (1, "deployed".to_owned(), uid.to_owned()));
    // With our label and not in the record: somebody has copied it, or the record is from a backup.
    stage.install("labelled", &["--labels", &format!("apps.mumoshu.github.io/helmfile-uid={uid}")]).await;

    let commit = stage.commit_helmfile(&helmfile_of(&["a", "b", "c", "d"]));
    let object = stage.applied("h", &commit).await;
    assert_eq!(stage.releases().await, ["a", "b", "c", "d", "foreign", "labelled"]);
    assert_eq!(stage.scene.get(&config_map(), "e").await, Value::Null);
    assert_eq!(inventory(&object), ["a", "b", "c", "d"]);
    assert_eq!(stage.owned("h").await, owns(&["a", "b", "c", "d"]));
    let last = &object["status"]["history"][0];
    assert_eq!((&last["changed"], &last["outcome"]), (&json!(1), &json!("Succeeded")), "{last}");
    assert_eq!(last["releases"], json!([format!("{}/e", stage.scene.namespace)]));

    // In the record and without our label: somebody has made it their own.
    let args = ["label", "secret", "-n", &stage.scene.namespace, "-l", "owner=helm,name=d"];
    stage.scene.plane.kubectl(&[&args[..], &["apps.mumoshu.github.io/helmfile-uid-"]].concat()).await;
    let commit = stage.commit_helmfile(&helmfile_of(&["a", "b", "c"]));
    let object = stage.applied("h", &commit).await;
    assert_eq!(stage.releases().await, ["a", "b", "c", "d", "foreign", "labelled"]);
    assert_eq!(inventory(&object), ["a", "b", "c"]);

    stage.apply("h", stage.spec(&json!({"prune": false}))).await;
    let commit = stage.commit_helmfile(&helmfile_of(&["a", "b"]));
    stage.applied("h", &commit).await;
    assert_eq!(stage.releases().await, ["a", "b", "c", "d", "foreign", "labelled"]);
    // It has left while nothing was pruned; from now on it is.
    stage.apply("h", stage.spec(&json!({"prune": true}))).await;
    stage.until_releases(&["a", "b", "d", "foreign", "labelled"]).await;
}

#[tokio::test]
async fn what_is_not_installed_goes_as_helmfile_says_and_what_is_disabled_or_not_selected_stays() {
    let file = |more: &str| {
        format!(
            "releases:\n- {{name: a, chart: ./chart, labels: {{pick: me}}}}\n- {{name: b, chart: ./chart, condition: b.enabled}}\n\
             - {{name: c, chart: ./chart{more}}}\n- {{name: d, chart: ./chart}}\n"
        )
    };
    let stage = deliveries(shared().await, "not-installed", &file("")).await;
    let _operator = stage.start(&[]).await;
    let spec = |enabled: bool| stage.spec(&json!({"prune": true, "values": {"b": {"enabled": enabled}}}));
    stage.apply("h", spec(true)).await;
    stage.applied("h", &stage.repository.head()).await;
    assert_eq!(stage.releases().await, ["a", "b", "c", "d"]);

    let commit = stage.commit_helmfile(&file(", installed: false"));
    let object = stage.applied("h", &commit).await;
    assert_eq!(stage.releases().await, ["a", "b", "d"]);
    assert_eq!((inventory(&object), stage.owned("h").await), (vec!["a", "b", "d"], owns(&["a", "b", "d"])));

    stage.apply("h", spec(false)).await;
    let object = stage.acted("h", "True").await;
    assert_eq!(stage.releases().await, ["a", "b", "d"]);
    assert_eq!((inventory(&object), stage.owned("h").await), (vec!["a", "b", "d"], owns(&["a", "b", "d"])));
    assert!(object["status"]["pendingPrune"].is_null(), "{object:#}");

    let more = json!({"prune": true, "selector": ["pick=me"], "values": {"b": {"enabled": false}}});
    stage.apply("h", stage.spec(&more)).await;
    let object = stage.acted("h", "True").await;
    assert_eq!(stage.releases().await, ["a", "b", "d"]);
    assert_eq!(inventory(&object), ["a", "b", "d"], "what is not selected is still ours");
    assert!(object["status"]["pendingPrune"].is_null(), "{object:#}");
}

#[tokio::test]
async fn a_release_that_could_not_be_uninstalled_is_still_ours() {
    let (stage, _operator) = delivered("stubborn", &["a", "b", "c"]).await;
    let file = "releases:\n- {name: a, chart: ./chart}\n- {name: b, chart: ./chart}\n- {name: c, chart: ./hooked}\n- {name: d, chart: ./chart}\n";
    let commit = stage.repository.commit(&[
        ("helmfile.yaml", file),
        ("hooked/Chart.yaml", "{apiVersion: v2, name: hooked, version: 1.0.0}\n"),
        ("hooked/templates/hook.yaml", BROKEN_HOOK),
    ]);
    stage.applied("h", &commit).await;
    stage.commit_helmfile(&file.replace("./hooked", "./hooked, installed: false"));
    stage.ready("h", "False", "release `c`").await;
    assert_eq!(stage.owned("h").await, owns(&["a", "b", "c", "d"]));
    stage.commit_helmfile(&helmfile_of(&["a", "b"]));
    let object = stage.ready("h", "False", "could not be uninstalled").await;
    assert_eq!(find(&object, READY)["reason"], "PruneFailed", "{object:#}");
    assert_eq!(stage.owned("h").await, owns(&["a", "b", "c"]));
    // The other one that was to go is gone, and that is told.
    assert_eq!(stage.releases().await, ["a", "b", "c"]);
    assert_eq!(inventory(&object), ["a", "b", "c"]);
    let first = &object["status"]["history"][0];
    let releases = json!([format!("{}/d", stage.scene.namespace)]);
    assert_eq!((&first["outcome"], &first["releases"]), (&json!("Failed"), &releases), "{object:#}");
}

/// A hook that can't be made, so that the release can't be uninstalled.
const BROKEN_HOOK: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: Not_A_Name\n  annotations: {helm.sh/hook: pre-delete}\n";

#[tokio::test]
async fn what_looks_like_a_mistake_is_held_until_somebody_says_yes() {
    let (stage, _operator) = delivered("mistaken", &["a", "b", "c", "d"]).await;
    stage.commit_helmfile(&helmfile_of(&["a"]));
    let all = ["a", "b", "c", "d"];
    held(&stage, "more than half of its releases (3 of 4)", &["d", "c", "b"]).await;
    assert_eq!(stage.releases().await, all);
    stage.commit_helmfile(&helmfile_of(&[]));
    let id = held(&stage, "more than half of its releases (4 of 4)", &["d", "c", "b", "a"]).await;
    approve(&stage, "another").await;

    // One that can't be rendered prunes nothing, and the yes to another question is none.
    stage.commit_helmfile(
        "releases:\n- {name: a, chart: ./chart, values: [{a: '{{ fail \"on purpose\" }}'}]}\n- {name: [}\n",
    );
    stage.ready("h", "False", "helmfile.yaml").await;
    assert_eq!(stage.releases().await, all);

    let commit = stage.commit_helmfile(&helmfile_of(&["a", "b"]));
    let object = stage.applied("h", &commit).await;
    assert!(object["status"]["pendingPrune"].is_null(), "half of them is no mistake: {object:#}");
    assert_eq!(stage.releases().await, ["a", "b"]);

    stage.commit_helmfile(&helmfile_of(&[]));
    let new = held(&stage, "more than half of its releases (2 of 2)", &["b", "a"]).await;
    assert_ne!(new, id);
    approve(&stage, &new).await;
    free(&stage).await;
    assert_eq!(stage.releases().await, [""; 0]);
    assert_eq!(stage.owned("h").await, []);
}

#[tokio::test]
async fn after_a_change_of_place_what_is_missing_may_only_be_elsewhere() {
    let (stage, _operator) = delivered("moved", &["a", "b", "c", "d"]).await;
    let why = "the source, the file or the environment is another one now";
    // Another environment, in which one release is missing.
    let file = "environments:\n  default: {}\n  other: {}\n---\nreleases:\n- {name: a, chart: ./chart}\n- {name: b, chart: ./chart}\n\
                - {name: c, chart: ./chart}\n{{ if eq .Environment.Name \"default\" }}\n- {name: d, chart: ./chart}\n{{ end }}\n";
    stage.repository.git(&["rm", "--quiet", "helmfile.yaml"]);
    let commit = stage.repository.commit(&[("helmfile.yaml.gotmpl", file)]);
    stage.applied("h", &commit).await;
    // While nothing is pruned the question is not answered, either.
    stage.apply("h", stage.spec(&json!({"prune": false, "environment": "other"}))).await;
    stage.acted("h", "True").await;
    stage.apply("h", stage.spec(&json!({"prune": true, "environment": "other"}))).await;
    held(&stage, why, &["d"]).await;
    stage.apply("h", stage.spec(&json!({"prune": true}))).await;
    free(&stage).await;

    // Another file.
    stage.repository.commit(&[("else/helmfile.yaml", "releases:\n- {name: a, chart: ../chart}\n- {name: b, chart: ../chart}\n- {name: c, chart: ../chart}\n")]);
    stage.apply("h", stage.spec(&json!({"prune": true, "file": "else"}))).await;
    let first = held(&stage, why, &["d"]).await;
    stage.apply("h", stage.spec(&json!({"prune": true}))).await;
    free(&stage).await;

    // Another source; a yes to this question lets them go.
    let copy = crate::support::git::Repository::new(&[
        ("helmfile.yaml", &helmfile_of(&["a", "b", "c"])),
        crate::support::helmfiles::ONE_RELEASE[1],
        crate::support::helmfiles::ONE_RELEASE[2],
    ]);
    approve(&stage, &first).await;
    let source = format!("git::{}?ref=main", copy.url());
    stage.apply("h", stage.spec(&json!({"prune": true, "source": source}))).await;
    let id = held(&stage, why, &["d"]).await;
    assert_ne!(id, first, "a yes to one change of place is none to another");
    assert_eq!(stage.releases().await, ["a", "b", "c", "d"]);
    approve(&stage, &id).await;
    free(&stage).await;
    assert_eq!(stage.releases().await, ["a", "b", "c"]);
}

#[tokio::test]
async fn a_release_that_was_there_is_taken_over_without_an_upgrade_and_is_ours_after_one() {
    let stage = deliveries(shared().await, "adopt", &helmfile_of(&["a", "b", "c"])).await;
    let _operator = stage.start(&[]).await;
    for name in ["b", "c"] {
        stage.install(name, &[]).await;
    }
    let object = stage.apply("h", stage.spec(&json!({"prune": true}))).await;
    let uid = object["metadata"]["uid"].as_str().unwrap().to_owned();
    let object = stage.applied("h", &stage.repository.head()).await;
    let deployed = |revision: u64| (revision, "deployed".to_owned(), uid.clone());
    for name in ["a", "b", "c"] {
        assert_eq!(stage.revision(name).await, deployed(1), "{name}");
    }
    let adopted = |name: &str, adopted: bool| (name.to_owned(), adopted);
    assert_eq!(stage.owned("h").await, [adopted("a", false), adopted("b", true), adopted("c", true)]);
    let said: Vec<bool> = object["status"]["inventory"]["releases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|release| release["adopted"] == true)
        .collect();
    assert_eq!(said, [false, true, true]);

    // b is upgraded by us, and ours then; c is not.
    let file = "releases:\n- {name: a, chart: ./chart}\n- {name: b, chart: ./chart, values: [{a: two}]}\n- {name: c, chart: ./chart}\n";
    let commit = stage.commit_helmfile(file);
    stage.applied("h", &commit).await;
    assert_eq!((stage.revision("b").await, stage.revision("c").await), (deployed(2), deployed(1)));
    assert_eq!(stage.owned("h").await, [adopted("a", false), adopted("b", false), adopted("c", true)]);

    let commit = stage.commit_helmfile(&helmfile_of(&["a"]));
    stage.applied("h", &commit).await;
    stage.until_releases(&["a", "c"]).await;
}

#[tokio::test]
async fn a_release_whose_first_upgrade_by_us_failed_is_not_ours_yet() {
    let stage = deliveries(shared().await, "adopt-failing", &helmfile_of(&["a", "b", "c"])).await;
    let _operator = stage.start(&[]).await;
    stage.install("c", &[]).await;
    // Helm refuses before it makes a revision: an object that is to come exists, and is nobody's.
    stage.scene.apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "taken"}})).await;
    let more = "{{ if .Values.more }}\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: taken}\n{{ end }}\n";
    stage.repository.commit(&[
        ("chart/templates/more.yaml", more),
        ("helmfile.yaml", "releases:\n- {name: a, chart: ./chart}\n- {name: b, chart: ./chart}\n- {name: c, chart: ./chart, values: [{more: true}]}\n"),
    ]);
    stage.apply("h", stage.spec(&json!({"prune": true}))).await;
    stage.ready("h", "False", "taken").await;
    assert_eq!(stage.revision("c").await.0, 1);
    // As it was, so that it is taken over after all; and then it leaves.
    let commit = stage.commit_helmfile(&helmfile_of(&["a", "b", "c"]));
    stage.applied("h", &commit).await;
    let owned = stage.owned("h").await;
    assert_eq!(owned[2], ("c".to_owned(), true), "{owned:?}");
    let commit = stage.commit_helmfile(&helmfile_of(&["a", "b"]));
    stage.applied("h", &commit).await;
    assert_eq!(stage.releases().await, ["a", "b", "c"]);
}

#[tokio::test]
async fn objects_of_no_release_are_taken_over_only_where_the_spec_says_so() {
    let stage = deliveries(shared().await, "adopt-objects", &helmfile_of(&["one"])).await;
    let _operator = stage.start(&[]).await;
    let object =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": {"a": "mine"}});
    stage.scene.apply(object).await;
    stage.apply("h", stage.spec(&json!({}))).await;
    let object = stage.ready("h", "False", "adopt").await;
    let ready = find(&object, READY);
    let message = ready["message"].as_str().unwrap();
    assert!(
        message.contains("release `one`") && message.contains("ConfigMap") && message.contains("exists"),
        "{ready}"
    );
    assert_eq!(stage.scene.get(&config_map(), "one").await["data"], json!({"a": "mine"}));
    stage.apply("h", stage.spec(&json!({"adopt": true}))).await;
    stage.ready("h", "True", "1 release").await;
    let taken = stage.scene.get(&config_map(), "one").await;
    assert_eq!(taken["metadata"]["annotations"]["meta.helm.sh/release-name"], "one");
}

#[tokio::test]
async fn a_release_has_one_helmfile_at_a_time() {
    let stage = deliveries(shared().await, "claims", &helmfile_of(&["one"])).await;
    let _operator = stage.start(&[]).await;
    let spec = stage.spec(&json!({"prune": true, "retry": {"maxDelay": "1s"}}));
    stage.apply("first", spec.clone()).await;
    stage.ready("first", "True", "1 release").await;
    stage.apply("second", spec.clone()).await;
    let namespace = &stage.scene.namespace;
    // While it is tried again it is not stalled.
    let is_stalled = |object: &Value| find(object, STALLED)["status"] == "True";
    let object = stage.scene.until(&helmfile(), "second", "stalled", is_stalled).await;
    let stalled = find(&object, STALLED);
    assert_eq!(
        (&stalled["status"], &stalled["reason"]),
        (&json!("True"), &json!("ReleaseClaimed")),
        "{object:#}"
    );
    assert!(
        stalled["message"].as_str().unwrap().contains(&format!("release `{namespace}/one`")),
        "{stalled}"
    );
    assert!(stalled["message"].as_str().unwrap().contains(&format!("`{namespace}/first`")), "{stalled}");
    assert_eq!(stage.owned("second").await, []);

    // Neither does it take away what it may not have.
    let unwanted = json!({"source": null, "inline": UNWANTED, "interval": "1s", "retry": {"maxDelay": "1s"}});
    stage.apply("second", unwanted).await;
    let object = stage.acted("second", "False").await;
    assert_eq!(find(&object, READY)["reason"], "ReleaseClaimed");
    assert_eq!(stage.revision("one").await.1, "deployed");

    stage.apply("second", spec).await;
    let object = stage.acted("second", "False").await;
    assert_eq!(find(&object, READY)["reason"], "ReleaseClaimed");
    stage.scene.delete(&helmfile(), "first").await;
    stage.scene.until(&helmfile(), "first", "gone", Value::is_null).await;
    let object = stage.ready("second", "True", "1 release").await;
    let uid = object["metadata"]["uid"].as_str().unwrap().to_owned();
    assert_eq!(stage.revision("one").await, (1, "deployed".to_owned(), uid));
    assert_eq!(stage.owned("second").await, [("one".to_owned(), true)]);
}

/// A helmfile that wants a release away, whatever its chart.
const UNWANTED: &str = "releases:\n- {name: one, chart: none, installed: false}\n";

#[tokio::test]
async fn a_release_that_was_there_is_not_ours_because_another_one_failed() {
    let stage = deliveries(shared().await, "adopt-beside", &helmfile_of(&["a", "b", "c"])).await;
    let _operator = stage.start(&[]).await;
    stage.install("c", &[]).await;
    stage.apply("h", stage.spec(&json!({"prune": true}))).await;
    stage.applied("h", &stage.repository.head()).await;
    assert_eq!(stage.owned("h").await[2], ("c".to_owned(), true));
    // Both are to be upgraded, and helm refuses the one that comes first.
    stage.scene.apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "taken"}})).await;
    let more = "{{ if .Values.more }}\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: taken}\n{{ end }}\n";
    stage.repository.commit(&[
        ("chart/templates/more.yaml", more),
        (
            "helmfile.yaml",
            "releases:\n- {name: a, chart: ./chart}\n- {name: b, chart: ./chart, values: [{more: true}]}\n\
             - {name: c, chart: ./chart, values: [{a: two}], needs: [b]}\n",
        ),
    ]);
    stage.ready("h", "False", "taken").await;
    assert_eq!(stage.revision("c").await.0, 1);
    assert_eq!(stage.owned("h").await[2], ("c".to_owned(), true), "nobody has upgraded it");
}
