//! One changed object as lines.

use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use super::{Change, Secrets, View};

/// A line of either side, or of both.
pub(super) struct Record {
    pub(super) tag: ChangeTag,
    pub(super) text: String,
}

/// All lines of both sides, without those that the view suppresses.
pub(super) fn records(change: &Change, view: &View) -> Vec<Record> {
    let (old, new) = change.shown(view.secrets);
    let hidden = change.is_secret() && view.secrets == Secrets::Hidden;
    let text = |side: Option<Value>| side.map(|value| yaml(&value, hidden)).unwrap_or_default();
    let mut records = compared(&text(old), &text(new));
    records.retain(|record| !view.suppresses_line(&record.text));
    records
}

/// Whether something is left to be shown.
pub(super) fn differ(records: &[Record]) -> bool {
    records.iter().any(|record| record.tag != ChangeTag::Equal)
}

/// Above this number of lines the comparison would take seconds, and nobody reads it.
const COMPARABLE: usize = 40_000;

fn compared(old: &str, new: &str) -> Vec<Record> {
    let record = |tag, text: &str| Record { tag, text: text.trim_end_matches('\n').to_owned() };
    if old.lines().count() + new.lines().count() > COMPARABLE {
        let old = old.lines().map(|line| record(ChangeTag::Delete, line));
        return old.chain(new.lines().map(|line| record(ChangeTag::Insert, line))).collect();
    }
    let diff = TextDiff::from_lines(old, new);
    diff.iter_all_changes().map(|change| record(change.tag(), change.value())).collect()
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
