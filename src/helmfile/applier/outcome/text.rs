//! Text of other programs made fit for people: no colours, no paths of this run, no credentials, bounded.

use std::path::Path;

use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::redact;

/// The longest message of a condition, in bytes.
const LONGEST: usize = 1024;

/// A shorter text is in every other word.
const SHORTEST: usize = 4;

/// What is taken out of the tools' text, so that the same failure reads the same in every run.
#[derive(Clone, Default)]
pub(crate) struct Scrub(Vec<(String, String)>);

impl std::fmt::Debug for Scrub {
    /// Without the texts, some of which are secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Scrub({} texts)", self.0.len())
    }
}

impl Scrub {
    /// Takes out the folders of a run: paths in `source` are shown as they are in the source, others in `root` start
    /// with an ellipsis.
    pub(crate) fn folders(source: &Path, root: &Path) -> Self {
        Self(vec![
            (format!("{}/", source.display()), String::new()),
            (source.display().to_string(), ".".to_owned()),
            (root.display().to_string(), "…".to_owned()),
        ])
    }

    /// Takes out texts that nobody may see as well; the longest first, so that none shows as the rest of another.
    #[must_use]
    pub(crate) fn and_secrets(mut self, secrets: &[String]) -> Self {
        let lines = secrets.iter().flat_map(|secret| secret.lines().chain([secret.as_str()]));
        let texts = lines.map(str::trim).filter(|text| text.len() >= SHORTEST);
        let mut hidden: Vec<String> = texts.flat_map(spellings).collect();
        hidden.sort_unstable_by(|one, other| (other.len(), other).cmp(&(one.len(), one)));
        hidden.dedup();
        // Before the folders, which could change their text.
        self.0.splice(0..0, hidden.into_iter().map(|text| (text, "***".to_owned())));
        self
    }

    /// Takes them out of a line, and with them credentials in URLs and values that errors quote.
    pub(crate) fn clean(&self, line: &str) -> String {
        let line = self.0.iter().fold(line.to_owned(), |line, (from, to)| line.replace(from, to));
        without_values(&redact::urls(&line))
    }
}

/// A text as it is; in quotes, as Go and its JSON write it; in quotes within quotes, as in helm's own log lines; and as a
/// Secret holds it.
fn spellings(text: &str) -> [String; 5] {
    let quoted = quoted(text);
    let html = quoted.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    [text.to_owned(), self::quoted(&quoted), html, BASE64_STANDARD.encode(text), quoted]
}

fn quoted(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(&json).to_owned()
}

/// Leaves out values that the tools quote in their errors: each may be a password.
fn without_values(line: &str) -> String {
    // `.stringData.password: expected string, got &value.valueUnstructured{Value:4711}`
    let typed = line.split_once("&value.valueUnstructured{").map(|(before, _)| format!("{before}…"));
    let mut line = typed.unwrap_or_else(|| line.to_owned());
    // `- at '/password': 'hunter2' does not match pattern '^x'`
    for verdict in ["' does not match pattern ", "' is not valid "] {
        let mut from = 0;
        while let Some(end) = line.get(from..).and_then(|rest| rest.find(verdict)).map(|at| from + at) {
            let start = line
                .get(from..end)
                .and_then(|before| before.rfind("': '"))
                .map(|at| from + at + "': '".len());
            if let Some(start) = start {
                line.replace_range(start..end, "…");
            }
            from = start.map_or(end, |start| start + "…".len()) + verdict.len();
        }
    }
    line
}

/// Makes one line of at most 1 KiB of a text.
pub(crate) fn sentence(text: &str, scrub: &Scrub) -> String {
    let mut out = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if !out.is_empty() {
            out.push_str(if out.ends_with([':', ',', ';']) { " " } else { "; " });
        }
        out.extend(line.chars().filter(|letter| !letter.is_control()));
    }
    let out = scrub.clean(&out);
    if out.len() <= LONGEST {
        return out;
    }
    let end = (0..=LONGEST - '…'.len_utf8()).rev().find(|index| out.is_char_boundary(*index)).unwrap_or(0);
    format!("{}…", out.split_at(end).0)
}

/// The lines of an output without terminal colours.
pub(crate) fn lines(output: &str) -> Vec<String> {
    output.lines().map(without_colours).collect()
}

