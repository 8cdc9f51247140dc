//! Changes as text, in the form that readers of helm-diff know.

use std::{borrow::Cow, fmt::Write as _};

use similar::ChangeTag;

use super::{
    Change, Format, Verb, View, json,
    records::{Record, differ, records},
};

/// Prints the changes as the view wants them.
pub fn print(changes: &[Change], view: &View) -> String {
    match view.format {
        Format::Diff => full(changes, view),
        Format::Simple => simple(changes, view),
        Format::Json => json::names(changes, view),
        Format::Structured => json::fields(changes, view),
    }
}

/// Each change under a header such as `default, web, Deployment (apps) has changed:`.
fn full(changes: &[Change], view: &View) -> String {
    let mut out = String::new();
    for change in changes.iter().filter(|change| !view.suppresses(&change.id().kind)) {
        let records = records(change, view);
        let is_suppressed = !view.suppress_lines.is_empty() && !differ(&records);
        let has_changed = match change.verb() {
            Verb::Added => "has been added:",
            Verb::Changed if is_suppressed => "has changed, but diff is empty after suppression.",
            Verb::Changed => "has changed:",
            Verb::Removed => "has been removed:",
            Verb::Kept => "has been removed from the release, but is kept:",
        };
        header(change, has_changed, view, &mut out);
        if !is_suppressed {
            lines(&records, view, &mut out);
        }
        out.push('\n');
    }
    out
}

/// Each change as a line such as `default, web, Deployment (apps) to be changed.`, and their numbers.
fn simple(changes: &[Change], view: &View) -> String {
    let mut out = String::new();
    let mut plan = Plan::default();
    for change in changes {
        let to_be = match change.verb() {
            Verb::Added => {
                plan.add += 1;
                "to be added."
            }
            Verb::Changed if is_all_suppressed(change, view) => {
                "has changed, but diff is empty after suppression."
            }
            Verb::Changed => {
                plan.change += 1;
                "to be changed."
            }
            Verb::Removed => {
                plan.destroy += 1;
                "to be removed."
            }
            Verb::Kept => "to be removed from the release, but kept.",
        };
        header(change, to_be, view, &mut out);
    }
    let Plan { add, change, destroy } = plan;
    // Writing to a String cannot fail.
    let _infallible =
        writeln!(out, "Plan: {add} to add, {change} to change, {destroy} to destroy, 0 to change ownership.");
    out
}

/// How many objects there are of each sort.
#[derive(Default)]
struct Plan {
    add: usize,
    change: usize,
    destroy: usize,
}

/// Whether nothing of a changed object would be shown, since each line that differs is suppressed.
pub(super) fn is_all_suppressed(change: &Change, view: &View) -> bool {
    !view.suppress_lines.is_empty() && !differ(&records(change, view))
}

/// What stands in parentheses behind the kind: the group, and for the core group the version, as readers are used to.
pub(super) fn api(change: &Change) -> &str {
    let group = &change.id().group;
    if group.is_empty() { change.api_version() } else { group }
}

fn header(change: &Change, end: &str, view: &View, out: &mut String) {
    let id = change.id();
    let text = format!("{}, {}, {} ({}) {end}", id.namespace, id.name, id.kind, api(change));
    // Writing to a String cannot fail.
    let _infallible = writeln!(out, "{}", painted(&printable(&text), Paint::Header, view));
}

/// What comes from templates must not steer the reader's terminal.
fn printable(text: &str) -> Cow<'_, str> {
    let harmful = |c: char| c.is_control() && c != '\t';
    if text.contains(harmful) {
        Cow::Owned(text.chars().map(|c| if harmful(c) { '\u{fffd}' } else { c }).collect())
    } else {
        Cow::Borrowed(text)
    }
}

fn lines(records: &[Record], view: &View, out: &mut String) {
    let mut is_gap = false;
    for (record, is_near) in records.iter().zip(near(records, view.context)) {
        if is_near {
            line(record.tag, &record.text, view, out);
        } else if !is_gap {
            out.push_str("...\n");
        }
        is_gap = !is_near;
    }
}

/// Which lines are a change, or at most `context` lines from one.
fn near(records: &[Record], context: Option<usize>) -> Vec<bool> {
    let Some(context) = context else { return vec![true; records.len()] };
    let mut near = vec![false; records.len()];
    for (at, _) in records.iter().enumerate().filter(|(_, record)| record.tag != ChangeTag::Equal) {
        let end = at.saturating_add(context).saturating_add(1).min(records.len());
        if let Some(lines) = near.get_mut(at.saturating_sub(context)..end) {
            lines.fill(true);
        }
    }
    near
}

fn line(tag: ChangeTag, text: &str, view: &View, out: &mut String) {
    let (sign, paint) = match tag {
        ChangeTag::Equal => (' ', Paint::None),
        ChangeTag::Delete => ('-', Paint::Old),
        ChangeTag::Insert => ('+', Paint::New),
    };
    let text = format!("{sign} {}", printable(text));
    // Writing to a String cannot fail.
    let _infallible = writeln!(out, "{}", painted(text.trim_end_matches(' '), paint, view));
}

#[derive(Clone, Copy)]
enum Paint {
    None,
    Header,
    Old,
    New,
}

fn painted<'a>(text: &'a str, paint: Paint, view: &View) -> Cow<'a, str> {
    let code = match paint {
        _ if !view.color => return Cow::Borrowed(text),
        Paint::None => return Cow::Borrowed(text),
        Paint::Header => 33,
        Paint::Old => 31,
        Paint::New => 32,
    };
    Cow::Owned(format!("\u{1b}[{code}m{text}\u{1b}[0m"))
}
