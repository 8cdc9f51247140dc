//! What exactly a source is at a moment.

use std::fmt;

/// The state of a source, in the form that Flux prints: `main@sha1:…` for a branch or tag, `sha1:…` for a commit that
/// was asked for, `sha256:…` for the contents of a folder.
///
/// Equal revisions of one locator mean equal content.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Revision(String);

const SHA1: &str = "sha1:";

impl Revision {
    /// A commit, and the name that led to it.
    pub(super) fn commit(name: Option<&str>, commit: &str) -> Self {
        Self(name.map_or_else(|| format!("{SHA1}{commit}"), |name| format!("{name}@{SHA1}{commit}")))
    }

    /// The digest of a folder's contents.
    pub(super) fn contents(digest: &str) -> Self {
        Self(format!("sha256:{digest}"))
    }

    /// All of it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Branch or tag, when one led here.
    pub fn name(&self) -> Option<&str> {
        self.0.rsplit_once('@').map(|(name, _)| name)
    }

    /// The hex digits: of the commit, or of the contents.
    pub fn id(&self) -> &str {
        self.0.rsplit_once(':').map_or(self.0.as_str(), |(_, id)| id)
    }

    /// Whether it is a commit.
    pub(super) fn is_commit(&self) -> bool {
        self.0.rsplit('@').next().is_some_and(|digest| digest.starts_with(SHA1))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_form_of_flux() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let branch = Revision::commit(Some("team@home/main"), commit);
        assert_eq!(branch.to_string(), format!("team@home/main@sha1:{commit}"));
        assert_eq!((branch.name(), branch.id(), branch.is_commit()), (Some("team@home/main"), commit, true));
        let bare = Revision::commit(None, commit);
        assert_eq!((bare.as_str(), bare.name(), bare.id()), (&*format!("sha1:{commit}"), None, commit));
        let folder = Revision::contents("abc");
        assert_eq!(
            (folder.as_str(), folder.name(), folder.id(), folder.is_commit()),
            ("sha256:abc", None, "abc", false)
        );
    }
}
