//! What one command of Git needs to know and nobody else may: files in a folder of its own, which goes away with it.
//!
//! Nothing of it is on a command line or in an environment, which other processes can read.

use std::{
    fmt::Write as _,
    fs::OpenOptions,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use crate::helmfile::fetch::{
    FetchError, SourceCredentials,
    cache::{Shelf, Workplace},
    locator::Remote,
};

/// The files, each where there is something to put into it.
#[derive(Debug)]
pub(super) struct Private {
    /// Git's whole configuration.
    pub(super) config: PathBuf,
    /// What the credential helper says.
    pub(super) login: Option<PathBuf>,
    /// The authorities that vouch for the server.
    pub(super) authority: Option<PathBuf>,
    /// The folder with `identity` and `known_hosts`.
    pub(super) ssh: Option<PathBuf>,
    /// A program that prints the passphrase of `identity`.
    pub(super) askpass: Option<PathBuf>,
    _folder: Workplace,
}

/// Says what a file holds, in which the secrets are. The words of the shell are constant. Git asks it only for the host
/// that its section of the configuration names, even after a redirect.
const HELPER: &str = r#"!f() { test \"$1\" = get && cat \"$SOURCE_LOGIN\"; }; f"#;
/// The passphrase is in the folder of this script.
const ASKPASS: &str = "#!/bin/sh\nexec cat \"$(dirname -- \"$0\")/passphrase\"\n";

impl Private {
    /// Writes the files, if the remote has anything secret. `config` is the configuration that all of Git's commands have.
    pub(super) fn lay(cache: &Path, remote: &Remote, config: &str) -> Result<Option<Self>, FetchError> {
        let Some(credentials) = effective(remote) else { return Ok(None) };
        // What somebody who was killed has left is removed on the way.
        let workplace = Shelf::in_making(&cache.join("git").join("private")).workplace()?;
        let folder = workplace.content();
        let failed = FetchError::storage("write to", &folder);
        Self::write(workplace, remote, &credentials, config).map(Some).map_err(failed)
    }

    fn write(
        workplace: Workplace,
        remote: &Remote,
        credentials: &SourceCredentials,
        config: &str,
    ) -> io::Result<Self> {
        let folder = workplace.content();
        let put = |name: &str, mode: u32, text: &str| write(&folder.join(name), mode, text);
        let mut config = config.to_owned();
        sections(&mut config, remote, credentials);
        let config = put("gitconfig", 0o600, &config)?;
        let login = credentials.login.as_ref();
        let login = login.map(|(user, password)| format!("username={user}\npassword={password}\n"));
        let login = login.map(|text| put("login", 0o600, &text)).transpose()?;
        let authority = credentials.authority.as_ref();
        let authority = authority.map(|pem| put("ca.crt", 0o600, pem)).transpose()?;
        let (mut ssh, mut askpass) = (None, None);
        if let Some(key) = &credentials.ssh {
            // ssh takes a key without a line break at its end for a broken one.
            put("identity", 0o600, &format!("{}\n", key.identity.trim_end()))?;
            put("known_hosts", 0o600, &key.known_hosts)?;
            ssh = Some(folder.clone());
            if let Some(passphrase) = &key.passphrase {
                put("passphrase", 0o600, &format!("{passphrase}\n"))?;
                askpass = Some(put("askpass", 0o700, ASKPASS)?);
            }
        }
        Ok(Self { config, login, authority, ssh, askpass, _folder: workplace })
    }
}

/// Who to be at the remote: what was given, else what the text of the source says.
fn effective(remote: &Remote) -> Option<SourceCredentials> {
    let mut credentials = remote.given.as_deref().cloned();
    if let Some(inline) = &remote.credentials {
        let given = credentials.get_or_insert_default();
        if given.login.is_none() && given.bearer_token.is_none() {
            given.login = Some((inline.user.clone(), inline.password.clone()));
        }
    }
    credentials
}

/// The sections of the configuration that count for one server only.
fn sections(config: &mut String, remote: &Remote, credentials: &SourceCredentials) {
    let Remote { transport, host, port, .. } = remote;
    let port = port.map_or_else(String::new, |port| format!(":{port}"));
    let server = format!("{}://{host}{port}", transport.scheme());
    // Writing to a String cannot fail.
    if credentials.login.is_some() {
        let _infallible = write!(config, "[credential \"{server}\"]\n\thelper = \"{HELPER}\"\n");
    }
    if let Some(token) = &credentials.bearer_token {
        let token = token.replace('\\', "\\\\").replace('"', "\\\"");
        // Git would send the header to wherever a redirect leads.
        let _infallible = write!(
            config,
            "[http \"{server}/\"]\n\textraHeader = \"Authorization: Bearer {token}\"\n\tfollowRedirects = false\n"
        );
    }
}

fn write(path: &Path, mode: u32, text: &str) -> io::Result<PathBuf> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())?;
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;
    use crate::helmfile::fetch::{
        Locator, SshCredentials,
        locator::{Place, Repository},
    };

    fn remote(source: &str, credentials: &SourceCredentials) -> Remote {
        let locator = Locator::parse(source, None, Path::new("/")).unwrap().with_credentials(credentials);
        let Place::Git(Repository { remote, .. }) = locator.place() else { panic!("{source}") };
        remote.clone()
    }

    fn text(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn nothing_is_written_for_nothing() {
        let cache = tempfile::tempdir().unwrap();
        let locator = Locator::parse("git::https://host/r", None, Path::new("/")).unwrap();
        let Place::Git(repository) = locator.place() else { panic!() };
        assert!(Private::lay(cache.path(), &repository.remote, "").unwrap().is_none());
        let remote = remote("git::https://host/r", &SourceCredentials::default());
        assert!(Private::lay(cache.path(), &remote, "").unwrap().is_none());
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_private_goes_away_and_nobody_else_reads_it() {
        let cache = tempfile::tempdir().unwrap();
        let ssh = SshCredentials {
            identity: "KEY".into(),
            passphrase: Some("open sesame".into()),
            known_hosts: "host ssh-ed25519 AAAA\n".into(),
        };
        let given = SourceCredentials {
            login: Some(("bob".into(), "p\"w".into())),
            ssh: Some(ssh),
            authority: Some("PEM".into()),
            ..SourceCredentials::default()
        };
        let remote = remote("git::https://eve:url@host:8443/r", &given);
        let private = Private::lay(cache.path(), &remote, "[core]\n").unwrap().unwrap();
        let config = text(&private.config);
        assert!(config.starts_with("[core]\n[credential \"https://host:8443\"]\n\thelper = "), "{config}");
        assert!(!config.contains("p\"w") && !config.contains("extraHeader"), "{config}");
        assert_eq!(text(private.login.as_ref().unwrap()), "username=bob\npassword=p\"w\n");
        assert_eq!(text(private.authority.as_ref().unwrap()), "PEM");
        let folder = private.ssh.clone().unwrap();
        assert_eq!(text(&folder.join("identity")), "KEY\n");
        assert_eq!(text(&folder.join("known_hosts")), "host ssh-ed25519 AAAA\n");
        for entry in fs::read_dir(&folder).unwrap() {
            let mode = entry.as_ref().unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{entry:?}");
        }
        let mode = fs::metadata(folder.parent().unwrap()).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "nor the folder");
        drop(private);
        assert!(!folder.exists());
    }

    #[test]
    fn a_token_is_for_one_server_and_no_redirect() {
        let cache = tempfile::tempdir().unwrap();
        let given =
            SourceCredentials { bearer_token: Some("a\"b\\c".into()), ..SourceCredentials::default() };
        let remote = remote("git::https://eve:url@host/r", &given);
        let private = Private::lay(cache.path(), &remote, "").unwrap().unwrap();
        let expected = "[http \"https://host/\"]\n\textraHeader = \"Authorization: Bearer a\\\"b\\\\c\"\n\tfollowRedirects = false\n";
        assert_eq!(text(&private.config), expected);
        assert!(private.login.is_none(), "a user in the URL gives way");
    }

    #[test]
    fn a_user_in_the_url_stays_private_as_well() {
        let cache = tempfile::tempdir().unwrap();
        let remote = remote("git::https://bob:p%40ss@host/r", &SourceCredentials::default());
        let private = Private::lay(cache.path(), &remote, "").unwrap().unwrap();
        assert_eq!(text(private.login.as_ref().unwrap()), "username=bob\npassword=p@ss\n");
    }
}
