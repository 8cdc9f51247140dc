//! Real programs for the tests, the demo and the benchmarks: a control plane, the operator, kubectl.
//!
//! Everything runs under a guard (see `helmfile_operator::process`), so nothing outlives the process that includes
//! this module, however that ends.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(unreachable_pub, reason = "`pub` says what the crates that include this may use")]

pub mod certificates;
pub mod charts;
pub mod control_plane;
pub mod git;
pub mod git_https;
pub mod git_ssh;
pub mod helmfiles;
pub mod http;
pub mod kubectl;
pub mod kubelet;
pub mod operator;
pub mod processes;
pub mod scene;
pub mod server;
pub mod tools;
pub mod wait;
pub mod walkthrough;
