//! All controllers of a config, and how they become those of the next one.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    context::{Controller, Shared},
    entry, finalize,
};
use crate::engine::config::{Config, Entry, reload::Difference};

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
                finalize::strip(&ended, &self.shared, |_| false).await;
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
        tracing::info!(entry = name, "the entry is another one now, or gone; finishing what it has begun");
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
