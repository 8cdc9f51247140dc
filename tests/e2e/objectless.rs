//! A helmfile without any object: the same pipeline from flags, with what it has to remember in a folder or a `ConfigMap`.

use std::fs;

use helmfile_operator::process::{Command, Finished, SessionError, Status};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::{
    control_plane::shared,
    helmfiles::{Deliveries, ONE_RELEASE},
    scene::config_map,
    tools::{executable, guard},
};

const THREE: &str = "releases:\n- {name: one, chart: ./chart}\n- {name: two, chart: ./chart}\n- {name: three, chart: ./chart}\n";
const TWO: &str = "releases:\n- {name: one, chart: ./chart}\n- {name: two, chart: ./chart}\n";

/// Runs `apply` for the stage's repository.
async fn apply(stage: &Deliveries<'_>, more: &[&str]) -> Finished {
    try_apply(stage, more, &CancellationToken::new(), &mut |_| {}).await.unwrap()
}

/// The same, until it is told to stop; `on_line` hears what it says.
async fn try_apply(
    stage: &Deliveries<'_>,
    more: &[&str],
    stop: &CancellationToken,
    on_line: &mut (dyn FnMut(&str) + Send),
) -> Result<Finished, SessionError> {
    let (source, cache) = (stage.source(""), stage.cache().display().to_string());
    let own = [("--source", &source), ("--cache-dir", &cache)];
    let own = own.into_iter().filter(|(flag, _)| !more.contains(flag));
    let command = Command::new(executable().unwrap(), stage.scene.folder())
        .args(["apply", "--namespace", &stage.scene.namespace])
        .args(own.flat_map(|(flag, value)| [flag, value.as_str()]))
        .args(["--detailed-exitcode", "--output", "json"])
        .args(more.iter().copied())
        .envs(stage.scene.plane.tools().environment(stage.scene.folder()))
        .envs([("KUBECONFIG", stage.scene.plane.kubeconfig())]);
    command.run(&guard(), stop, on_line).await
}

/// A helmfile with a release of this value, and another one after it that waits for a file `go` when it is upgraded.
fn waiting(stage: &Deliveries<'_>, value: &str) -> String {
    let folder = stage.scene.folder().display().to_string();
    let wait = format!("echo x >> {folder}/at; while [ ! -e {folder}/go ]; do sleep 0.05; done");
    let hook = json!([{"events": ["presync"], "command": "sh", "args": ["-c", wait]}]);
    let releases = json!([
        {"name": "one", "chart": "./chart", "values": [{"a": value}]},
        {"name": "two", "chart": "./chart", "values": [{"a": value}], "needs": ["one"], "hooks": hook},
    ]);
    format!("releases: {releases}\n")
}

fn said(finished: &Finished) -> Value {
    let said = serde_json::from_slice(&finished.stdout);
    assert!(said.is_ok(), "{}", finished.stderr);
    said.unwrap()
}

#[tokio::test]
async fn a_folder_remembers_what_was_delivered_and_what_is_its_own() {
    let stage = Deliveries::new(shared().await, "objectless", &ONE_RELEASE).await;
    stage.repository.commit(&[("helmfile.yaml", THREE)]);
    let memory = stage.scene.folder().join("state").display().to_string();
    let first = apply(&stage, &["--state", &memory, "--prune"]).await;
    assert_eq!(first.status, Status::Exited(2), "{}", first.stderr);
    assert_eq!(said(&first)["status"]["inventory"]["count"], 3);

    let second = apply(&stage, &["--state", &memory, "--prune"]).await;
    assert_eq!((second.status, said(&second)["verdict"].as_str()), (Status::Exited(0), Some("UpToDate")));

    stage.repository.commit(&[("helmfile.yaml", TWO)]);
    let third = apply(&stage, &["--state", &memory, "--prune"]).await;
    assert_eq!(third.status, Status::Exited(2), "{}", third.stderr);
    assert_eq!(said(&third)["status"]["inventory"]["count"], 2);
    assert_eq!(stage.scene.get(&config_map(), "three").await, Value::Null, "it has left the file");
    assert!(stage.scene.get(&config_map(), "two").await.is_object());
    let record = fs::read_to_string(stage.scene.folder().join("state/record.json")).unwrap();
    assert!(record.contains("\"two\"") && !record.contains("\"three\""), "{record}");
}

