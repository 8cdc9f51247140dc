//! Handlebars templates: strict, compiled when the config is, with the helpers that a Kubernetes author expects.
//!
//! [`engine`] compiles and renders; [`check`] finds at once what would otherwise show in the branch that is rendered last;
//! [`helpers`] is the table that templates, tests and the reference page share.

mod check;
mod engine;
mod helpers;
mod output;

pub use engine::{Template, TemplateError};
pub use helpers::{EXAMPLE_STATE, GROUPS, Group, Helper};
