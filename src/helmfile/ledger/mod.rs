//! What is ours in the cluster, and who may act: the memory that outlives a process.
//!
//! - [`record`]: which releases a Helmfile has, and which of them a run is touching. Pure.
//! - [`store`]: where the record is kept: a ConfigMap beside the Helmfile, or a folder.
//! - [`lease`]: one actor per Helmfile at a time.
//! - [`secret`]: the key under which digests of secrets may be shown.

pub mod lease;
pub mod record;
pub mod secret;
pub mod store;

pub use record::{Owned, Record, ReleaseId, RunMark};
pub use store::{Ledger, LedgerError, Seen};
