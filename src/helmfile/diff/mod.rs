//! What an upgrade would change: two manifests compared object by object. Pure.
//!
//! [`objects`] reads a manifest, [`compare`] finds what differs, [`print`] shows it. The values of Secrets go no further
//! than [`Change`]: whatever shows a change shows it through [`Change::shown`].

mod compare;
#[cfg(test)]
mod format_tests;
mod hide;
mod json;
mod manifest;
mod records;
#[cfg(test)]
mod tests;
mod text;
mod view;

pub use compare::{Change, Verb, compare};
pub use manifest::{Body, Id, Object, objects};
pub use text::print;
pub use view::{Format, LinePattern, Secrets, View};
