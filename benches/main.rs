//! `make bench`: figures on the real control plane with the real tools, as a table and as target/bench/results.json.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark fails by panicking and prints its table"
)]

#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../tests/support/mod.rs"]
mod support;

mod applier;
mod engine;
mod report;

use support::{control_plane::ControlPlane, tools::Tools};

#[tokio::main]
async fn main() {
    let tools = Tools::find().await.unwrap();
    let plane = ControlPlane::start(tools).await.unwrap();
    let mut report = report::Report::default();
    engine::latency(&plane, &mut report).await;
    engine::idle_memory(&plane, &mut report).await;
    applier::no_change(&plane, &mut report).await;
    plane.stop().await;
    report.print(tools);
    report.write();
}
