//! How changes are shown.

use regex::Regex;

/// How changes are shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// The form of the text.
    pub format: Format,
    /// Lines around a change; `None` for all. For [`Format::Diff`].
    pub context: Option<usize>,
    /// Whether to use colours of the terminal. For [`Format::Diff`] and [`Format::Simple`].
    pub color: bool,
    /// What becomes of the values of Secrets.
    pub secrets: Secrets,
    /// Kinds whose objects are not shown. Forms that only name objects still name them.
    pub suppress: Vec<String>,
    /// Lines that are not shown, wherever they come from.
    pub suppress_lines: Vec<LinePattern>,
}

impl View {
    /// Whether objects of this kind are not shown.
    pub(super) fn suppresses(&self, kind: &str) -> bool {
        self.suppress.iter().any(|suppressed| suppressed == kind)
    }

    /// Whether this line is not shown.
    pub(super) fn suppresses_line(&self, line: &str) -> bool {
        self.suppress_lines.iter().any(|pattern| pattern.0.is_match(line))
    }
}

/// The form of the text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// Lines with signs before them.
    #[default]
    Diff,
    /// A line for each object, and how many there are.
    Simple,
    /// A JSON array of `{api, kind, namespace, name, change}`.
    Json,
    /// A JSON array of objects with the fields that change.
    Structured,
}

impl Format {
    /// All there are, by their names.
    pub const ALL: [(&'static str, Self); 4] = [
        ("diff", Self::Diff),
        ("simple", Self::Simple),
        ("json", Self::Json),
        ("structured", Self::Structured),
    ];

    /// Whether programs read it, so that nothing else may stand beside it.
    pub fn is_json(self) -> bool {
        matches!(self, Self::Json | Self::Structured)
    }
}

/// What becomes of the values of Secrets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Secrets {
    /// Only their lengths are shown.
    #[default]
    Hidden,
    /// They are shown as they are stored.
    Shown,
    /// They are shown without their base64, where that gives a text.
    Decoded,
}

/// Matches lines that are not shown.
#[derive(Debug, Clone)]
pub struct LinePattern(Regex);

impl LinePattern {
    /// Reads a regular expression; `None` when it is none, or is too large.
    pub fn new(expression: &str) -> Option<Self> {
        Regex::new(expression).ok().map(Self)
    }
}

impl PartialEq for LinePattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for LinePattern {}
