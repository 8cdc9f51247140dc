//! Local copies of what the API server holds, kept by watches.
//!
//! One watch per kind, scope and detail, shared by all who ask and ended when the last one lets go. Copies are indexed
//! by the UID of their owners.

mod fingerprint;
mod store;
mod watch;

pub use fingerprint::Fingerprint;
pub use store::{Cached, Change, Listener, Store};
pub use watch::{Caches, Detail, Scope, Watch, WatchKey};
