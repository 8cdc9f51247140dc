//! Resolving and fetching.

use std::{
    ffi::OsStr,
    fs,
    num::NonZero,
    path::{Path, PathBuf},
};

use super::{
    Trouble,
    resolve::Wanted,
    session::{Failure, Session},
};
use crate::helmfile::fetch::{
    FetchError, Fetcher, Revision,
    attempt::Attempt,
    cache::{Shelf, Workplace},
    locator::Repository,
    tree::Tree,
};

/// The commit that the repository's ref stands for now: one `git ls-remote`, or nothing for a commit in full.
pub(in crate::helmfile::fetch) async fn resolve(
    fetcher: &Fetcher,
    repository: &Repository,
    attempt: &Attempt,
) -> Result<Revision, FetchError> {
    let wanted = Wanted::new(repository.reference.as_ref());
    let url = repository.remote.to_string();
    let Some(question) = wanted.question(&url) else { return wanted.answer("", &url) };
    let session = Session::open(fetcher, &repository.remote, attempt).await?;
    let words = ["ls-remote".to_owned()].into_iter().chain(question);
    let output = session.run(session.home(), words).await.map_err(|failure| session.error(failure))?;
    wanted.answer(&output, &url)
}

/// The folder with the commit's files, from the cache or from the server.
pub(in crate::helmfile::fetch) async fn fetch(
    fetcher: &Fetcher,
    repository: &Repository,
    revision: &Revision,
    attempt: &Attempt,
) -> Result<PathBuf, FetchError> {
    let shelf = Shelf::of(&fetcher.cache, "git", &repository.remote.to_string());
    let key = revision.id().to_owned();
    let (there, name) = (shelf.clone(), key.clone());
    if let Some(content) = attempt.blocking(move |_| there.get(&name)).await? {
        return Ok(content);
    }
    let session = Session::open(fetcher, &repository.remote, attempt).await?;
    let here = shelf.clone();
    let workplace = attempt.blocking(move |_| here.workplace()).await?;
    let workplace = Download { session, repository, revision, workplace }.run().await?;
    let finish = move |attempt: &Attempt| {
        check(&workplace.content(), attempt)?;
        shelf.publish(workplace, &key)
    };
    attempt.blocking(finish).await
}

/// Takes Git's own files away and looks at what is left.
fn check(content: &Path, attempt: &Attempt) -> Result<(), FetchError> {
    let git = content.join(".git");
    fs::remove_dir_all(&git).map_err(FetchError::storage("remove", &git))?;
    let tree = Tree { root: content, attempt };
    tree.check_links(&tree.entries(None)?)
}

struct Download<'a> {
    session: Session<'a>,
    repository: &'a Repository,
    revision: &'a Revision,
    workplace: Workplace,
}

/// History that nobody asked for is not downloaded.
const DEPTH: u32 = 1;

impl Download<'_> {
    /// Leaves the commit's files in the workplace, beside `.git`.
    async fn run(self) -> Result<Workplace, FetchError> {
        let done = match self.obtain().await {
            Ok(()) => self.checkout().await,
            failed => failed,
        };
        match done {
            Ok(()) => Ok(self.workplace),
            Err(Failure::Git(Trouble::NotServed)) => Err(FetchError::CommitNotFound {
                repository: self.repository.remote.to_string(),
                commit: self.revision.id().to_owned(),
            }),
            Err(failure) => Err(self.session.error(failure)),
        }
    }

    /// Gets the commit: by its id, as most servers allow; else by the name that led to it, if that still does; else
    /// with everything that has a name.
    async fn obtain(&self) -> Result<(), Failure> {
        let commit = self.revision.id();
        self.init().await?;
        match self.fetch(Some(self.depth()), &[commit]).await {
            Err(Failure::Git(Trouble::NotServed)) => {}
            other => return other,
        }
        let wanted = Wanted::new(self.repository.reference.as_ref());
        let candidates = wanted.candidates(self.revision.name());
        for name in &candidates {
            match self.fetch(Some(self.depth()), &[name]).await {
                Err(Failure::Git(Trouble::NotServed)) => continue,
                other => other?,
            }
            if self.has(commit).await? {
                return Ok(());
            }
            break;
        }
        // Anew, since what was cut off at a depth stays cut off.
        let git = self.workplace.content().join(".git");
        fs::remove_dir_all(&git)
            .map_err(|error| Failure::Other(FetchError::storage("remove", &git)(error)))?;
        self.init().await?;
        let mut names = vec!["+refs/heads/*:refs/source/heads/*", "+refs/tags/*:refs/source/tags/*"];
        names.extend(candidates.iter().map(String::as_str).filter(|name| !is_listed(name)));
        self.fetch(None, &names).await?;
        if self.has(commit).await? { Ok(()) } else { Err(Failure::Git(Trouble::NotServed)) }
    }

    fn depth(&self) -> u32 {
        self.repository.depth.map_or(DEPTH, NonZero::get)
    }

    async fn init(&self) -> Result<(), Failure> {
        self.git(["init", "--quiet", "--template="]).await.map(drop)
    }

    async fn fetch(&self, depth: Option<u32>, refs: &[&str]) -> Result<(), Failure> {
        let url = self.repository.remote.to_string();
        let mut words: Vec<String> = ["fetch", "--quiet", "--no-tags"].map(str::to_owned).into();
        words.extend(depth.map(|depth| format!("--depth={depth}")));
        words.extend(["--", &url].map(str::to_owned));
        words.extend(refs.iter().map(ToString::to_string));
        self.git(words).await.map(drop)
    }

    async fn checkout(&self) -> Result<(), Failure> {
        self.git(["checkout", "--quiet", "--force", "--detach", self.revision.id(), "--"]).await.map(drop)
    }

    /// Whether the commit has arrived.
    async fn has(&self, commit: &str) -> Result<bool, Failure> {
        match self.git(["cat-file", "-e", &format!("{commit}^{{commit}}")]).await {
            Ok(_) => Ok(true),
            Err(Failure::Git(_)) => Ok(false),
            Err(other) => Err(other),
        }
    }

    async fn git(&self, words: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<String, Failure> {
        let words: Vec<_> = words.into_iter().map(|word| word.as_ref().to_owned()).collect();
        self.session.run(&self.workplace.content(), words).await
    }
}

/// Whether a fetch of all branches and tags brings it.
fn is_listed(name: &str) -> bool {
    name.starts_with("refs/heads/") || name.starts_with("refs/tags/")
}
