//! Keeps secrets out of text that people will read.

use std::borrow::Cow;

const MASK: &str = "***";

/// Hides the user information of URLs (`https://user:password@host` → `https://***@host`).
pub fn urls(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        out.push_str(before);
        out.push_str("://");
        let end = after.find(|c: char| c.is_whitespace() || "/?#'\"`".contains(c)).unwrap_or(after.len());
        let (authority, tail) = after.split_at(end);
        match authority.rsplit_once('@') {
            // `git@host` is how ssh names its one user; it is no secret.
            Some((user, host)) if user != "git" => {
                out.push_str(MASK);
                out.push('@');
                out.push_str(host);
            }
            _ => out.push_str(authority),
        }
        rest = tail;
    }
    if out.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(out + rest) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hides_credentials_in_urls_only() {
        assert_eq!(
            urls("clone https://bob:hunter2@git.example/a.git failed"),
            "clone https://***@git.example/a.git failed"
        );
        assert_eq!(urls("ssh://git@host/x and https://t0ken@h/y"), "ssh://git@host/x and https://***@h/y");
        assert_eq!(urls("mail bob@example.org"), "mail bob@example.org");
        assert_eq!(urls("https://host/a@b"), "https://host/a@b");
    }
}
