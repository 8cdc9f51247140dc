//! What an upgrade would change: two manifests compared object by object. Pure.
//!
//! [`objects`] reads a manifest, [`compare`] finds what differs, [`print`] shows it. The values of Secrets go no further
//! than [`Change`]: whatever shows a change shows it through [`Change::shown`].

mod compare;
mod hide;
mod manifest;
#[cfg(test)]
mod tests;
mod text;

pub use compare::{Change, Verb, compare};
pub use manifest::{Body, Id, Object, objects};
pub use text::{View, print};
