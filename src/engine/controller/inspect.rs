//! What running controllers show of themselves.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{context::Controller, fleet::Directory, line::Standing, measure};
use crate::{
    cluster::{
        cache::{Caches, Detail, Watch},
        discovery::Discovery,
    },
    engine::{
        config::{Handler, Program},
        record::view::{
            Activity, DetailView, EntryView, Insight, ObjectQuery, ObjectView, QueueView, Selection,
            WatchView,
        },
    },
    object::{self, Key},
    telemetry::objects::ObjectGauges,
};

/// A look into all controllers of the process.
pub struct Inspector {
    directory: Directory,
    caches: Caches,
    discovery: Discovery,
}

impl Inspector {
    /// Looks at the controllers of `directory`, and at these watches.
    pub const fn new(directory: Directory, caches: Caches, discovery: Discovery) -> Self {
        Self { directory, caches, discovery }
    }
}

impl Insight for Inspector {
    fn entries(&self) -> Vec<EntryView> {
        self.directory.all().iter().map(entry_view).collect()
    }

    fn object(&self, query: &ObjectQuery) -> Vec<ObjectView> {
        let all = self.directory.all();
        let named = all.iter().filter(|controller| query.names(&controller.entry.gvk));
        named
            .map(|controller| {
                let served = self.discovery.known(&controller.entry.gvk);
                let key = query.key(served.is_none_or(|served| served.namespaced));
                object_view(controller, &key)
            })
            .collect()
    }

    fn gauges(&self) -> ObjectGauges {
        measure::gauges(&self.directory.all())
    }

    fn watches(&self) -> Vec<WatchView> {
        let mut views: Vec<WatchView> = self.caches.running().iter().map(|watch| watch_view(watch)).collect();
        views.sort_by_cached_key(|view| (view.kind.clone(), view.scope()));
        views
    }
}

fn entry_view(controller: &Arc<Controller>) -> EntryView {
    let entry = &controller.entry;
    let (now, length) = (controller.shared.clock.now(), controller.queue.length());
    let handler = entry
        .reconciler
        .as_ref()
        .map(|reconciler| &reconciler.handler)
        .or(entry.finalizer.as_ref().map(|finalizer| &finalizer.handler));
    EntryView {
        name: entry.name.clone(),
        kind: entry.gvk.clone(),
        handler: handler.map_or_else(String::new, describe),
        dependents: controller.dependents.keys().cloned().collect(),
        watches: controller.watches().map(|watch| watch_view(watch)).collect(),
        queue: QueueView {
            waiting: length.due,
            head_age: (length.due > 0).then_some(length.head_age),
            scheduled: length.later,
            next_due: length.next.map(|next| moment(now, next)),
            running: length.running,
            retrying: controller.lock().values().filter(|state| state.attempt > 0).count(),
        },
        concurrency: entry.concurrency,
    }
}

fn describe(handler: &Handler) -> String {
    match handler {
        Handler::Exec(exec) => match &exec.program {
            Program::Own => "exec of this program".to_owned(),
            Program::Named(name) => format!("exec {name}"),
        },
        Handler::Http(http) => format!("http {}", crate::redact::urls(&http.url)),
        Handler::Template(_) => "template".to_owned(),
    }
}

fn watch_view(watch: &Watch) -> WatchView {
    let (key, state) = (&watch.key, watch.store.state());
    let state = state.borrow();
    WatchView {
        kind: key.gvk.clone(),
        namespaces: key.scope.namespaces.clone(),
        name: key.scope.name.clone(),
        labels: key.scope.labels.clone(),
        detail: match key.detail {
            Detail::Full => DetailView::Full,
            Detail::Metadata => DetailView::Metadata,
        },
        synced: state.synced,
        trouble: state.trouble.clone(),
        objects: watch.store.len(),
        bytes: watch.store.bytes(),
    }
}

fn object_view(controller: &Controller, key: &Key) -> ObjectView {
    let entry = &controller.entry;
    let now = controller.shared.clock.now();
    let cached = controller.parents.store.get(key);
    let standing = controller.queue.standing(key);
    let objects = controller.lock();
    let state = objects.get(key);
    let attempt = state.map_or(0, |state| state.attempt);
    let activity = match standing {
        Standing::Idle => Activity::Idle,
        Standing::Running { since, triggers } => Activity::Running { since: moment(now, since), triggers },
        Standing::Waiting { due, .. } if attempt > 0 => {
            Activity::Retrying { attempt, next: moment(now, due) }
        }
        Standing::Waiting { due, triggers } => Activity::Waiting { due: moment(now, due), triggers },
    };
    ObjectView {
        entry: entry.name.clone(),
        object: key.of_kind(&entry.gvk),
        known: cached.is_some(),
        deleting: cached.as_ref().is_some_and(|cached| object::is_terminating(&cached.object)),
        selection: selection(controller, key, cached.is_some()),
        suspended: false,
        activity,
        watches: state.map(|state| state.watches.requests()).unwrap_or_default(),
        slowed: state.and_then(|state| state.slowed.clone()).filter(|slowed| slowed.until > now),
        last_error: state.and_then(|state| state.last_error.clone()),
    }
}

fn selection(controller: &Controller, key: &Key, known: bool) -> Selection {
    let (shared, select) = (&controller.shared, &controller.entry.select);
    if let Some(only) = shared.only.as_ref().filter(|only| *only != key) {
        return Selection::Only(only.clone());
    }
    let namespaces = shared.scope().namespaces;
    if key.namespace.as_ref().is_some_and(|own| !namespaces.is_empty() && !namespaces.contains(own)) {
        return Selection::Namespaces(namespaces);
    }
    if !controller.selects(key) {
        let rules = select.namespaces.iter().map(ToString::to_string);
        let labels = select.namespace_labels.iter().map(|labels| format!("with labels {labels}"));
        return Selection::Namespaces(rules.chain(labels).collect());
    }
    match select.labels.iter().chain(&select.fields).next() {
        // The API server selects, so all we know is that it does not show us the object.
        Some(selector) if !known => Selection::Selector(selector.clone()),
        _ => Selection::Selected,
    }
}

/// A moment of the steady clock on the wall clock.
fn moment(now: Timestamp, then: Instant) -> Timestamp {
    let here = Instant::now();
    let ahead: Duration = then.saturating_duration_since(here);
    let behind: Duration = here.saturating_duration_since(then);
    now + ahead - behind
}
