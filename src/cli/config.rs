//! `config`: the configs that are built in, to read or to start one's own from.

use anyhow::bail;
use clap::{Args, Subcommand};

use super::{builtin::LIBRARY, report};
use crate::exit::Exit;

/// Arguments of `config`.
#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print a built-in config, template or CRD
    Show {
        /// Its name, with or without `builtin:`
        #[arg(default_value = "default")]
        name: String,
    },
    /// List what is built in
    List,
}

pub(super) fn main(args: &ConfigArgs) -> anyhow::Result<Exit> {
    let texts = || LIBRARY.configs.iter().chain(LIBRARY.files);
    match &args.command {
        ConfigCommand::List => {
            let lines: Vec<String> = texts().map(|(name, _)| format!("builtin:{name}\n")).collect();
            report::print(&lines.concat())
        }
        ConfigCommand::Show { name } => {
            let name = name.strip_prefix("builtin:").unwrap_or(name);
            match texts().find(|(known, _)| known == &name) {
                Some((_, text)) => report::print(text),
                None => bail!(
                    "nothing built in is called `{name}`; `helmfile-operator config list` shows what there is"
                ),
            }
        }
    }
}
