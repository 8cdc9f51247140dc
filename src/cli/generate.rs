//! `generate`: files that are made from the code, so that they can't drift from it.

use clap::{Args, Subcommand, ValueEnum};

use super::report;
use crate::{
    engine::{config::raw, generate},
    exit::Exit,
    helmfile::api,
    yaml,
};

/// Arguments of `generate`.
#[derive(Debug, Args)]
pub(super) struct GenerateArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum What {
    /// The CustomResourceDefinition of Helmfile (assets/crds/helmfiles.yaml)
    Crd,
    /// The JSON schema of config.yaml, for editors (assets/schema/config.json)
    Schema,
    /// A reference page (docs/PAGE.md)
    Docs {
        /// Which one
        page: Page,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Page {
    /// Every field of config.yaml
    Configuration,
    /// What templates are given, and every helper
    Templates,
}

pub(super) fn main(args: &GenerateArgs) -> anyhow::Result<Exit> {
    match args.what {
        What::Crd => report::print(&yaml::print(&api::crd())),
        What::Schema => report::print(&(serde_json::to_string_pretty(&raw::schema())? + "\n")),
        What::Docs { page: Page::Configuration } => report::print(&generate::configuration()),
        What::Docs { page: Page::Templates } => report::print(&generate::templates()),
    }
}
