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
mod destroy;
mod diff_plugin;
mod drift;
mod engine;
mod examples;
mod finalizers;
mod front;
mod gather;
mod health;
mod health_gate;
mod inputs;
mod install;
mod kills;
mod leases;
mod logs;
mod object_metrics;
mod objectless;
mod observers;
mod outage;
mod ownership;
mod predecessor;
mod reload;
mod renders;
mod repositories;
mod storms;
mod walkthrough;
mod whitebox;
mod wishes;
