//! CEL, the language of Kubernetes' own rules: conditions (`object.spec.replicas != oldObject.spec.replicas`) and expressions
//! that read one value of an object.
//!
//! Of the language all but time (`timestamp`, `duration`) is there, and of Kubernetes' libraries the one for strings.

mod check;
mod condition;
mod error;
mod expression;
mod program;
#[cfg(test)]
mod tests;
mod value;

pub use condition::{Condition, Facts};
pub use error::CelError;
pub use expression::{Expression, Scalar};
