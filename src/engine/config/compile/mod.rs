//! From what is written to what is meant. Goes on after an error, so that all are found. Pure: what the files name has been
//! looked up already.

mod entry;
mod file;
mod handler;
mod metrics;

pub(crate) use entry::lay_over;
pub(super) use file::{Unit, compile};
