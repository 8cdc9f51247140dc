//! The process's surroundings, read once and handed down.

use std::path::PathBuf;

use anyhow::Context as _;
use tokio::runtime::Runtime;

use crate::environment::Environment;
use crate::process::Guard;

/// The whole environment.
pub(super) fn environment() -> Environment {
    std::env::vars_os().collect()
}

/// The guard: this executable, under the path that it was started from.
pub(super) fn guard() -> anyhow::Result<Guard> {
    Ok(Guard::new(std::env::current_exe().context("failed to find this program's own file")?))
}

/// The async runtime.
pub(super) fn runtime() -> anyhow::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("failed to start the runtime")
}

/// A path that stays valid for programs with another working directory.
pub(super) fn absolute(path: &PathBuf) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("`{}` is not a usable path", path.display()))
}
