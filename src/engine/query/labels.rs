//! Label selectors in kubectl's syntax: `app=web,tier!=test,env in (a,b),!legacy`.
//!
//! kube has a type for selectors, but no parser for it, and its matcher wants a copy of the labels.

use std::fmt;

use serde_json::{Map, Value};

/// A compiled selector. An empty one fits everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    operator: Operator,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Operator {
    Exists,
    Absent,
    In(Vec<String>),
    /// Fits also where the label is absent.
    NotIn(Vec<String>),
}

/// A text that is no label selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelSelectorError {
    /// The syntax is wrong.
    #[error("label selector `{selector}`, column {column}: found {found}, expected {expected}")]
    Syntax {
        /// What was written.
        selector: String,
        /// Where it goes wrong, in characters from 1.
        column: usize,
        /// What is there.
        found: String,
        /// What should be there.
        expected: &'static str,
    },
    /// No object can have such a label.
    #[error("label selector `{selector}`: `{key}` is no label: {why}")]
    Key {
        /// What was written.
        selector: String,
        /// The label's key.
        key: String,
        /// The rule that it breaks.
        why: &'static str,
    },
    /// No label can have such a value.
    #[error("label selector `{selector}`: `{value}` is no value of the label `{key}`: {NAME_RULE}")]
    Value {
        /// What was written.
        selector: String,
        /// The label's key.
        key: String,
        /// The value.
        value: String,
    },
}

const NAME_RULE: &str =
    "at most 63 letters, digits, `-`, `_` and `.`, beginning and ending with a letter or digit";
const PREFIX_RULE: &str =
    "before the `/` comes a DNS name of at most 253 lower-case letters, digits, `-` and `.`";

impl LabelSelector {
    /// Reads kubectl's syntax: `a=b`, `a==b`, `a!=b`, `a in (b,c)`, `a notin (b,c)`, `a` and `!a`, with commas between
    /// them.
    ///
    /// # Errors
    /// The first mistake; also keys and values that no label can have.
    pub fn parse(text: &str) -> Result<Self, LabelSelectorError> {
        Parser { text, at: 0 }.selector()
    }

    /// Whether labels fit. An object without labels fits what asks for none.
    pub fn matches(&self, labels: Option<&Map<String, Value>>) -> bool {
        self.requirements.iter().all(|Requirement { key, operator }| {
            let value = labels.and_then(|labels| labels.get(key)?.as_str());
            let is_one = |values: &[String]| value.is_some_and(|value| values.iter().any(|one| one == value));
            match operator {
                Operator::Exists => value.is_some(),
                Operator::Absent => value.is_none(),
                Operator::In(values) => is_one(values),
                Operator::NotIn(values) => !is_one(values),
            }
        })
    }
}

impl fmt::Display for LabelSelector {
    /// In a form that the API server reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Requirement { key, operator }) in self.requirements.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { "," })?;
            match operator {
                Operator::Exists => write!(f, "{key}")?,
                Operator::Absent => write!(f, "!{key}")?,
                Operator::In(values) if values.len() == 1 => write!(f, "{key}={}", values.concat())?,
                Operator::NotIn(values) if values.len() == 1 => write!(f, "{key}!={}", values.concat())?,
                Operator::In(values) => write!(f, "{key} in ({})", values.join(","))?,
                Operator::NotIn(values) => write!(f, "{key} notin ({})", values.join(","))?,
            }
        }
        Ok(())
    }
}

struct Parser<'t> {
    text: &'t str,
    /// In bytes, always between two characters.
    at: usize,
}

