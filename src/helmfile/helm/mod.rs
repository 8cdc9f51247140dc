//! Helm: its releases as it stores them, its rendering, and the `diff` plugin that helmfile asks for.
//!
//! - [`release`] reads releases from their Secrets.
//! - [`render`] runs `helm template` so that it says what `helm upgrade` would.
//! - [`chart`] looks at a local chart: is it the same, and can its rendering be another one?
//! - [`flags`] is the plugin's command line, [`plugin`] answers it, [`lay`] puts it where Helm looks for plugins.

pub mod chart;
pub mod flags;
pub mod lay;
pub mod plugin;
pub mod release;
pub mod render;
