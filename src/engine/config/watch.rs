//! Notices when a file changes that the config depends on.
//!
//! Folders are watched, not files: editors and `kubectl` put another file in the place of the old one, and the kubelet
//! swaps a symlink (`..data`) above all files of a ConfigMap.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use notify::{ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::trail::Trails;
use crate::digest;

/// A change is told when nothing has changed for this long.
const QUIET: Duration = Duration::from_millis(200);
/// And at the latest after this long.
const LONGEST: Duration = Duration::from_secs(2);
/// How often files are read where the kernel does not tell of changes.
const POLL: Duration = Duration::from_secs(5);
/// How often to look again when the folders change while they are being watched.
const LOOKS: usize = 10;

/// A watch over files, whether they exist or not.
pub struct ConfigWatch {
    paths: BTreeSet<PathBuf>,
    eyes: Eyes,
    /// Since when there is a change that has not been told.
    untold: Option<Instant>,
}

/// How changes are seen.
enum Eyes {
    Kernel(Kernel),
    Polling(Polling),
}

struct Kernel {
    watcher: RecommendedWatcher,
    folders: BTreeSet<PathBuf>,
    /// The names that count, shared with the watcher's thread.
    names: Arc<Mutex<BTreeSet<PathBuf>>>,
    woken: Arc<Notify>,
}

struct Polling {
    period: Duration,
    next: Instant,
    digests: BTreeMap<PathBuf, Option<String>>,
}

impl ConfigWatch {
    /// Watches these files. Where the kernel can't help, they are read every 5 s; a warning says so. Like those of
    /// [`Self::set_paths`], they count as changed once.
    pub fn new(paths: BTreeSet<PathBuf>) -> Self {
        let eyes = match Kernel::new() {
            Ok(kernel) => Eyes::Kernel(kernel),
            Err(error) => fall_back(&error),
        };
        Self::with(eyes, paths)
    }

    fn with(eyes: Eyes, paths: BTreeSet<PathBuf>) -> Self {
        let mut watch = Self { paths: BTreeSet::new(), eyes, untold: None };
        watch.set_paths(paths);
        watch
    }

    /// Watches these files and no others. Files that were not watched before count as changed once, since they may have
    /// changed after they were read: whoever loads the config again at each change ends with what the files say.
    pub fn set_paths(&mut self, paths: BTreeSet<PathBuf>) {
        if !paths.is_subset(&self.paths) {
            self.untold.get_or_insert_with(Instant::now);
        }
        self.paths = paths;
        self.look();
    }

    /// Returns when a file has changed, appeared or gone, and it has been quiet for 200 ms; after 2 s at the latest.
    /// Cancel-safe: a change that has been noticed is told by the next call.
    pub async fn changed(&mut self) {
        loop {
            let Some(since) = self.untold else {
                self.notice().await;
                self.untold = Some(Instant::now());
                continue;
            };
            let end = (Instant::now() + QUIET).min(since + LONGEST);
            tokio::select! {
                biased; // News wins over quiet, but not over the end.
                () = self.notice(), if Instant::now() < since + LONGEST => {}
                () = sleep_until(end) => {
                    self.untold = None;
                    return;
                }
            }
        }
    }

    /// Waits for the next sign of a change. Cancel-safe.
    async fn notice(&mut self) {
        match &mut self.eyes {
            Eyes::Kernel(kernel) => {
                kernel.woken.notified().await;
                // What is watched may be another folder of the same name by now.
                self.look();
            }
            Eyes::Polling(polling) => loop {
                sleep_until(polling.next).await;
                polling.next = Instant::now() + polling.period;
                if polling.look(&self.paths) {
                    return;
                }
            },
        }
    }

    fn look(&mut self) {
        let result = match &mut self.eyes {
            Eyes::Kernel(kernel) => kernel.look(&self.paths),
            Eyes::Polling(polling) => {
                polling.look(&self.paths);
                Ok(())
            }
        };
        if let Err(error) = result {
            self.eyes = fall_back(&error);
            self.look();
        }
    }
}

fn fall_back(error: &notify::Error) -> Eyes {
    tracing::warn!(%error, "config files can't be watched; reading them every {} s", POLL.as_secs());
    Eyes::Polling(Polling::new(POLL))
}

impl Polling {
    fn new(period: Duration) -> Self {
        Self { period, next: Instant::now() + period, digests: BTreeMap::new() }
    }

    /// Reads the files. Whether any is not what it was.
    fn look(&mut self, paths: &BTreeSet<PathBuf>) -> bool {
        let read = |path: &PathBuf| fs::read(path).ok().map(|bytes| digest::sha256_hex(&bytes));
        let digests = paths.iter().map(|path| (path.clone(), read(path))).collect();
        let before = std::mem::replace(&mut self.digests, digests);
        before != self.digests
    }
}

impl Kernel {
    fn new() -> notify::Result<Self> {
        let names = Arc::<Mutex<BTreeSet<PathBuf>>>::default();
        let woken = Arc::new(Notify::new());
        let (wanted, wake) = (Arc::clone(&names), Arc::clone(&woken));
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let wanted = wanted.lock().unwrap_or_else(PoisonError::into_inner);
            // In doubt it is a change.
            if event.map_or(true, |event| counts(&event, &wanted)) {
                wake.notify_one();
            }
        })?;
        Ok(Self { watcher, folders: BTreeSet::new(), names, woken })
    }

    /// Watches the folders on the way to these files as they are now.
    fn look(&mut self, paths: &BTreeSet<PathBuf>) -> notify::Result<()> {
        let mut trails = Trails::of(paths);
        for _ in 0..LOOKS {
            self.watch(&trails)?;
            // A folder that was made before it was watched is found here; one that is made after, by its event.
            let now = Trails::of(paths);
            if now == trails {
                break;
            }
            trails = now;
        }
        Ok(())
    }

    fn watch(&mut self, trails: &Trails) -> notify::Result<()> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&trails.names);
        for gone in self.folders.iter().filter(|folder| !trails.folders.contains_key(*folder)) {
            let _was_removed_with_its_folder = self.watcher.unwatch(gone);
        }
        self.folders.clear();
        for (folder, needed) in &trails.folders {
            // Again, even when it is watched: it may be another folder by now.
            match self.watcher.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.folders.insert(folder.clone());
                }
                Err(error) if is_gone(&error, folder) => {}
                // Only the swap of a folder far above goes unseen.
                Err(error) if !needed && !matches!(error.kind, ErrorKind::MaxFilesWatch) => {
                    tracing::debug!(%error, folder = %folder.display(), "not watching a folder above the config");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn is_gone(error: &notify::Error, folder: &Path) -> bool {
    matches!(error.kind, ErrorKind::PathNotFound) || !folder.exists()
}

/// Whether something was done to one of these names. That a file was read, by ourselves for example, does not count.
fn counts(event: &Event, names: &BTreeSet<PathBuf>) -> bool {
    let is_change = !matches!(event.kind, EventKind::Access(_));
    event.need_rescan() || (is_change && event.paths.iter().any(|path| names.contains(path)))
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
