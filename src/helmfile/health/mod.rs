//! Health: whether what a release delivered works, and if not, why.
//!
//! [`look`](look()) reads the objects and gives a [`Report`]. On the way:
//!
//! - `kstatus`: what an object says of itself, by the rules that `kubectl`, Flux and Argo CD share;
//! - `replicas`: the same for kinds that count pods;
//! - `workload`: what is wrong with the pods of a workload;
//! - `pods`: reads those pods, and the end of a crashed container's log;
//! - `report`: what was found, and the sentence for a condition.
//!
//! Pure, and tested as tables: `kstatus`, `replicas`, `workload`, `report`, `words`.

mod kstatus;
mod look;
mod pods;
mod replicas;
mod report;
mod words;
mod workload;

pub use kstatus::{Health, is_always_current, of};
pub use look::look;
pub use report::{Finding, Report};
