//! Contents on disk, one folder per source and revision: `KIND/DIGEST-OF-SOURCE/REVISION`.
//!
//! A folder with a final name is complete and never changes: it is made elsewhere and renamed. Two who make the same
//! one at the same time both succeed, the second by throwing its own away. What a killed process has left is found by
//! its lock, which died with it.

use std::{
    cmp::Reverse,
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, utimensat};
use tempfile::TempDir;

use super::FetchError;
use crate::digest::sha256_hex;

/// How many revisions of a source are kept, however old.
const KEPT: usize = 4;
/// How long any other is kept after it was last asked for, since somebody may still be reading it.
const GRACE: Duration = Duration::from_hours(1);
/// Names of folders in the making.
const WORK: &str = ".work-";

/// The contents of one source.
#[derive(Debug, Clone)]
pub(super) struct Shelf {
    folder: PathBuf,
}

/// A private folder in the making, beside where its content will go. Dropping it removes it.
#[derive(Debug)]
pub(super) struct Workplace {
    folder: TempDir,
    /// Held as long as somebody works here.
    _lock: File,
}

impl Workplace {
    /// Where the content is put together.
    pub(super) fn content(&self) -> PathBuf {
        self.folder.path().join("content")
    }
}

impl Shelf {
    /// The shelf of a source, which is named without credentials.
    pub(super) fn of(cache: &Path, kind: &str, source_name: &str) -> Self {
        Self { folder: cache.join(kind).join(sha256_hex(source_name.as_bytes())) }
    }

