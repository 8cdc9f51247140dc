//! What the program promises, on a real control plane with the real tools. Needs `make tools`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other targets use the rest")]
#[path = "../support/mod.rs"]
mod support;

mod bad_charts;
mod bad_handlers;
mod bad_helmfiles;
mod bad_inputs;
mod canary;
mod check;
mod choices;
mod commands;
mod control_plane;
mod crd_life;
mod deletion;
mod delivery;
mod diff_plugin;
mod engine;
mod examples;
mod finalizers;
mod gather;
mod health;
mod health_gate;
mod install;
mod logs;
mod object_metrics;
mod observers;
mod outage;
mod predecessor;
mod reload;
mod storms;
mod walkthrough;
mod whitebox;
