//! Why a pass did not get as far as running helmfile, or could not hear its end.

use std::io;

use super::{
    command::EnvironmentError,
    outcome::{Failure, Scrub},
    session::Objection,
    source_files::SourceFileError,
    subject::{Memory, Subject},
    workspace::WorkspaceError,
};
use crate::{
    causes,
    cluster::client::ConnectError,
    duration::GoDuration,
    helmfile::{
        api::names::reason,
        fetch::{FetchError, LocatorError},
        inputs::{DecryptError, FileError, InputError},
        ledger::{LedgerError, lease::LeaseError},
    },
    process::{ProgramError, SessionError},
};

/// A pass that failed.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// The spec is no spec.
    #[error("the spec cannot be read: {0}")]
    Spec(String),
    /// The source makes no sense.
    #[error(transparent)]
    Locator(#[from] LocatorError),
    /// A variable that is refused.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// A file that the spec names.
    #[error(transparent)]
    SourceFile(#[from] SourceFileError),
    /// The source.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// What the spec names in its namespace.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A file of values from elsewhere.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file that is encrypted.
    #[error(transparent)]
    Decrypt(#[from] DecryptError),
    /// The record of what is ours.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Somebody else is at work.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// The claim was lost in the middle.
    #[error("the delivery was interrupted, as its Lease was lost: {0}")]
    Lost(&'static str),
    /// A release may not be touched.
    #[error("{}", .0.message)]
    Refused(Objection),
    /// The socket of the helm front.
    #[error("the socket of the helm front failed")]
    Front(#[source] io::Error),
    /// The cluster.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The folder to work in.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// No helmfile, or no helm.
    #[error("{0}")]
    Program(String),
    /// Helmfile was interrupted.
    #[error("helmfile took longer than the timeout of {0} and was interrupted")]
    TimedOut(GoDuration),
    /// Helmfile did not run to its end.
    #[error("helmfile {0}")]
    Run(SessionError),
    /// Helmfile ran, and failed.
    #[error("{}", .0.message)]
    Helmfile(Failure),
    /// A bug: work on a thread of its own panicked.
    #[error("the work on files stopped unexpectedly")]
    Crashed,
}

impl From<ProgramError> for PassError {
    fn from(error: ProgramError) -> Self {
        Self::Program(match error {
            // Its own advice is for programs that somebody has named.
            ProgramError::NotOnPath(name) => {
                format!("`{name}` is not on PATH; the applier needs helmfile and helm there")
            }
            other => other.to_string(),
        })
    }
}

impl From<SessionError> for PassError {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::TimedOut { after, .. } => Self::TimedOut(GoDuration(after)),
            other => Self::Run(other),
        }
    }
}

impl PassError {
    /// The reason for a condition.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Spec(_) => reason::INVALID_SPEC,
            Self::Locator(error) => error.reason(),
            Self::Environment(_) => reason::ENVIRONMENT_REFUSED,
            Self::SourceFile(error) | Self::Workspace(WorkspaceError::SourceFile(error)) => match error {
                _ if error.is_permanent() => reason::INVALID_SPEC,
                SourceFileError::Read { .. } => reason::ENVIRONMENT_FAILED,
                _ => reason::FILE_NOT_FOUND,
            },
            Self::Fetch(error) => error.reason(),
            Self::Input(error) => error.reason(),
            Self::File(error) => error.reason(),
            Self::Decrypt(error) => error.reason(),
            Self::Ledger(error) | Self::Lease(LeaseError::Api(error)) if error.is_forbidden() => {
                reason::FORBIDDEN
            }
            Self::Ledger(error) | Self::Lease(LeaseError::Api(error)) if error.is_unreachable() => {
                reason::CLUSTER_UNREACHABLE
            }
            Self::Lease(LeaseError::Held(_) | LeaseError::Stopped) | Self::Lost(_) => reason::HELD_ELSEWHERE,
            Self::Refused(objection) => objection.reason,
            Self::Connect(_) | Self::Workspace(WorkspaceError::NoContext) => reason::CLUSTER_UNREACHABLE,
            Self::Workspace(WorkspaceError::Busy) => reason::BUSY,
            Self::Workspace(_)
            | Self::Crashed
            | Self::Ledger(_)
            | Self::Lease(LeaseError::Api(_))
            | Self::Front(_) => reason::ENVIRONMENT_FAILED,
            Self::Program(_) => reason::PROGRAM_NOT_FOUND,
            Self::TimedOut(_) => reason::TIMED_OUT,
            Self::Run(_) => reason::FAILED,
            Self::Helmfile(failure) => failure.reason,
        }
    }

    /// Whether only another spec can help, so that trying again is pointless.
    pub(crate) fn is_permanent(&self) -> bool {
        match self {
            Self::Spec(_) | Self::Locator(_) | Self::Environment(_) | Self::Fetch(FetchError::Locator(_)) => {
                true
            }
            Self::SourceFile(error) | Self::Workspace(WorkspaceError::SourceFile(error)) => {
                error.is_permanent()
            }
            Self::Refused(objection) => objection.permanent,
            _ => false,
        }
    }

    /// Whether it is the source that can't be had.
    pub(crate) const fn is_source(&self) -> bool {
        matches!(self, Self::Fetch(_) | Self::Locator(_))
    }

    /// Whether another applier is at work on the object, or was when this one had to stop. It says in the status how that goes.
    pub(crate) const fn is_elsewhere(&self, subject: &Subject) -> bool {
        // Where nothing is remembered, nobody else speaks for us.
        !matches!(subject.memory, Memory::Nothing)
            && matches!(
                self,
                Self::Lease(LeaseError::Held(_)) | Self::Lost(_) | Self::Workspace(WorkspaceError::Busy)
            )
    }

    /// Whether it is the helmfile, or what goes with it, that can't be had. None of these comes once a run has begun.
    pub(crate) const fn is_content(&self) -> bool {
        matches!(
            self,
            Self::Fetch(_)
                | Self::SourceFile(_)
                | Self::Workspace(WorkspaceError::SourceFile(_))
                | Self::File(_)
                | Self::Decrypt(_)
        )
    }

    /// What a condition says: the error and its causes in one line.
    pub(crate) fn failure(&self, scrub: &Scrub) -> Failure {
        Failure::new(self.reason(), &causes::in_one_line(self), scrub)
    }
}

