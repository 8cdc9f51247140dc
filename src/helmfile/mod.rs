//! The Helmfile feature: one handler that makes a cluster equal to a helmfile.
//!
//! It knows of the engine only [`contract`](crate::contract), the language that every handler speaks. Inside the wing
//! [`applier`] walks one pass; it uses [`fetch`] (sources), [`helm`] (releases, and the plugin that compares them with
//! [`diff`]) and [`api`] (the `Helmfile` kind). [`farewell`] decides for the operator what a Helmfile that is being deleted
//! waits for.

pub mod api;
pub mod applier;
pub mod diff;
pub mod farewell;
pub mod fetch;
pub mod helm;
