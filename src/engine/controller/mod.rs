//! One controller per entry: listen → queue → turn → observe → handler → plan → execute → record.

mod attempt;
pub mod backoff;
mod breaker;
mod context;
mod difference;
mod entry;
mod error;
mod execute;
mod finalize;
mod fleet;
mod given;
mod gone;
mod inspect;
mod line;
mod listen;
mod live;
mod measure;
mod observe;
pub mod offline;
mod ownership;
pub mod plan;
mod queue;
mod reference;
mod status;
mod tell;
mod trace;
mod turn;
mod watches;

pub use context::Shared;
pub use finalize::remove_finalizers;
pub use fleet::{Directory, Fleet};
pub use inspect::Inspector;
