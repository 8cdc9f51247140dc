//! What tests of sources need: a fetcher with a git that tells how it was called, and a server.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    time::Duration,
};

use helmfile_operator::helmfile::fetch::{FetchError, Fetcher, Locator, Revision, SourceCredentials};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::support::{
    git::{self, Repository},
    git_https::{GitHttps, Options},
    tools,
    wait::wait_until,
};

/// More than any of it takes.
pub(super) const DEADLINE: Duration = Duration::from_secs(30);

/// What is called as git: it writes down how and in which environment, takes all repositories for somebody else's, and on request leaves
/// something half done and hangs.
const GIT: &str = r#"#!/bin/sh
printf '%s\n' "$*" >> '@FOLDER@/calls'
env >> '@FOLDER@/environment'
if [ -e '@FOLDER@/hang-in' ] && [ "$1" = "$(cat '@FOLDER@/hang-in')" ]; then
    touch half '@FOLDER@/hangs'
    exec sleep 4321
fi
GIT_TEST_ASSUME_DIFFERENT_OWNER=1 exec '@GIT@' "$@"
"#;

/// A fetcher with a cache of its own.
pub(super) struct Setup {
    pub(super) folder: TempDir,
    pub(super) fetcher: Fetcher,
    /// What sources are read with.
    pub(super) given: Option<SourceCredentials>,
}

impl Setup {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).unwrap();
        let values = [("@FOLDER@", folder.path()), ("@GIT@", &git::program())];
        let script = values
            .iter()
            .fold(GIT.to_owned(), |text, (name, value)| text.replace(name, value.to_str().unwrap()));
        fs::write(bin.join("git"), script).unwrap();
        fs::set_permissions(bin.join("git"), fs::Permissions::from_mode(0o755)).unwrap();
        let path = git::ambient(OsStr::new("PATH")).unwrap();
        let path = std::env::join_paths([bin].into_iter().chain(std::env::split_paths(&path))).unwrap();
        let fetcher = Fetcher {
            cache: folder.path().join("cache"),
            guard: tools::guard(),
            env: BTreeMap::from([("PATH".into(), path)]),
            ssh: None,
            timeout: DEADLINE,
        };
        Self { folder, fetcher, given: None }
    }

    pub(super) fn env(&mut self, name: &str, value: impl Into<OsString>) {
        self.fetcher.env.insert(name.into(), value.into());
    }

    pub(super) fn locator(&self, source: &str) -> Locator {
        let locator = Locator::parse(source, None, self.folder.path()).unwrap();
        self.given.iter().fold(locator, Locator::with_credentials)
    }

    pub(super) async fn resolve(&self, source: &str) -> Result<Revision, FetchError> {
        self.fetcher.resolve(&self.locator(source), &CancellationToken::new()).await
    }

    pub(super) async fn fetch(&self, source: &str) -> Result<PathBuf, FetchError> {
        let revision = self.resolve(source).await?;
        self.fetch_at(source, &revision).await
    }

    pub(super) async fn fetch_at(&self, source: &str, revision: &Revision) -> Result<PathBuf, FetchError> {
        self.fetcher.fetch(&self.locator(source), revision, &CancellationToken::new()).await
    }

    /// Reason and message of a failure.
    pub(super) async fn refused(&self, source: &str) -> (&'static str, String) {
        let error = self.fetch(source).await.unwrap_err();
        (error.reason(), error.to_string())
    }

    /// Files with secrets that are there now.
    pub(super) fn private(&self) -> Vec<String> {
        list(&self.fetcher.cache.join("git/private"))
    }

    /// From now on git hangs in one of its commands.
    pub(super) fn hang_in(&self, command: &str) {
        fs::write(self.folder.path().join("hang-in"), command).unwrap();
    }

    pub(super) async fn wait_until_git_hangs(&self) {
        let mark = self.folder.path().join("hangs");
        let look = async || if mark.exists() { Ok(()) } else { Err("it does not".to_owned()) };
        wait_until("git to hang", DEADLINE, look).await;
        fs::remove_file(mark).unwrap();
    }

    pub(super) fn hang_no_more(&self) {
        fs::remove_file(self.folder.path().join("hang-in")).unwrap();
    }

    /// How git was called since the last look.
    pub(super) fn calls(&self) -> Vec<String> {
        let log = self.folder.path().join("calls");
        let text = fs::read_to_string(&log).unwrap_or_default();
        let _absent_when_empty = fs::remove_file(log);
        text.lines().map(str::to_owned).collect()
    }

    /// What others on this machine could see of all git commands so far: command lines and environments.
    pub(super) fn visible(&self) -> String {
        ["calls", "environment"]
            .map(|name| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default())
            .concat()
    }

    /// Commands of git since the last look.
    pub(super) fn commands(&self) -> Vec<String> {
        self.calls().iter().map(|call| call.split(' ').next().unwrap().to_owned()).collect()
    }

    /// What is in the cache: all contents, and workplaces that should not be there.
    pub(super) fn cached(&self) -> Vec<String> {
        let mut names = Vec::new();
        for kind in ["git", "local"] {
            for shelf in list(&self.fetcher.cache.join(kind)).iter().filter(|name| name.len() == 64) {
                names.extend(list(&self.fetcher.cache.join(kind).join(shelf)));
            }
        }
        names
    }
}

pub(super) fn list(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

pub(super) fn read(folder: &Path, file: &str) -> String {
    fs::read_to_string(folder.join(file)).unwrap()
}

/// An https server for one repository called `r.git`, and a setup that trusts it.
pub(super) async fn over_https(files: &[(&str, &str)], options: Options) -> (Setup, Repository, GitHttps) {
    let repository = Repository::new(files);
    let mut setup = Setup::new();
    let root = setup.folder.path().join("served");
    fs::create_dir(&root).unwrap();
    symlink(repository.path().join(".git"), root.join("r.git")).unwrap();
    let server = GitHttps::start(&root, options).await;
    setup.env("SSL_CERT_FILE", server.authority());
    (setup, repository, server)
}
