//! The ssh command that Git runs. Nobody's configuration, agent or known hosts but those of the ssh folder; never trust
//! on first use.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::private::Private;
use crate::helmfile::fetch::{FetchError, locator::Remote};

const KNOWN_HOSTS: &str = "known_hosts";

/// Checks the ssh folder and makes the command. Where credentials are given, their key counts and `folder` does not.
pub(super) fn command(
    program: &Path,
    folder: Option<PathBuf>,
    remote: &Remote,
    private: Option<&Private>,
) -> Result<String, FetchError> {
    let failed = |reason, problem| FetchError::Ssh { repository: remote.to_string(), problem, reason };
    let port = remote.port.map_or_else(String::new, |port| format!("-p {port} "));
    let scan = format!("`ssh-keyscan {port}{}`", remote.host.trim_matches(['[', ']']));
    let folder = match private {
        None => folder,
        Some(private) if private.ssh.is_none() => {
            let problem = format!("the credentials hold no `identity` and `{KNOWN_HOSTS}`");
            return Err(failed("AuthenticationFailed", problem));
        }
        Some(private) => private.ssh.clone(),
    };
    let Some(folder) = folder else {
        let problem = format!(
            "no ssh folder is given; it holds a private key such as `id_ed25519`, and `{KNOWN_HOSTS}`"
        );
        return Err(failed("AuthenticationFailed", problem));
    };
    let known_hosts = folder.join(KNOWN_HOSTS);
    if !known_hosts.is_file() {
        let problem = format!(
            "`{}` is missing; put there what {scan} prints, after checking it",
            known_hosts.display()
        );
        return Err(failed("HostNotTrusted", problem));
    }
    let identities = identities(&folder).map_err(FetchError::storage("read the ssh folder", &folder))?;
    if identities.is_empty() {
        let problem =
            format!("`{}` holds no private key; name it `id_ed25519` or `identity`", folder.display());
        return Err(failed("AuthenticationFailed", problem));
    }
    let asks = private.is_some_and(|private| private.askpass.is_some());
    Ok(line(program, &known_hosts, &identities, asks))
}

/// The private keys, sorted by name. `identity` is what Flux calls it, `ssh-privatekey` the Secret type kubernetes.io/ssh-auth.
fn identities(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_key = ["identity", "ssh-privatekey"].contains(&&*name)
            || (name.starts_with("id_")
                && Path::new(&name).extension().is_none_or(|extension| extension != "pub"));
        if is_key && entry.path().is_file() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// `asks` is whether ssh may ask for the passphrase of a key. Nobody but a program of ours is there to answer.
fn line(program: &Path, known_hosts: &Path, identities: &[PathBuf], asks: bool) -> String {
    let fixed = [
        if asks { "NumberOfPasswordPrompts=1" } else { "BatchMode=yes" },
        "StrictHostKeyChecking=yes",
        "GlobalKnownHostsFile=/dev/null",
        "UpdateHostKeys=no",
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
        "PreferredAuthentications=publickey",
        "ClearAllForwardings=yes",
        "ControlMaster=no",
        "ControlPath=none",
        "PermitLocalCommand=no",
        "LogLevel=ERROR",
    ];
    let known_hosts = option("UserKnownHostsFile", known_hosts);
    let identities = identities.iter().map(|identity| option("IdentityFile", identity));
    let options = fixed.map(str::to_owned).into_iter().chain([known_hosts]).chain(identities);
    // Git hands this to a shell.
    let words = options.flat_map(|option| ["-o".to_owned(), quote(&option)]);
    let start = [quote(&program.to_string_lossy()), "-F".to_owned(), "/dev/null".to_owned()];
    start.into_iter().chain(words).collect::<Vec<_>>().join(" ")
}

/// An option whose value is a path: in quotes for blanks, and `%` doubled, since ssh puts something else in its place.
fn option(name: &str, path: &Path) -> String {
    format!("{name}=\"{}\"", path.to_string_lossy().replace('%', "%%"))
}

/// One word for a shell.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helmfile::fetch::locator::{Locator, Place};

    fn command_for(folder: Option<&Path>) -> Result<String, FetchError> {
        let locator = Locator::parse("git::ssh://git@host:2222/r", None, Path::new("/")).unwrap();
        let Place::Git(repository) = locator.place() else { panic!() };
        command(Path::new("/usr/bin/ssh"), folder.map(Path::to_owned), &repository.remote, None)
    }

    #[test]
    fn says_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display().to_string();
        let fails = |folder: Option<&Path>| {
            let error = command_for(folder).unwrap_err();
            (error.reason(), error.to_string().replace(&path, "DIR"))
        };
        let start = "`ssh://git@host:2222/r` can't be reached by ssh: ";
        let text = "no ssh folder is given; it holds a private key such as `id_ed25519`, and `known_hosts`";
        assert_eq!(fails(None), ("AuthenticationFailed", format!("{start}{text}")));
        let text = "`DIR/known_hosts` is missing; put there what `ssh-keyscan -p 2222 host` prints, after checking it";
        assert_eq!(fails(Some(folder.path())), ("HostNotTrusted", format!("{start}{text}")));
        fs::write(folder.path().join("known_hosts"), "").unwrap();
        fs::write(folder.path().join("id_rsa.pub"), "").unwrap();
        let text = "`DIR` holds no private key; name it `id_ed25519` or `identity`";
        assert_eq!(fails(Some(folder.path())), ("AuthenticationFailed", format!("{start}{text}")));
    }

    #[test]
    fn uses_the_folder_and_nothing_else() {
        let folder = tempfile::Builder::new().prefix("it's 100% ").tempdir().unwrap();
        for name in ["known_hosts", "id_b", "id_a", "id_a.pub", "ssh-privatekey", "identity", "config"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let command = command_for(Some(folder.path())).unwrap();
        let path = folder.path().display().to_string().replace('%', "%%").replace('\'', r"'\''");
        let (fixed, files) = command.split_at(command.find(" -o 'UserKnownHostsFile").unwrap());
        assert!(
            fixed.starts_with(
                "'/usr/bin/ssh' -F /dev/null -o 'BatchMode=yes' -o 'StrictHostKeyChecking=yes' "
            ),
            "{fixed}"
        );
        let expected = [("UserKnownHostsFile", "known_hosts")]
            .into_iter()
            .chain(["id_a", "id_b", "identity", "ssh-privatekey"].map(|name| ("IdentityFile", name)));
        let words = expected.map(|(option, name)| format!(" -o '{option}=\"{path}/{name}\"'"));
        assert_eq!(files, words.collect::<Vec<_>>().concat());
    }
}
