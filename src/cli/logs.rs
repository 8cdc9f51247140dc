//! `logs`: what helmfile printed in the last passes of a Helmfile.

use anyhow::bail;
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde::Serialize;

use super::{
    inquiry::{Inquiry, Route},
    objects, report,
    table::clean,
    world,
};
use crate::{
    duration::GoDuration,
    engine::record::{
        Outcome, Recorded,
        view::{Handling, ObjectReport},
    },
    exit::Exit,
};

/// Show what helmfile printed in the last passes of a Helmfile that did something.
///
/// Asks the applier of the Helmfile, or the operator when that delivers itself. It remembers the end of the last passes
/// only, and none from before it started.
#[derive(Debug, Args)]
pub(super) struct LogsArgs {
    /// The Helmfile
    name: String,
    /// How many passes
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u8).range(1..))]
    last: u8,
    #[command(flatten)]
    route: Route,
    /// How to print them
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// How to print logs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// A pass and what it has printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Pass {
    /// When it began.
    began: Timestamp,
    /// How long it took.
    took: GoDuration,
    /// How it ended.
    outcome: Outcome,
    /// How many passes in a row ended like this; it is the last of them.
    count: u64,
    /// What it has printed, at the end.
    log: String,
}

pub(super) fn main(args: &LogsArgs) -> anyhow::Result<Exit> {
    let told = world::runtime()?.block_on(async {
        let inquiry = Inquiry::open(&args.route, &objects::kind().kind, &args.name).await?;
        match inquiry.applier().await? {
            Some(told) => Ok(told),
            None => inquiry.operator().await,
        }
    })?;
    let passes = passes(&told.report, args.last.into());
    let unknown = told.report.entries.iter().all(|handling| !handling.object.known);
    if passes.is_empty() && unknown {
        let namespace = told.report.query.namespace.unwrap_or_default();
        bail!("there is no Helmfile {namespace}/{} that it knows of", args.name);
    }
    match args.output {
        Output::Json => report::print(&format!("{}\n", serde_json::to_string_pretty(&passes)?)),
        Output::Text if passes.is_empty() => {
            report::note("no pass that printed something is remembered");
            Ok(Exit::Done)
        }
        Output::Text => report::print(&passes.iter().map(text).collect::<Vec<_>>().join("\n")),
    }
}

/// The last passes that did something, the newest at the end. A pass that finds nothing to do prints nothing.
fn passes(report: &ObjectReport, last: usize) -> Vec<Pass> {
    let runs = report.entries.iter().flat_map(|Handling { runs, .. }| runs);
    let mut passes: Vec<Pass> = runs.filter(|recorded| !recorded.run.stderr.is_empty()).map(pass).collect();
    passes.sort_by_key(|pass| pass.began);
    passes.split_off(passes.len().saturating_sub(last))
}

fn pass(recorded: &Recorded) -> Pass {
    let Recorded { run, count, .. } = recorded;
    Pass {
        began: run.began,
        took: GoDuration::from_secs(run.elapsed.as_secs()),
        outcome: run.outcome.clone(),
        count: *count,
        log: run.stderr.clone(),
    }
}

/// A line about the pass, and its log. Handlers say by how a line begins how much it matters to the operator's log; here all
/// of it is shown.
fn text(pass: &Pass) -> String {
    let ended = match &pass.outcome {
        Outcome::Done { .. } => "done".to_owned(),
        Outcome::Stale => "overtaken by a change".to_owned(),
        Outcome::Gone => "the object was gone".to_owned(),
        Outcome::Failed { message, .. } => format!("failed: {}", clean(message)),
    };
    let times = if pass.count > 1 { format!(", the last of {} like it", pass.count) } else { String::new() };
    let mut text = format!("# {:.0}, {} long{times}: {ended}\n", pass.began, pass.took);
    for line in pass.log.lines() {
        let line = line.strip_prefix("debug: ").unwrap_or(line);
        text.extend(line.chars().filter(|c| !c.is_control() || *c == '\t'));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::{
        engine::record::{
            Run,
            view::{Activity, EntryView, ObjectQuery, ObjectView, QueueView, Selection},
        },
        object::ObjectRef,
    };

    use super::*;

    /// A report with a run for each log, the newest first.
    fn report(logs: &[&str]) -> ObjectReport {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let object =
            ObjectRef { gvk: objects::kind(), namespace: Some("team".to_owned()), name: "web".to_owned() };
        let run = |(index, log): (i64, &&str)| {
            let began = now - jiff::SignedDuration::from_mins(index);
            let run = Run::new("helmfile-applier".to_owned(), object.clone(), Vec::new(), began);
            let run = Run { stderr: (*log).to_owned(), elapsed: Duration::from_secs(75), ..run };
            Recorded { run, count: 1, since: began }
        };
        let entry = EntryView {
            name: "helmfile-applier".to_owned(),
            kind: objects::kind(),
            handler: "exec helmfile-operator".to_owned(),
            dependents: Vec::new(),
            watches: Vec::new(),
            queue: QueueView::default(),
            concurrency: 1,
        };
        let view = ObjectView {
            entry: entry.name.clone(),
            object: object.clone(),
            known: true,
            deleting: false,
            selection: Selection::Selected,
            suspended: false,
            activity: Activity::Idle,
            watches: Vec::new(),
            slowed: None,
            last_error: None,
        };
        let query = ObjectQuery { kind: "Helmfile".to_owned(), namespace: None, name: "web".to_owned() };
        let handling = Handling { entry, object: view, runs: (0..).zip(logs).map(run).collect() };
        ObjectReport { now, query, entries: vec![handling] }
    }

    #[test]
    fn the_newest_passes_that_printed_something_are_shown_last() {
        let logs = |last: usize| {
            passes(&report(&["", "three", "", "two", "one"]), last)
                .into_iter()
                .map(|pass| pass.log)
                .collect::<Vec<_>>()
        };
        assert_eq!(logs(1), ["three"]);
        assert_eq!(logs(2), ["two", "three"]);
        assert_eq!(logs(9), ["one", "two", "three"]);
        assert!(passes(&report(&["", ""]), 1).is_empty());
    }

    #[test]
    fn a_log_is_told_with_its_pass_and_cannot_steer_the_terminal() {
        let mut pass =
            passes(&report(&["delivering\ndebug: UPDATED \x1b[32mRELEASES\nerror: no"]), 1).remove(0);
        assert_eq!(
            text(&pass),
            "# 2027-01-15T08:00:00Z, 1m15s long: done\ndelivering\nUPDATED [32mRELEASES\nerror: no\n"
        );
        pass.count = 3;
        let retry_in = Duration::from_secs(5);
        pass.outcome = Outcome::Failed { reason: "R".to_owned(), message: "a\nb".to_owned(), retry_in };
        assert!(
            text(&pass)
                .starts_with("# 2027-01-15T08:00:00Z, 1m15s long, the last of 3 like it: failed: a b\n")
        );
    }
}
