//! Helm: its releases as it stores them, its rendering, and the `diff` plugin that helmfile asks for.
//!
//! - [`release`] reads releases from their Secrets.
//! - [`render`] runs `helm template` so that it says what `helm upgrade` would.
//! - [`cluster`] asks the cluster, everything once.
//! - [`flags`] is the plugin's command line, [`plugin`] answers it, [`lay`] puts it where Helm looks for plugins.

pub mod cluster;
pub mod flags;
mod inputs;
pub mod lay;
pub mod live;
pub mod plugin;
pub mod release;
pub mod render;
mod state;
