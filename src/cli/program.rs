//! The commands, and which of them runs.

use std::ffi::OsString;

use clap::{Parser, Subcommand};

use super::{
    apply, check, config, explain, finalize, front, generate, get, helm, logs, reconcile, render, report,
    run, suspend, test,
};
use crate::{exit::Exit, process::guard, telemetry::log};

/// Delivers helmfiles to Kubernetes continuously, on a generic controller engine driven by one config file.
#[derive(Debug, Parser)]
#[command(name = "helmfile-operator", version)]
struct Cli {
    /// Which log lines to show: error, warn, info, debug, or a filter such as `info,hook=warn`
    #[arg(long, global = true, env = "HELMFILE_OPERATOR_LOG", default_value = "info", value_name = "FILTER")]
    log: String,
    /// How log lines look
    #[arg(long, global = true, env = "HELMFILE_OPERATOR_LOG_FORMAT", value_enum, default_value_t)]
    log_format: log::Format,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the controllers of a config; without --file those that deliver helmfiles
    Run(Box<run::RunArgs>),
    /// Make the cluster equal to one helmfile: as a hook with the state on stdin, or from --source without any object
    Apply(Box<apply::ApplyArgs>),
    /// Show Helmfiles, or one with its releases and what is wrong
    Get(get::GetArgs),
    /// Ask for a delivery of a Helmfile now, and wait for what comes of it
    Reconcile(reconcile::ReconcileArgs),
    /// Leave the releases of Helmfiles as they are, until they are resumed
    Suspend(suspend::SuspendArgs),
    /// Deliver suspended Helmfiles again, and wait for what comes of it
    Resume(suspend::ResumeArgs),
    /// Show what helmfile printed in the last passes of a Helmfile
    Logs(logs::LogsArgs),
    /// Decide what a Helmfile that is being deleted waits for: a hook, with the state on stdin
    Finalize(finalize::FinalizeArgs),
    /// Compile a config and say all that is wrong with it; needs no cluster, but can ask one
    Check(check::CheckArgs),
    /// Run a handler for an object and print what would be written; needs no cluster
    Render(render::RenderArgs),
    /// Tell why the handler of an object last ran or did not, what it answered, what was written and what it waits for
    Explain(explain::ExplainArgs),
    /// Run handlers for given objects and compare what would be written with what is expected; needs no cluster
    Test(test::TestArgs),
    /// Show the configs that are built into the program
    Config(config::ConfigArgs),
    /// Print what is generated from the code
    Generate(generate::GenerateArgs),
    /// Helm's `diff` plugin: `helm diff upgrade` runs this
    #[command(hide = true)]
    Helm(helm::HelmArgs),
    /// Print the version
    Version,
}

/// Runs the program.
pub fn main() -> Exit {
    let mut words = std::env::args_os();
    // Helmfile starts us in helm's place, many times in one run.
    if front::is_named(words.next().as_deref()) {
        return front::main(words.collect());
    }
    // A guard stands in front of every hook that runs: it must start fast, and needs nothing that follows here.
    if words.next().as_deref() == Some("guard".as_ref()) {
        let words: Vec<OsString> = words.skip_while(|word| word == "--").collect();
        return words.split_first().map_or(Exit::Usage, |(program, args)| guard::main(program, args));
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(usage) => return report::usage(&usage),
    };
    if let Err(problem) = log::install(cli.log_format, &cli.log) {
        return report::failed(&anyhow::anyhow!(problem));
    }
    // Two providers are compiled in by way of dependencies; name ours before anybody makes a connection.
    let _installed_already = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let result = match cli.command {
        Command::Run(args) => run::main(*args),
        Command::Apply(args) => apply::main(&args),
        Command::Get(args) => get::main(&args),
        Command::Reconcile(args) => reconcile::main(&args),
        Command::Suspend(args) => suspend::suspend(&args),
        Command::Resume(args) => suspend::resume(&args),
        Command::Logs(args) => logs::main(&args),
        Command::Finalize(args) => finalize::main(&args),
        Command::Generate(args) => generate::main(&args),
        Command::Check(args) => check::main(&args),
        Command::Render(args) => render::main(&args),
        Command::Explain(args) => explain::main(&args),
        Command::Test(args) => test::main(&args),
        Command::Config(args) => config::main(&args),
        // In Helm's own words: helmfile, and our reading of it, look for its `Error:`.
        Command::Helm(args) => helm::main(&args).or_else(|error| {
            report::note(&format!("Error: {error:#}"));
            Ok(Exit::Failed)
        }),
        Command::Version => report::print(&format!("helmfile-operator {}\n", env!("CARGO_PKG_VERSION"))),
    };
    result.unwrap_or_else(|error| report::failed(&error))
}
