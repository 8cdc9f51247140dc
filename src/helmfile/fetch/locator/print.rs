//! The text of a locator.

use std::{
    fmt,
    path::{Component, Path},
};

use super::{Locator, Place, Reference, Remote, Repository, Transport, path};

/// What would end a path inside a source.
const IN_PATH: &str = "@?#";
/// What would end the value of a parameter.
const IN_VALUE: &str = "&";

impl fmt::Display for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Folder(path) => f.write_str(&folder(path))?,
            Place::Git(repository) => write!(f, "git::{}", address(&repository.remote, true))?,
        }
        if let Some(subdir) = &self.subdir {
            write!(f, "//{}", path::encode(subdir, IN_PATH))?;
        }
        if let Some(file) = &self.file {
            write!(f, "@{}", path::encode(file, IN_PATH))?;
        }
        match &self.place {
            Place::Folder(_) => Ok(()),
            Place::Git(repository) => parameters(repository, f),
        }
    }
}

/// The source as messages name it.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "{}", path.display()),
            Self::Git(repository) => write!(f, "{}", repository.remote),
        }
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&address(self, false))
    }
}

fn folder(path: &Path) -> String {
    let text = path::encode(&path.to_string_lossy(), IN_PATH);
    match path.components().next() {
        // `/` and a following `//folder` would run together.
        Some(Component::RootDir) if text == "/" => "/.".to_owned(),
        Some(Component::RootDir | Component::CurDir | Component::ParentDir) => text,
        Some(_) => format!("./{text}"),
        None => ".".to_owned(),
    }
}

/// The URL without credentials; with a mark in their place when somebody reads it.
fn address(remote: &Remote, mark: bool) -> String {
    let Remote { transport, login, credentials, given: _, host, port, path } = remote;
    let user = match (login, credentials) {
        (Some(login), _) => format!("{login}@"),
        (None, Some(_)) if mark => "***@".to_owned(),
        (None, _) => String::new(),
    };
    let port = port.map_or_else(String::new, |port| format!(":{port}"));
    match transport {
        Transport::Scp => format!("{user}{host}:{path}"),
        _ => format!("{}://{user}{host}{port}{path}", transport.scheme()),
    }
}

fn parameters(repository: &Repository, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let reference = repository.reference.as_ref().map(Reference::as_str);
    let values = [
        reference.map(|reference| format!("ref={}", path::encode(reference, IN_VALUE))),
        repository.depth.map(|depth| format!("depth={depth}")),
    ];
    for (value, mark) in values.iter().flatten().zip(["?", "&"]) {
        write!(f, "{mark}{value}")?;
    }
    Ok(())
}
