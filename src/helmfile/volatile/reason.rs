//! Why a state is not fixed. Pure.

use std::fmt;

use crate::redact;

/// Where something was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file's path in the source.
    pub file: String,
    /// From 1, when it is known.
    pub line: Option<usize>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{} line {line}", self.file),
            None => f.write_str(&self.file),
        }
    }
}

/// Something that can change while the source and the spec stay the same. In the order in which they are told: what is
/// surely meant to change comes first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A value that a secret store is asked for.
    Secret {
        /// Which kind of store: `ref+vault`.
        scheme: String,
        /// Where.
        at: Place,
    },
    /// A template function.
    Function {
        /// Its name.
        name: String,
        /// Where.
        at: Place,
    },
    /// A variable of the process's environment that is not of the spec.
    Variable {
        /// Its name, when it is written out.
        name: Option<String>,
        /// Where.
        at: Place,
    },
    /// A file that a template reads, perhaps outside the source.
    Read {
        /// The function.
        function: String,
        /// The path, when it is written out.
        path: Option<String>,
        /// Where.
        at: Place,
    },
    /// A path that leads out of the source.
    Outside {
        /// The path.
        path: String,
        /// Where.
        at: Place,
    },
    /// A file on another machine, or a chart there that is not pinned.
    Remote {
        /// Its URL, which may hold a password: shown without.
        url: String,
        /// Where.
        at: Place,
    },
    /// A chart whose version is not pinned.
    Version {
        /// The chart.
        chart: String,
        /// Where.
        at: Place,
    },
    /// Programs that run before and after.
    Hooks(Place),
    /// A program that changes manifests.
    Plugin {
        /// What it is for helmfile or kustomize: `postRenderer`.
        field: String,
        /// Where.
        at: Place,
    },
    /// A chart of the source that renders to something else each time.
    Chart {
        /// Its folder.
        chart: String,
        /// What makes it do that, and where in the chart.
        found: String,
    },
    /// A link that leads out of the source, or nowhere.
    Link(String),
    /// What can't be looked at.
    Unreadable(Place),
    /// There is more than is looked at.
    TooMuch,
}

impl fmt::Display for Reason {
    /// A clause to go on with: "values from `ref+vault` in values.yaml line 3".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret { scheme, at } => write!(f, "values from `{scheme}` in {at}"),
            Self::Function { name, at } => write!(f, "`{name}` in {at}"),
            Self::Variable { name: Some(name), at } => write!(f, "the environment variable `{name}` in {at}"),
            Self::Variable { name: None, at } => write!(f, "environment variables in {at}"),
            Self::Read { function, path: Some(path), at } => write!(f, "`{function}` of `{path}` in {at}"),
            Self::Read { function, path: None, at } => {
                write!(f, "`{function}` of a path that is not written out in {at}")
            }
            Self::Outside { path, at } => write!(f, "`{path}`, which is not in the source, in {at}"),
            Self::Remote { url, at } => write!(f, "`{}` in {at}", redact::urls(url)),
            Self::Version { chart, at } => {
                write!(f, "chart `{}` without an exact version in {at}", redact::urls(chart))
            }
            Self::Hooks(at) => write!(f, "hooks in {at}"),
            Self::Plugin { field, at } => write!(f, "`{field}` in {at}"),
            Self::Chart { chart, found } => write!(f, "{found} of chart `{chart}`"),
            Self::Link(path) => write!(f, "`{path}`, a link that leads out of the source"),
            Self::Unreadable(at) => write!(f, "{at}, which can't be looked at"),
            Self::TooMuch => f.write_str("more files than are looked at"),
        }
    }
}

/// How many reasons are told apart.
const REASONS: usize = 8;

/// How many are looked for: the texts are somebody else's, and may have millions.
pub(super) const ENOUGH: usize = 1000;

/// Sorts them and keeps the first few.
pub(super) fn first(mut reasons: Vec<Reason>) -> Vec<Reason> {
    reasons.sort();
    reasons.dedup();
    reasons.truncate(REASONS);
    reasons
}

/// The first of some reasons and how many more there are; empty when there is none.
pub fn sentence(reasons: &[Reason]) -> String {
    let Some((first, more)) = reasons.split_first() else { return String::new() };
    match more.len() {
        0 => first.to_string(),
        more if reasons.len() < REASONS => format!("{first}, and {more} more"),
        more => format!("{first}, and at least {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_one_and_counts_the_rest() {
        let at = |line| Place { file: "values.yaml".to_owned(), line };
        let secret = Reason::Secret { scheme: "ref+vault".to_owned(), at: at(Some(3)) };
        let hooks = Reason::Hooks(at(None));
        assert_eq!(sentence(&[]), "");
        assert_eq!(sentence(std::slice::from_ref(&secret)), "values from `ref+vault` in values.yaml line 3");
        let some = first(vec![Reason::TooMuch, hooks.clone(), secret.clone(), hooks.clone()]);
        assert_eq!(some, [secret, hooks, Reason::TooMuch]);
        assert_eq!(sentence(&some), "values from `ref+vault` in values.yaml line 3, and 2 more");
        let many = first((0..20).map(|line| Reason::Hooks(at(Some(line)))).collect());
        assert_eq!(sentence(&many), "hooks in values.yaml line 0, and at least 7 more");
    }

    #[test]
    fn passwords_are_not_shown() {
        let at = Place { file: "a".to_owned(), line: None };
        let remote = Reason::Remote { url: "https://me:word@host/x.yaml".to_owned(), at };
        assert!(!remote.to_string().contains("word"), "{remote}");
    }
}