    /// A shelf on which nothing is kept: for files that are gone when the work is done.
    pub(super) fn in_making(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The content of a revision, if it is there; from now on it counts as just used.
    pub(super) fn get(&self, key: &str) -> Result<Option<PathBuf>, FetchError> {
        let content = self.folder.join(key);
        match touch(&content) {
            Ok(()) => Ok(Some(content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FetchError::storage("use", &content)(error)),
        }
    }

    /// Makes a place to work in, and removes those whose owners are gone.
    pub(super) fn workplace(&self) -> Result<Workplace, FetchError> {
        let failed = || FetchError::storage("work in", &self.folder);
        fs::create_dir_all(&self.folder).map_err(failed())?;
        // Nobody else makes or removes a workplace meanwhile, so a new one can't be taken for a left one.
        let everything = File::open(&self.folder).map_err(failed())?;
        everything.lock().map_err(failed())?;
        for left in self.names().map_err(failed())?.iter().filter(|name| name.starts_with(WORK)) {
            sweep(&self.folder.join(left)).map_err(failed())?;
        }
        let folder = tempfile::Builder::new()
            .prefix(WORK)
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(&self.folder)
            .map_err(failed())?;
        let lock = File::open(folder.path()).map_err(failed())?;
        lock.lock().map_err(failed())?;
        let workplace = Workplace { folder, _lock: lock };
        fs::create_dir(workplace.content()).map_err(failed())?;
        Ok(workplace)
    }

    /// Gives the finished content its name, and throws old content away.
    pub(super) fn publish(&self, workplace: Workplace, key: &str) -> Result<PathBuf, FetchError> {
        let content = self.folder.join(key);
        let failed = || FetchError::storage("make", &content);
        match fs::rename(workplace.content(), &content) {
            // Somebody was faster.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists
                ) => {}
            other => other.map_err(failed())?,
        }
        touch(&content).map_err(failed())?;
        self.evict(&workplace).map_err(FetchError::storage("tidy up", &self.folder))?;
        drop(workplace);
        Ok(content)
    }

    /// Moves what is no longer kept into a workplace, which goes away.
    fn evict(&self, trash: &Workplace) -> io::Result<()> {
        let mut entries = Vec::new();
        for name in self.names()?.into_iter().filter(|name| !name.starts_with(WORK)) {
            // One that is gone was evicted by somebody else.
            if let Ok(metadata) = self.folder.join(&name).metadata() {
                entries.push((name, metadata.modified()?));
            }
        }
        for name in outdated(entries) {
            let _evicted_by_somebody_else =
                fs::rename(self.folder.join(&name), trash.folder.path().join(&name));
        }
        Ok(())
    }

    fn names(&self) -> io::Result<Vec<String>> {
        fs::read_dir(&self.folder)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }
}

/// Which entries to throw away, given when each was last used. The newest was used just now.
fn outdated(mut entries: Vec<(String, SystemTime)>) -> Vec<String> {
    entries.sort_by_key(|(_, used)| Reverse(*used));
    let Some((_, now)) = entries.first().cloned() else { return Vec::new() };
    let is_old = |used: SystemTime| now.duration_since(used).is_ok_and(|age| age > GRACE);
    entries.into_iter().skip(KEPT).filter(|(_, used)| is_old(*used)).map(|(name, _)| name).collect()
}

/// Marks a folder as used now.
fn touch(folder: &Path) -> io::Result<()> {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    Ok(utimensat(CWD, folder, &Timestamps { last_access: now, last_modification: now }, AtFlags::empty())?)
}

/// Removes a workplace, unless its owner lives.
fn sweep(folder: &Path) -> io::Result<()> {
    let result = match File::open(folder).map(|file| file.try_lock()) {
        Ok(Ok(())) => fs::remove_dir_all(folder),
        Ok(Err(TryLockError::WouldBlock)) => Ok(()),
        Ok(Err(TryLockError::Error(error))) | Err(error) => Err(error),
    };
    match result {
        // Its owner has just finished.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(shelf: &Shelf, key: &str, text: &str) -> PathBuf {
        let workplace = shelf.workplace().unwrap();
        fs::write(workplace.content().join("file"), text).unwrap();
        shelf.publish(workplace, key).unwrap()
    }

    fn names(shelf: &Shelf) -> Vec<String> {
        let mut names = shelf.names().unwrap();
        names.sort();
        names
    }

    /// Makes an entry look as if it had last been used so long ago.
    fn age(folder: &Path, age: Duration) {
        let file = File::open(folder).unwrap();
        let used = file.metadata().unwrap().modified().unwrap() - age;
        file.set_modified(used).unwrap();
    }

    #[test]
    fn what_is_put_is_found() {
        let cache = tempfile::tempdir().unwrap();
        let shelf = Shelf::of(cache.path(), "git", "https://host/r");
        assert_eq!(shelf.get("a").unwrap(), None);
        let content = put(&shelf, "a", "one");
        assert_eq!(shelf.get("a").unwrap(), Some(content.clone()));
        assert_eq!(Shelf::of(cache.path(), "git", "https://host/other").get("a").unwrap(), None);
        assert_eq!(fs::read_to_string(content.join("file")).unwrap(), "one");
        assert_eq!(names(&shelf), ["a"], "no workplace stays");
    }

    #[test]
    fn the_first_of_two_wins() {
        let cache = tempfile::tempdir().unwrap();
        let shelf = Shelf::of(cache.path(), "git", "x");
        let (first, second) = (shelf.workplace().unwrap(), shelf.workplace().unwrap());
        fs::write(first.content().join("file"), "first").unwrap();
        fs::write(second.content().join("file"), "second").unwrap();
        let content = shelf.publish(first, "a").unwrap();
        assert_eq!(shelf.publish(second, "a").unwrap(), content);
        assert_eq!(fs::read_to_string(content.join("file")).unwrap(), "first");
        assert_eq!(names(&shelf), ["a"]);
    }

    #[test]
    fn only_dead_workplaces_are_swept() {
        let cache = tempfile::tempdir().unwrap();
        let shelf = Shelf::of(cache.path(), "git", "x");
        let alive = shelf.workplace().unwrap();
        let dead = shelf.folder.join(".work-dead");
        fs::create_dir_all(dead.join("content/deep")).unwrap();
        let newer = shelf.workplace().unwrap();
        assert!(!dead.exists());
        assert!(alive.content().exists() && newer.content().exists());
    }

    #[test]
    fn keeps_the_newest_and_what_may_be_in_use() {
        let cache = tempfile::tempdir().unwrap();
        let shelf = Shelf::of(cache.path(), "git", "x");
        for (key, minutes) in [("a", 600), ("b", 500), ("c", 400), ("d", 300)] {
            age(&put(&shelf, key, key), Duration::from_secs(60 * minutes));
        }
        assert_eq!(names(&shelf), ["a", "b", "c", "d"], "four are kept, however old");
        shelf.get("a").unwrap().unwrap();
        put(&shelf, "e", "e");
        assert_eq!(names(&shelf), ["a", "c", "d", "e"], "`a` was asked for again, so `b` is the oldest");
        for key in ["f", "g", "h"] {
            put(&shelf, key, key);
        }
        assert_eq!(names(&shelf), ["a", "e", "f", "g", "h"], "the fifth was used within the hour");
    }
}
