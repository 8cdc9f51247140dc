//! Helm: its releases as it stores them, its rendering, and the `diff` plugin that helmfile asks for.
//!
//! - [`release`] reads releases from their Secrets.
//! - [`marks`] are what Helm knows its objects by.
//! - [`amend`] changes what little we change in these.
//! - [`render`] runs `helm template` so that it says what `helm upgrade` would; [`chart`] looks at charts first, for their [`traits`].
//! - [`cluster`] asks the cluster, everything once.
//! - [`front`] stands before helm while the applier runs helmfile.
//! - [`flags`] is the plugin's command line, [`plugin`] answers it, [`lay`] puts it where Helm looks for plugins.

pub mod amend;
pub mod chart;
pub mod cluster;
pub mod flags;
pub mod front;
mod inputs;
pub mod lay;
pub mod live;
pub mod marks;
pub mod plugin;
pub mod release;
pub mod render;
mod state;
pub mod traits;
