//! Branches, tags, commits.

use std::fmt;

use super::LocatorError;

/// A branch, a tag, a full ref name or a full commit id, as `git check-ref-format` would let it pass.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::helmfile::fetch) struct Reference(String);

impl Reference {
    pub(in crate::helmfile::fetch) fn parse(text: &str) -> Result<Self, LocatorError> {
        if let Some(problem) = problem(text) {
            // No control characters in a message.
            let reference = text.chars().filter(|c| !c.is_control()).collect();
            return Err(LocatorError::Reference { reference, problem });
        }
        Ok(Self(if is_commit(text) { text.to_ascii_lowercase() } else { text.to_owned() }))
    }

    pub(in crate::helmfile::fetch) fn as_str(&self) -> &str {
        &self.0
    }

    /// The commit, when it is one in full.
    pub(in crate::helmfile::fetch) fn commit(&self) -> Option<&str> {
        is_commit(&self.0).then_some(self.0.as_str())
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The rules of git-check-ref-format(1), and no leading `-`, which a program could take for an option.
fn problem(text: &str) -> Option<&'static str> {
    let parts = || text.split('/');
    let has = |needle: &str| text.contains(needle);
    Some(match text {
        "" => "is empty",
        "@" => "is only `@`",
        _ if text.starts_with('-') => "starts with `-`",
        _ if text.chars().any(char::is_control) => "has a control character",
        _ if text.chars().any(char::is_whitespace) => "has a blank",
        _ if text.contains(['~', '^', ':', '?', '*', '[', '\\']) => "has one of `~ ^ : ? * [ \\`",
        _ if has("..") => "has `..`",
        _ if has("@{") => "has `@{`",
        _ if parts().any(str::is_empty) => "has an empty part between two `/`, or starts or ends with `/`",
        _ if parts().any(|part| part.starts_with('.')) => "has a part that starts with `.`",
        _ if parts().any(|part| part.rsplit_once('.').is_some_and(|(_, last)| last == "lock")) => {
            "has a part that ends with `.lock`"
        }
        _ if text.ends_with('.') => "ends with `.`",
        _ => return None,
    })
}
