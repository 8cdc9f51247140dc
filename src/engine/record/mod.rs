//! What happened and why: one record per run, in a bounded [`Journal`]; what controllers show of themselves ([`view`]);
//! and both told in words ([`explain`]).

mod explain;
mod log;
mod redact;
mod ring;
mod run;
pub mod view;

pub use explain::explain;
pub use log::{LOG_HEAD_BYTES, LOG_TAIL_BYTES, Log, LogLine};
pub use redact::{text as redacted, text_of as redacted_of};
pub use ring::{
    BYTES, Journal, LISTED, LOG_BYTES, LOGS_PER_OBJECT, MESSAGE_BYTES, OBJECTS, PLAN_BYTES, RUNS_PER_OBJECT,
    Recorded, STDERR_BYTES,
};
pub use run::{Answered, Given, Next, Outcome, Run, Verb, Write};
