//! One controller per entry: queue → observe → handler → plan → execute → record.

pub mod backoff;
mod context;
mod difference;
mod entry;
mod execute;
mod given;
mod observe;
pub mod offline;
mod ownership;
pub mod plan;
mod queue;
mod reconcile;
mod watches;

pub use context::Shared;
pub use entry::run;
