//! What became of each release in a run. Pure.

use std::collections::BTreeMap;

use crate::helmfile::{
    api::names::reason,
    helm::release::{ReleaseError, ReleaseMeta},
    ledger::ReleaseId,
};

/// What a run has said about one release.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The chart as helmfile names it, or where it has put it.
    pub chart: String,
    /// Whether an upgrade would change anything; `None` when nobody asked.
    pub differs: Option<bool>,
    /// The deployed revision at that time.
    pub deployed: Option<ReleaseMeta>,
    /// Digest of all that it renders to, where that is in sight and the same for an installation and an upgrade.
    pub what: Option<String>,
    /// helm was permitted to install or upgrade it.
    pub upgraded: bool,
    /// helm was permitted to uninstall it.
    pub uninstalled: bool,
}

impl Seen {
    /// Whether helm was permitted to change it.
    pub(crate) const fn is_touched(&self) -> bool {
        self.upgraded || self.uninstalled
    }
}

/// Why a release may not be touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection {
    /// The reason for a condition.
    pub reason: &'static str,
    /// One sentence.
    pub message: String,
    /// Whether only another spec can help.
    pub permanent: bool,
}

impl Objection {
    /// Helm's record of a release could not be read.
    pub(crate) fn unread(error: &ReleaseError) -> Self {
        let (reason, message) = if error.is_unreachable() {
            (reason::CLUSTER_UNREACHABLE, format!("kubernetes cluster unreachable: {error}"))
        } else {
            (reason::FAILED, error.to_string())
        };
        Self { reason, message, permanent: false }
    }
}

/// All that was heard in a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// By release.
    pub releases: BTreeMap<ReleaseId, Seen>,
    /// The first reason why a release could not be touched. helmfile only knows that helm failed.
    pub objection: Option<Objection>,
    /// Releases that were left alone since they are not proven to be ours.
    pub left: Vec<ReleaseId>,
}

impl Heard {
    /// What is known of a release; it is known from now on.
    pub(crate) fn release(&mut self, id: &ReleaseId) -> &mut Seen {
        self.releases.entry(id.clone()).or_default()
    }

    /// The releases that helm was permitted to change.
    pub(crate) fn touched(&self) -> impl Iterator<Item = &ReleaseId> {
        self.releases.iter().filter(|(_, seen)| seen.is_touched()).map(|(id, _)| id)
    }

    /// Notes an objection; the first one is told.
    pub(crate) fn object(&mut self, objection: &Objection) {
        self.objection.get_or_insert_with(|| objection.clone());
    }
}
