//! config.yaml: text → [`tree`] (values with places) → [`shape`] (does it fit the schema?) → [`raw`] → [`compile`] →
//! [`model`] (what the program uses).
//!
//! All errors are found in one go, each with file, line, column and the line itself.

mod compile;
pub mod diagnostic;
mod load;
pub mod model;
pub mod preflight;
pub mod raw;
pub mod reload;
pub mod rights;
mod shape;
mod trail;
mod tree;
pub mod watch;

pub(crate) use compile::lay_over;
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use load::{Library, LoadError, Loaded, Source, Surroundings, load};
pub use model::{
    Config, Crd, Entry, Exec, Finalizer, Handler, Http, HttpTls, Metric, Program, Reconciler, Reference,
    Selection,
};
