//! A helmfile without any object: the same pipeline from flags, with what it has to remember in a folder or a `ConfigMap`.

use std::fs;

use helmfile_operator::process::{Command, Finished, Status};
use serde_json::Value;
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
    let source = stage.source("");
    let cache = stage.cache().display().to_string();
    let command = Command::new(executable().unwrap(), stage.scene.folder())
        .args(["apply", "--source", &source, "--namespace", &stage.scene.namespace, "--cache-dir", &cache])
        .args(["--detailed-exitcode", "--output", "json"])
        .args(more.iter().copied())
        .envs(stage.scene.plane.tools().environment(stage.scene.folder()))
        .envs([("KUBECONFIG", stage.scene.plane.kubeconfig())]);
    command.run(&guard(), &CancellationToken::new(), &mut |_| {}).await.unwrap()
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
