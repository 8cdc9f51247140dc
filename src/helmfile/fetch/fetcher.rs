//! The two questions: what is the source now, and where is its content?

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::{FetchError, Locator, Revision, attempt::Attempt, error::shown, git, local, locator::Place};
use crate::environment::Environment;
use crate::process::Guard;

/// Resolves and fetches sources.
#[derive(Clone)]
pub struct Fetcher {
    /// Where contents are kept: an absolute path. Several processes may share it, if they trust each other: nobody is
    /// asked for credentials for a commit that is there already.
    pub cache: PathBuf,
    /// What git runs under.
    pub guard: Guard,
    /// The ambient environment. Only PATH, proxies and certificate authorities are taken from it.
    pub env: Environment,
    /// The folder with the private keys and `known_hosts` for ssh, for sources without credentials of their own.
    pub ssh: Option<PathBuf>,
    /// How long one call may take.
    pub timeout: Duration,
}

impl Fetcher {
    /// What the source is now. Nothing of it is downloaded: a Git repository is asked once with `git ls-remote`, or
    /// not at all when the locator has a commit in full; a folder is read.
    ///
    /// # Errors
    /// When the source can't be reached, lacks the ref, or takes too long.
    pub async fn resolve(&self, locator: &Locator, stop: &CancellationToken) -> Result<Revision, FetchError> {
        let attempt = Attempt::start(locator.place().to_string(), self.timeout, stop);
        match locator.place() {
            Place::Folder(folder) => local::resolve(folder, &self.cache, &attempt).await,
            // On the heap, since everything that git needs would make the future of the whole pass large.
            Place::Git(repository) => Box::pin(git::resolve(self, repository, &attempt)).await,
        }
    }

    /// A folder with the source's content at a revision: the part after `//` if there is one. It is complete, does not
    /// change, and nothing is downloaded when it is there already. It stays for at least an hour, and longer while it
    /// is one of the source's newest; whoever writes beside a helmfile must copy it first.
    ///
    /// # Errors
    /// When the content can't be had, is unsafe, or lacks the path after `//` or `@`.
    pub async fn fetch(
        &self,
        locator: &Locator,
        revision: &Revision,
        stop: &CancellationToken,
    ) -> Result<PathBuf, FetchError> {
        let attempt = Attempt::start(locator.place().to_string(), self.timeout, stop);
        if revision.is_commit() != matches!(locator.place(), Place::Git(_)) {
            let source_name = attempt.source_name;
            return Err(FetchError::ForeignRevision { revision: revision.to_string(), source_name });
        }
        let content = match locator.place() {
            Place::Folder(folder) => local::fetch(folder, revision, &self.cache, &attempt).await?,
            Place::Git(repository) => Box::pin(git::fetch(self, repository, revision, &attempt)).await?,
        };
        let locator = locator.clone();
        attempt.blocking(move |attempt| part(&content, &locator, &attempt.source_name)).await
    }
}

/// The part of the content that the locator asks for, after checking that it is there.
fn part(content: &Path, locator: &Locator, source_name: &str) -> Result<PathBuf, FetchError> {
    let missing = |subject: String, root: &Path, path: &str| FetchError::PathNotFound {
        subject,
        source_name: source_name.to_owned(),
        there: neighbours(root, path),
    };
    let root = match locator.subdir() {
        None => content.to_owned(),
        Some(subdir) => match content.join(subdir) {
            root if root.is_dir() => root,
            root if root.exists() => {
                return Err(FetchError::NotAFolder {
                    path: subdir.to_owned(),
                    source_name: source_name.to_owned(),
                });
            }
            _ => return Err(missing(format!("the folder `//{subdir}`"), content, subdir)),
        },
    };
    match locator.file() {
        Some(file) if !root.join(file).exists() => Err(missing(format!("the file `@{file}`"), &root, file)),
        _ => Ok(root),
    }
}

/// How many names a message lists.
const NAMES: usize = 6;

/// What there is in the deepest folder on the way to a path: names for a message, marked as code.
fn neighbours(root: &Path, path: &str) -> Vec<String> {
    let way = Path::new(path).ancestors().skip(1);
    let Some(folder) = way.into_iter().find(|folder| root.join(folder).is_dir()) else { return Vec::new() };
    let mut names: Vec<String> = fs::read_dir(root.join(folder))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| format!("`{}`", shown(&folder.join(entry.file_name()))))
        .collect();
    names.sort();
    let more = names.len().saturating_sub(NAMES);
    names.truncate(NAMES);
    if more > 0 {
        names.push(format!("{more} more"));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_futures_can_be_handed_to_another_thread() {
        fn is_send(_: &impl Send) {}
        fn check(fetcher: &Fetcher, locator: &Locator, revision: &Revision, stop: &CancellationToken) {
            is_send(&fetcher.resolve(locator, stop));
            is_send(&fetcher.fetch(locator, revision, stop));
        }
        let _: fn(&Fetcher, &Locator, &Revision, &CancellationToken) = check;
    }

    #[test]
    fn missing_paths_come_with_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("deploy/prod")).unwrap();
        for name in ["a", "b", "c", "d", "e", "f", "g"] {
            fs::write(folder.path().join("deploy").join(name), "").unwrap();
        }
        let table = [
            (".//deploy", Ok("deploy")),
            (".//deploy@prod", Ok("deploy")),
            (".@deploy/a", Ok("")),
            (".//deploi", Err("the folder `//deploi` does not exist in `S`; there is `deploy`")),
            (
                ".//deploy/prod/x",
                Err("the folder `//deploy/prod/x` does not exist in `S`; the folder is empty"),
            ),
            (
                ".//deploy/x/y",
                Err(
                    "the folder `//deploy/x/y` does not exist in `S`; there is `deploy/a`, `deploy/b`, `deploy/c`, `deploy/d`, `deploy/e`, `deploy/f`, 2 more",
                ),
            ),
            (
                ".//deploy/a",
                Err("`//deploy/a` in `S` is a file, but must be a folder; write `@deploy/a` for a helmfile"),
            ),
            (".//deploy/prod@x", Err("the file `@x` does not exist in `S`; the folder is empty")),
        ];
        for (source, expected) in table {
            let locator = Locator::parse(source, None, Path::new("/")).unwrap();
            let found =
                part(folder.path(), &locator, "S").map_err(|error| (error.reason(), error.to_string()));
            let expected = expected
                .map(|path| folder.path().join(path))
                .map_err(|text| ("PathNotFound", text.to_owned()));
            assert_eq!(found.map(|path| path.components().collect::<PathBuf>()), expected, "{source}");
        }
    }
}
