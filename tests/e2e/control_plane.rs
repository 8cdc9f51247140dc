//! The control plane that the other tests rely on.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, api::PostParams};

use crate::support::{
    control_plane::{ControlPlane, shared},
    processes,
    tools::Tools,
    wait::wait_until,
};

async fn start() -> ControlPlane {
    ControlPlane::start(Tools::find().await.unwrap()).await.unwrap()
}

#[tokio::test]
async fn is_ready_within_ten_seconds_and_leaves_nothing_behind() {
    let before = Instant::now();
    let plane = start().await;
    let took = before.elapsed();
    assert!(took < Duration::from_secs(10), "took {took:?}");

    let dir = plane.dir().to_owned();
    let servers = processes::naming(dir.to_str().unwrap());
    assert!(servers.len() >= 6, "three servers and their guards, but found {servers:?}");
    plane.stop().await;
    assert_eq!(processes::naming(dir.to_str().unwrap()), [] as [i32; 0]);
    assert!(!dir.exists(), "`{}` is still there", dir.display());
}

#[tokio::test]
async fn gives_each_test_a_namespace_with_a_service_account() {
    let plane = shared().await;
    let (one, two) = tokio::join!(plane.namespace("same"), plane.namespace("same"));
    assert_ne!(one, two);
    let accounts = plane.kubectl(&["get", "serviceaccounts", "--namespace", &one, "--output", "name"]).await;
    assert_eq!(accounts, "serviceaccount/default\n");
    let manifest = r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "from-stdin"}}"#;
    let created = plane.kubectl_with(&["create", "--namespace", &two, "--filename", "-"], manifest).await;
    assert_eq!(created, "configmap/from-stdin created\n");
}

#[tokio::test]
async fn keeps_its_data_and_address_over_an_outage_of_the_api_server() {
    let plane = start().await;
    let client = plane.client().await;
    let namespace = plane.namespace("outage").await;
    let objects: Api<ConfigMap> = Api::namespaced(client, &namespace);
    let object: ConfigMap =
        serde_json::from_value(serde_json::json!({"metadata": {"name": "kept"}})).unwrap();
    objects.create(&PostParams::default(), &object).await.unwrap();

    plane.stop_api_server().await;
    objects.get("kept").await.unwrap_err();
    plane.start_api_server().await.unwrap();
    objects.get("kept").await.unwrap();
    // The controller manager has to notice that it is back.
    plane.namespace("after-outage").await;
    plane.stop().await;
}

/// Set for a process that owns a plane: the file that it writes the plane's folder to.
const OWNER: &str = "TEST_PLANE_OWNER";

/// Runs twice: as the test, and as the owner, a process that the test starts with [`OWNER`] set and kills.
#[tokio::test]
async fn ends_with_its_owner_even_when_that_is_killed() {
    #[expect(clippy::disallowed_methods, reason = "tells the two processes apart")]
    if let Some(file) = std::env::var_os(OWNER) {
        return own_until_killed(Path::new(&file)).await;
    }
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("plane");
    #[expect(
        clippy::disallowed_methods,
        reason = "a guard would end the plane itself; here nobody must help"
    )]
    let mut owner = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "control_plane::ends_with_its_owner_even_when_that_is_killed"])
        .env(OWNER, &file)
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let dir = wait_until("a plane of the other process", Duration::from_mins(1), async || {
        if let Some(status) = owner.try_wait().unwrap() {
            return Err(format!("the owner ended: {status}"));
        }
        fs::read_to_string(&file).map(PathBuf::from).map_err(|error| error.to_string())
    })
    .await;
    let servers = processes::naming(dir.to_str().unwrap());
    assert!(servers.len() >= 6, "three servers and their guards, but found {servers:?}");

    owner.kill().await.unwrap();
    processes::wait_until_gone("the plane", &servers, Duration::from_secs(10)).await;
    assert_eq!(processes::naming(dir.to_str().unwrap()), [] as [i32; 0]);
    assert!(!dir.exists(), "`{}` is still there", dir.display());
}

async fn own_until_killed(file: &Path) {
    let plane = start().await;
    // Renamed, so that the other process does not read half a path.
    let half = file.with_extension("half");
    fs::write(&half, plane.dir().to_str().unwrap()).unwrap();
    fs::rename(&half, file).unwrap();
    std::future::pending::<()>().await;
}
