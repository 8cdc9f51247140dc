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
    /// Whether there has been no config yet.
    is_new: bool,
    /// Those that are finishing what they have begun.
    ending: Vec<Running>,
    tasks: JoinSet<()>,
}

struct Running {
    controller: Arc<Controller>,
    stop: CancellationToken,
    /// Cancelled when it has come to its end, however.
    ended: CancellationToken,
}

impl Fleet {
    /// None yet.
    pub fn new(shared: Shared, directory: Directory) -> Self {
        let (running, ending) = (BTreeMap::new(), Vec::new());
        Self { shared, directory, running, is_new: true, ending, tasks: JoinSet::new() }
    }

    /// Runs the controllers of the newest config that comes, until `stop`; then lets runs that have begun come to their end.
    /// Only entries that differ are stopped and started: the others don't notice.
    pub async fn run(mut self, mut configs: mpsc::Receiver<Config>, stop: CancellationToken) {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                config = configs.recv() => match config {
                    Some(config) => self.take_over(&config, &stop),
                    None => break stop.cancelled().await,
                },
                Some(ended) = self.tasks.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a controller panicked; please report this bug");
                    }
                    self.ending.retain(|running| !running.ended.is_cancelled());
                }
            }
        }
        while self.tasks.join_next().await.is_some() {}
    }

    fn take_over(&mut self, config: &Config, stop: &CancellationToken) {
        let entries = self.running.values().map(|running| Arc::clone(&running.controller.entry)).collect();
        let difference = Difference::between(&Config { entries, crds: Vec::new() }, config);
        let Difference { changed, added, removed, .. } = &difference;
        // Their successors' watches begin before theirs end, so that what both watch need not be listed again.
        let is_new = |entry: &&Arc<Entry>| changed.contains(&entry.name) || added.contains(&entry.name);
        let new = config.entries.iter().filter(is_new);
        let new: Vec<Arc<Controller>> = new
            .filter_map(|entry| Controller::start(Arc::clone(entry), self.shared.clone()).map(Arc::new))
            .collect();
        self.ending.retain(|running| !running.ended.is_cancelled());
        for name in changed.iter().chain(removed) {
            if let Some(running) = self.running.remove(name) {
                tracing::info!(
                    entry = name,
                    "the entry has changed or is gone; what it has begun comes to its end"
                );
                running.stop.cancel();
                self.directory.set(name, None);
                self.ending.push(running);
            }
        }
        for controller in new {
            self.begin(controller, stop);
        }
        self.let_go(stop);
        if !difference.is_empty() {
            let names = |names: &Vec<String>| names.join(", ");
            let (added, changed, removed) = (names(added), names(changed), names(removed));
            tracing::info!(added, changed, removed, "entries of the config");
        }
        if config.entries.is_empty() && (self.is_new || !difference.is_empty()) {
            tracing::warn!("the config has no entries; nothing to do");
        }
        self.is_new = false;
    }

    /// Runs a controller. An object that is still handled by one that is ending waits for that, and no other object does;
    /// then the successor takes over what its predecessor had left to do.
    fn begin(&mut self, controller: Arc<Controller>, stop: &CancellationToken) {
        let name = controller.entry.name.clone();
        let (stop, ended) = (stop.child_token(), CancellationToken::new());
        let running =
            Running { controller: Arc::clone(&controller), stop: stop.clone(), ended: ended.clone() };
        self.directory.set(&name, Some(Arc::clone(&controller)));
        self.running.insert(name, running);
        for other in
            self.ending.iter().filter(|other| other.controller.entry.gvk.same_kind(&controller.entry.gvk))
        {
            let (ended, predecessor) = (other.ended.clone(), Arc::clone(&other.controller));
            controller.precede(Arc::clone(&predecessor));
            let successor = Arc::clone(&controller);
            self.tasks.spawn(async move {
                ended.cancelled().await;
                successor.succeed(&predecessor);
            });
        }
        self.tasks.spawn(async move {
            let _however_it_ends = ended.drop_guard();
            entry::run(controller, stop).await;
        });
    }

    /// Takes the finalizers of entries that have ended off their objects, where nobody answers for them any more.
    fn let_go(&mut self, stop: &CancellationToken) {
        if self.shared.leave_finalizers {
            return;
        }
        for running in &self.ending {
            let entry = Arc::clone(&running.controller.entry);
            let has_heir = self
                .running
                .values()
                .map(|running| &running.controller.entry)
                .any(|heir| heir.gvk.same_kind(&entry.gvk) && heir.finalizer.is_some());
            if entry.finalizer.is_none() || has_heir {
                continue;
            }
            let (shared, ended, stop) = (self.shared.clone(), running.ended.clone(), stop.clone());
            self.tasks.spawn(async move {
                ended.cancelled().await;
                tracing::info!(
                    entry = entry.name,
                    "taking our finalizer off all objects: nobody answers for it any more"
                );
                tokio::select! {
                    () = finalize::strip(&entry, &shared, |_| false) => {}
                    () = stop.cancelled() => {}
                }
            });
        }
    }
}
