//! Where a helmfile comes from: the text of `source`, taken apart. Pure.
//!
//! ```text
//! git::https://[user[:password]@]host[:port]/repository[//folder][@helmfile][?ref=…&depth=…]
//! git::ssh://[user@]host[:port]/repository…     git::user@host:repository…     git::file:///repository…
//! ./folder[//folder][@helmfile]                 /folder…                       ../folder…
//! ```
//!
//! `//folder` is the part of the source that counts, `@helmfile` the helmfile in it (a file or a folder). Both may be
//! percent-encoded, so that names with `@`, `?` or `%` can be written; the repository's own path is handed to Git as
//! it stands.

mod authority;
mod error;
mod parse;
mod path;
mod print;
mod reference;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    num::NonZeroU32,
    path::{Path, PathBuf},
};

pub use error::LocatorError;
pub(super) use reference::Reference;

/// Where a helmfile comes from. Printed without credentials.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Locator {
    place: Place,
    subdir: Option<String>,
    file: Option<String>,
}

impl Locator {
    /// Reads the text of `source`. `version` says the same as `?ref=`; `base` is the folder that relative paths start
    /// from, and should be absolute.
    ///
    /// # Errors
    /// When the text is no locator, with the part that is wrong and how it should look.
    pub fn parse(source: &str, version: Option<&str>, base: &Path) -> Result<Self, LocatorError> {
        parse::locator(source, version, base)
    }

    /// The `@…` part: path of the helmfile, a file or a folder, inside the source.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    pub(super) fn subdir(&self) -> Option<&str> {
        self.subdir.as_deref()
    }
}

/// What holds the content.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Place {
    Folder(PathBuf),
    Git(Repository),
}

/// What to take from a Git repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Repository {
    pub(super) remote: Remote,
    pub(super) reference: Option<Reference>,
    /// How much history is downloaded; never visible in the content.
    pub(super) depth: Option<NonZeroU32>,
}

/// A Git repository. Printed as the URL for Git's command line: without credentials.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Remote {
    pub(super) transport: Transport,
    /// Who to be at an ssh server. No secret.
    pub(super) login: Option<String>,
    /// Who to be at an https server.
    pub(super) credentials: Option<Credentials>,
    /// Empty for files; in brackets when it is an IPv6 address.
    pub(super) host: String,
    pub(super) port: Option<u16>,
    pub(super) path: String,
}

/// How Git reaches a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Transport {
    File,
    Http,
    Https,
    Ssh,
    /// ssh in the form `user@host:path`, where the path starts in the user's home.
    Scp,
}

impl Transport {
    const ALL: [Self; 4] = [Self::Https, Self::Ssh, Self::File, Self::Http];

    /// The scheme, which is also what Git calls the protocol.
    pub(super) const fn scheme(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Http => "http",
            Self::Https => "https",
            Self::Ssh | Self::Scp => "ssh",
        }
    }
}

/// User and password, or a token in place of either. Never printed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Credentials {
    pub(super) user: String,
    pub(super) password: String,
}

impl fmt::Debug for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Locator({self})")
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
