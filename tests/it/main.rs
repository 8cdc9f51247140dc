//! The program and its parts from outside: hermetic, without a cluster.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "most of it is for the end-to-end tests")]
#[path = "../support/mod.rs"]
mod support;

mod process;
