//! The API server goes away and comes back.

use std::time::Duration;

use helmfile_operator::object;
use serde_json::json;

use crate::support::{
    control_plane::ControlPlane,
    scene::{Scene, config_map, hello},
    tools::Tools,
};

/// How long the API server is away: long enough for watches, writes and retries to fail more than once.
const OUTAGE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn work_goes_on_after_an_outage_of_the_api_server() {
    // A plane of its own: the tests that share the other one must not suffer.
    let plane = ControlPlane::start(Tools::find().await.unwrap()).await.unwrap();
    let scene = Scene::new(&plane, "outage").await;
    scene.hook(
        "hook.sh",
        r#"text=$(sed -n 's/.*"spec":{"text":"\([^"]*\)".*/\1/p'); echo "$text" >> runs
while [ "$text" = slow ] && [ ! -e go ]; do sleep 0.05; done
echo "dependents: {configmap.v1: [{apiVersion: v1, kind: ConfigMap, metadata: {name: $OBJECT_NAME}, data: {text: $text}}]}"
echo "status: {said: $text}""#,
    );
    let mut operator = scene.start_hello();
    scene.hello("steady", json!({"text": "one"})).await;
    let before =
        scene.until(&config_map(), "steady", "delivered", |found| found["data"]["text"] == "one").await;
    // One run is in its handler when the server goes: what it wants can't be written then.
    scene.hello("caught", json!({"text": "slow"})).await;
    crate::support::wait::wait_until("the handler to run", crate::support::scene::SOON, async || {
        if scene.lines("runs") == 2 { Ok(()) } else { Err(operator.log()) }
    })
    .await;

    plane.stop_api_server().await;
    scene.write("go", "", 0o644);
    operator.wait_for_log("watch interrupted").await;
    tokio::time::sleep(OUTAGE).await;
    plane.start_api_server().await.unwrap();

    scene.until(&config_map(), "caught", "delivered at last", |found| found["data"]["text"] == "slow").await;
    scene.until(&hello(), "caught", "recovered", |found| found["status"]["said"] == "slow").await;
    scene.hello("steady", json!({"text": "two"})).await;
    let after = scene.until(&config_map(), "steady", "updated", |found| found["data"]["text"] == "two").await;
    assert_eq!(object::uid(&after), object::uid(&before), "nothing was made anew");
    assert!(operator.stop().await.success());
}
