//! Changes as text, in the form that readers of helm-diff know.

use std::{borrow::Cow, fmt::Write as _};

use serde_json::Value;
use similar::{ChangeTag, DiffOp, TextDiff};

use super::{Change, Verb};

/// How changes are shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// Lines around a change; `None` for all.
    pub context: Option<usize>,
    /// Whether to use colours of the terminal.
    pub color: bool,
    /// Whether the values of Secrets are shown.
    pub reveal_secrets: bool,
    /// Kinds that are left out of the text.
    pub suppress: Vec<String>,
}

/// Prints the changes, each under a header such as `default, web, Deployment (apps) has changed:`.
pub fn print(changes: &[Change], view: &View) -> String {
    let mut out = String::new();
    for change in changes.iter().filter(|change| !view.suppress.contains(&change.id().kind)) {
        out.push_str(&painted(&header(change), Paint::Header, view));
        out.push('\n');
        let (old, new) = change.shown(view.reveal_secrets);
        let hidden = change.is_secret() && !view.reveal_secrets;
        let text = |side: Option<Value>| side.map(|value| yaml(&value, hidden)).unwrap_or_default();
        lines(&text(old), &text(new), view, &mut out);
    }
    out
}

fn header(change: &Change) -> String {
    let id = change.id();
    // For the core group this is the version, as readers are used to.
    let api = if id.group.is_empty() { change.api_version() } else { &id.group };
    let verb = match change.verb() {
        Verb::Added => "has been added",
        Verb::Changed => "has changed",
        Verb::Removed => "has been removed",
        Verb::Kept => "has been removed from the release, but is kept",
    };
    printable(&format!("{}, {}, {} ({api}) {verb}:", id.namespace, id.name, id.kind)).into_owned()
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

fn yaml(value: &Value, hidden: bool) -> String {
    // Texts of several lines are printed as such, and no line is wrapped, so that a change of one line shows as one.
    let options = serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX };
    let text = serde_saphyr::to_string_with_options(value, options).unwrap_or_else(|_| value.to_string());
    if hidden { text.lines().map(unquoted).collect() } else { text }
}

/// The marker of a hidden value without the quotes that its `#` makes necessary: nobody parses this.
fn unquoted(line: &str) -> String {
    let plain = ["\"", "'"].into_iter().find_map(|quote| {
        let (key, rest) = line.split_once(&format!("{quote}REDACTED # ("))?;
        Some(format!("{key}REDACTED # ({}\n", rest.strip_suffix(quote)?))
    });
    plain.unwrap_or_else(|| format!("{line}\n"))
}

/// Above this number of lines the comparison would take seconds, and nobody reads it.
const COMPARABLE: usize = 40_000;

fn lines(old: &str, new: &str, view: &View, out: &mut String) {
    if old.lines().count() + new.lines().count() > COMPARABLE {
        for (text, tag) in [(old, ChangeTag::Delete), (new, ChangeTag::Insert)] {
            text.lines().for_each(|text| line(tag, text, view, out));
        }
        out.push('\n');
        return;
    }
    let diff = TextDiff::from_lines(old, new);
    let last = diff.ops().last().map_or(0, |op| op.new_range().end.max(op.old_range().end));
    let groups: Vec<Vec<DiffOp>> = match view.context {
        Some(context) => diff.grouped_ops(context),
        None => vec![diff.ops().to_vec()],
    };
    let mut shown = 0;
    for group in &groups {
        let start = group.first().map_or(0, |op| op.old_range().start);
        if start > shown {
            out.push_str("...\n");
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            line(change.tag(), change.value().trim_end_matches('\n'), view, out);
        }
        shown = group.last().map_or(0, |op| op.old_range().end);
    }
    if groups
        .last()
        .and_then(|group| group.last())
        .is_some_and(|op| op.new_range().end.max(op.old_range().end) < last)
    {
        out.push_str("...\n");
    }
    out.push('\n');
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
