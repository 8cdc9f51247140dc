//! Text to locator.

use std::{num::NonZeroU32, path::Path};

use super::{
    Locator, LocatorError, Place, Reference, Remote, Repository, Transport, authority::Authority, path,
};
use crate::{redact, suggest::closest};

/// Kinds of sources that the original has and this program is still to get.
const LATER: [&str; 8] = ["s3", "gcs", "oci", "hg", "http", "https", "file", "smb"];

pub(super) fn locator(source: &str, version: Option<&str>, base: &Path) -> Result<Locator, LocatorError> {
    match source {
        "" => return Err(LocatorError::Empty),
        _ if source.chars().any(char::is_control) => {
            return Err(LocatorError::Blank("a line break or another control character"));
        }
        _ if source.trim() != source => return Err(LocatorError::Blank("blanks around it")),
        _ => {}
    }
    match source.split_once("::") {
        Some(("git", rest)) => git(rest, version),
        Some((getter, _)) if is_word(getter) => Err(no_getter(getter)),
        _ if is_path(source) => folder(source, version, base),
        _ => Err(no_form(source)),
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Whether it starts as only a path does: with `/`, or with `.` or `..` alone.
fn is_path(source: &str) -> bool {
    matches!(source.split(['/', '@', '?']).next(), Some("." | "..")) || source.starts_with('/')
}

fn no_getter(getter: &str) -> LocatorError {
    if LATER.contains(&getter) {
        return LocatorError::LaterGetter(format!("{getter}::"));
    }
    LocatorError::UnknownGetter {
        getter: getter.to_owned(),
        closest: closest(getter, ["git"]).map(str::to_owned),
    }
}

fn no_form(source: &str) -> LocatorError {
    let text = without_credentials(source);
    let suggestion = match source.split_once("://") {
        Some((scheme, _)) if ["oci", "s3", "gs", "gcs", "hg"].contains(&scheme) => {
            return LocatorError::LaterGetter(format!("{scheme}://"));
        }
        Some(("http" | "https", rest))
            if [".tar", ".tgz", ".zip"].iter().any(|suffix| rest.contains(suffix)) =>
        {
            return LocatorError::LaterGetter("archives".to_owned());
        }
        Some(_) => format!("git::{text}"),
        // `git@host:group/repository.git`
        None if source.split('/').next().is_some_and(|start| start.contains('@') && start.contains(':')) => {
            format!("git::{text}")
        }
        // `github.com/group/repository`
        None if source.split('/').next().is_some_and(|start| start.contains('.')) && source.contains('/') => {
            format!("git::https://{text}")
        }
        None => format!("./{text}"),
    };
    LocatorError::NoForm { text, suggestion }
}

/// The text for a message. A password with a `/` in it makes the URL unreadable, so then more is hidden than need be.
fn without_credentials(source: &str) -> String {
    let Some((scheme, rest)) = source.split_once("://") else { return source.to_owned() };
    let authority = rest.split('/').next().unwrap_or(rest);
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    match (authority.rsplit_once(':'), rest.rsplit_once('@')) {
        (Some((_, port)), Some((_, tail))) if !authority.contains('@') && !is_port(port) => {
            format!("{scheme}://***@{tail}")
        }
        _ => redact::urls(source).into_owned(),
    }
}

fn folder(source: &str, version: Option<&str>, base: &Path) -> Result<Locator, LocatorError> {
    if source.contains('?') {
        return Err(LocatorError::FolderParameters);
    }
    if version.is_some() {
        return Err(LocatorError::FolderVersion);
    }
    let (folder, subdir, file) = split_path(source)?;
    let decoded = path::decode(folder).filter(|path| !path.is_empty() && !path.chars().any(char::is_control));
    let Some(decoded) = decoded else {
        return Err(LocatorError::NoForm {
            text: source.to_owned(),
            suggestion: "./folder//part".to_owned(),
        });
    };
    // Takes `.` and doubled `/` away; `..` stays, as it means something else behind a link.
    let path = base.join(decoded).components().collect();
    Ok(Locator { place: Place::Folder(path), subdir, file })
}

fn git(rest: &str, version: Option<&str>) -> Result<Locator, LocatorError> {
    let (url, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (transport, authority, path) = split_url(url)?;
    let Authority { login, credentials, host, port } = Authority::parse(authority, transport)?;
    let (path, subdir, file) = split_path(path)?;
    let path = check_repository(path, transport)?;
    let Parameters { reference, depth } = Parameters::parse(query)?;
    let reference = match (reference, version) {
        (Some(_), Some(_)) => return Err(LocatorError::RefAndVersion),
        (reference, None) => reference,
        (None, Some(version)) => Some(Reference::parse(version)?),
    };
    let remote = Remote { transport, login, credentials, given: None, host, port, path };
    Ok(Locator { place: Place::Git(Repository { remote, reference, depth }), subdir, file })
}

/// Transport, authority and path.
fn split_url(url: &str) -> Result<(Transport, &str, &str), LocatorError> {
    let Some((scheme, rest)) = url.split_once("://") else { return split_scp(url) };
    if !is_word(scheme) {
        return Err(LocatorError::NoUrl);
    }
    let lower = scheme.to_ascii_lowercase();
    let Some(transport) = Transport::ALL.into_iter().find(|transport| transport.scheme() == lower) else {
        let known = Transport::ALL.map(Transport::scheme);
        return Err(LocatorError::Scheme {
            scheme: lower.clone(),
            closest: closest(&lower, known).map(str::to_owned),
        });
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    Ok((transport, authority, path))
}

/// `user@host:path`
fn split_scp(url: &str) -> Result<(Transport, &str, &str), LocatorError> {
    let (user, rest) = url.split_once('@').ok_or(LocatorError::NoUrl)?;
    let after_host = if rest.starts_with('[') { rest.find(']').ok_or(LocatorError::NoUrl)? } else { 0 };
    let colon =
        rest.bytes().skip(after_host).position(|byte| byte == b':').ok_or(LocatorError::NoUrl)? + after_host;
    let authority = url.get(..user.len() + 1 + colon).ok_or(LocatorError::NoUrl)?;
    let path = rest.get(colon + 1..).ok_or(LocatorError::NoUrl)?;
    Ok((Transport::Scp, authority, path))
}

/// What holds the content, the part of it that counts, and the helmfile in it.
type Parts<'a> = (&'a str, Option<String>, Option<String>);

fn split_path(text: &str) -> Result<Parts<'_>, LocatorError> {
    let (left, file) = match text.split_once('@') {
        Some((_, file)) if file.contains('@') => return Err(LocatorError::ManyAts),
        Some((left, file)) => (left, Some(path::inner(file).map_err(LocatorError::File)?)),
        None => (text, None),
    };
    let (root, subdir) = match left.split_once("//") {
        Some((root, subdir)) => (root, Some(path::inner(subdir).map_err(LocatorError::Subdir)?)),
        None => (left, None),
    };
    Ok((root, subdir, file))
}

fn check_repository(path: &str, transport: Transport) -> Result<String, LocatorError> {
    let path = path.trim_end_matches('/');
    let decoded = path::decode(path).ok_or(LocatorError::Repository("bytes that are not UTF-8"))?;
    match decoded.as_str() {
        "" => Err(LocatorError::NoRepository(transport.scheme())),
        _ if decoded.starts_with('-') => Err(LocatorError::Repository("a `-` at its start")),
        _ if decoded.chars().any(char::is_control) => Err(LocatorError::Repository("a control character")),
        _ if path.chars().any(|c| c.is_whitespace() || c == '#') => {
            Err(LocatorError::Repository("a blank or a `#`"))
        }
        _ if decoded.split('/').any(|part| part == "..") => Err(LocatorError::Repository("a part `..`")),
        _ => Ok(path.to_owned()),
    }
}

#[derive(Default)]
struct Parameters {
    reference: Option<Reference>,
    depth: Option<NonZeroU32>,
}

impl Parameters {
    fn parse(query: &str) -> Result<Self, LocatorError> {
        let mut found = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            // `+` stays what it is: `v1.0+build` is a tag, and no tag has blanks.
            let value = path::decode(value);
            match name {
                "ref" => {
                    let value = value_of("ref", value)?;
                    once("ref", &mut found.reference, Reference::parse(&value)?)?;
                }
                "depth" => {
                    let value = value_of("depth", value)?;
                    let depth = value.parse().map_err(|_| LocatorError::Depth(short(&value)))?;
                    once("depth", &mut found.depth, depth)?;
                }
                "sshkey" => return Err(LocatorError::SshKey),
                _ => return Err(unknown_parameter(name)),
            }
        }
        Ok(found)
    }
}

fn value_of(name: &'static str, value: Option<String>) -> Result<String, LocatorError> {
    match value {
        None => Err(LocatorError::Parameter { name, problem: "has a value that is not UTF-8" }),
        Some(value) if value.is_empty() => Err(LocatorError::Parameter { name, problem: "has no value" }),
        Some(value) => Ok(value),
    }
}

fn once<T>(name: &'static str, place: &mut Option<T>, value: T) -> Result<(), LocatorError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(LocatorError::Parameter { name, problem: "is given twice" }),
    }
}

fn unknown_parameter(name: &str) -> LocatorError {
    let closest = closest(name, ["ref", "depth"]).map(str::to_owned);
    LocatorError::UnknownParameter { name: short(name), closest }
}

/// Enough of a text to recognise it.
fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(30).collect()
}
