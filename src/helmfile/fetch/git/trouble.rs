//! What Git and ssh print when something goes wrong, in one sentence of ours. Pure.

use std::fmt;

use crate::redact;

/// Why Git failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// Wrong or missing credentials, or no right to read.
    Authentication,
    /// No repository there.
    NotFound,
    /// No address for the host's name.
    UnknownHost,
    /// Nobody listens, or no way there.
    Unreachable,
    /// The connection broke.
    Disconnected,
    /// The server's certificate is not trusted.
    Certificate,
    /// The server's ssh key is not in `known_hosts`.
    UnknownHostKey,
    /// The server's ssh key is another one than in `known_hosts`.
    ChangedHostKey,
    /// The private key's file can be read by others.
    OpenKeyFile,
    /// The private key can't be used without somebody typing its passphrase, or is no key.
    UnusableKey,
    /// ssh needs a name for the user it runs as.
    NamelessUser,
    /// A redirect to a protocol that the locator did not ask for, or one that a token would follow.
    Redirect,
    /// No space left.
    DiskFull,
    /// The server does not have the commit, or does not hand it out by its id.
    NotServed,
    /// Anything else: the last line that says something.
    Other(String),
}

/// What marks a trouble in lower-case output; the first match counts, so the particular comes before the general.
const MARKS: &[(&str, Trouble)] = &[
    ("remote host identification has changed", Trouble::ChangedHostKey),
    ("host key verification failed", Trouble::UnknownHostKey),
    ("host key is known for", Trouble::UnknownHostKey),
    ("unprotected private key file", Trouble::OpenKeyFile),
    ("error in libcrypto", Trouble::UnusableKey),
    ("\": invalid format", Trouble::UnusableKey),
    ("no user exists for uid", Trouble::NamelessUser),
    ("authentication failed", Trouble::Authentication),
    ("could not read username", Trouble::Authentication),
    ("could not read password", Trouble::Authentication),
    ("unable to get password from user", Trouble::Authentication),
    ("access denied", Trouble::Authentication),
    ("you are not allowed to", Trouble::Authentication),
    ("permission denied (", Trouble::Authentication),
    ("returned error: 401", Trouble::Authentication),
    ("returned error: 403", Trouble::Authentication),
    ("too many authentication failures", Trouble::Authentication),
    ("does not appear to be a git repository", Trouble::NotFound),
    ("repository not found", Trouble::NotFound),
    ("returned error: 404", Trouble::NotFound),
    ("' not found", Trouble::NotFound),
    ("could not resolve", Trouble::UnknownHost),
    ("name or service not known", Trouble::UnknownHost),
    ("certificate problem", Trouble::Certificate),
    ("certificate verification failed", Trouble::Certificate),
    ("certificate verify failed", Trouble::Certificate),
    ("connection refused", Trouble::Unreachable),
    ("connection timed out", Trouble::Unreachable),
    ("no route to host", Trouble::Unreachable),
    ("network is unreachable", Trouble::Unreachable),
    ("failed to connect to", Trouble::Unreachable),
    ("couldn't connect to server", Trouble::Unreachable),
    ("' not allowed", Trouble::Redirect),
    ("disabled in libcurl", Trouble::Redirect),
    ("returned error: 301", Trouble::Redirect),
    ("returned error: 302", Trouble::Redirect),
    ("returned error: 307", Trouble::Redirect),
    ("returned error: 308", Trouble::Redirect),
    ("disabled in followed redirect", Trouble::Redirect),
    ("no space left on device", Trouble::DiskFull),
    ("out of diskspace", Trouble::DiskFull),
    ("not our ref", Trouble::NotServed),
    ("unadvertised object", Trouble::NotServed),
    ("couldn't find remote ref", Trouble::NotServed),
    ("does not support shallow", Trouble::NotServed),
    ("hung up unexpectedly", Trouble::Disconnected),
    ("connection reset by", Trouble::Disconnected),
    ("connection closed by", Trouble::Disconnected),
    ("early eof", Trouble::Disconnected),
    ("empty reply from server", Trouble::Disconnected),
];

/// What Git adds to every failure.
const NOISE: [&str; 4] = [
    "Could not read from remote repository",
    "Please make sure you have",
    "and the repository exists",
    "hint:",
];

impl Trouble {
    /// Reads what Git has left on stderr. `secrets` are hidden wherever they occur.
    pub(super) fn read(stderr: &str, secrets: &[&str]) -> Self {
        let lower = stderr.to_lowercase();
        MARKS
            .iter()
            .find(|(mark, _)| lower.contains(mark))
            .map_or_else(|| Self::Other(last_line(stderr, secrets)), |(_, trouble)| trouble.clone())
    }

    /// The reason for a condition.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Authentication | Self::OpenKeyFile | Self::UnusableKey => "AuthenticationFailed",
            Self::NotFound => "RepositoryNotFound",
            Self::UnknownHost | Self::Unreachable | Self::Disconnected => "HostUnreachable",
            Self::Certificate | Self::UnknownHostKey | Self::ChangedHostKey => "HostNotTrusted",
            Self::DiskFull => "StorageOperationFailed",
            Self::NotServed => "RefNotFound",
            Self::NamelessUser | Self::Redirect | Self::Other(_) => "GitOperationFailed",
        }
    }
}

