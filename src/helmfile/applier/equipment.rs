//! What an applier works with.

use std::path::PathBuf;

use super::session::Slots;
use crate::{
    clock::Clock,
    cluster::client::Target,
    environment::Environment,
    helmfile::{api::HelmfileSpec, fetch::Fetcher},
    process::Guard,
};

/// Delivers helmfiles.
pub struct Applier {
    /// Which cluster, as whom.
    pub target: Target,
    /// Gets sources.
    pub fetcher: Fetcher,
    /// Runs programs.
    pub guard: Guard,
    /// Folder for workspaces and downloads.
    pub cache: PathBuf,
    /// Who we are, for a Lease: the pod or machine, and the cache. Nobody else of this name runs on the same cache.
    pub identity: String,
    /// Places for helm processes, shared by all appliers of this machine.
    pub helm_processes: usize,
    /// The environment of this program; see [`crate::helmfile::api::names::passes`] for what helmfile sees of it.
    pub env: Environment,
    /// The time.
    pub clock: Clock,
}

impl Applier {
    /// Places for helm processes.
    pub(super) fn slots(&self) -> Slots {
        Slots::new(self.cache.join("slots"), self.helm_processes)
    }

    /// Gets sources in no more time than the whole pass may take.
    pub(super) fn fetcher_for(&self, spec: &HelmfileSpec) -> Fetcher {
        Fetcher { timeout: self.fetcher.timeout.min(spec.timeout.0), ..self.fetcher.clone() }
    }
}
