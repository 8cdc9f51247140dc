//! What a status says in words.

use crate::helmfile::api::{
    DriftStatus, DriftedObject, HelmfileStatus, PendingPrune, names::annotation, short_revision,
};

pub(super) fn delivered_message(status: &HelmfileStatus) -> String {
    let revision = status.last_applied_revision.as_deref().unwrap_or_default();
    let releases = match status.inventory.as_ref().map_or(0, |inventory| inventory.count) {
        0 => "no releases".to_owned(),
        1 => "1 release".to_owned(),
        several => format!("{several} releases"),
    };
    format!("applied {}: {releases}", short_revision(revision))
}

/// What somebody else has changed, as much of it as fits into a sentence.
pub(super) fn drifted(drift: &DriftStatus) -> String {
    const NAMED: usize = 3;
    let one = |object: &DriftedObject| match (object.fields.as_slice(), object.writers.as_slice()) {
        _ if object.gone => format!("{} (gone)", object.object),
        ([], _) => object.object.clone(),
        ([first, rest @ ..], writers) => {
            let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
            let by = if writers.is_empty() { String::new() } else { format!(" by {}", writers.join(", ")) };
            format!("{} ({first}{more}{by})", object.object)
        }
    };
    let named: Vec<String> = drift.objects.iter().take(NAMED).map(one).collect();
    let count = usize::try_from(drift.count).unwrap_or(usize::MAX);
    let more = match count.saturating_sub(named.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let are = if count == 1 { "1 object is not as its release says" } else { "" };
    let are = if are.is_empty() {
        format!("{count} objects are not as their releases say")
    } else {
        are.to_owned()
    };
    format!("{are}: {}{more}", named.join(", "))
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