/// The last line that says something, without Git's prefixes, credentials and control characters, cut to a sentence.
fn last_line(stderr: &str, secrets: &[&str]) -> String {
    let says_something = |line: &&str| !line.is_empty() && !NOISE.iter().any(|noise| line.contains(noise));
    let line = stderr.lines().rev().map(str::trim).find(says_something);
    let Some(mut line) = line else { return "git failed without saying why".to_owned() };
    for prefix in ["remote: ", "fatal: ", "error: "] {
        line = line.strip_prefix(prefix).unwrap_or(line);
    }
    let mut text: String = line.chars().filter(|c| !c.is_control()).take(300).collect();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret, "***");
    }
    redact::urls(&text).trim_end_matches('.').to_owned()
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Authentication => "authentication failed; check the user, password, token or key, and its right to read",
            Self::NotFound => "there is no such repository, or the credentials may not see it",
            Self::UnknownHost => "the host's name has no address; check its spelling, DNS and the proxy",
            Self::Unreachable => "the host can't be reached; check host, port, firewall and proxy",
            Self::Disconnected => "the server closed the connection",
            Self::Certificate => "the server's certificate is not trusted; put its authority into `ca.crt` of the source's Secret, or name a file with it in SSL_CERT_FILE",
            Self::UnknownHostKey => "the server's ssh key is not in `known_hosts`; add the line that `ssh-keyscan` prints, and check it",
            Self::ChangedHostKey => {
                "the server's ssh key is not the one in `known_hosts`; somebody may be in between, so ask who runs the server"
            }
            Self::OpenKeyFile => "others can read the private key's file; run `chmod 600` on it",
            Self::UnusableKey => "the private key can't be used; it must be whole, and its passphrase must be the right one",
            Self::NamelessUser => "ssh needs an entry in /etc/passwd for the user that the operator runs as; run as one that has",
            Self::Redirect => "the server redirects to a protocol that is not allowed here, or elsewhere with a token; write where it leads",
            Self::DiskFull => "no space is left on the disk of the cache",
            Self::NotServed => "the server does not hand out the commit",
            Self::Other(line) => line,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_git_and_ssh_print() {
        let table = [
            ("fatal: Authentication failed for 'https://h/r/'", Trouble::Authentication),
            (
                "fatal: could not read Username for 'https://h': terminal prompts disabled",
                Trouble::Authentication,
            ),
            (
                "git@h: Permission denied (publickey).\r\nfatal: Could not read from remote repository.\n\nPlease make sure you have the correct access rights\nand the repository exists.",
                Trouble::Authentication,
            ),
            (
                "fatal: unable to access 'https://h/r/': The requested URL returned error: 403",
                Trouble::Authentication,
            ),
            ("fatal: repository 'https://h/r/' not found", Trouble::NotFound),
            (
                "fatal: '/x' does not appear to be a git repository\nfatal: Could not read from remote repository.",
                Trouble::NotFound,
            ),
            (
                "ERROR: Repository not found.\nfatal: Could not read from remote repository.",
                Trouble::NotFound,
            ),
            ("fatal: unable to access 'https://h/': Could not resolve host: h", Trouble::UnknownHost),
            ("ssh: Could not resolve hostname h: Name or service not known", Trouble::UnknownHost),
            (
                "fatal: unable to access 'https://h/': Failed to connect to h port 1 after 0 ms: Couldn't connect to server",
                Trouble::Unreachable,
            ),
            ("ssh: connect to host h port 22: Connection refused", Trouble::Unreachable),
            (
                "No ED25519 host key is known for h and you have requested strict checking.\r\nHost key verification failed.",
                Trouble::UnknownHostKey,
            ),
            (
                "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.",
                Trouble::ChangedHostKey,
            ),
            (
                "@ WARNING: UNPROTECTED PRIVATE KEY FILE! @\nLoad key \"/k/id\": bad permissions\ngit@h: Permission denied (publickey).",
                Trouble::OpenKeyFile,
            ),
            (
                "Load key \"/k/id\": error in libcrypto\ngit@h: Permission denied (publickey).",
                Trouble::UnusableKey,
            ),
            (
                "No user exists for uid 65532\nfatal: Could not read from remote repository.",
                Trouble::NamelessUser,
            ),
            (
                "fatal: unable to access 'https://h/': server certificate verification failed. CAfile: none CRLfile: none",
                Trouble::Certificate,
            ),
            (
                "fatal: unable to access 'https://h/': SSL certificate problem: self-signed certificate",
                Trouble::Certificate,
            ),
            ("fatal: remote error: upload-pack: not our ref 0123", Trouble::NotServed),
            ("error: Server does not allow request for unadvertised object 0123", Trouble::NotServed),
            ("fatal: couldn't find remote ref refs/heads/x", Trouble::NotServed),
            ("fatal: transport 'http' not allowed", Trouble::Redirect),
            ("remote: You are not allowed to download code from this project.", Trouble::Authentication),
            ("fatal: dumb http transport does not support shallow capabilities", Trouble::NotServed),
            (
                "kex_exchange_identification: Connection closed\nfatal: the remote end hung up unexpectedly",
                Trouble::Disconnected,
            ),
            (
                "error: file write error: No space left on device\nfatal: unable to write sha1 file",
                Trouble::DiskFull,
            ),
        ];
        for (stderr, trouble) in table {
            assert_eq!(Trouble::read(stderr, &[]), trouble, "{stderr}");
        }
    }

    #[test]
    fn falls_back_to_the_last_line_that_says_something() {
        let stderr = "warning: x\nfatal: bad thing at https://bob:pw@h/r with hunter2\u{1b}[0m.\nfatal: Could not read from remote repository.\n\n";
        assert_eq!(
            Trouble::read(stderr, &["hunter2"]).to_string(),
            "bad thing at https://***@h/r with ***[0m"
        );
        assert_eq!(Trouble::read("\n", &[]).to_string(), "git failed without saying why");
    }
}
