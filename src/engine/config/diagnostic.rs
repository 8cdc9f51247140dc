//! What is wrong with a config file, shown as a compiler would.

use std::fmt;

use super::tree::Place;

/// Whether the config can be used all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// It can't.
    Error,
    /// It can, but what it says will not work as things are now (a hook that is missing, for example).
    Warning,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad.
    pub severity: Severity,
    /// What, in one sentence.
    pub message: String,
    /// The file, or the name of a built-in config.
    pub file: String,
    /// Line from 1; 0 when the file could not be read at all.
    pub line: u64,
    /// Column from 1.
    pub column: u64,
    /// The text of that line.
    pub excerpt: String,
}

impl Diagnostic {
    pub(crate) fn new(severity: Severity, message: String, file: &str, text: &str, at: Place) -> Self {
        let index = usize::try_from(at.line.saturating_sub(1)).unwrap_or(usize::MAX);
        let excerpt = text.lines().nth(index).unwrap_or_default().to_owned();
        Self { severity, message, file: file.to_owned(), line: at.line, column: at.column, excerpt }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        writeln!(f, "{severity}: {}", self.message)?;
        if self.line == 0 {
            return write!(f, " --> {}", self.file);
        }
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        let indent = " ".repeat(usize::try_from(self.column.saturating_sub(1)).unwrap_or_default());
        writeln!(f, "{margin}--> {}:{}:{}", self.file, self.line, self.column)?;
        writeln!(f, "{margin} |")?;
        writeln!(f, "{number} | {}", self.excerpt)?;
        write!(f, "{margin} | {indent}^")
    }
}

/// All that is wrong, errors first seen first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// Whether the config cannot be used.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for diagnostic in &self.0 {
            writeln!(f, "{diagnostic}\n")?;
        }
        let count = |wanted| self.0.iter().filter(|diagnostic| diagnostic.severity == wanted).count();
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        let plural =
            |number: usize, noun: &str| format!("{number} {noun}{}", if number == 1 { "" } else { "s" });
        match (errors, warnings) {
            (_, 0) => f.write_str(&plural(errors, "error")),
            (0, _) => f.write_str(&plural(warnings, "warning")),
            _ => write!(f, "{}, {}", plural(errors, "error"), plural(warnings, "warning")),
        }
    }
}

impl std::error::Error for Diagnostics {}
