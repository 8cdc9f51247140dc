//! Who to be at a server, from elsewhere than the text of the source.

use std::fmt;

/// What opens a source: user and password or a token for https, a key for ssh. Never printed. None of the texts of one
/// line has a control character in it; whoever fills this in sees to that.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct SourceCredentials {
    /// User and password for https.
    pub login: Option<(String, String)>,
    /// A token for https that is sent as it is, `Authorization: Bearer …`.
    pub bearer_token: Option<String>,
    /// The key for ssh.
    pub ssh: Option<SshCredentials>,
    /// Certificates, in PEM, of the authorities that vouch for the https server.
    pub authority: Option<String>,
}

/// A private key, and the servers that it may be used for.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SshCredentials {
    /// The private key, in the format of OpenSSH or PEM.
    pub identity: String,
    /// What it is encrypted with, if it is.
    pub passphrase: Option<String>,
    /// Lines as `ssh-keyscan` prints them.
    pub known_hosts: String,
}

impl SourceCredentials {
    /// All that no message may hold.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let password = self.login.iter().map(|(_, password)| password.as_str());
        let ssh = self.ssh.iter().flat_map(|ssh| [Some(&*ssh.identity), ssh.passphrase.as_deref()]);
        password.chain(self.bearer_token.as_deref()).chain(ssh.flatten())
    }
}

impl fmt::Debug for SourceCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Debug for SshCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
