//! The API server: connecting, discovery, reading, writing, watching. Knows nothing of handlers or helmfiles.

pub mod access;
pub mod apply;
pub mod cache;
pub mod client;
pub mod crd;
pub mod discovery;
pub mod events;
mod fold;
mod trouble;

pub use trouble::describe;
pub(crate) use trouble::in_time;
