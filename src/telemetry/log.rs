//! Logs: one line per event on stderr, as text for people or JSON for machines.

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, fmt};

/// How lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people; with colours on a terminal.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Installs the process's logger. `filter` is in `tracing`'s syntax, for example `info,kube=debug`.
///
/// # Errors
/// When the filter is malformed.
pub fn install(format: Format, filter: &str) -> Result<(), String> {
    let filter =
        EnvFilter::try_new(filter).map_err(|error| format!("`{filter}` is not a log filter: {error}"))?;
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Only the first logger of a process counts; a second installation, as in tests, is no error.
    let _installed_already = match format {
        Format::Text => builder.with_target(false).with_ansi(std::io::stderr().is_terminal()).try_init(),
        Format::Json => builder.json().flatten_event(true).try_init(),
    };
    Ok(())
}
