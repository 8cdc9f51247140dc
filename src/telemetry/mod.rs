//! What the program says of itself.

pub mod log;
pub mod metrics;
pub mod objects;
