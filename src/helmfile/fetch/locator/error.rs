//! What can be wrong with a locator. No message holds user information of a URL or the value of an unknown parameter.

use super::Transport;

/// Why a text is no locator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocatorError {
    /// Nothing was written.
    #[error(
        "the source is empty; write for example `git::https://host/repository.git?ref=main` or `./folder`"
    )]
    Empty,
    /// A line break or the like, or blanks around it.
    #[error("the source has {0}; write it in one line without blanks around it")]
    Blank(&'static str),
    /// Neither a path nor a known form.
    #[error(
        "`{text}` is no source; write `{suggestion}`{}",
        if .text.contains("://") { "" } else { " for a folder, or `git::https://host/repository.git` for a Git repository" }
    )]
    NoForm {
        /// What was written, without credentials.
        text: String,
        /// What was probably meant.
        suggestion: String,
    },
    /// `x::` that nobody knows.
    #[error("the getter `{getter}::` is unknown{}; {SUPPORTED}", did_you_mean(.closest.as_deref(), "::"))]
    UnknownGetter {
        /// What was written.
        getter: String,
        /// A known one that looks like it.
        closest: Option<String>,
    },
    /// `x::` of the original that is still to come.
    #[error("sources of the kind `{0}` are not supported yet; {SUPPORTED}")]
    LaterGetter(String),
    /// `git::` and no URL.
    #[error(
        "`git::` must be followed by a URL such as `https://host/repository.git`, or by `git@host:repository.git`"
    )]
    NoUrl,
    /// A scheme that is not for Git.
    #[error("Git sources can't have the scheme `{scheme}`{}; write {}", did_you_mean(.closest.as_deref(), "://"), schemes())]
    Scheme {
        /// What was written.
        scheme: String,
        /// A known one that looks like it.
        closest: Option<String>,
    },
    /// Something between `://` and the next `/` that makes no sense. It is not repeated, since it may hold a password.
    #[error(
        "the part between `://` and the next `/` {0}; write `[user[:password]@]host[:port]`, special characters as `%` and two hex digits"
    )]
    Authority(&'static str),
    /// No path.
    #[error("the URL names a host but no repository; write `git::{0}://host/repository.git`")]
    NoRepository(&'static str),
    /// The repository's path.
    #[error(
        "the repository's path has {0}; write `/group/repository.git`, special characters as `%` and two hex digits"
    )]
    Repository(&'static str),
    /// More than one `@`.
    #[error(
        "the path has more than one `@`; the helmfile's path follows the only one, any other is written `%40`"
    )]
    ManyAts,
    /// The `//…` part.
    #[error("the folder after `//` {0}; write a path inside the source, for example `//deploy/prod`")]
    Subdir(&'static str),
    /// The `@…` part.
    #[error(
        "the helmfile after `@` {0}; write a path inside the source, for example `@deploy/helmfile.yaml`"
    )]
    File(&'static str),
    /// `?x=…` that nobody knows.
    #[error("the parameter `{name}` is unknown{}; known are `ref` and `depth`", did_you_mean(.closest.as_deref(), ""))]
    UnknownParameter {
        /// What was written.
        name: String,
        /// A known one that looks like it.
        closest: Option<String>,
    },
    /// go-getter's way to hand over an ssh key.
    #[error(
        "the parameter `sshkey` is refused, since a key in a URL ends up in logs; put the key into the ssh folder, beside `known_hosts`"
    )]
    SshKey,
    /// The same parameter twice, or one without a value.
    #[error("the parameter `{name}` {problem}; write `?{name}=…` once")]
    Parameter {
        /// Its name.
        name: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
    /// `?…` after a folder.
    #[error(
        "a local folder takes no parameters; leave out what follows `?`, or write the `?` of a name as `%3F`"
    )]
    FolderParameters,
    /// `?depth=…`
    #[error("`depth={0}` is no depth; write a whole number of 1 or more")]
    Depth(String),
    /// Branch, tag or commit.
    #[error("`{reference}` can't be a branch, tag or commit: it {problem}")]
    Reference {
        /// What was written.
        reference: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// Two ways to say the same.
    #[error("the source has `?ref=` and a version is given, too; keep one of them")]
    RefAndVersion,
    /// A folder has no versions.
    #[error("a version is given, but a local folder has none; leave it out")]
    FolderVersion,
}

impl LocatorError {
    /// The reason for a condition.
    pub const fn reason(&self) -> &'static str {
        "URLInvalid"
    }
}

const SUPPORTED: &str = "supported are `git::` (https, ssh, file, http) and local folders such as `./folder`";

fn schemes() -> String {
    Transport::ALL.map(|transport| format!("`git::{}://…`", transport.scheme())).join(", ")
}

fn did_you_mean(closest: Option<&str>, tail: &str) -> String {
    closest.map_or_else(String::new, |closest| format!(" (did you mean `{closest}{tail}`?)"))
}
