//! Why there is no content.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{LocatorError, git::Trouble};
use crate::process::{ProgramError, SessionError};

/// Why a source could not be resolved or fetched. Each message is one sentence without credentials.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The text of `source` is wrong.
    #[error(transparent)]
    Locator(#[from] LocatorError),
    /// Git said no; the repository is printed without credentials.
    #[error("failed to read the Git repository `{repository}`: {trouble}")]
    Git {
        /// The repository.
        repository: String,
        /// What Git said, in our words.
        trouble: Trouble,
    },
    /// Nothing has that name.
    #[error("there is no branch or tag `{name}` in `{repository}`{}", did_you_mean(.closest.as_deref()))]
    RefNotFound {
        /// The repository.
        repository: String,
        /// What was asked for.
        name: String,
        /// An existing name that looks like it.
        closest: Option<String>,
    },
    /// A commit that nobody serves.
    #[error("there is no commit `{commit}` in `{repository}`, or no branch and no tag leads to it")]
    CommitNotFound {
        /// The repository.
        repository: String,
        /// What was asked for.
        commit: String,
    },
    /// Looks like the start of a commit id.
    #[error(
        "`{name}` is neither a branch nor a tag of `{repository}`, and a commit must be given with all of its 40 digits{}",
        did_you_mean(.closest.as_deref())
    )]
    ShortCommit {
        /// The repository.
        repository: String,
        /// What was asked for.
        name: String,
        /// The tip of a branch or tag that starts like this.
        closest: Option<String>,
    },
    /// The default branch was asked for, but there is none.
    #[error(
        "`{repository}` has no default branch, maybe since it is empty; push a commit, or say which branch with `?ref=`"
    )]
    NoDefaultBranch {
        /// The repository.
        repository: String,
    },
    /// The newer object format.
    #[error("`{repository}` names its commits by SHA-256, which is not supported yet")]
    ObjectFormat {
        /// The repository.
        repository: String,
    },
    /// No ssh folder, or a file is missing in it.
    #[error("`{repository}` can't be reached by ssh: {problem}")]
    Ssh {
        /// The repository.
        repository: String,
        /// What is missing, and how to get it.
        problem: String,
        /// The reason for a condition.
        reason: &'static str,
    },
    /// A path that the source lacks.
    #[error("{subject} does not exist in `{source_name}`{}", listing(.there))]
    PathNotFound {
        /// What was asked for, in words.
        subject: String,
        /// The source.
        source_name: String,
        /// Some of what there is instead.
        there: Vec<String>,
    },
    /// `//x` that is a file.
    #[error("`//{path}` in `{source_name}` is a file, but must be a folder; write `@{path}` for a helmfile")]
    NotAFolder {
        /// What was asked for.
        path: String,
        /// The source.
        source_name: String,
    },
    /// The local folder itself.
    #[error("the folder `{}` {problem}", .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        problem: &'static str,
    },
    /// Content that could reach out of the source.
    #[error("`{source_name}` is refused: `{path}` {problem}")]
    Unsafe {
        /// The source.
        source_name: String,
        /// The file.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// A local folder was written to while it was read.
    #[error("the folder `{}` has changed while it was copied; it is read again at the next try", .path.display())]
    Changed {
        /// The folder.
        path: PathBuf,
    },
    /// The revision is that of another kind of source.
    #[error("the revision `{revision}` is not one of `{source_name}`")]
    ForeignRevision {
        /// The revision.
        revision: String,
        /// The source.
        source_name: String,
    },
    /// It took too long.
    #[error("`{source_name}` was not read within {}", crate::duration::GoDuration(*.after))]
    Timeout {
        /// The source.
        source_name: String,
        /// The limit.
        after: Duration,
    },
    /// git or ssh is missing.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// git could not be run.
    #[error("failed to run git for `{source_name}`")]
    Session {
        /// The source.
        source_name: String,
        /// Why.
        #[source]
        source: SessionError,
    },
    /// The operator is stopping.
    #[error("reading `{source_name}` was stopped, since the operator is stopping")]
    Stopped {
        /// The source.
        source_name: String,
    },
    /// The disk.
    #[error("failed to {action} `{}`", .path.display())]
    Storage {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl FetchError {
    /// The reason for a condition.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Locator(error) => error.reason(),
            Self::Git { trouble, .. } => trouble.reason(),
            Self::RefNotFound { .. }
            | Self::CommitNotFound { .. }
            | Self::ShortCommit { .. }
            | Self::NoDefaultBranch { .. } => "RefNotFound",
            Self::ObjectFormat { .. } => "GitOperationFailed",
            Self::Ssh { reason, .. } => reason,
            Self::PathNotFound { .. } | Self::NotAFolder { .. } | Self::Folder { .. } => "PathNotFound",
            Self::Unsafe { .. } => "SourceRefused",
            Self::Changed { .. } => "SourceChanged",
            Self::ForeignRevision { .. } => "RevisionInvalid",
            Self::Timeout { .. } => "Timeout",
            Self::Program(_) | Self::Session { .. } => "ProgramFailed",
            Self::Stopped { .. } => "Stopped",
            Self::Storage { .. } => "StorageOperationFailed",
        }
    }

    /// Makes an error of the disk; for `map_err`.
    pub(super) fn storage(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Storage { action, path: path.to_owned(), source }
    }
}

/// A path of a source in a message: whoever names files must not be able to write control characters into a log.
pub(super) fn shown(path: &Path) -> String {
    path.to_string_lossy()
        .chars()
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
}

fn did_you_mean(closest: Option<&str>) -> String {
    closest.map_or_else(String::new, |closest| format!("; did you mean `{closest}`?"))
}

fn listing(there: &[String]) -> String {
    if there.is_empty() {
        "; the folder is empty".to_owned()
    } else {
        format!("; there is {}", there.join(", "))
    }
}
