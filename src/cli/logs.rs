//! `logs`: what helmfile printed in the last passes of a Helmfile.

use anyhow::{Context as _, bail};
use clap::Args;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    inquiry::{Inquiry, Route, Told, nobody},
    objects,
    report::{self, Output},
    table::clean,
    world,
};
use crate::{
    duration::GoDuration,
    engine::record::{Outcome, Run},
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

/// What is read of the answer. A server that keeps no whole logs gives the end of them.
#[derive(Debug, Deserialize)]
struct Answer {
    entries: Vec<Handling>,
}

#[derive(Debug, Deserialize)]
struct Handling {
    object: Object,
    runs: Vec<Recorded>,
}

#[derive(Debug, Deserialize)]
struct Object {
    known: bool,
}

#[derive(Debug, Deserialize)]
struct Recorded {
    run: Run,
    count: u64,
    #[serde(default)]
    log: Option<Log>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Log {
    head: Vec<Line>,
    #[serde(default)]
    left_out: usize,
    #[serde(default)]
    tail: Vec<Line>,
}

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Line {
    /// When it was printed; absent where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<Timestamp>,
    /// As it was printed.
    text: String,
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
    /// What it has printed, all of it or its ends.
    log: Vec<Line>,
}

pub(super) fn main(args: &LogsArgs) -> anyhow::Result<Exit> {
    let told = world::runtime()?.block_on(async {
        let inquiry = Inquiry::open(&args.route, &objects::kind().kind, &args.name).await?.with_logs();
        ask(&inquiry).await
    })?;
    let answer: Answer = serde_json::from_str(&told.text).context("the answer makes no sense")?;
    let is_known = answer.entries.iter().any(|handling| handling.object.known);
    let passes = passes(answer, args.last.into());
    if passes.is_empty() && !is_known {
        let namespace = told.report.query.namespace.unwrap_or_default();
        bail!("the operator knows no Helmfile {namespace}/{}", args.name);
    }
    match args.output {
        Output::Json => report::print(&format!("{}\n", serde_json::to_string_pretty(&passes)?)),
        Output::Text if passes.is_empty() => {
            report::note("No pass that printed something is remembered");
            Ok(Exit::Done)
        }
        Output::Text => report::print(&passes.iter().map(text).collect::<Vec<_>>().join("\n")),
    }
}

/// The applier, or the operator when there is none or it can't be asked.
async fn ask(inquiry: &Inquiry) -> anyhow::Result<Told> {
    let trouble = match inquiry.applier().await {
        Ok(Some(told)) => return Ok(told),
        Ok(None) => return inquiry.operator().await,
        Err(error) => error,
    };
    let told = inquiry.operator().await.map_err(|error| nobody(&trouble, &error))?;
    report::note(&format!("note: {trouble:#}"));
    Ok(told)
}

/// The last passes that did something, the newest at the end. A pass that finds nothing to do prints nothing.
fn passes(answer: Answer, last: usize) -> Vec<Pass> {
    let runs = answer.entries.into_iter().flat_map(|handling| handling.runs);
    let mut passes: Vec<Pass> = runs.map(pass).filter(|pass| !pass.log.is_empty()).collect();
    passes.sort_by_key(|pass| pass.began);
    passes.split_off(passes.len().saturating_sub(last))
}

fn pass(recorded: Recorded) -> Pass {
    let Recorded { run, count, log } = recorded;
    let plain = |text: &str| Line { at: None, text: text.to_owned() };
    let log = match log {
        None => run.stderr.lines().map(plain).collect(),
        Some(Log { mut head, left_out, tail }) => {
            if left_out > 0 {
                head.push(plain(&format!("[{left_out} lines are left out]")));
            }
            head.extend(tail);
            head
        }
    };
    Pass {
        began: run.began,
        took: GoDuration::from_secs(run.elapsed.as_secs()),
        outcome: run.outcome,
        count,
        log,
    }
}

/// A line about the pass, and its log. Handlers say by how a line begins how much it matters to the operator's log; here all
/// of it is shown.
fn text(pass: &Pass) -> String {
    let ended = match &pass.outcome {
        // What came of it is in the log: an applier that could tell the object so has done its work.
        Outcome::Done { .. } => String::new(),
        Outcome::Stale => ": overtaken by a change".to_owned(),
        Outcome::Gone => ": the object was gone".to_owned(),
        Outcome::Failed { message, .. } => format!(": failed: {}", clean(message)),
    };
    let times = if pass.count > 1 { format!(", the last of {} like it", pass.count) } else { String::new() };
    let mut text = format!("# {:.0}, {} long{times}{ended}\n", pass.began, pass.took);
    for line in &pass.log {
        let line = line.text.strip_prefix("debug: ").unwrap_or(&line.text);
        text.extend(line.chars().filter(|c| !c.is_control() || *c == '\t'));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::object::ObjectRef;

    /// An answer with a run for each log, the newest first.
    fn answer(logs: &[&str]) -> Value {
        let object =
            ObjectRef { gvk: objects::kind(), namespace: Some("team".to_owned()), name: "web".to_owned() };
        let run = |(index, log): (i64, &&str)| {
            let began = Timestamp::from_second(1_800_000_000 - 60 * index).unwrap();
            let run = Run::new("helmfile-applier".to_owned(), object.clone(), Vec::new(), began);
            let run = Run { stderr: (*log).to_owned(), elapsed: Duration::from_secs(75), ..run };
            json!({"run": run, "count": 1, "since": began})
        };
        let runs: Vec<Value> = (0..).zip(logs).map(run).collect();
        json!({"entries": [{"object": {"known": true}, "runs": runs}]})
    }

    fn last(answer: Value, count: usize) -> Vec<Pass> {
        passes(serde_json::from_value(answer).unwrap(), count)
    }

    #[test]
    fn the_newest_passes_that_printed_something_are_shown_last() {
        let logs = |count: usize| {
            let passes = last(answer(&["", "three", "", "two", "one"]), count);
            passes.iter().map(|pass| pass.log[0].text.clone()).collect::<Vec<_>>()
        };
        assert_eq!(logs(1), ["three"]);
        assert_eq!(logs(2), ["two", "three"]);
        assert_eq!(logs(9), ["one", "two", "three"]);
        assert!(last(answer(&["", ""]), 1).is_empty());
    }

    #[test]
    fn a_whole_log_is_better_than_its_end() {
        let mut answer = answer(&["the end"]);
        let line = |text: &str| json!({"at": "2027-01-15T08:00:01Z", "text": text});
        answer["entries"][0]["runs"][0]["log"] =
            json!({"head": [line("first")], "leftOut": 7, "tail": [line("the end")]});
        let passes = last(answer, 1);
        assert_eq!(
            text(&passes[0]),
            "# 2027-01-15T08:00:00Z, 1m15s long\nfirst\n[7 lines are left out]\nthe end\n"
        );
        let printed = serde_json::to_value(&passes).unwrap();
        assert_eq!(printed[0]["log"][0], line("first"));
        assert_eq!((&printed[0]["took"], &printed[0]["log"][1]["at"]), (&json!("1m15s"), &Value::Null));
    }

    #[test]
    fn a_log_is_told_with_its_pass_and_cannot_steer_the_terminal() {
        let logs = ["delivering\ndebug: UPDATED \x1b[32mRELEASES\nerror: no"];
        let mut pass = last(answer(&logs), 1).remove(0);
        assert_eq!(
            text(&pass),
            "# 2027-01-15T08:00:00Z, 1m15s long\ndelivering\nUPDATED [32mRELEASES\nerror: no\n"
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
