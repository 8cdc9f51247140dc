//! Alive, and ready.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::engine::record::view::{EntryView, WatchView};

/// What the program is not ready for, beside its watches: before the controllers have started, while it waits for its
/// turn to lead, while it stops. Cheap to clone; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<&'static str, String>>>);

impl Readiness {
    /// `what` is missing, and why.
    pub fn missing(&self, what: &'static str, why: impl Into<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(what, why.into());
    }

    /// `what` is there.
    pub fn there(&self, what: &'static str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(what);
    }

    fn all(&self) -> Vec<(&'static str, String)> {
        let missing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        missing.iter().map(|(what, why)| (*what, why.clone())).collect()
    }
}

/// Whether the program is ready, with a line for each thing that it needs, or only for those that are missing.
pub(super) fn readyz(readiness: &Readiness, entries: &[EntryView], verbose: bool) -> (bool, String) {
    let missing = readiness.all();
    let mut lines: Vec<(bool, String)> =
        missing.into_iter().map(|(what, why)| (false, format!("{what}: {why}"))).collect();
    for entry in entries {
        for watch in &entry.watches {
            lines.push((
                watch.synced,
                format!("watch of {} for {}: {}", watch.scope(), entry.name, state(watch)),
            ));
        }
    }
    let is_ready = lines.iter().all(|(good, _)| *good);
    let shown = lines.into_iter().filter(|(good, _)| verbose || !good);
    let mut shown: Vec<String> =
        shown.map(|(good, line)| format!("[{}] {line}", if good { '+' } else { '-' })).collect();
    shown.push(if is_ready { "ready\n" } else { "not ready\n" }.to_owned());
    (is_ready, shown.join("\n"))
}

fn state(watch: &WatchView) -> String {
    match (watch.synced, &watch.trouble) {
        (true, None) => format!("{} objects", watch.objects),
        // It has been complete once: what the cache holds may be old, and is still the best there is.
        (true, Some(trouble)) => format!("{} objects, interrupted: {trouble}", watch.objects),
        (false, None) => "has not seen everything yet".to_owned(),
        (false, Some(trouble)) => trouble.clone(),
    }
}
