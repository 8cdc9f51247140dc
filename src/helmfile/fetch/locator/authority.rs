//! The part of a URL between `://` and the path.

use std::net::Ipv6Addr;

use super::{Credentials, LocatorError, Transport, path};

/// Who and where.
#[derive(Debug, Default)]
pub(super) struct Authority {
    pub(super) login: Option<String>,
    pub(super) credentials: Option<Credentials>,
    pub(super) host: String,
    pub(super) port: Option<u16>,
}

impl Authority {
    pub(super) fn parse(text: &str, transport: Transport) -> Result<Self, LocatorError> {
        if transport == Transport::File {
            return match text {
                "" | "localhost" => Ok(Self::default()),
                _ => {
                    Err(LocatorError::Authority("must be empty for files, as in `file:///folder/repository`"))
                }
            };
        }
        let (user_info, address) = match text.rsplit_once('@') {
            Some((user_info, address)) => (Some(user_info), address),
            None => (None, text),
        };
        let (host, port) = split_port(address);
        let port = port.map(parse_port).transpose()?;
        let host = check_host(host)?;
        let (login, credentials) = match (user_info, transport) {
            (None, _) => (None, None),
            (Some(user), Transport::Ssh | Transport::Scp) => (Some(check_login(user)?), None),
            (Some(pair), _) => (None, Some(parse_credentials(pair)?)),
        };
        Ok(Self { login, credentials, host, port })
    }
}

fn split_port(address: &str) -> (&str, Option<&str>) {
    match address.rsplit_once(':') {
        // The colons of `[::1]` are no port.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (address, None),
    }
}

fn parse_port(text: &str) -> Result<u16, LocatorError> {
    let port = if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None };
    port.filter(|port| *port != 0).ok_or(LocatorError::Authority("has no valid port number after `:`"))
}

/// Letters, digits, `.`, `-` and `_`, or an IPv6 address: a host must never look like an option or a command.
fn check_host(text: &str) -> Result<String, LocatorError> {
    if let Some(address) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return match address.parse::<Ipv6Addr>() {
            Ok(address) => Ok(format!("[{address}]")),
            Err(_) => Err(LocatorError::Authority("has no valid IPv6 address in its brackets")),
        };
    }
    let is_fine = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    match text {
        "" => Err(LocatorError::Authority("names no host")),
        _ if text.starts_with('-') => Err(LocatorError::Authority("names a host that starts with `-`")),
        _ if !text.chars().all(is_fine) => {
            Err(LocatorError::Authority("names a host with a character that hosts can't have"))
        }
        _ => Ok(text.to_ascii_lowercase()),
    }
}

fn check_login(text: &str) -> Result<String, LocatorError> {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || "-._+".contains(c);
    match text {
        "" => Err(LocatorError::Authority("has an empty user before `@`")),
        _ if text.contains(':') => Err(LocatorError::Authority("has a password, but ssh takes keys only")),
        _ if text.starts_with('-') => Err(LocatorError::Authority("names a user that starts with `-`")),
        _ if !text.chars().all(is_fine) => {
            Err(LocatorError::Authority("names a user with a character that users can't have"))
        }
        _ => Ok(text.to_owned()),
    }
}

fn parse_credentials(pair: &str) -> Result<Credentials, LocatorError> {
    let (user, password) = pair.split_once(':').unwrap_or((pair, ""));
    let decode =
        |text| path::decode(text).ok_or(LocatorError::Authority("has a user or password that is not UTF-8"));
    let (user, password) = (decode(user)?, decode(password)?);
    match () {
        () if user.is_empty() && password.is_empty() => {
            Err(LocatorError::Authority("has an empty user before `@`"))
        }
        // A line break would let a password add lines to what a credential helper says.
        () if user.chars().chain(password.chars()).any(char::is_control) => {
            Err(LocatorError::Authority("has a control character in its user or password"))
        }
        () => Ok(Credentials { user, password }),
    }
}
