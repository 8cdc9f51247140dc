//! Conditions in CEL, the language of Kubernetes' own rules: `object.spec.replicas != oldObject.spec.replicas`.
//!
//! Of the language all but time (`timestamp`, `duration`) is there, and of Kubernetes' libraries the one for strings.

mod check;
mod condition;
mod error;
#[cfg(test)]
mod tests;
mod value;

pub use condition::{Condition, Facts};
pub use error::CelError;
