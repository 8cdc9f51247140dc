//! Drift: what somebody has changed behind a release's back.
//!
//! The API server is asked what a server-side apply of the release's manifest would make of the live object; what
//! differs is drift.
//!
//! - [`check`] asks;
//! - [`compare`] finds the fields, [`writers`] says who wrote them. Pure.
//! - [`ignore`] says what may be as it is. Pure.

pub mod check;
pub mod compare;
pub mod ignore;
pub mod writers;

pub use check::{Finding, State, check};
pub use compare::Field;
