//! What happened and why: one record per run, in a bounded [`Journal`]; what controllers show of themselves ([`view`]);
//! and both told in words ([`explain`]).

mod explain;
mod redact;
mod ring;
mod run;
pub mod view;

pub use explain::explain;
pub use redact::{text as redacted, text_of as redacted_of};
pub use ring::{
    BYTES, Journal, LISTED, MESSAGE_BYTES, OBJECTS, PLAN_BYTES, RUNS_PER_OBJECT, Recorded, STDERR_BYTES,
};
pub use run::{Answered, Given, Next, Outcome, Run, Verb, Write};
