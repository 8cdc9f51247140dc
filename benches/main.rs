//! `make bench`: figures on the real control plane with the real tools, as a table and as target/bench/results.json.
//!
//! `make bench BENCH="settle 250"` takes only the groups that are named, here with 250 objects instead of 2,500.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark fails by panicking and prints its table"
)]

#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../tests/support/mod.rs"]
mod support;

mod applier;
mod calls;
mod hook;
mod hundred;
mod latency;
mod memory;
mod report;
mod settle;
mod usage;

use std::time::Duration;

use support::{control_plane::ControlPlane, tools::Tools};

/// What can be named.
const GROUPS: [&str; 6] = ["latency", "memory", "settle", "applier", "hundred", "fleet"];
/// Objects that settle, unless a number is given.
const OBJECTS: usize = 2500;

fn main() {
    // Cargo adds an option that means nothing here.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    if args.first().is_some_and(|arg| arg == hook::ARGUMENT) {
        return hook::main();
    }
    tokio::runtime::Runtime::new().unwrap().block_on(measure(&args));
}

async fn measure(args: &[String]) {
    let objects = args.iter().find_map(|arg| arg.parse().ok()).unwrap_or(OBJECTS);
    let named: Vec<&str> =
        args.iter().map(String::as_str).filter(|arg| arg.parse::<usize>().is_err()).collect();
    let unknown: Vec<_> = named.iter().filter(|name| !GROUPS.contains(name)).collect();
    assert!(unknown.is_empty(), "there are no benchmarks {unknown:?}; there are {GROUPS:?}");
    let wanted = |group: &str| named.is_empty() || named.contains(&group);

    let tools = Tools::find().await.unwrap();
    let plane = ControlPlane::start(tools).await.unwrap();
    let mut report = report::Report::default();
    if wanted("latency") {
        in_time("latency", latency::latency(&plane, &mut report)).await;
    }
    if wanted("memory") {
        in_time("memory", memory::idle(&plane, &mut report)).await;
        in_time("memory", memory::per_object(&plane, &mut report)).await;
    }
    if wanted("settle") {
        in_time("settle", settle::settle(&plane, &mut report, objects)).await;
    }
    if wanted("applier") {
        in_time("applier", applier::no_change(&plane, &mut report)).await;
    }
    if wanted("hundred") {
        in_time("hundred", hundred::deliveries(&plane, &mut report)).await;
    }
    if wanted("fleet") {
        in_time("fleet", hundred::fleet(&plane, &mut report)).await;
    }
    plane.stop().await;
    report.print(tools);
    report.write();
}

/// How long a group may take. Usual are two to four minutes for the longest; this ends one that hangs.
const LIMIT: Duration = Duration::from_mins(8);

async fn in_time(group: &str, measured: impl Future<Output = ()>) {
    let ended = tokio::time::timeout(LIMIT, measured).await;
    ended.unwrap_or_else(|_| panic!("`{group}` has not ended within {LIMIT:?}"));
}
