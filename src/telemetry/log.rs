//! Logs: one line per event on stderr, as text for people or JSON for machines.

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, fmt};

use crate::suggest;

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
    let filter = parse(filter)?;
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Only the first logger of a process counts; a second installation, as in tests, is no error.
    let _installed_already = match format {
        Format::Text => builder.with_target(false).with_ansi(std::io::stderr().is_terminal()).try_init(),
        Format::Json => builder.json().flatten_event(true).try_init(),
    };
    Ok(())
}

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// A level alone is about this program: what the client library logs is in our own messages already.
fn parse(filter: &str) -> Result<EnvFilter, String> {
    let full = match LEVELS.iter().find(|level| level.eq_ignore_ascii_case(filter)) {
        Some(level @ (&"debug" | &"trace")) => (*level).to_owned(),
        Some(level) => format!("{level},kube_client=off,kube_runtime=off"),
        // A word that is no level would be a filter for a module of that name, which shows nothing at all.
        None if !filter.contains(['=', ',']) => {
            let hint = suggest::closest(filter, LEVELS).map(|level| format!("; did you mean `{level}`?"));
            let levels = LEVELS.join(", ");
            return Err(format!(
                "`{filter}` is no log level{}",
                hint.unwrap_or_else(|| format!("; there are {levels}"))
            ));
        }
        None => filter.to_owned(),
    };
    EnvFilter::try_new(full).map_err(|error| format!("`{filter}` is not a log filter: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_filters_are_told_from_mistakes() {
        for good in ["info", "WARN", "debug", "info,hook=warn", "hook=off"] {
            parse(good).unwrap();
        }
        assert_eq!(parse("inf").unwrap_err(), "`inf` is no log level; did you mean `info`?");
        assert!(parse("verbose").unwrap_err().contains("there are error, warn"));
    }
}
