//! What a run of helmfile means: read from its exit status and its error output, as reference notes and samples of the
//! real programs have it (`tests/fixtures/helmfile`).

mod explain;
mod report;
mod text;

use crate::{helmfile::api::names::reason, process::Status};
pub(crate) use text::{LogLines, Scrub, sentence};

/// What a run of `helmfile apply` came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Releases were installed, upgraded or removed.
    Applied,
    /// There was nothing to do.
    Unchanged,
    /// No release was selected.
    NothingSelected,
    /// It failed.
    Failed(Failure),
}

/// Why something failed, for a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// One word in camel case.
    pub reason: &'static str,
    /// One sentence without log lines and credentials.
    pub message: String,
}

impl Failure {
    /// A failure with a message that still has to be cleaned.
    pub(crate) fn new(reason: &'static str, message: &str, scrub: &Scrub) -> Self {
        Self { reason, message: sentence(message, scrub) }
    }
}

/// Reads how `helmfile apply --detailed-exitcode` has ended.
///
/// The status alone does not do: 2 is also what a crashed Go program exits with, and 3 is every error without a code.
pub(crate) fn read(status: Status, stderr: &str, scrub: &Scrub) -> Outcome {
    let lines = text::lines(stderr);
    match status {
        Status::Exited(0) => Outcome::Unchanged,
        Status::Exited(2) if !report::shows_failure(&lines) => Outcome::Applied,
        Status::Exited(3) if lines.iter().any(|line| line.starts_with(NO_RELEASES)) => {
            Outcome::NothingSelected
        }
        Status::Exited(_) => Outcome::Failed(explain::explain(&lines, status, scrub)),
        Status::Signaled(9) => Outcome::Failed(Failure::new(
            reason::FAILED,
            "helmfile was killed (signal 9); has the machine or the pod too little memory?",
            scrub,
        )),
        Status::Signaled(number) => Outcome::Failed(Failure::new(
            reason::FAILED,
            &format!("helmfile was ended by signal {number}"),
            scrub,
        )),
    }
}

const NO_RELEASES: &str = "err: no releases found that matches specified selector";

#[cfg(test)]
mod tests;
