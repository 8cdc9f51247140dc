//! What a status says in words.

use crate::helmfile::api::{HelmfileStatus, PendingPrune, names::annotation, short_revision};

pub(super) fn delivered_message(status: &HelmfileStatus) -> String {
    let revision = status.last_applied_revision.as_deref().unwrap_or_default();
    let releases = match status.inventory.as_ref().map_or(0, |inventory| inventory.count) {
        0 => "no releases".to_owned(),
        1 => "1 release".to_owned(),
        several => format!("{several} releases"),
    };
    format!("applied {}: {releases}", short_revision(revision))
}

/// What waits for a yes, and how to say it.
pub(super) fn pending(pending: &PendingPrune) -> String {
    let releases = match pending.releases.as_slice() {
        [one] => format!("release `{one}` has left the helmfile and stays"),
        [first, rest @ ..] => {
            format!("release `{first}` and {} more have left the helmfile and stay", rest.len())
        }
        [] => "releases have left the helmfile and stay".to_owned(),
    };
    format!(
        "{releases}, since {}; annotate with {}={} to uninstall",
        pending.reason,
        annotation::APPROVE_PRUNE,
        pending.id
    )
}
