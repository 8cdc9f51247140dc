//! Handlebars templates: strict, compiled when the config is, with the helpers that a Kubernetes author expects.

mod engine;
mod helpers;

pub use engine::{Template, TemplateError};
