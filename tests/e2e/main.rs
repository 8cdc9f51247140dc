//! What the program promises, on a real control plane with the real tools. Needs `make tools`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "the tests that use the rest are still to come")]
#[path = "../support/mod.rs"]
mod support;

mod control_plane;
