//! What happened and why: one record per run.

mod run;

pub use run::{Outcome, Run};
