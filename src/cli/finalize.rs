//! `finalize`: the hook of `builtin:default` for Helmfiles that are being deleted.

use std::{fs, io::Read as _};

use anyhow::{Context as _, bail};
use clap::Args;

use super::{builtin::LIBRARY, report};
use crate::{contract::State, engine::template::Template, exit::Exit, helmfile::farewell::Farewell, object};

/// Arguments of `finalize`.
#[derive(Debug, Args)]
pub(super) struct FinalizeArgs {
    /// The template of what runs the applier, which is kept as long as there is something to destroy: a file, or
    /// `builtin:NAME`
    #[arg(long, value_name = "FILE")]
    template: String,
}

/// How often to look whether the namespace is going, while the applier is at work; all else is an event.
const LOOK: &str = "30s";

/// Runs the command.
pub(super) fn main(args: &FinalizeArgs) -> anyhow::Result<Exit> {
    let mut text = Vec::new();
    std::io::stdin().lock().read_to_end(&mut text).context("failed to read standard input")?;
    let state: State =
        serde_json::from_slice(&text).context("standard input is not the state of a handler")?;
    if !object::is_terminating(&state.object) {
        bail!("the object is not being deleted; this is a `finalizer`");
    }
    if let Some(reply) = Farewell::decide(&state).reply(&state) {
        return report::print(&format!("{reply}\n"));
    }
    let template = Template::compile(&args.template, &read(&args.template)?)?;
    report::print(&format!("{}\n---\nrequeueAfter: {LOOK}\n", template.render(&state)?))
}

fn read(file: &str) -> anyhow::Result<String> {
    let Some(name) = file.strip_prefix("builtin:") else {
        return fs::read_to_string(file).with_context(|| format!("failed to read `{file}`"));
    };
    let known = LIBRARY.files.iter().find(|(known, _)| *known == name);
    known.map(|(_, text)| (*text).to_owned()).with_context(|| format!("there is no built-in file `{name}`"))
}