#[cfg(test)]
mod tests {
    use std::{io, path::PathBuf, time::Duration};

    use super::*;

    #[test]
    fn the_causes_are_in_the_message_once() {
        let error = PassError::from(WorkspaceError::Io {
            action: "write",
            path: PathBuf::from("/c/run-1/kubeconfig"),
            source: io::Error::other("disk full"),
        });
        let failure = error.failure(&Scrub::default());
        assert_eq!(failure.message, "failed to write `/c/run-1/kubeconfig`: disk full");
        assert_eq!(failure.reason, "EnvironmentFailed");
        assert!(!error.is_permanent());
    }

    #[test]
    fn a_run_that_took_too_long_says_so() {
        let error = PassError::from(SessionError::TimedOut {
            after: Duration::from_mins(10),
            stderr: "secret".into(),
        });
        let failure = error.failure(&Scrub::default());
        assert_eq!(
            (failure.reason, failure.message.as_str()),
            ("TimedOut", "helmfile took longer than the timeout of 10m and was interrupted")
        );
    }

    #[test]
    fn an_applier_that_is_not_at_work_leaves_the_word_to_the_one_that_is() {
        let object = serde_json::json!({"metadata": {"name": "web", "uid": "u"}, "spec": {}});
        let subject = Subject::of(&object, "/".into());
        let alone = Subject { memory: Memory::Nothing, ..subject.clone() };
        for error in [PassError::Lost("it has expired"), WorkspaceError::Busy.into()] {
            assert!(error.is_elsewhere(&subject) && !error.is_elsewhere(&alone), "{error}");
        }
        assert!(!PassError::Crashed.is_elsewhere(&subject));
    }

    #[test]
    fn only_a_spec_can_be_permanently_wrong() {
        let outside = || SourceFileError::Outside { field: "file", path: "../x".into() };
        assert!(PassError::from(outside()).is_permanent());
        assert!(PassError::from(WorkspaceError::from(outside())).is_permanent());
        assert!(PassError::from(EnvironmentError::Malformed("1".into())).is_permanent());
        let missing = SourceFileError::Missing { field: "file", path: "x".into() };
        assert_eq!(PassError::from(missing).reason(), "FileNotFound");
        assert!(!PassError::from(WorkspaceError::Busy).is_permanent());
    }
}
