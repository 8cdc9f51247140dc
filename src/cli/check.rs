//! `check`: all that is wrong with a config, without a cluster.

use clap::Args;

use super::{files::ConfigFiles, report};
use crate::exit::Exit;

/// Arguments of `check`.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    config: ConfigFiles,
}

pub(super) fn main(args: &CheckArgs) -> anyhow::Result<Exit> {
    match args.config.load() {
        Err(diagnostics) => {
            report::note(&diagnostics.to_string());
            Ok(Exit::Failed)
        }
        Ok(loaded) if !loaded.warnings.0.is_empty() => {
            report::note(&loaded.warnings.to_string());
            Ok(Exit::Failed)
        }
        Ok(loaded) => {
            let names: Vec<&str> = loaded.config.entries.iter().map(|entry| entry.name.as_str()).collect();
            report::print(&format!(
                "ok: {}\n",
                if names.is_empty() { "no entries".to_owned() } else { names.join(", ") }
            ))
        }
    }
}
