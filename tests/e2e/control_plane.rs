//! The control plane that the other tests rely on.

use std::time::{Duration, Instant};

use crate::support::{
    control_plane::{ControlPlane, shared},
    tools::Tools,
};

#[tokio::test]
async fn is_ready_within_ten_seconds() {
    let tools = Tools::find().await.unwrap();
    let start = Instant::now();
    let plane = ControlPlane::start(tools).await.unwrap();
    let took = start.elapsed();
    eprintln!("start {took:?} {}", plane.dir().display());
    let start = Instant::now();
    plane.stop().await;
    eprintln!("stop {:?}", start.elapsed());
    assert!(took < Duration::from_secs(10), "took {took:?}");
}

#[tokio::test]
async fn gives_each_test_a_namespace_with_a_service_account() {
    let plane = shared().await;
    let start = Instant::now();
    let (one, two) = tokio::join!(plane.namespace("same"), plane.namespace("same"));
    eprintln!("namespaces {:?}", start.elapsed());
    assert_ne!(one, two);
    let start = Instant::now();
    let accounts = plane.kubectl(&["get", "serviceaccounts", "--namespace", &one, "--output", "name"]).await;
    eprintln!("kubectl {:?}", start.elapsed());
    assert_eq!(accounts, "serviceaccount/default\n");
}
