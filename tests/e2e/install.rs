//! deploy/install.yaml: it applies, and its roles are enough for both modes, and no more than that.

use std::fs;

use helmfile_operator::{cluster::crd, object::Gvk, yaml};
use serde_json::{Value, json};

use crate::support::{
    control_plane::{ControlPlane, shared},
    helmfiles::{Deliveries, ONE_RELEASE, helmfile},
    operator::Operator,
    scene::config_map,
};

/// A kubeconfig for a service account, with a token of an hour.
pub(super) async fn as_account(plane: &ControlPlane, namespace: &str, name: &str) -> String {
    let token = plane.kubectl(&["create", "token", name, "-n", namespace]).await;
    let authority = plane.dir().join("ca.crt");
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": plane.url(), "certificate-authority": authority}}],
        "users": [{"name": "c", "user": {"token": token.trim()}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
    });
    let file = plane.dir().join(format!("{namespace}-{name}.kubeconfig"));
    fs::write(&file, config.to_string()).unwrap();
    file.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn both_modes_work_with_exactly_the_roles_that_are_installed() {
    let plane = shared().await;
    let manifests = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/install.yaml");
    plane.kubectl(&["apply", "--server-side", "-f", manifests]).await;
    let stage = Deliveries::new(plane, "installed", &ONE_RELEASE).await;
    let namespace = stage.scene.namespace.clone();

    let kubeconfig = as_account(plane, "helmfile-operator", "helmfile-operator").await;
    let mut operator = Operator::start(plane, &["run", "-n", &namespace], &[("KUBECONFIG", &kubeconfig)]);
    operator.wait_for_log("watching").await;
    stage.apply("h", json!({"source": stage.source(""), "interval": "1s"})).await;
    let deployments = Gvk::new("apps", "v1", "Deployment");
    stage.scene.until(&deployments, "h-applier", "rendered", Value::is_object).await;

    // The applier as the Helmfile's service account, with what deploy/install.yaml tells to bind.
    plane.kubectl(&["create", "serviceaccount", "deployer", "-n", &namespace]).await;
    for role in ["helmfile-applier", "admin"] {
        let subject = format!("--serviceaccount={namespace}:deployer");
        let role_flag = format!("--clusterrole={role}");
        plane.kubectl(&["create", "rolebinding", role, &role_flag, &subject, "-n", &namespace]).await;
    }
    let kubeconfig = as_account(plane, &namespace, "deployer").await;
    let only = format!("{namespace}/h");
    let cache = stage.cache();
    let env = [("KUBECONFIG", kubeconfig.as_str()), ("HELMFILE_OPERATOR_CACHE_DIR", cache.to_str().unwrap())];
    // As the Deployment says: without the flag it would want the right to patch Helmfiles.
    let args = ["run", "-f", "builtin:applier", "--leave-finalizers", "--only", &only];
    let applier = Operator::start(plane, &args, &env);
    // Somebody with rights in one namespace only may not write the namespace itself, which helmfile makes helm do.
    stage.ready("h", "False", "set `helmDefaults: {createNamespace: false}` in the helmfile").await;
    let defaults = format!("helmDefaults: {{createNamespace: false}}\n{}", ONE_RELEASE[0].1);
    stage.repository.commit(&[("helmfile.yaml", &defaults)]);
    stage.ready("h", "True", "1 release").await;
    assert!(stage.scene.get(&config_map(), "one").await.is_object());
    stage.scene.delete(&helmfile(), "h").await;
    stage.scene.until(&helmfile(), "h", "gone", Value::is_null).await;
    stage.scene.until(&deployments, "h-applier", "gone as well", Value::is_null).await;

    for (who, mut process) in [("operator", operator), ("applier", applier)] {
        assert!(process.stop().await.success());
        let log = process.log();
        let told: Vec<&str> = log.lines().filter(|line| line.contains("forbidden")).collect();
        // An applier may not register the CRD, and says that it goes on without.
        let expected = |line: &&&str| {
            who == "applier"
                && (line.contains("going on with what is registered")
                    || line.contains("resource \"namespaces\""))
        };
        assert_eq!(told.iter().filter(|line| !expected(line)).count(), 0, "{who}: {told:#?}");
    }
}

#[tokio::test]
async fn the_role_of_an_applier_is_enough_where_nothing_is_delivered() {
    let plane = shared().await;
    let manifests = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/install.yaml");
    plane.kubectl(&["apply", "--server-side", "-f", manifests]).await;
    let target = plane.namespace("delivered-to").await;
    let mut files = ONE_RELEASE;
    let helmfile = format!(
        "helmDefaults: {{createNamespace: false}}\nreleases:\n- {{name: one, namespace: {target}, chart: ./chart}}\n"
    );
    files[0].1 = &helmfile;
    let stage = Deliveries::new(plane, "applier-role", &files).await;
    let namespace = stage.scene.namespace.clone();
    plane.kubectl(&["create", "serviceaccount", "deployer", "-n", &namespace]).await;
    let subject = format!("--serviceaccount={namespace}:deployer");
    for (role, place) in [("helmfile-applier", &namespace), ("admin", &target)] {
        let role_flag = format!("--clusterrole={role}");
        plane.kubectl(&["create", "rolebinding", role, &role_flag, &subject, "-n", place]).await;
    }
    let account = as_account(plane, &namespace, "deployer").await;
    let crd = yaml::documents(include_str!("../../assets/crds/helmfiles.yaml")).unwrap().remove(0);
    crd::register(&plane.client().await, &crd, env!("CARGO_PKG_VERSION")).await.unwrap();
    let definitions = Gvk::new("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let is_established = |crd: &Value| crd.to_string().contains("\"Established\"");
    stage
        .scene
        .until_in_cluster(&definitions, "helmfiles.apps.mumoshu.github.io", "established", is_established)
        .await;
    stage.apply("h", json!({"source": stage.source("")})).await;
    let only = format!("{namespace}/h");
    let cache = stage.cache();
    let env = [("KUBECONFIG", account.as_str()), ("HELMFILE_OPERATOR_CACHE_DIR", cache.to_str().unwrap())];
    let args = ["run", "-f", "builtin:applier", "--leave-finalizers", "--only", &only];
    let _applier = Operator::start(plane, &args, &env);
    stage.ready("h", "True", "1 release").await;
    // What it keeps here goes at the end of `deletionPolicy: Destroy`.
    for what in ["configmap/h.helmfile", "secret/h.helmfile"] {
        plane.kubectl(&["delete", what, "-n", &namespace, "--kubeconfig", &account]).await;
    }
}
