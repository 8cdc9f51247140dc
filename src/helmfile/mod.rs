//! The Helmfile feature: one handler that makes a cluster equal to a helmfile.
//!
//! It knows of the engine only [`contract`](crate::contract), the language that every handler speaks. Inside the wing
//! [`applier`] walks one pass; it uses [`inputs`] (what a Helmfile takes from its namespace), [`volatile`] (what it takes from
//! elsewhere), [`fetch`] (sources), [`helm`] (releases, the front before helm, and the plugin that compares them with
//! [`diff`]), [`health`] (whether what was delivered works), [`ledger`] (what is ours, and who may act) and [`api`] (the
//! `Helmfile` kind). [`farewell`] decides for the operator what a Helmfile that is being deleted waits for.

pub mod api;
pub mod applier;
pub mod diff;
pub mod drift;
pub mod farewell;
pub mod fetch;
pub mod gotmpl;
pub mod health;
pub mod helm;
pub mod inputs;
pub mod ledger;
pub mod volatile;
