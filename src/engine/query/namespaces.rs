//! Lists of namespaces by name and pattern: `team-*`, `!team-secret`.

use std::fmt;

/// A compiled list. An empty one, or one that only excludes, is all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespacePatterns {
    included: Vec<String>,
    excluded: Vec<String>,
}

/// A list that cannot be meant so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NamespacePatternError {
    /// No namespace can have such a name.
    #[error(
        "namespace `{0}`: a name has 1 to 63 lower-case letters, digits and `-`, and a pattern also `*` and `?`; a `!` before it excludes"
    )]
    Malformed(String),
    /// Nothing would ever fit.
    #[error("namespaces `{0}`: all that is included is excluded again")]
    Nothing(String),
}

impl fmt::Display for NamespacePatterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let excluded = self.excluded.iter().map(|pattern| format!("!{pattern}"));
        let all: Vec<String> = self.included.iter().cloned().chain(excluded).collect();
        f.write_str(&all.join(", "))
    }
}

impl NamespacePatterns {
    /// Compiles names and patterns. `*` is any number of characters and `?` is one; what begins with `!` is excluded,
    /// wherever it stands.
    ///
    /// # Errors
    /// Where an entry is no name and no pattern, or excludes leave none of the names.
    pub fn compile(entries: &[String]) -> Result<Self, NamespacePatternError> {
        let (mut included, mut excluded) = (Vec::new(), Vec::new());
        for entry in entries {
            let (pattern, list) = match entry.strip_prefix('!') {
                Some(pattern) => (pattern, &mut excluded),
                None => (entry.as_str(), &mut included),
            };
            if !is_pattern(pattern) {
                return Err(NamespacePatternError::Malformed(entry.clone()));
            }
            if !list.iter().any(|known| known == pattern) {
                list.push(pattern.to_owned());
            }
        }
        let compiled = Self { included, excluded };
        match compiled.exact() {
            Some(names) if names.is_empty() => Err(NamespacePatternError::Nothing(entries.join(","))),
            _ => Ok(compiled),
        }
    }

    /// The names, at least one, where no pattern includes more: then the API server can be asked for just these.
    pub fn exact(&self) -> Option<Vec<String>> {
        let is_exact =
            !self.included.is_empty() && !self.included.iter().any(|name| name.contains(['*', '?']));
        is_exact.then(|| self.included.iter().filter(|name| self.matches(name)).cloned().collect())
    }

    /// Whether a namespace is on the list.
    pub fn matches(&self, namespace: &str) -> bool {
        let fits = |pattern: &String| fits(pattern.as_bytes(), namespace.as_bytes());
        (self.included.is_empty() || self.included.iter().any(fits)) && !self.excluded.iter().any(fits)
    }
}

fn is_pattern(text: &str) -> bool {
    let is_allowed = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || "-*?".contains(char);
    (1..=63).contains(&text.len())
        && text.chars().all(is_allowed)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Goes back to the last `*` only: an earlier one need never take more than it has.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut in_pattern, mut in_text) = (0, 0);
    let mut last_star = None;
    while let Some(byte) = text.get(in_text) {
        match pattern.get(in_pattern) {
            Some(b'*') => {
                last_star = Some((in_pattern, in_text));
                in_pattern += 1;
            }
            Some(wanted) if *wanted == b'?' || wanted == byte => {
                in_pattern += 1;
                in_text += 1;
            }
            _ => {
                let Some((star, taken)) = last_star else { return false };
                last_star = Some((star, taken + 1));
                (in_pattern, in_text) = (star + 1, taken + 1);
            }
        }
    }
    pattern.iter().skip(in_pattern).all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn compile(entries: &[&str]) -> Result<NamespacePatterns, NamespacePatternError> {
        NamespacePatterns::compile(&entries.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn matches_names_and_patterns() {
        for (entries, fitting, others) in [
            (&[][..], &["a", "kube-system"][..], &[][..]),
            (&["a", "b"], &["a", "b"], &["c", "ab", ""]),
            (&["team-*"], &["team-a", "team-"], &["team", "a-team-a"]),
            (&["*-dev", "a?"], &["x-dev", "ab"], &["dev", "a", "abc", "x-dev-y"]),
            (&["a*b*c"], &["abc", "axxbxbc"], &["ab", "acb", "abcd"]),
            (&["!kube-*"], &["a", "kube"], &["kube-system"]),
            (&["!team-secret", "team-*"], &["team-a"], &["team-secret", "b"]),
        ] {
            let patterns = compile(entries).unwrap();
            for name in fitting {
                assert!(patterns.matches(name), "{entries:?} must fit `{name}`");
            }
            for name in others {
                assert!(!patterns.matches(name), "{entries:?} must not fit `{name}`");
            }
        }
    }

    #[test]
    fn plain_names_are_exact() {
        for (entries, exact) in [
            (&["a", "b", "a"][..], Some(&["a", "b"][..])),
            (&["a", "b", "!b"], Some(&["a"])),
            (&["a", "b*"], None),
            (&["a", "b?"], None),
            (&["!a"], None),
            (&[], None),
        ] {
            let exact: Option<Vec<String>> =
                exact.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
            assert_eq!(compile(entries).unwrap().exact(), exact, "{entries:?}");
        }
    }

    #[test]
    fn refuses_what_fits_nothing() {
        let long = "a".repeat(64);
        for entry in ["", "!", "!!a", "A", "a.b", "a/b", "[ab]", "{a,b}", "-a", "a-", " a", "ä", &long] {
            let error = compile(&["b", entry]).unwrap_err();
            assert_eq!(error, NamespacePatternError::Malformed(entry.to_owned()));
        }
        let error = compile(&["a", "!a"]).unwrap_err().to_string();
        assert_eq!(error, "namespaces `a,!a`: all that is included is excluded again");
    }

    /// The definition.
    fn fits_slowly(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', pattern)), None) => fits_slowly(pattern, text),
            (Some((b'*', rest)), Some((_, text_rest))) => {
                fits_slowly(rest, text) || fits_slowly(pattern, text_rest)
            }
            (Some((b'?', pattern)), Some((_, text))) => fits_slowly(pattern, text),
            (Some((wanted, pattern)), Some((byte, text))) => wanted == byte && fits_slowly(pattern, text),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn patterns_fit_as_defined(pattern in "[ab*?]{0,8}", text in "[ab]{0,8}") {
            let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(fits(pattern, text), fits_slowly(pattern, text));
        }
    }
}
