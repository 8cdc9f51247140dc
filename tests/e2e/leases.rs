//! Two appliers and one Helmfile (RULES 21): one acts, the other waits, and takes over from the dead.

use std::{fs, time::Duration};

use helmfile_operator::object::Gvk;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{
    control_plane::shared,
    helmfiles::{Deliveries, ONE_RELEASE, helmfile},
    operator::Operator,
    processes,
    proxy::Proxy,
    scene::SOON,
    shims::Shims,
    wait::wait_until,
};

fn lease() -> Gvk {
    Gvk::new("coordination.k8s.io", "v1", "Lease")
}

/// Who holds the Lease; empty when nobody does.
async fn holder(stage: &Deliveries<'_>) -> String {
    let lease = stage.scene.get(&lease(), "h.helmfile").await;
    lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
}

/// An applier on a machine of its own.
async fn machine(stage: &Deliveries<'_>, name: &str, env: &[(&str, &str)]) -> Operator {
    let cache = stage.scene.folder().join(name).display().to_string();
    stage.start(&[&[("HOSTNAME", name), ("HELMFILE_OPERATOR_CACHE_DIR", cache.as_str())], env].concat()).await
}

/// A helmfile with one release that is upgraded when there is a file `go`, and a line in `at` for each that waits.
fn waiting(stage: &Deliveries<'_>, value: &str) -> String {
    let folder = stage.scene.folder().display().to_string();
    let wait = format!("echo $$ >> {folder}/at; while [ ! -e {folder}/go ]; do sleep 0.05; done");
    let hook = json!([{"events": ["presync"], "command": "sh", "args": ["-c", wait]}]);
    let releases = json!([{"name": "one", "chart": "./chart", "hooks": hook, "values": [{"a": value}]}]);
    format!("releases: {releases}\n")
}

/// A stage whose helmfile waits in a hook for a file with the name of its machine, and says in `at` who is there. Two
/// helmfiles at once are written down.
async fn gated(name: &str) -> (Deliveries<'static>, Shims) {
    let stage = Deliveries::new(shared().await, name, &ONE_RELEASE).await;
    stage.repository.commit(&[("helmfile.yaml", &waiting(&stage, "1"))]);
    let shims = Shims::new(&stage.scene);
    shims.watch(&stage.scene, "helmfile", "*");
    (stage, shims)
}

