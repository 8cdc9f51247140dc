//! Releases that a run of ours was killed in the middle of (RULES 24).

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{book::Book, error::PassError, observer::Observer, session::Objection};
use crate::helmfile::{
    api::names::reason,
    helm::{
        amend::{is_pending, mark_failed},
        cluster::Cluster,
        release::{ReleaseMeta, ReleaseStatus},
    },
    ledger::{ReleaseId, RunMark},
};

/// Which releases of a run are looked at, and until when they can have been locked by it.
pub(crate) enum Left<'a> {
    /// All that a run before this one may have touched, until the end of its claim as far as that is known.
    ByOthers(Option<Timestamp>),
    /// Those that helm was permitted to touch in a run that has just ended.
    ByUs(&'a BTreeSet<ReleaseId>),
}

impl Left<'_> {
    fn has(&self, id: &ReleaseId) -> bool {
        match self {
            Self::ByOthers(_) => true,
            Self::ByUs(permitted) => permitted.contains(id),
        }
    }

    /// Whether a revision can have been made in the run: not before that began, nor when it had ended.
    fn is_of_run(&self, newest: &ReleaseMeta, run: &RunMark) -> bool {
        let last = match self {
            Self::ByOthers(last) => *last,
            Self::ByUs(_) => None,
        };
        newest.modified.is_none_or(|modified| {
            modified >= run.since.as_second() && last.is_none_or(|last| modified <= last.as_second())
        })
    }
}

/// Marks as failed what helm has left locked in a run that the record says has not ended, so that helm goes on from there. Nobody
/// else runs: the caller holds the Lease, and the lock that every program of that run held.
///
/// What that run has delivered is ours from now on; what was there before, and was not upgraded in it, is not.
pub(crate) async fn recover(
    book: &Book,
    cluster: &Cluster,
    left: Left<'_>,
    observer: &mut Observer,
) -> Result<(), PassError> {
    let Some(run) = book.record().await.run else { return Ok(()) };
    let mut delivered = Vec::new();
    for id in run.releases.iter().filter(|id| left.has(id)) {
        cluster.forget_release(&id.namespace, &id.name);
        let history = cluster.history(&id.namespace, &id.name).await;
        let history = history.map_err(|error| PassError::Refused(Objection::unread(&error)))?;
        let Some(newest) = history.first().filter(|newest| left.is_of_run(newest, &run)) else { continue };
        if book.is_labelled(newest) {
            delivered.push(id.clone());
        } else if matches!(left, Left::ByOthers(_)) && newest.status != ReleaseStatus::PendingRollback {
            // Our helm labels what it makes; a rollback has the labels of the revision that it goes back to.
            continue;
        }
        if is_pending(newest.status) {
            observer.line(&format!(
                "release `{id}` was left {} by a run that was killed; marking revision {} as failed",
                newest.status, newest.revision
            ));
            let marked = mark_failed(cluster.client(), newest, "helmfile-operator: the run was killed").await;
            marked.map_err(|error| {
                PassError::Refused(Objection {
                    reason: reason::RELEASE_LOCKED,
                    message: error.to_string(),
                    permanent: false,
                })
            })?;
            cluster.forget_release(&id.namespace, &id.name);
        }
    }
    book.change(|record| {
        for id in &delivered {
            record.own(id, false);
        }
        record.run = None;
    })
    .await?;
    Ok(())
}
