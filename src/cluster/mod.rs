//! The API server: connecting, discovery, reading, writing, watching. Knows nothing of handlers or helmfiles.

pub mod client;
