//! What people read: results on stdout, errors on stderr.

use std::io::Write as _;

use clap::ValueEnum;

use crate::exit::Exit;

/// How to print what an operator tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs: all of it.
    Json,
}

/// Prints a result.
pub(super) fn print(text: &str) -> anyhow::Result<Exit> {
    match std::io::stdout().write_all(text.as_bytes()) {
        // `| head` has seen enough; that is no failure of ours.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(Exit::Done),
        Err(error) => Err(error.into()),
        Ok(()) => Ok(Exit::Done),
    }
}

/// Tells something on the side.
pub(super) fn note(text: &str) {
    let _nobody_reads_it = writeln!(std::io::stderr(), "{text}");
}

/// Tells why a command failed: the message, then each cause.
pub(super) fn failed(error: &anyhow::Error) -> Exit {
    let mut text = format!("error: {error}");
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    note(&text);
    Exit::Failed
}

/// Shows clap's own message: help on stdout, mistakes on stderr.
pub(super) fn usage(message: &clap::Error) -> Exit {
    let _nobody_reads_it = message.print();
    if message.use_stderr() { Exit::Usage } else { Exit::Done }
}
