//! A report in words: one sentence that answers, then what it rests on, in the manner of `kubectl describe`.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

use super::{
    Recorded,
    run::{Answered, Given, Outcome, Run, trigger_text},
    view::{Activity, EntryView, Handling, ObjectReport, ObjectView, Selection, WatchView},
};
use crate::{
    clock::since,
    contract::{EventType, Trigger, WatchOn, WatchRequest},
    duration::GoDuration,
};

/// How many triggers a sentence names.
const NAMED: usize = 3;

/// Tells why the handler of an object last ran or did not, what it was given, what it answered, what was written and
/// what it waits for. Ends with a line break.
pub fn explain(report: &ObjectReport) -> String {
    let parts: Vec<String> = report.entries.iter().map(|handling| part(handling, report.now)).collect();
    parts.join("\n")
}

fn part(handling: &Handling, now: Timestamp) -> String {
    let Handling { entry, object, runs } = handling;
    let mut text = Text::default();
    text.line(&format!("{}.", answer(handling, now)));
    text.line("");
    text.field("Entry", &format!("{} ({})", entry.name, entry.handler));
    let newest = runs.first();
    if let Some(recorded) = newest {
        last_run(&mut text, recorded, now);
    }
    waits(&mut text, entry, object, newest.map(|recorded| &recorded.run), now);
    if runs.len() > 1 {
        text.line("Earlier runs:");
        for recorded in runs.iter().skip(1) {
            let Recorded { run, count, .. } = recorded;
            let times = if *count > 1 { format!(" ({count} times)") } else { String::new() };
            text.field(
                &format!("  {}", ago(now, run.began)),
                &format!("{}: {}{times}", because(&run.triggers), result(run)),
            );
        }
    }
    text.0
}

