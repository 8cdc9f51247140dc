//! Decrypting with the program `sops`.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::NamedTempFile;
use tokio_util::sync::CancellationToken;

use super::{error::DecryptError, sops, values};
use crate::{
    environment::{self, Environment},
    process::{self, Command, Guard, ProgramError},
};

/// How long `sops` may take for one text. It does nothing but compute, with keys of age.
const TIMEOUT: Duration = Duration::from_mins(1);

/// The program `sops`, and what it runs under.
#[derive(Debug, Clone)]
pub struct Sops {
    /// Runs it.
    pub guard: Guard,
    /// The ambient environment. Only PATH is taken from it: what else the applier may decrypt with, such as the rights
    /// of its pod at a cloud, is not for a Helmfile to use.
    pub env: Environment,
    /// An existing folder that nobody else can read, for the keys and for what was decrypted. Whoever made it removes it.
    pub folder: PathBuf,
    /// Ends it.
    pub stop: CancellationToken,
}

/// Keys of age in a private file, which goes away with this.
#[derive(Debug)]
pub struct Keys(NamedTempFile);

impl Keys {
    /// The file: for `SOPS_AGE_KEY_FILE`.
    pub fn file(&self) -> &Path {
        self.0.path()
    }
}

/// A file of values as helmfile can read it.
#[derive(Debug)]
pub struct Plain {
    /// Where.
    pub file: PathBuf,
    /// What nobody may read in a log: all that was encrypted.
    pub secrets: Vec<String>,
}

impl Sops {
    /// Puts keys into a private file.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn keys(&self, text: &str) -> Result<Keys, DecryptError> {
        let write = || {
            let mut file = tempfile::Builder::new().suffix(".agekey").tempfile_in(&self.folder)?;
            file.write_all(text.as_bytes())?;
            Ok(file)
        };
        write().map(Keys).map_err(DecryptError::Storage)
    }

    /// Decrypts a text that [is encrypted](sops::is_encrypted). `name` is for messages.
    ///
    /// # Errors
    /// When there are no keys, they are the wrong ones, or `sops` can't be run.
    pub async fn decrypt(&self, name: &str, text: &str, keys: Option<&Keys>) -> Result<String, DecryptError> {
        let name = || name.to_owned();
        let keys = keys.ok_or_else(|| DecryptError::NoKeys(name()))?;
        let program = process::resolve("sops", environment::path(&self.env), Path::new("/"));
        let program = program.map_err(|source| match source {
            ProgramError::NotOnPath(_) => DecryptError::NoProgram(name()),
            source => DecryptError::Program { name: name(), source },
        })?;
        let mut command = Command::new(program, &self.folder)
            .args(["decrypt", "--input-type", "yaml", "--output-type", "yaml", "/dev/stdin"])
            .envs(environment::path(&self.env).map(|path| ("PATH", path)))
            // It looks for keys at home, too.
            .envs([("HOME", self.folder.as_path()), ("SOPS_AGE_KEY_FILE", keys.file())]);
        command.input = text.as_bytes().to_vec();
        command.timeout = Some(TIMEOUT);
        let finished = command.run(&self.guard, &self.stop, &mut |_| {}).await;
        let finished = finished.map_err(|source| DecryptError::Session { name: name(), source })?;
        if !finished.status.success() {
            return Err(DecryptError::Refused { name: name(), why: why(&finished.stderr) });
        }
        String::from_utf8(finished.stdout).map_err(|_| DecryptError::NotText(name()))
    }

    /// A file of values as helmfile can read it: `file` itself, unless it is encrypted; then a private one in the folder.
    ///
    /// # Errors
    /// When it can't be read, or can't be decrypted.
    pub async fn plain_file(
        &self,
        name: &str,
        file: &Path,
        keys: Option<&Keys>,
    ) -> Result<Plain, DecryptError> {
        let bytes = fs::read(file).map_err(DecryptError::Storage)?;
        let Some(text) = String::from_utf8(bytes).ok().filter(|text| sops::is_encrypted(text)) else {
            return Ok(Plain { file: file.to_owned(), secrets: Vec::new() });
        };
        let plain = self.decrypt(name, &text, keys).await?;
        let write = || {
            let mut file = tempfile::Builder::new()
                .prefix("decrypted-")
                // Helmfile takes a template by its name.
                .suffix(".yaml")
                .tempfile_in(&self.folder)?;
            file.write_all(plain.as_bytes())?;
            Ok(file.into_temp_path().keep()?)
        };
        let file = write().map_err(DecryptError::Storage)?;
        Ok(Plain { file, secrets: values::texts(&plain) })
    }
}

/// What sops says, in a sentence without the values that it quotes.
fn why(stderr: &str) -> String {
    if stderr.contains("Failed to get the data key") {
        let recipients: Vec<String> = stderr
            .lines()
            .filter_map(|line| line.trim().strip_suffix(": FAILED"))
            .filter(|recipient| recipient.starts_with("age1"))
            .map(|recipient| format!("`{recipient}`"))
            .collect();
        return match recipients.as_slice() {
            [] => "none of its keys is one of age".to_owned(),
            _ => format!("it needs the key of {}, which `decryption` does not have", recipients.join(" or ")),
        };
    }
    if stderr.contains("MAC mismatch") || stderr.contains("Error decrypting tree") {
        return "it was changed after it was encrypted".to_owned();
    }
    // What comes after a colon may be a part of the file.
    let line = stderr.lines().map(str::trim).find(|line| !line.is_empty());
    let line = line.and_then(|line| line.split(':').next()).unwrap_or("it failed without saying why");
    let line: String = line.chars().filter(|c| !c.is_control()).take(200).collect();
    format!("sops says: {line}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sops_says_is_told_without_content() {
        let wrong = "Failed to get the data key required to decrypt the SOPS file.\n\nGroup 0: FAILED\n  age1abc: FAILED\n    - | failed\n\n  age1def: FAILED\n    - | x\nRecovery failed\n";
        let table = [
            (wrong, "it needs the key of `age1abc` or `age1def`, which `decryption` does not have"),
            (
                "Failed to get the data key required\nGroup 0: FAILED\n  arn:aws:kms:x: FAILED\n",
                "none of its keys is one of age",
            ),
            ("MAC mismatch. File has A, computed B\n", "it was changed after it was encrypted"),
            (
                "Error decrypting tree: Error walking tree: Could not decrypt value: Input string hunter2 does not match\n",
                "it was changed after it was encrypted",
            ),
            ("\nError unmarshalling input yaml: hunter2\n", "sops says: Error unmarshalling input yaml"),
            ("", "sops says: it failed without saying why"),
        ];
        for (stderr, expected) in table {
            assert_eq!(why(stderr), expected);
        }
    }
}
