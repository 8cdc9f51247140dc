//! docs/your-own-operator.md on a real control plane, with the rights that it says are enough.

use std::fs;

use helmfile_operator::object::Gvk;
use serde_json::Value;

use crate::{
    check::check,
    install::as_account,
    support::{
        control_plane::shared,
        operator::Operator,
        scene::{Scene, config_map},
        walkthrough,
    },
};

#[tokio::test]
async fn the_operator_of_the_walkthrough_works_with_its_own_rights() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/your-own-operator.md");
    let page = fs::read_to_string(page).unwrap();
    let plane = shared().await;
    let mut scene = Scene::new(plane, "walkthrough").await;
    "default".clone_into(&mut scene.namespace);
    walkthrough::write_files(&page, scene.folder());
    let file = |name: &str| scene.folder().join(name).to_str().unwrap().to_owned();
    plane.kubectl(&["create", "namespace", "pages"]).await;
    plane.kubectl(&["apply", "-f", &file("install.yaml")]).await;
    let kubeconfig = as_account(plane, "pages", "pages").await;

    let env = [("KUBECONFIG", kubeconfig.as_str())];
    let mut operator = Operator::start(plane, &["run", "-f", &file("config.yaml")], &env);
    operator.wait_for_log("watching").await;
    plane.kubectl(&["apply", "-f", &file("page.yaml")]).await;
    let made = scene.until(&config_map(), "welcome", "made", Value::is_object).await;
    assert_eq!(made["data"]["index.html"], "<h1>Hello</h1>");
    let kind = Gvk::new("example.com", "v1", "Page");
    scene.until(&kind, "welcome", "told", |found| found["status"]["length"] == 5).await;

    let checked = check(plane, &kubeconfig, &["-f", &file("config.yaml")]).await;
    let said = String::from_utf8(checked.stdout).unwrap() + &checked.stderr;
    let steps = walkthrough::steps(&page);
    let step = steps.iter().find(|step| step.command.contains("--cluster")).unwrap();
    assert_eq!(said.trim_end(), step.output.trim_end());

    plane.kubectl(&["delete", "page", "welcome", "-n", "default"]).await;
    scene.until(&config_map(), "welcome", "gone with it", Value::is_null).await;
    assert!(operator.stop().await.success());
    assert!(!operator.log().contains("forbidden"), "{}", operator.log());
}
