//! What the object says of a pass: its status after each step, and Events. Pure.

mod events;
mod next;

pub(crate) use events::events;
pub(crate) use next::{Attempt, Moment, Turn, next, short};

#[cfg(test)]
mod tests;
