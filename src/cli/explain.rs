//! `explain`: why the handler of an object ran or did not, as a running operator tells it.

use clap::Args;

use super::{
    inquiry::{Inquiry, Route, Told, nobody},
    report::{self, Output},
    world,
};
use crate::{engine::record, exit::Exit};

/// Tell why the handler of an object last ran or did not.
///
/// Asks a running operator: what it was given, what it answered, what was written, and what it waits for. The operator
/// remembers the last runs only, and none from before it started. For a Helmfile that has an applier of its own, that one
/// is asked too: what helmfile did is known there.
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// The object's kind, in any case; with its group where several have the name: `hello`, `hello.example.com`
    kind: String,
    /// The object's name
    name: String,
    #[command(flatten)]
    route: Route,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

pub(super) fn main(args: &ExplainArgs) -> anyhow::Result<Exit> {
    let told = world::runtime()?.block_on(ask(args))?;
    let Some((first, others)) = told.split_first() else { return Ok(Exit::Done) };
    match args.output {
        Output::Json if others.is_empty() => report::print(&first.text),
        Output::Json => {
            let mut whole = first.report.clone();
            whole.entries.extend(others.iter().flat_map(|told| told.report.entries.clone()));
            report::print(&format!("{}\n", serde_json::to_string_pretty(&whole)?))
        }
        // Each by its own clock.
        Output::Text => {
            let texts: Vec<String> = told.iter().map(|told| record::explain(&told.report)).collect();
            report::print(&texts.join("\n"))
        }
    }
}

/// Those who know something of the object, the applier first. One of them is enough: who may ask for an applier in a
/// namespace of theirs need not be let to the operator.
async fn ask(args: &ExplainArgs) -> anyhow::Result<Vec<Told>> {
    let inquiry = Inquiry::open(&args.route, &args.kind, &args.name).await?;
    match (inquiry.applier().await, inquiry.operator().await) {
        (Ok(applier), Ok(operator)) => Ok(applier.into_iter().chain([operator]).collect()),
        (Ok(Some(one)), Err(error)) | (Err(error), Ok(one)) => {
            report::note(&format!("note: {error:#}"));
            Ok(vec![one])
        }
        (Ok(None), Err(error)) => Err(error),
        (Err(applier), Err(operator)) => Err(nobody(&applier, &operator)),
    }
}