impl<'t> Parser<'t> {
    fn selector(&mut self) -> Result<LabelSelector, LabelSelectorError> {
        let mut requirements = Vec::new();
        if self.text.trim().is_empty() {
            return Ok(LabelSelector { requirements });
        }
        loop {
            requirements.push(self.requirement()?);
            if self.rest().is_empty() {
                return Ok(LabelSelector { requirements });
            }
            if !self.eat(",") {
                return Err(self.expected("`,` or the end"));
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, LabelSelectorError> {
        if self.eat("!") {
            return Ok(Requirement { key: self.key()?, operator: Operator::Absent });
        }
        let key = self.key()?;
        let operator = if self.eat("!=") {
            Operator::NotIn(vec![self.value(&key)?])
        } else if self.eat("==") || self.eat("=") {
            Operator::In(vec![self.value(&key)?])
        } else if self.rest().is_empty() || self.rest().starts_with(',') {
            Operator::Exists
        } else {
            match self.word() {
                "in" => Operator::In(self.values(&key)?),
                "notin" => Operator::NotIn(self.values(&key)?),
                word => {
                    self.at -= word.len();
                    return Err(self.expected("`=`, `!=`, `in (…)`, `notin (…)`, `,` or the end"));
                }
            }
        };
        Ok(Requirement { key, operator })
    }

    fn key(&mut self) -> Result<String, LabelSelectorError> {
        let key = self.word();
        if key.is_empty() {
            return Err(self.expected("the key of a label"));
        }
        let (prefix, name) = key.rsplit_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
        let why = if !prefix.is_none_or(is_dns_name) {
            PREFIX_RULE
        } else if name.is_empty() || !is_label_text(name) {
            NAME_RULE
        } else {
            return Ok(key.to_owned());
        };
        Err(LabelSelectorError::Key { selector: self.text.to_owned(), key: key.to_owned(), why })
    }

    fn values(&mut self, key: &str) -> Result<Vec<String>, LabelSelectorError> {
        if !self.eat("(") {
            return Err(self.expected("`(` and the values"));
        }
        let mut values = Vec::new();
        loop {
            let value = self.value(key)?;
            if !values.contains(&value) {
                values.push(value);
            }
            if self.eat(")") {
                return Ok(values);
            }
            if !self.eat(",") {
                return Err(self.expected("`,` or `)`"));
            }
        }
    }

    /// A value; the empty one is a value as well.
    fn value(&mut self, key: &str) -> Result<String, LabelSelectorError> {
        let value = self.word();
        if is_label_text(value) {
            return Ok(value.to_owned());
        }
        let (selector, key) = (self.text.to_owned(), key.to_owned());
        Err(LabelSelectorError::Value { selector, key, value: value.to_owned() })
    }

    /// All up to a sign of the syntax or a space.
    fn word(&mut self) -> &'t str {
        let rest = self.rest();
        let len =
            rest.find(|char: char| char.is_whitespace() || "=!,()<>".contains(char)).unwrap_or(rest.len());
        self.at += len;
        rest.get(..len).unwrap_or_default()
    }

    fn eat(&mut self, token: &str) -> bool {
        let is_next = self.rest().starts_with(token);
        self.at += if is_next { token.len() } else { 0 };
        is_next
    }

    /// What is not read yet, from the next that is no space.
    fn rest(&mut self) -> &'t str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let trimmed = rest.trim_start();
        self.at += rest.len() - trimmed.len();
        trimmed
    }

    fn expected(&mut self, expected: &'static str) -> LabelSelectorError {
        let found = self.rest().chars().next();
        LabelSelectorError::Syntax {
            selector: self.text.to_owned(),
            column: self.text.chars().count() - self.rest().chars().count() + 1,
            found: found.map_or_else(|| "the end".to_owned(), |char| format!("`{char}`")),
            expected,
        }
    }
}

/// What a label's value may be, and the name in its key unless empty.
fn is_label_text(text: &str) -> bool {
    text.len() <= 63
        && text.chars().all(|char| char.is_ascii_alphanumeric() || "-_.".contains(char))
        && !text.starts_with(['-', '_', '.'])
        && !text.ends_with(['-', '_', '.'])
}

fn is_dns_name(text: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && part.chars().all(|char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(is_part)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn matches(selector: &str, labels: &Value) -> bool {
        LabelSelector::parse(selector).unwrap().matches(labels.as_object())
    }

    #[test]
    fn matches_as_the_api_server_does() {
        for (selector, fitting, other) in [
            ("a=b", json!({"a": "b", "c": "d"}), json!({"a": "c"})),
            ("a=b", json!({"a": "b"}), json!(null)),
            ("a==b", json!({"a": "b"}), json!({"b": "a"})),
            ("a=", json!({"a": ""}), json!({})),
            ("a!=b", json!({"a": "c"}), json!({"a": "b"})),
            ("a!=b", json!({}), json!({"a": "b"})),
            ("a!=b", json!(null), json!({"a": "b"})),
            ("a in (b,c)", json!({"a": "c"}), json!({"a": "d"})),
            ("a in (,c)", json!({"a": ""}), json!({})),
            ("a notin (b,c)", json!({"a": "d"}), json!({"a": "c"})),
            ("a notin (b)", json!(null), json!({"a": "b"})),
            ("a", json!({"a": ""}), json!({"b": "a"})),
            ("!a", json!({"b": "a"}), json!({"a": ""})),
            ("a=b,c!=d,e in (x,y),f notin (z),g,!h", json!({"a": "b", "e": "y", "g": ""}), json!({"a": "b"})),
            ("in in (in),notin", json!({"in": "in", "notin": ""}), json!({"in": "in"})),
            ("example.com/a-b=C_d.e", json!({"example.com/a-b": "C_d.e"}), json!({"a-b": "C_d.e"})),
        ] {
            assert!(matches(selector, &fitting), "{selector} must fit {fitting}");
            assert!(!matches(selector, &other), "{selector} must not fit {other}");
        }
        for all in ["", " "] {
            assert!(matches(all, &json!(null)));
        }
    }

    #[test]
    fn prints_what_the_api_server_reads() {
        for (text, printed) in [
            ("a=b,c!=d,e in (x,y),f notin (z,w),g,!h", "a=b,c!=d,e in (x,y),f notin (z,w),g,!h"),
            (" a == b ,\te in( x , x ) , ! h ", "a=b,e=x,!h"),
            ("a=,b in ()", "a=,b="),
            ("", ""),
        ] {
            assert_eq!(LabelSelector::parse(text).unwrap().to_string(), printed, "{text}");
        }
    }

    #[test]
    fn errors_say_where_and_why() {
        let long = "a".repeat(64);
        for (text, expected) in [
            ("a=b,", ", column 5: found the end, expected the key of a label"),
            ("=b", ", column 1: found `=`, expected the key of a label"),
            ("a b", ", column 3: found `b`, expected `=`, `!=`, `in (…)`, `notin (…)`, `,` or the end"),
            ("a>1", ", column 2: found `>`, expected `=`, `!=`, `in (…)`, `notin (…)`, `,` or the end"),
            ("a=b c=d", ", column 5: found `c`, expected `,` or the end"),
            ("a in b", ", column 6: found `b`, expected `(` and the values"),
            ("a in (b", ", column 8: found the end, expected `,` or `)`"),
            ("!a=b", ", column 3: found `=`, expected `,` or the end"),
            ("-a=b", &format!(": `-a` is no label: {NAME_RULE}")),
            ("a/=b", &format!(": `a/` is no label: {NAME_RULE}")),
            ("A/a=b", &format!(": `A/a` is no label: {PREFIX_RULE}")),
            ("a/b/c=b", &format!(": `a/b/c` is no label: {PREFIX_RULE}")),
            ("a=b*", &format!(": `b*` is no value of the label `a`: {NAME_RULE}")),
            ("a in (b,ä)", &format!(": `ä` is no value of the label `a`: {NAME_RULE}")),
            (&format!("a={long}"), &format!(": `{long}` is no value of the label `a`: {NAME_RULE}")),
        ] {
            let error = LabelSelector::parse(text).unwrap_err().to_string();
            assert_eq!(error, format!("label selector `{text}`{expected}"));
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_again(text in "\\PC*", likely in "[a-c/.! =,()<>in-]{0,20}") {
            for text in [text, likely] {
                if let Ok(selector) = LabelSelector::parse(&text) {
                    selector.matches(None);
                    prop_assert_eq!(LabelSelector::parse(&selector.to_string()), Ok(selector));
                }
            }
        }
    }
}