#[tokio::test]
async fn a_config_map_remembers_it_for_whoever_comes_next() {
    let stage = Deliveries::new(shared().await, "objectless", &ONE_RELEASE).await;
    let first = apply(&stage, &["--state-configmap", "deliveries"]).await;
    assert_eq!(first.status, Status::Exited(2), "{}", first.stderr);
    assert!(stage.scene.get(&config_map(), "deliveries").await["data"]["record.json"].is_string());
    assert!(stage.scene.get(&config_map(), "deliveries.status").await["data"]["status.json"].is_string());
    // Another machine has another cache.
    fs::remove_dir_all(stage.cache()).unwrap();
    let second = apply(&stage, &["--state-configmap", "deliveries"]).await;
    assert_eq!((second.status, said(&second)["verdict"].as_str()), (Status::Exited(0), Some("UpToDate")));
}

#[tokio::test]
async fn nothing_is_pruned_by_who_remembers_nothing() {
    let stage = Deliveries::new(shared().await, "objectless", &ONE_RELEASE).await;
    let refused = apply(&stage, &["--prune"]).await;
    assert_eq!(refused.status, Status::Exited(64));
    assert!(refused.stderr.contains("--prune needs --state or --state-configmap"), "{}", refused.stderr);
}

#[tokio::test]
async fn what_was_cut_off_in_the_middle_is_no_delivery_of_what_was_before() {
    let stage = Deliveries::new(shared().await, "cut-off", &ONE_RELEASE).await;
    let before = stage.repository.commit(&[("helmfile.yaml", &waiting(&stage, "1"))]);
    let memory = stage.scene.folder().join("state").display().to_string();
    let args = ["--state", &memory];
    stage.scene.write("go", "", 0o644);
    assert_eq!(apply(&stage, &args).await.status, Status::Exited(2));

    fs::remove_file(stage.scene.folder().join("go")).unwrap();
    fs::remove_file(stage.scene.folder().join("at")).unwrap();
    stage.repository.commit(&[("helmfile.yaml", &waiting(&stage, "2"))]);
    let stop = CancellationToken::new();
    let mut nobody = |_: &str| {};
    let (cut, ()) = tokio::join!(try_apply(&stage, &args, &stop, &mut nobody), async {
        stage.scene.until_file("at", 1).await;
        stop.cancel();
    });
    assert!(matches!(cut, Err(SessionError::Stopped)), "{cut:?}");
    assert!(stage.revisions().await.contains(&"one.v2 deployed".to_owned()));

    stage.repository.git(&["reset", "--quiet", "--hard", &before]);
    stage.scene.write("go", "", 0o644);
    let back = apply(&stage, &args).await;
    assert_eq!(back.status, Status::Exited(2), "{}", back.stderr);
    assert_eq!(stage.scene.get(&config_map(), "one").await["data"]["a"], "1");
}

#[tokio::test]
async fn another_version_of_the_source_is_the_same_delivery() {
    let stage = Deliveries::new(shared().await, "versions", &ONE_RELEASE).await;
    stage.repository.commit(&[("helmfile.yaml", THREE)]);
    stage.repository.tag("v1");
    stage.repository.commit(&[("helmfile.yaml", TWO)]);
    stage.repository.tag("v2");
    let memory = stage.scene.folder().join("state").display().to_string();
    for (version, releases) in [("v1", 3), ("v2", 2)] {
        let source = format!("git::{}", stage.repository.url());
        let args = ["--state", &memory, "--prune", "--version", version, "--source", &source];
        let done = apply(&stage, &args).await;
        assert_eq!(done.status, Status::Exited(2), "{}", done.stderr);
        assert_eq!(said(&done)["status"]["inventory"]["count"], releases, "{version}");
    }
    assert_eq!(stage.scene.get(&config_map(), "three").await, Value::Null, "it has left the file");
}

#[tokio::test]
async fn two_machines_with_one_config_map_take_turns() {
    let stage = Deliveries::new(shared().await, "turns", &ONE_RELEASE).await;
    stage.repository.commit(&[("helmfile.yaml", &waiting(&stage, "1"))]);
    let cache = stage.scene.folder().join("other").display().to_string();
    let args = ["--state-configmap", "deliveries"];
    let other = [&args[..], &["--cache-dir", &cache]].concat();
    let (one, other) = tokio::join!(apply(&stage, &args), async {
        stage.scene.until_file("at", 1).await;
        let mut waits = |line: &str| {
            if line.contains("another applier") {
                stage.scene.write("go", "", 0o644);
            }
        };
        try_apply(&stage, &other, &CancellationToken::new(), &mut waits).await.unwrap()
    });
    assert_eq!(
        other.status,
        Status::Exited(0),
        "it finds what the first one has delivered: {}",
        other.stderr
    );
    assert_eq!(one.status, Status::Exited(2), "{}", one.stderr);
    assert_eq!(stage.revisions().await, ["one.v1 deployed", "two.v1 deployed"]);
}
