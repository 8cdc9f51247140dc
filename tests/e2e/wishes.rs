//! What people ask of a Helmfile beside its spec, and what it waits for: dependencies, annotations, commands, further tries.

use helmfile_operator::{
    helmfile::api::names::{
        READY,
        annotation::{FORCE_AT, REQUESTED_AT, RESET_AT},
    },
    process::{Command, Finished, Status},
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::{
    control_plane::shared,
    helmfiles::{Deliveries, helmfile},
    releases::{deliveries, helmfile_of, inventory},
    scene::{SOON, config_map, find},
    tools::{executable, guard},
    wait::wait_until,
};

/// Our program in a person's shell.
async fn typed(stage: &Deliveries<'_>, line: &str) -> Finished {
    let (plane, folder) = (stage.scene.plane, stage.scene.folder());
    let command = Command::new(executable().unwrap(), folder)
        .args(line.split(' '))
        .args(["-n", &stage.scene.namespace])
        .envs(plane.tools().environment(folder))
        .envs([("KUBECONFIG", plane.kubeconfig())]);
    let command = Command { timeout: Some(SOON), ..command };
    command.run(&guard(), &CancellationToken::new(), &mut |_| {}).await.unwrap()
}

/// What it printed. While it waits it says what for on stderr.
fn stdout(finished: &Finished) -> String {
    assert_eq!(finished.status, Status::Exited(0), "{}", finished.stderr);
    String::from_utf8(finished.stdout.clone()).unwrap()
}

async fn annotate(stage: &Deliveries<'_>, name: &str, annotations: Value) {
    stage.scene.patch(&helmfile(), name, json!({"metadata": {"annotations": annotations}})).await;
}

/// A helmfile whose one release has a hook that notes each time helmfile runs it.
fn noting(stage: &Deliveries<'_>) -> String {
    format!(
        "releases:\n- name: one\n  chart: ./chart\n  hooks:\n  - events: [prepare]\n    command: sh\n    args: [-c, 'echo run >> {}/runs']\n",
        stage.scene.folder().display()
    )
}

#[tokio::test]
async fn one_waits_for_another_and_is_delivered_as_soon_as_that_is_ready() {
    let stage = deliveries(shared().await, "depends", &helmfile_of(&["one"])).await;
    let _operator = stage.start(&[]).await;
    let namespace = stage.scene.namespace.clone();
    // Long enough not to be what starts it.
    let depends = |more: Value| {
        let mut spec = stage.spec(&json!({"interval": "10m", "dependsOn": [{"name": "base"}]}));
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    };
    stage.apply("app", depends(json!({}))).await;
    let object = stage.ready("app", "False", &format!("`{namespace}/base`: it does not exist")).await;
    assert_eq!(find(&object, READY)["reason"], "DependencyNotReady");

    let base = |more: Value| {
        let inline =
            format!("releases:\n- {{name: base, chart: {}/chart}}\n", stage.repository.path().display());
        let mut spec = json!({"inline": inline, "wait": false});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    };
    stage.apply("base", base(json!({"suspend": true}))).await;
    stage.ready("app", "False", &format!("`{namespace}/base`: it is not Ready (Suspended)")).await;
    assert_eq!(stage.releases().await, [""; 0]);

    stage.apply("base", base(json!({"suspend": false}))).await;
    let base = stage.ready("base", "True", "1 release").await;
    let object = stage.ready("app", "True", "1 release").await;
    let at = |text: &Value| text.as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second();
    let ready = at(&find(&base, READY)["lastTransitionTime"]);
    let took = at(&object["status"]["lastAttemptTime"]) - ready;
    assert!((0..=2).contains(&took), "it began {took} s after the other one was Ready");
    assert_eq!(stage.releases().await, ["base", "one"]);
    // One Event for the wait as it began, one for what changed in it, and one for its end.
    let events = stage.scene.events("app").await;
    assert!(events.len() <= 3, "{events:#?}");

    // What is delivered stays Ready whatever becomes of the other one.
    stage.scene.delete(&helmfile(), "base").await;
    stage.scene.until(&helmfile(), "base", "gone", Value::is_null).await;
    annotate(&stage, "app", json!({REQUESTED_AT: "now"})).await;
    let handled = |object: &Value| object["status"]["lastHandledReconcileAt"] == "now";
    let object = stage.scene.until(&helmfile(), "app", "a pass", handled).await;
    assert_eq!(find(&object, READY)["status"], "True", "{object:#}");
}

#[tokio::test]
async fn annotations_are_acted_upon_once_and_what_they_were_is_told() {
    let stage = deliveries(shared().await, "annotations", &helmfile_of(&["one"])).await;
    let first = noting(&stage);
    let commit = stage.commit_helmfile(&first);
    let _operator = stage.start(&[]).await;
    stage.apply("h", stage.spec(&json!({"interval": "10m"}))).await;
    stage.applied("h", &commit).await;
    assert_eq!(stage.scene.lines("runs"), 1);

    let asked = async |field: &str, annotations: Value, value: &str| {
        annotate(&stage, "h", annotations).await;
        let told =
            |object: &Value| object["status"][field] == value && find(object, READY)["status"] == "True";
        stage.scene.until(&helmfile(), "h", &format!("{field} told"), told).await
    };
    // A pass is no run of helmfile when nothing has changed; it looks at the source now, not in ten minutes.
    asked("lastHandledReconcileAt", json!({REQUESTED_AT: "1"}), "1").await;
    assert_eq!(stage.scene.lines("runs"), 1);
    let commit = stage.commit_helmfile(&first.replace("./chart\n", "./chart\n  values: [{a: two}]\n"));
    asked("lastHandledReconcileAt", json!({REQUESTED_AT: "2"}), "2").await;
    stage.applied("h", &commit).await;
    assert_eq!(stage.scene.get(&config_map(), "one").await["data"], json!({"a": "two"}));
    let runs = stage.scene.lines("runs");
    assert_eq!(runs, 2);

    // Force needs a request of the same value.
    let object = asked("lastHandledReconcileAt", json!({REQUESTED_AT: "3", FORCE_AT: "other"}), "3").await;
    assert!(object["status"]["lastHandledForceAt"].is_null(), "{object:#}");
    assert_eq!(stage.scene.lines("runs"), runs);
    let object =
        asked("lastHandledForceAt", json!({REQUESTED_AT: "4", FORCE_AT: "4", RESET_AT: "4"}), "4").await;
    assert_eq!(object["status"]["lastHandledResetAt"], "4", "{object:#}");
    assert_eq!(stage.scene.lines("runs"), runs + 1);
    assert_eq!(stage.revision("one").await.0, 2, "nothing has changed");
    // The same value once more is nothing new.
    annotate(&stage, "h", json!({"other": "x"})).await;
    asked("lastHandledReconcileAt", json!({REQUESTED_AT: "5"}), "5").await;
    assert_eq!(stage.scene.lines("runs"), runs + 1);
}

#[tokio::test]
async fn the_commands_work_with_the_real_applier() {
    let stage = deliveries(shared().await, "typed", &helmfile_of(&["one"])).await;
    let first = stage.commit_helmfile(&noting(&stage));
    let _operator = stage.start(&[]).await;
    stage.apply("h", stage.spec(&json!({"interval": "10m"}))).await;
    stage.applied("h", &first).await;

    let said = stdout(&typed(&stage, "reconcile h").await);
    assert!(said.contains("is ready: applied main@sha1:") && said.contains("1 release"), "{said}");
    assert_eq!(stage.scene.lines("runs"), 1);
    stdout(&typed(&stage, "reconcile h --force").await);
    assert_eq!(stage.scene.lines("runs"), 2);

    let said = stdout(&typed(&stage, "suspend h").await);
    assert!(said.contains("is suspended"), "{said}");
    stage.ready("h", "True", "suspended; the cluster has").await;
    let second =
        stage.commit_helmfile(&noting(&stage).replace("./chart\n", "./chart\n  values: [{a: two}]\n"));
    let refused = typed(&stage, "reconcile h").await;
    assert_eq!(refused.status, Status::Exited(1));
    assert!(refused.stderr.contains("is suspended"), "{}", refused.stderr);
    annotate(&stage, "h", json!({REQUESTED_AT: "while suspended"})).await;
    let table = stdout(&typed(&stage, "get h -o wide").await);
    assert!(table.contains("suspended; the cluster has") && table.contains("deployed"), "{table}");
    assert_eq!(stage.scene.lines("runs"), 2);

    let said = stdout(&typed(&stage, "resume h").await);
    assert!(said.contains("is ready: applied"), "{said}");
    let object = stage.applied("h", &second).await;
    assert_eq!(object["status"]["lastHandledReconcileAt"], "while suspended", "it was heard then");

    stage.commit_helmfile("releases:\n- {name: one, chart: ./chrat}\n");
    let failed = typed(&stage, "reconcile h").await;
    assert_eq!(failed.status, Status::Exited(1));
    assert!(failed.stderr.contains("is not ready: ") && failed.stderr.contains("chrat"), "{}", failed.stderr);
    let table = stdout(&typed(&stage, "get h").await);
    assert!(table.contains("ChartUnavailable") && table.contains("False"), "{table}");
}

#[tokio::test]
async fn a_release_that_failed_is_tried_again_without_a_new_revision_of_the_others() {
    let fails =
        "{{ if .Values.fails }}\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: Not_A_Name}\n{{ end }}\n";
    let file = "releases:\n- {name: good, chart: ./chart}\n- {name: bad, chart: ./chart, needs: [good], values: [{fails: true}]}\n";
    let stage = deliveries(shared().await, "retry", file).await;
    stage.repository.commit(&[("chart/templates/fails.yaml", fails)]);
    let _operator = stage.start(&[]).await;
    stage.apply("h", stage.spec(&json!({"retry": {"maxDelay": "1s"}}))).await;
    let failing = |tries: u64| move |object: &Value| object["status"]["failures"].as_u64() >= Some(tries);
    let object = stage.scene.until(&helmfile(), "h", "tried three times", failing(3)).await;
    assert_eq!(stage.revision("good").await.0, 1);
    let history = object["status"]["history"].as_array().unwrap();
    assert_eq!(history[0]["outcome"], "Failed", "{history:#?}");
    assert!(history.len() <= 5);
    let warnings = stage.scene.events("h").await;
    assert_eq!(warnings.len(), 1, "one thing has happened: {warnings:#?}");
    let object = stage.ready("h", "False", "release `bad`").await;
    assert!(find(&object, "Stalled").is_null(), "{object:#}");
    let releases = object["status"]["inventory"]["releases"].as_array().unwrap();
    let states: Vec<_> = releases.iter().map(|one| (&one["name"], &one["status"])).collect();
    assert_eq!(states, [(&json!("bad"), &json!("failed")), (&json!("good"), &json!("deployed"))]);
    assert_eq!(history.len(), 1, "the same failure once more is no news: {history:#?}");

    let commit = stage.commit_helmfile(&file.replace("fails: true", "fails: false"));
    let object = stage.applied("h", &commit).await;
    assert_eq!(inventory(&object), ["bad", "good"]);
    assert_eq!((stage.revision("good").await.0, object["status"]["failures"].is_null()), (1, true));
    assert_eq!(object["status"]["history"][0]["outcome"], "Succeeded");

    // A pause grows with every failure; a request does not wait for its end.
    stage.apply("h", stage.spec(&json!({"retry": {"maxDelay": "10m"}}))).await;
    stage.commit_helmfile(&file.replace("fails: true", "fails: yes"));
    stage.scene.until(&helmfile(), "h", "failed again", failing(1)).await;
    let before = stage.ready("h", "False", "release `bad`").await["status"]["failures"].as_u64().unwrap();
    let asked = typed(&stage, "reconcile h").await;
    assert_eq!(asked.status, Status::Exited(1), "{}", asked.stderr);
    let after = stage.scene.get(&helmfile(), "h").await["status"]["failures"].as_u64().unwrap();
    assert!(after > before, "{after} after {before}");
    assert_eq!(stage.revision("good").await.0, 1);
}

#[tokio::test]
async fn the_status_remembers_five_deliveries_and_events_tell_of_each() {
    let stage = deliveries(shared().await, "history", &helmfile_of(&["one", "two"])).await;
    let _operator = stage.start(&[]).await;
    let namespace = stage.scene.namespace.clone();
    stage.apply("h", stage.spec(&json!({}))).await;
    let mut commits = vec![stage.repository.head()];
    stage.applied("h", &commits[0]).await;
    for number in 2..=7 {
        let file = format!(
            "releases:\n- {{name: one, chart: ./chart, values: [{{a: \"{number}\"}}]}}\n- {{name: two, chart: ./chart}}\n"
        );
        commits.push(stage.commit_helmfile(&file));
        stage.applied("h", commits.last().unwrap()).await;
    }
    let object = stage.scene.get(&helmfile(), "h").await;
    let history = object["status"]["history"].as_array().unwrap();
    let revisions: Vec<String> =
        history.iter().map(|one| one["revision"].as_str().unwrap().to_owned()).collect();
    let expected: Vec<String> =
        commits.iter().rev().take(5).map(|commit| format!("main@sha1:{commit}")).collect();
    assert_eq!(revisions, expected);
    for one in history {
        assert_eq!((&one["outcome"], &one["changed"]), (&json!("Succeeded"), &json!(1)), "{one}");
        assert_eq!(one["releases"], json!([format!("{namespace}/one")]));
    }
    wait_until("one Event for each", SOON, async || {
        let events = stage.scene.events("h").await;
        let applied =
            events.iter().filter(|event| event["note"].as_str().unwrap_or_default().starts_with("applied"));
        let told: u64 = applied.map(|event| event["series"]["count"].as_u64().unwrap_or(1)).sum();
        if told == 7 { Ok(()) } else { Err(format!("{told}: {events:#?}")) }
    })
    .await;
    let releases = &object["status"]["inventory"]["releases"];
    assert_eq!(releases[0]["objects"], json!([format!("ConfigMap {namespace}/one")]), "{releases}");
    assert_eq!((&releases[0]["revision"], &releases[0]["chart"]), (&json!(7), &json!("chart-1.0.0")));
}

#[tokio::test]
async fn an_inventory_that_is_too_long_is_whole_in_a_config_map() {
    let many = "{{ range until 510 }}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: many-{{ . }}}\n{{ end }}\n";
    let stage = deliveries(shared().await, "overflow", "releases:\n- {name: many, chart: ./many}\n").await;
    stage.repository.commit(&[
        ("many/Chart.yaml", "{apiVersion: v2, name: many, version: 1.0.0}\n"),
        ("many/templates/many.yaml", many),
    ]);
    let _operator = stage.start(&[]).await;
    stage.apply("h", stage.spec(&json!({}))).await;
    let object = stage.ready("h", "True", "1 release").await;
    let shown = &object["status"]["inventory"];
    assert_eq!(
        (&shown["objects"], shown["releases"][0]["objects"].as_array().unwrap().len()),
        (&json!(510), 500)
    );
    let name = shown["overflow"].as_str().unwrap().to_owned();
    let whole = stage.scene.get(&config_map(), &name).await;
    let whole: Value = serde_json::from_str(whole["data"]["inventory.json"].as_str().unwrap()).unwrap();
    assert_eq!(whole["releases"][0]["objects"].as_array().unwrap().len(), 510);

    let commit = stage.repository.commit(&[("many/templates/many.yaml", &many.replace("510", "3"))]);
    let object = stage.applied("h", &commit).await;
    assert!(object["status"]["inventory"]["overflow"].is_null(), "{object:#}");
    wait_until("the ConfigMap to be gone", SOON, async || {
        let found = stage.scene.get(&config_map(), &name).await;
        if found.is_null() { Ok(()) } else { Err("it says what is not so any more".to_owned()) }
    })
    .await;
}
