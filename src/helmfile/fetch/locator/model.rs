//! What a locator says.

use std::{
    fmt,
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{LocatorError, Reference, SourceCredentials};

/// Where a helmfile comes from. Printed without credentials.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Locator {
    pub(super) place: Place,
    pub(super) subdir: Option<String>,
    pub(super) file: Option<String>,
}

impl Locator {
    /// Reads the text of `source`. `version` says the same as `?ref=`; `base` is the folder that relative paths start
    /// from, and should be absolute.
    ///
    /// # Errors
    /// When the text is no locator, with the part that is wrong and how it should look.
    pub fn parse(source: &str, version: Option<&str>, base: &Path) -> Result<Self, LocatorError> {
        super::parse::locator(source, version, base)
    }

    /// The `@…` part: path of the helmfile, a file or a folder, inside the source.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// The same source, read as somebody else. What `credentials` hold goes to the host of this source and to no other,
    /// takes the place of a user and password in its text and of the fetcher's own ssh keys, and means nothing to a
    /// folder. Empty credentials change nothing.
    #[must_use]
    pub fn with_credentials(mut self, credentials: &SourceCredentials) -> Self {
        if let Place::Git(repository) = &mut self.place {
            let is_empty = *credentials == SourceCredentials::default();
            repository.remote.given = (!is_empty).then(|| Arc::new(credentials.clone()));
        }
        self
    }

    /// The place and the folder in it, whatever the version; without credentials.
    pub fn without_version(&self) -> String {
        format!("{}//{}", self.place, self.subdir.as_deref().unwrap_or_default())
    }

    /// Whether both are read from one server by one protocol, so that what opens one may be shown for the other.
    pub fn is_beside(&self, other: &Self) -> bool {
        match (&self.place, &other.place) {
            (Place::Git(one), Place::Git(two)) => one.remote.server() == two.remote.server(),
            _ => false,
        }
    }

    pub(in crate::helmfile::fetch) fn place(&self) -> &Place {
        &self.place
    }

    pub(in crate::helmfile::fetch) fn subdir(&self) -> Option<&str> {
        self.subdir.as_deref()
    }
}

/// What holds the content.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::helmfile::fetch) enum Place {
    Folder(PathBuf),
    Git(Repository),
}

/// What to take from a Git repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::helmfile::fetch) struct Repository {
    pub(in crate::helmfile::fetch) remote: Remote,
    pub(in crate::helmfile::fetch) reference: Option<Reference>,
    /// How much history is downloaded; never visible in the content.
    pub(in crate::helmfile::fetch) depth: Option<NonZeroU32>,
}

/// A Git repository. Printed as the URL for Git's command line: without credentials.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::helmfile::fetch) struct Remote {
    pub(in crate::helmfile::fetch) transport: Transport,
    /// Who to be at an ssh server. No secret.
    pub(in crate::helmfile::fetch) login: Option<String>,
    /// Who to be at an https server, when the text of the source says so.
    pub(in crate::helmfile::fetch) credentials: Option<Credentials>,
    /// Who to be there when it does not.
    pub(in crate::helmfile::fetch) given: Option<Arc<SourceCredentials>>,
    /// Empty for files; in brackets when it is an IPv6 address.
    pub(in crate::helmfile::fetch) host: String,
    pub(in crate::helmfile::fetch) port: Option<u16>,
    pub(in crate::helmfile::fetch) path: String,
}

impl Remote {
    /// Protocol, host and port.
    fn server(&self) -> (&'static str, &str, Option<u16>) {
        let usual = match self.transport {
            Transport::File => None,
            Transport::Http => Some(80),
            Transport::Https => Some(443),
            Transport::Ssh | Transport::Scp => Some(22),
        };
        (self.transport.scheme(), &self.host, self.port.or(usual))
    }
}

/// How Git reaches a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::helmfile::fetch) enum Transport {
    File,
    Http,
    Https,
    Ssh,
    /// ssh in the form `user@host:path`, where the path starts in the user's home.
    Scp,
}

impl Transport {
    pub(super) const ALL: [Self; 4] = [Self::Https, Self::Ssh, Self::File, Self::Http];

    /// The scheme, which is also what Git calls the protocol.
    pub(in crate::helmfile::fetch) const fn scheme(self) -> &'static str {
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
pub(in crate::helmfile::fetch) struct Credentials {
    pub(in crate::helmfile::fetch) user: String,
    pub(in crate::helmfile::fetch) password: String,
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