/// The answer in one sentence, without the full stop.
fn answer(handling: &Handling, now: Timestamp) -> String {
    let Handling { entry, object, runs } = handling;
    let name = &object.object;
    let newest = runs.first().map(|recorded| &recorded.run);
    if !object.known {
        return absent(handling, now);
    }
    if let Some(reason) = unselected(&object.selection, &entry.name) {
        return match newest {
            None => format!("{name} has not run because {reason}"),
            Some(run) => format!("{name} does not run any more because {reason}; it {}", last(run, now)),
        };
    }
    let (done, waits) = match &object.activity {
        Activity::Running { since, triggers } => {
            (format!("{name} has been running for {} because {}", span(now, *since), because(triggers)), None)
        }
        activity => {
            let done = match (newest, &object.last_error) {
                (Some(run), _) => format!("{name} {}", last(run, now)),
                // There were more runs than are remembered.
                (None, Some(error)) => format!("{name} has failed: {}", first_line(error)),
                (None, None) => format!("{name} has not run since the operator started"),
            };
            (done, Some(expectation(entry, object, activity, now)))
        }
    };
    [Some(done), waits].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// What is said of an object that the cache does not have.
fn absent(handling: &Handling, now: Timestamp) -> String {
    let Handling { entry, object, runs } = handling;
    let name = &object.object;
    let unsynced = entry.watches.iter().find(|watch| !watch.synced && watch.kind.same_kind(&entry.kind));
    match (unsynced, runs.first()) {
        (Some(watch), _) => {
            format!(
                "{name} is not known yet: the watch of {} has not seen everything{}",
                watch.scope(),
                trouble(watch)
            )
        }
        (None, Some(recorded)) => format!("{name} is gone; it {}", last(&recorded.run, now)),
        (None, None) => match unselected(&object.selection, &entry.name) {
            Some(reason) => format!("{name} has not run because {reason}"),
            None => format!("{name} is not there, and no run of it is remembered"),
        },
    }
}

fn trouble(watch: &WatchView) -> String {
    watch.trouble.as_ref().map_or_else(String::new, |trouble| format!(": {trouble}"))
}

fn unselected(selection: &Selection, entry: &str) -> Option<String> {
    match selection {
        Selection::Selected => None,
        Selection::Selector(selector) => {
            Some(format!("its labels do not match the selector `{selector}` of {entry}"))
        }
        Selection::Namespaces(namespaces) => {
            Some(format!("only these namespaces are watched: {}", namespaces.join(", ")))
        }
        Selection::When(when) => Some(format!("`when` of {entry} says no: {when}")),
        Selection::Only(only) => Some(format!("this operator works on {only} alone (--only)")),
    }
}

/// `last ran 3m ago because …; it wrote 1 object`.
fn last(run: &Run, now: Timestamp) -> String {
    let why = because(&run.triggers);
    format!("last ran {} because {why}; it {}", ago(now, run.began), result(run))
}

fn because(triggers: &[Trigger]) -> String {
    let named: Vec<String> = triggers.iter().take(NAMED).map(trigger_text).collect();
    match triggers.len().saturating_sub(NAMED) {
        0 if named.is_empty() => "of nothing that is known".to_owned(),
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

fn result(run: &Run) -> String {
    match &run.outcome {
        Outcome::Done { writes: 0 } => "changed nothing".to_owned(),
        Outcome::Done { writes: 1 } => "wrote 1 object".to_owned(),
        Outcome::Done { writes } => format!("wrote {writes} objects"),
        Outcome::Stale => "lost a race against another writer".to_owned(),
        Outcome::Gone => "found the object gone".to_owned(),
        Outcome::Failed { reason, message, .. } => format!("failed: {} ({reason})", first_line(message)),
    }
}

/// What an object that does not run waits for.
fn expectation(entry: &EntryView, object: &ObjectView, activity: &Activity, now: Timestamp) -> String {
    if let Some(watch) = entry.watches.iter().find(|watch| !watch.synced) {
        return format!("{} waits for the watch of {}{}", entry.name, watch.scope(), trouble(watch));
    }
    if object.deleting {
        return "it is being deleted".to_owned();
    }
    if object.suspended {
        return "it is suspended".to_owned();
    }
    if let Some(slowed) = &object.slowed {
        return format!(
            "it is held back for {}, since this changes again and again: {}",
            span(slowed.until, now),
            slowed.field
        );
    }
    match activity {
        Activity::Retrying { attempt, next } => {
            let times = if *attempt == 1 { "once".to_owned() } else { format!("{attempt} times in a row") };
            format!("it has failed {times} and runs again {}", ahead(now, *next))
        }
        Activity::Waiting { due, .. } if *due <= now => {
            format!("it waits for a free place: {} of {} are taken", entry.queue.running, entry.concurrency)
        }
        Activity::Waiting { due, triggers } => {
            format!("it waits for changes, and runs {} for {}", ahead(now, *due), because(triggers))
        }
        Activity::Idle | Activity::Running { .. } => "it waits for changes".to_owned(),
    }
}

fn last_run(text: &mut Text, recorded: &Recorded, now: Timestamp) {
    let Recorded { run, count, since: first, log: _ } = recorded;
    text.line("Last run:");
    text.field("  Began", &format!("{} ({})", run.began, ago(now, run.began)));
    text.list("  Because of", run.triggers.iter().map(trigger_text));
    if let Some(waited) = run.waited {
        text.field("  Waited", &format!("{} in line", brief(waited)));
    }
    let of_handler = run.handler.map(|handler| format!(", {} of it the handler", brief(handler)));
    text.field("  Took", &format!("{}{}", brief(run.elapsed), of_handler.unwrap_or_default()));
    if *count > 1 {
        let first = ago(now, *first);
        text.field("  Repeated", &format!("{count} runs in a row ended like this, the first one {first}"));
    }
    if let Outcome::Failed { reason, message, .. } = &run.outcome {
        text.field("  Failed", reason);
        text.block(message);
    }
    match &run.given {
        Some(given) => given_text(text, given),
        None => text.line("Given: nothing; the handler was not called"),
    }
    match &run.answered {
        Some(answered) => answered_text(text, answered),
        None => text.line("Answered: nothing usable"),
    }
    if run.writes.is_empty() {
        text.line("Wrote: nothing");
    } else {
        text.line("Wrote:");
        for write in &run.writes {
            text.field(&format!("  {}", write.verb.name()), &write.object.to_string());
        }
    }
    for event in &run.events {
        let kind = if event.kind_of == EventType::Warning { "Warning" } else { "Normal" };
        text.field("  Event", &format!("{kind} {}: {}", event.reason, first_line(&event.message)));
    }
    if !run.stderr.is_empty() {
        text.line("Printed on stderr, at the end:");
        text.block(&run.stderr);
    }
}

fn given_text(text: &mut Text, given: &Given) {
    text.line("Given:");
    let version = given.resource_version.as_deref().unwrap_or("none");
    let generation = given.generation.map(|generation| format!(", generation {generation}"));
    text.field("  Object", &format!("version {version}{}", generation.unwrap_or_default()));
    for (label, kinds) in [
        ("  Dependents", &given.dependents),
        ("  References", &given.references),
        ("  Watched", &given.watched),
    ] {
        if !kinds.is_empty() {
            text.field(label, &counts(kinds));
        }
    }
    if given.attempt > 0 {
        text.field("  Attempt", &given.attempt.to_string());
    }
    text.field("  Digest", &given.digest);
}

fn answered_text(text: &mut Text, answered: &Answered) {
    if *answered == Answered::default() {
        return text.line("Answered: no change");
    }
    text.line("Answered:");
    if let Some(object) = &answered.object {
        text.field("  Object", object);
    }
    if answered.status {
        text.field("  Status", "given");
    }
    if !answered.dependents.is_empty() {
        text.field("  Dependents", &counts(&answered.dependents));
    }
    if answered.requeue {
        text.field("  Requeue", "at once");
    }
    if let Some(after) = answered.requeue_after {
        text.field("  Requeue", &format!("after {after}"));
    }
    if let Some(watches) = &answered.watches {
        text.field("  Watches", &watches.len().to_string());
    }
}

fn waits(text: &mut Text, entry: &EntryView, object: &ObjectView, last: Option<&Run>, now: Timestamp) {
    text.line("Waits for:");
    for watch in entry.watches.iter().filter(|watch| !watch.synced || watch.trouble.is_some()) {
        let state = if watch.synced { "interrupted" } else { "not complete" };
        text.field("  Watch", &format!("{}: {state}{}", watch.scope(), trouble(watch)));
    }
    if object.suspended {
        text.field("  Suspended", "its owner has asked to leave it alone");
    }
    if let Some(slowed) = &object.slowed {
        text.field("  Slowed", &format!("until {}, by {}", slowed.until, slowed.field));
    }
    match &object.activity {
        Activity::Idle => {}
        Activity::Waiting { due, triggers } => {
            text.field("  Turn", &format!("{due:.0} ({}) for {}", ahead(now, *due), because(triggers)));
        }
        Activity::Running { since, .. } => {
            text.field("  End", &format!("of the run that began {}", ago(now, *since)));
        }
        Activity::Retrying { attempt, next } => {
            text.field("  Retry", &format!("{next:.0} ({}), after {attempt} failures", ahead(now, *next)));
        }
    }
    let is_retry = matches!(object.activity, Activity::Retrying { .. } | Activity::Waiting { .. });
    if let Some(next) = last.and_then(|run| run.next).filter(|_| !is_retry && object.known) {
        text.field("  Turn", &format!("{:.0} ({}) for {:?}", next.at, ahead(now, next.at), next.trigger));
    }
    if !object.known || object.selection != Selection::Selected {
        return text.field("  Object", "to appear where this entry looks");
    }
    text.field("  Changes of", &object.object.to_string());
    for kind in &entry.dependents {
        text.field("  Changes of", &format!("{kind} that it owns"));
    }
    for watch in &object.watches {
        text.field("  Changes of", &request(watch));
    }
}

fn request(watch: &WatchRequest) -> String {
    let place = watch.namespace.as_ref().map_or_else(String::new, |namespace| format!("{namespace}/"));
    let which = match (&watch.name, &watch.label_selector) {
        (Some(name), _) => format!("{} {place}{name}", watch.kind),
        (None, Some(labels)) => format!("{} {place}* with {labels}", watch.kind),
        (None, None) => format!("{} {place}*", watch.kind),
    };
    let any = if watch.on == WatchOn::Any { ", whatever changes" } else { "" };
    format!("{which} (asked for by the handler{any})")
}

fn counts(kinds: &BTreeMap<String, usize>) -> String {
    kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect::<Vec<_>>().join(", ")
}

fn ago(now: Timestamp, then: Timestamp) -> String {
    format!("{} ago", span(now, then))
}

fn ahead(now: Timestamp, then: Timestamp) -> String {
    if then <= now { "now".to_owned() } else { format!("in {}", span(then, now)) }
}

/// In whole seconds.
fn span(later: Timestamp, sooner: Timestamp) -> GoDuration {
    GoDuration(Duration::from_secs(since(later, sooner).as_secs()))
}

/// In whole milliseconds.
fn brief(duration: Duration) -> GoDuration {
    GoDuration(Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
}

fn first_line(text: &str) -> &str {
    text.trim().lines().next().unwrap_or_default()
}

/// What is written so far. Much of it comes from others: control characters, which a terminal would obey, are left out.
#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, line: &str) {
        self.0.extend(line.chars().filter(|c| !c.is_control() || *c == '\t'));
        self.0.push('\n');
    }

    fn field(&mut self, label: &str, value: &str) {
        self.line(&format!("{:<14} {value}", format!("{label}:")));
    }

    /// Several values under one label.
    fn list(&mut self, label: &str, values: impl Iterator<Item = String>) {
        for (number, value) in values.enumerate() {
            if number == 0 {
                self.field(label, &value);
            } else {
                self.line(&format!("{:<14} {value}", ""));
            }
        }
    }

    fn block(&mut self, text: &str) {
        text.trim_end().lines().for_each(|line| self.line(&format!("    {line}")));
    }
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
