//! What the object says of a pass: its status after each step, and Events. Pure.

mod events;
mod next;
mod words;

pub(crate) use events::events;
pub(crate) use next::{Attempt, Delivered, Health, Moment, Turn, next};

#[cfg(test)]
mod tests;
