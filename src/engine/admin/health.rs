//! Alive, and ready.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::engine::record::view::{EntryView, WatchView};

/// What the program is not ready for, beside its watches: before the controllers have started, while it waits for its
/// turn to lead, while it stops. Cheap to clone; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<&'static str, Remark>>>);

#[derive(Debug, Clone)]
struct Remark {
    text: String,
    /// Whether the program can't do its work because of it.
    blocks: bool,
}

impl Readiness {
    /// `what` is missing, and why.
    pub fn missing(&self, what: &'static str, why: impl Into<String>) {
        self.remark(what, Remark { text: why.into(), blocks: true });
    }

    /// `what` is not as it should be, but the work goes on.
    pub fn note(&self, what: &'static str, why: impl Into<String>) {
        self.remark(what, Remark { text: why.into(), blocks: false });
    }

    /// `what` is there, and as it should be.
    pub fn there(&self, what: &'static str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(what);
    }

    fn remark(&self, what: &'static str, remark: Remark) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(what, remark);
    }

    fn all(&self) -> Vec<(&'static str, Remark)> {
        let remarks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        remarks.iter().map(|(what, remark)| (*what, remark.clone())).collect()
    }
}

/// Whether the program is ready, with a line for each thing that it needs, or only for those that are missing.
pub(super) fn readyz(readiness: &Readiness, entries: &[EntryView], verbose: bool) -> (bool, String) {
    let remarks = readiness.all();
    let sign = |blocks: bool| if blocks { '-' } else { '!' };
    let mut lines: Vec<(char, String)> = remarks
        .into_iter()
        .map(|(what, remark)| (sign(remark.blocks), format!("{what}: {}", remark.text)))
        .collect();
    for entry in entries {
        for watch in &entry.watches {
            lines.push((
                if watch.synced { '+' } else { '-' },
                format!("watch of {} for {}: {}", watch.scope(), entry.name, state(watch)),
            ));
        }
    }
    let is_ready = lines.iter().all(|(sign, _)| *sign != '-');
    let shown = lines.into_iter().filter(|(sign, _)| verbose || *sign != '+');
    let mut shown: Vec<String> = shown.map(|(sign, line)| format!("[{sign}] {line}")).collect();
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
