//! `generate`: files that are made from the code, so that they can't drift from it.

use clap::{Args, Subcommand};

use super::report;
use crate::{engine::config::raw, exit::Exit, helmfile::api, yaml};

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
}

pub(super) fn main(args: &GenerateArgs) -> anyhow::Result<Exit> {
    match args.what {
        What::Crd => report::print(&yaml::print(&api::crd())),
        What::Schema => report::print(&(serde_json::to_string_pretty(&raw::schema())? + "\n")),
    }
}