/// The first process that has said that it is there.
fn first_there(stage: &Deliveries<'_>) -> i32 {
    stage.scene.read("at").lines().next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn two_appliers_never_run_helmfile_at_once_and_the_second_one_waits() {
    let (stage, shims) = gated("two-appliers").await;
    let path = shims.path();
    let mut one = machine(&stage, "one", &[("PATH", &path)]).await;
    stage
        .apply("h", json!({"source": stage.source(""), "interval": "1s", "retry": {"maxDelay": "1s"}}))
        .await;
    stage.scene.until_file("at", 1).await;
    assert!(holder(&stage).await.starts_with("one_"), "{}", holder(&stage).await);
    let mut two = machine(&stage, "two", &[("PATH", &path)]).await;
    two.wait_for_log("another applier (`one_").await;
    stage.ready("h", "Unknown", "").await;
    assert_eq!(stage.scene.lines("at"), 1);
    stage.scene.write("go", "", 0o644);
    stage.ready("h", "True", "1 release").await;
    wait_until("the Lease to be given back", SOON, async || match holder(&stage).await {
        holder if holder.is_empty() => Ok(()),
        holder => Err(holder),
    })
    .await;

    for round in 2..5 {
        let values = json!({"source": stage.source(""), "interval": "1s", "retry": {"maxDelay": "1s"}});
        stage.apply("h", values).await;
        let releases = json!([{"name": "one", "chart": "./chart", "values": [{"a": round.to_string()}]}]);
        let commit = stage.repository.commit(&[("helmfile.yaml", &format!("releases: {releases}\n"))]);
        stage.applied("h", &commit).await;
    }
    assert_eq!(stage.scene.read("helmfile.overlaps"), "");
    assert_eq!(
        stage.revisions().await,
        ["one.v1 superseded", "one.v2 superseded", "one.v3 superseded", "one.v4 deployed"],
        "each commit is delivered once"
    );
    assert!(one.stop().await.success() && two.stop().await.success());
}

#[tokio::test]
async fn what_a_dead_applier_has_claimed_is_taken_over_when_its_claim_has_expired() {
    let (stage, shims) = gated("taken-over").await;
    let path = shims.path();
    let mut one = machine(&stage, "one", &[("PATH", &path)]).await;
    stage
        .apply("h", json!({"source": stage.source(""), "interval": "1s", "retry": {"maxDelay": "1s"}}))
        .await;
    stage.scene.until_file("at", 1).await;
    one.kill().await;
    let since = Instant::now();
    stage.scene.write("go", "", 0o644);
    let _two = machine(&stage, "two", &[("PATH", &path)]).await;
    stage.ready("h", "True", "1 release").await;
    let took = since.elapsed();
    assert!((Duration::from_secs(29)..Duration::from_secs(50)).contains(&took), "{took:?}");
    assert_eq!(stage.scene.read("helmfile.overlaps"), "");
    assert_eq!(stage.revisions().await, ["one.v1 deployed"]);
}

#[tokio::test]
async fn an_applier_that_is_cut_off_ends_its_programs_before_anybody_else_may_begin() {
    let (stage, shims) = gated("cut-off").await;
    let plane = stage.scene.plane;
    let proxy = Proxy::start(plane.url().rsplit_once(':').unwrap().1.parse().unwrap()).await;
    let kubeconfig = fs::read_to_string(plane.kubeconfig()).unwrap();
    let kubeconfig = kubeconfig.replace(&plane.url(), &format!("https://127.0.0.1:{}", proxy.port));
    let kubeconfig = stage.scene.write("kubeconfig", &kubeconfig, 0o600).display().to_string();
    let path = shims.path();
    let _one = machine(&stage, "one", &[("PATH", &path), ("KUBECONFIG", &kubeconfig)]).await;
    stage
        .apply("h", json!({"source": stage.source(""), "interval": "1s", "retry": {"maxDelay": "1s"}}))
        .await;
    stage.scene.until_file("at", 1).await;
    let hook = first_there(&stage);
    let _two = machine(&stage, "two", &[("PATH", &path)]).await;
    proxy.cut();
    let since = Instant::now();
    processes::wait_until_gone("the hook of the one that is cut off", &[hook], SOON).await;
    let took = since.elapsed();
    assert!(took < Duration::from_secs(29), "{took:?}");
    assert!(!holder(&stage).await.starts_with("two_"), "nobody has taken it yet");
    stage.scene.write("go", "", 0o644);
    stage.ready("h", "True", "1 release").await;
    assert!(stage.scene.lines("at") == 2, "{}", stage.scene.read("at"));
    assert_eq!(stage.scene.read("helmfile.overlaps"), "");
}

#[tokio::test]
async fn a_delivery_that_comes_to_nothing_gives_its_lease_back() {
    let stage = Deliveries::new(shared().await, "given-back", &ONE_RELEASE).await;
    let _one = machine(&stage, "one", &[]).await;
    stage.apply("h", json!({"source": stage.source("@absent.yaml"), "interval": "1s"})).await;
    stage.ready("h", "False", "absent.yaml").await;
    assert_eq!(holder(&stage).await, "");
    let lease = stage.scene.get(&lease(), "h.helmfile").await;
    assert!(lease.is_null() || lease["spec"]["holderIdentity"].is_null(), "{lease}");
    stage.apply("h", json!({"source": stage.source(""), "interval": "1s"})).await;
    stage.ready("h", "True", "1 release").await;
    assert_eq!(holder(&stage).await, "");
    let object: Value = stage.scene.get(&helmfile(), "h").await;
    assert!(object["status"]["failures"].is_null() || object["status"]["failures"] == 0, "{object}");
}

#[tokio::test]
async fn a_record_that_somebody_else_has_written_meanwhile_is_not_overwritten() {
    let (stage, shims) = gated("overtaken").await;
    let path = shims.path();
    let mut one = machine(&stage, "one", &[("PATH", &path)]).await;
    stage
        .apply("h", json!({"source": stage.source(""), "interval": "1s", "retry": {"maxDelay": "1s"}}))
        .await;
    stage.scene.until_file("at", 1).await;
    // As one would that holds the Lease by right while this one was frozen.
    let theirs = json!({"uid": "theirs", "releases": []}).to_string();
    stage
        .scene
        .apply(json!({
            "apiVersion": "v1", "kind": "ConfigMap", "data": {"record.json": theirs},
            "metadata": {"name": "h.helmfile", "labels": {"app.kubernetes.io/managed-by": "helmfile-operator"}},
        }))
        .await;
    stage.scene.write("go", "", 0o644);
    one.wait_for_log("was changed by somebody else in the middle of a run").await;
    // The next pass reads it first.
    stage.ready("h", "True", "1 release").await;
    assert_eq!(stage.revisions().await, ["one.v1 deployed"]);

    // Another word on it is no other record.
    fs::remove_file(stage.scene.folder().join("go")).unwrap();
    fs::remove_file(stage.scene.folder().join("at")).unwrap();
    stage.repository.commit(&[("helmfile.yaml", &waiting(&stage, "2"))]);
    stage.scene.until_file("at", 1).await;
    let record = Gvk::new("", "v1", "ConfigMap");
    stage.scene.patch(&record, "h.helmfile", json!({"metadata": {"labels": {"team": "shop"}}})).await;
    stage.scene.write("go", "", 0o644);
    stage.until_revision("one.v2 deployed").await;
    stage.ready("h", "True", "1 release").await;
    assert!(stage.record("h").await["run"].is_null());
    let object = stage.scene.get(&record, "h.helmfile").await;
    assert_eq!(object["metadata"]["labels"]["team"], "shop");
}
