//! All controllers of a config, and how they become those of the next one.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    context::{Controller, Shared},
    entry, execute,
};
use crate::{
    cluster::cache::{Detail, WatchKey},
    engine::config::{Config, Entry, reload::Difference},
    object::{self, Key},
};

/// The controllers that run now, by entry name. Cheap to clone.
#[derive(Clone, Default)]
pub struct Directory(Arc<RwLock<BTreeMap<String, Arc<Controller>>>>);

impl Directory {
    pub(super) fn all(&self) -> Vec<Arc<Controller>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn set(&self, name: &str, controller: Option<Arc<Controller>>) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match controller {
            Some(controller) => all.insert(name.to_owned(), controller),
            None => all.remove(name),
        };
    }
}

/// Runs controllers.
pub struct Fleet {
    shared: Shared,
    directory: Directory,
    running: BTreeMap<String, Running>,
    tasks: JoinSet<String>,
}

struct Running {
    entry: Arc<Entry>,
    stop: CancellationToken,
}

impl Fleet {
    /// None yet.
    pub fn new(shared: Shared, directory: Directory) -> Self {
        Self { shared, directory, running: BTreeMap::new(), tasks: JoinSet::new() }
    }

    /// Runs the controllers of the newest config that comes, until `stop`; then lets runs that have begun come to their end.
    /// Only entries that differ are stopped and started: the others don't notice.
    pub async fn run(mut self, mut configs: mpsc::Receiver<Config>, stop: CancellationToken) {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                config = configs.recv() => match config {
                    Some(config) => self.become_(config, &stop).await,
                    None => break stop.cancelled().await,
                },
                Some(ended) = self.tasks.join_next() => {
                    tracing::error!(?ended, "a controller ended unexpectedly; please report this bug");
                }
            }
        }
        for running in self.running.values() {
            running.stop.cancel();
        }
        while self.tasks.join_next().await.is_some() {}
    }

    async fn become_(&mut self, config: Config, stop: &CancellationToken) {
        let entries = self.running.values().map(|running| Arc::clone(&running.entry)).collect();
        let difference = Difference::between(&Config { entries, crds: Vec::new() }, &config);
        let named = |names: &[&Vec<String>], name: &String| names.iter().any(|names| names.contains(name));
        // Their successors' watches begin before theirs end, so that what both watch need not be listed again.
        let Difference { changed, added, removed, .. } = &difference;
        let fresh: Vec<Arc<Controller>> = config
            .entries
            .iter()
            .filter(|entry| named(&[changed, added], &entry.name))
            .filter_map(|entry| Controller::start(Arc::clone(entry), self.shared.clone()).map(Arc::new))
            .collect();
        for name in changed.iter().chain(removed) {
            let Some(ended) = self.end(name, stop).await else { continue };
            let has_heir =
                config.entries.iter().any(|new| new.gvk.same_kind(&ended.gvk) && new.finalizer.is_some());
            if ended.finalizer.is_some() && !has_heir {
                tracing::info!(
                    entry = name,
                    "taking our finalizer off all objects: nobody answers for it any more"
                );
                strip(&ended, &self.shared, |_| false).await;
            }
        }
        for controller in fresh {
            self.begin(controller, stop);
        }
        if config.entries.is_empty() {
            tracing::warn!("the config has no entries; nothing to do");
        }
    }

    fn begin(&mut self, controller: Arc<Controller>, stop: &CancellationToken) {
        let (entry, stop) = (Arc::clone(&controller.entry), stop.child_token());
        let name = entry.name.clone();
        self.directory.set(&name, Some(Arc::clone(&controller)));
        self.running.insert(name.clone(), Running { entry, stop: stop.clone() });
        self.tasks.spawn(async move {
            entry::run(controller, stop).await;
            name
        });
    }

    /// Stops one controller and waits for the runs that have begun.
    async fn end(&mut self, name: &str, stop: &CancellationToken) -> Option<Arc<Entry>> {
        tracing::info!(entry = name, "the entry has changed or is gone; what it has begun comes to its end");
        let running = self.running.remove(name)?;
        running.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            match ended {
                Ok(ended) if ended == name => break,
                Ok(ended) if stop.is_cancelled() => tracing::debug!(entry = ended, "ended"),
                other => tracing::error!(?other, "a controller ended unexpectedly; please report this bug"),
            }
        }
        self.directory.set(name, None);
        Some(running.entry)
    }
}

/// How long to wait for a look at all objects before their finalizers are left alone.
const STRIP_PATIENCE: Duration = Duration::from_secs(30);

/// Takes the entry's finalizer off all objects of its kind that it must not hold any more (RULES 18): those that are not
/// `kept`. Best effort: what fails is logged.
pub(super) async fn strip(entry: &Entry, shared: &Shared, kept: impl Fn(&Key) -> bool) {
    let finalizer = entry.finalizer_name();
    let served = match shared.discovery.resolve(&entry.gvk).await {
        Ok(served) => served,
        Err(error) => return tracing::warn!(entry = entry.name, "failed to take finalizers off: {error}"),
    };
    let key = WatchKey { gvk: entry.gvk.clone(), scope: shared.scope(), detail: Detail::Metadata };
    let watch = shared.caches.watch(&key);
    let mut state = watch.store.state();
    if tokio::time::timeout(STRIP_PATIENCE, state.wait_for(|state| state.synced)).await.is_err() {
        tracing::warn!(entry = entry.name, "failed to look for objects that still have our finalizer");
    }
    for key in watch.store.keys().into_iter().filter(|key| !kept(key)) {
        let Some(cached) = watch.store.get(&key) else { continue };
        if object::finalizers(&cached.object).any(|known| known == finalizer) {
            let removed = execute::remove_finalizer(shared, entry, &served, &cached.object, &finalizer).await;
            if let Err(error) = removed {
                tracing::warn!(entry = entry.name, "failed to take our finalizer off: {error}");
            }
        }
    }
}

/// Takes the finalizers of all entries off all objects: for the time before the program is removed.
pub async fn remove_finalizers(config: &Config, shared: &Shared) {
    for entry in config.entries.iter().filter(|entry| entry.finalizer.is_some()) {
        strip(entry, shared, |_| false).await;
    }
}
