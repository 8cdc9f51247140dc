//! What Git sees of the outside: as little as possible. Pure.

use std::{ffi::OsStr, path::Path};

use super::private::Private;
use crate::environment::Environment;
use crate::helmfile::fetch::locator::{Remote, Transport};

/// What is taken from the operator's own environment: where programs are, and how this network is left.
const PASSED_ON: [&str; 13] = [
    "PATH",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "http_proxy",
    "https_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
];

/// The name of Git's own configuration file in its HOME.
pub(super) const CONFIG_FILE: &str = "gitconfig";

/// The whole environment of a Git command for `remote`, whose HOME is `home`. Of what is private it has only the names of
/// files.
pub(super) fn environment(
    ambient: &Environment,
    home: &Path,
    remote: &Remote,
    ssh: Option<&str>,
    private: Option<&Private>,
) -> Environment {
    let mut env: Environment = ambient
        .iter()
        .filter(|(name, _)| PASSED_ON.iter().any(|passed| name.as_os_str() == *passed))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    // Git knows only its own names for what others call SSL_CERT_*.
    for (ours, theirs) in [("SSL_CERT_FILE", "GIT_SSL_CAINFO"), ("SSL_CERT_DIR", "GIT_SSL_CAPATH")] {
        if let Some(value) = env.get(OsStr::new(ours)).cloned() {
            env.entry(theirs.into()).or_insert(value);
        }
    }
    let mut set = |name: &str, value: &OsStr| env.insert(name.into(), value.into());
    set("HOME", home.as_os_str());
    set("XDG_CONFIG_HOME", home.as_os_str());
    set("GIT_CONFIG_NOSYSTEM", "1".as_ref());
    set("GIT_CONFIG_GLOBAL", home.join(CONFIG_FILE).as_os_str());
    set("GIT_ATTR_NOSYSTEM", "1".as_ref());
    // A folder above the cache may be somebody's repository.
    set("GIT_CEILING_DIRECTORIES", home.parent().unwrap_or(home).as_os_str());
    set("GIT_ALLOW_PROTOCOL", protocols(remote.transport).as_ref());
    // Nobody is there to answer.
    set("GIT_TERMINAL_PROMPT", "0".as_ref());
    set("SSH_ASKPASS_REQUIRE", "never".as_ref());
    // Its messages are read by `Trouble`.
    set("LC_ALL", "C".as_ref());
    if let Some(command) = ssh {
        set("GIT_SSH_COMMAND", command.as_ref());
        set("GIT_SSH_VARIANT", "ssh".as_ref());
    }
    if let Some(private) = private {
        set("GIT_CONFIG_GLOBAL", private.config.as_os_str());
        if let Some(login) = &private.login {
            set("SOURCE_LOGIN", login.as_os_str());
        }
        if let Some(askpass) = &private.askpass {
            set("SSH_ASKPASS", askpass.as_os_str());
            set("SSH_ASKPASS_REQUIRE", "force".as_ref());
        }
        if let Some(authority) = &private.authority {
            set("GIT_SSL_CAINFO", authority.as_os_str());
            env.remove(OsStr::new("GIT_SSL_CAPATH"));
        }
    }
    env
}

/// What a redirect may lead to as well: never from a safe protocol to another one.
const fn protocols(transport: Transport) -> &'static str {
    match transport {
        Transport::Http => "http:https",
        other => other.scheme(),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, ffi::OsString};

    use super::*;
    use crate::helmfile::fetch::locator::{Locator, Place};

    fn env_for(source: &str, ambient: &[(&str, &str)]) -> BTreeMap<String, String> {
        let locator = Locator::parse(source, None, Path::new("/")).unwrap();
        let Place::Git(repository) = locator.place() else { panic!("{source} is no Git source") };
        let ambient = ambient.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let env =
            environment(&ambient, Path::new("/cache/git/home"), &repository.remote, Some("ssh -x"), None);
        let text = |part: OsString| part.into_string().unwrap();
        env.into_iter().map(|(name, value)| (text(name), text(value))).collect()
    }

    #[test]
    fn takes_only_what_leads_out_of_the_network() {
        let ambient = [
            ("PATH", "/bin"),
            ("HTTPS_PROXY", "http://proxy"),
            ("HOME", "/root"),
            ("GIT_SSH_COMMAND", "evil"),
            ("GIT_CONFIG_COUNT", "1"),
            ("GIT_SSL_NO_VERIFY", "1"),
            ("GIT_TRACE_CURL", "1"),
            ("SSH_AUTH_SOCK", "/agent"),
            ("LD_PRELOAD", "x.so"),
        ];
        let env = env_for("git::https://host/r", &ambient);
        assert_eq!(env["PATH"], "/bin");
        assert_eq!(env["HTTPS_PROXY"], "http://proxy");
        assert_eq!(env["HOME"], "/cache/git/home");
        assert_eq!(env["GIT_SSH_COMMAND"], "ssh -x");
        for name in ["GIT_CONFIG_COUNT", "GIT_SSL_NO_VERIFY", "GIT_TRACE_CURL", "SSH_AUTH_SOCK", "LD_PRELOAD"]
        {
            assert!(!env.contains_key(name), "{name}");
        }
    }

    #[test]
    fn allows_one_protocol() {
        for (source, allowed) in [
            ("git::https://host/r", "https"),
            ("git::http://host/r", "http:https"),
            ("git::file:///r", "file"),
            ("git::ssh://host/r", "ssh"),
            ("git::git@host:r", "ssh"),
        ] {
            assert_eq!(env_for(source, &[])["GIT_ALLOW_PROTOCOL"], allowed, "{source}");
        }
    }

    #[test]
    fn authorities_are_known_to_git_by_its_own_name() {
        let env = env_for("git::https://host/r", &[("SSL_CERT_FILE", "/a.pem")]);
        assert_eq!(env["GIT_SSL_CAINFO"], "/a.pem");
        let env =
            env_for("git::https://host/r", &[("SSL_CERT_FILE", "/a.pem"), ("GIT_SSL_CAINFO", "/b.pem")]);
        assert_eq!(env["GIT_SSL_CAINFO"], "/b.pem");
    }
}
