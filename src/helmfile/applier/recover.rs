//! Releases that a run of ours was killed in the middle of (RULES 24).

use jiff::Timestamp;

use super::{book::Book, error::PassError, observer::Observer, session::Objection};
use crate::helmfile::{
    api::names::reason,
    helm::{
        amend::{is_pending, mark_failed},
        cluster::Cluster,
    },
};

/// Marks as failed what helm has left locked in a run that the record says has not ended, so that helm goes on from there. Nobody
/// else runs: the caller holds the Lease, and the lock that every program of that run held.
///
/// What is locked after `last`, the end of the last claim, was locked by somebody else. What that run has delivered is ours
/// from now on.
pub(crate) async fn recover(
    book: &Book,
    cluster: &Cluster,
    last: Option<Timestamp>,
    observer: &mut Observer,
) -> Result<(), PassError> {
    let Some(run) = book.record().await.run else { return Ok(()) };
    let mut delivered = Vec::new();
    for id in &run.releases {
        let history = cluster.history(&id.namespace, &id.name).await.map_err(|error| {
            PassError::Refused(Objection {
                reason: reason::FAILED,
                message: error.to_string(),
                permanent: false,
            })
        })?;
        let Some(newest) = history.first() else { continue };
        if book.is_labelled(newest) {
            delivered.push(id.clone());
        }
        // What was locked before that run began, or when it had ended, was locked by somebody else.
        let is_of_run = newest.modified.is_none_or(|modified| {
            modified >= run.since.as_second() && last.is_none_or(|last| modified <= last.as_second())
        });
        if !is_pending(newest.status) || !is_of_run {
            continue;
        }
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
    book.change(|record| {
        for id in &delivered {
            record.own(id, false);
        }
        record.run = None;
    })
    .await?;
    Ok(())
}
