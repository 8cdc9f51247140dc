//! The generic controller engine: a config file maps kinds to handlers, and the engine does the Kubernetes work.
//!
//! Knows nothing of helmfiles. One event walks down once and returns:
//! `cluster::cache` → `controller::queue` → `controller::reconcile` → observe → [`handler`] → `contract::Reply` →
//! `controller::plan` → execute → `cluster::apply` → [`record`].

pub mod admin;
pub mod config;
pub mod controller;
pub mod generate;
pub mod handler;
pub mod query;
pub mod record;
pub mod template;
