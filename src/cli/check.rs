//! `check`: all that is wrong with a config, without a cluster or with one.

use std::path::PathBuf;

use clap::Args;

use super::{files::ConfigFiles, report, run, world};
use crate::{
    cluster::{
        client::{self, Target},
        discovery::Discovery,
    },
    engine::config::{
        Config,
        preflight::{self, Finding},
    },
    exit::Exit,
};

/// Arguments of `check`.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    config: ConfigFiles,
    /// Ask the API server too: whether it serves the kinds, and whether we may do what the config needs
    #[arg(long)]
    cluster: bool,
    /// Kubeconfig. Default: $KUBECONFIG, ~/.kube/config, or the pod's service account
    #[arg(long, value_name = "FILE", requires = "cluster")]
    kubeconfig: Option<PathBuf>,
    /// The namespace that the operator will work in, as for `run`; may be given several times. Default: all
    #[arg(
        short,
        long = "namespace",
        value_name = "NAMESPACE",
        requires = "cluster",
        value_parser = run::namespace
    )]
    namespaces: Vec<String>,
}

pub(super) fn main(args: &CheckArgs) -> anyhow::Result<Exit> {
    let loaded = match args.config.load() {
        Ok(loaded) => loaded,
        Err(error) => {
            report::note(&error.to_string());
            return Ok(Exit::Failed);
        }
    };
    let has_warnings = !loaded.warnings.0.is_empty();
    if has_warnings {
        report::note(&loaded.warnings.to_string());
    }
    let findings =
        if args.cluster { world::runtime()?.block_on(ask(args, &loaded.config))? } else { Vec::new() };
    let problems = findings.iter().filter(|finding| finding.is_problem()).count();
    for finding in &findings {
        report::note(&format!("{}: {finding}", if finding.is_problem() { "error" } else { "note" }));
    }
    if has_warnings || problems > 0 {
        return Ok(Exit::Failed);
    }
    let names: Vec<&str> = loaded.config.entries.iter().map(|entry| entry.name.as_str()).collect();
    report::print(&format!(
        "ok: {}\n",
        if names.is_empty() { "no entries".to_owned() } else { names.join(", ") }
    ))
}

async fn ask(args: &CheckArgs, config: &Config) -> anyhow::Result<Vec<Finding>> {
    let target = Target { kubeconfig: args.kubeconfig.clone(), context: None };
    let connection = client::connect(&target).await?;
    Ok(preflight::look(config, &Discovery::new(connection.client), &args.namespaces).await?)
}