/// Removes escape sequences (`ESC [ … letter`) from a line.
fn without_colours(line: &str) -> String {
    let mut letters = line.chars();
    let mut out = String::with_capacity(line.len());
    while let Some(letter) = letters.next() {
        if letter == '\u{1b}' {
            // The sequence ends with its first letter after the bracket.
            if letters.next() == Some('[') {
                letters.find(char::is_ascii_alphabetic);
            }
        } else {
            out.push(letter);
        }
    }
    out
}

/// Chooses what of helmfile's error output goes to our log, line by line.
///
/// Left out are the parts of an error report that repeat others or show arguments: they may hold secrets, and a reader
/// has the cause in the parts that stay.
#[derive(Debug, Default)]
pub(crate) struct LogLines {
    scrub: Scrub,
    skipping: bool,
}

impl LogLines {
    /// A filter for one run.
    pub(crate) fn new(scrub: Scrub) -> Self {
        Self { scrub, skipping: false }
    }

    /// What to log for a line; `None` for nothing.
    pub(crate) fn take(&mut self, line: &str) -> Option<String> {
        let line = without_colours(line);
        let line = line.trim_end();
        let indented = line.starts_with(' ') || line.is_empty();
        if !indented {
            self.skipping = matches!(line, "PATH:" | "ARGS:" | "COMBINED OUTPUT:");
        }
        (!self.skipping && !line.is_empty()).then(|| self.scrub.clean(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_one_bounded_line() {
        let scrub = Scrub::folders(Path::new("/c/run-1/source"), Path::new("/c/run-1"));
        assert_eq!(sentence("a:\n  b\n\n c", &scrub), "a: b; c");
        assert_eq!(
            sentence("open /c/run-1/source/x.yaml in /c/run-1/tmp/y", &scrub),
            "open x.yaml in …/tmp/y"
        );
        assert_eq!(sentence("get https://bob:pw@h/x", &scrub), "get https://***@h/x");
        let long = sentence(&"ä".repeat(2000), &scrub);
        assert!(long.len() <= 1024 && long.len() > 1018 && long.ends_with('…'), "{}", long.len());
    }

    #[test]
    fn quoted_values_go() {
        for (line, shown) in [
            (
                ".stringData.password: expected string, got &value.valueUnstructured{Value:4711}",
                ".stringData.password: expected string, got …",
            ),
            (
                "- at '/a': 'hunter2' does not match pattern '^x'; - at '/b': 'it's' is not valid email: missing @",
                "- at '/a': '…' does not match pattern '^x'; - at '/b': '…' is not valid email: missing @",
            ),
            ("x' does not match pattern 'y'", "x' does not match pattern 'y'"),
            ("- at '/c': value must be 'a'", "- at '/c': value must be 'a'"),
        ] {
            assert_eq!(Scrub::default().clean(line), shown);
        }
    }

    #[test]
    fn secrets_go_however_they_are_written() {
        let scrub = Scrub::default().and_secrets(&["a\"b<c\\d".to_owned(), "one\ntwo2".to_owned()]);
        for line in [
            "got a\"b<c\\d.",
            r#"got a\"b<c\\d."#,
            r#"got a\"b\u003cc\\d."#,
            r#"got a\\\"b<c\\\\d."#,
            "got YSJiPGNcZA==.",
            "got two2.",
            r"got one\ntwo2.",
        ] {
            assert_eq!(scrub.clean(line), "got ***.", "{line}");
        }
    }

    #[test]
    fn colours_go() {
        assert_eq!(without_colours("\u{1b}[1;31mred\u{1b}[0m plain"), "red plain");
        assert_eq!(without_colours("cut \u{1b}"), "cut ");
    }

    #[test]
    fn arguments_are_not_logged() {
        let mut filter = LogLines::default();
        let report = "in ./h.yaml: command \"helm\" exited\n\nPATH:\n  /bin/helm\n\nARGS:\n  0: --set=password=x\n\nERROR:\n  exit status 1\n\nSTDERR:\n  Error: no\n\nCOMBINED OUTPUT:\n  password: x\nnext";
        let logged: Vec<_> = report.lines().filter_map(|line| filter.take(line)).collect();
        assert_eq!(
            logged,
            [
                "in ./h.yaml: command \"helm\" exited",
                "ERROR:",
                "  exit status 1",
                "STDERR:",
                "  Error: no",
                "next"
            ]
        );
    }
}
