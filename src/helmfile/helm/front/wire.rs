//! What the front and the applier say to each other: one line of JSON each way.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// Name of the socket in its folder.
pub const SOCKET: &str = "front";

/// The version of this language: the next one when an older applier could not answer, or would do so wrongly.
const VERSION: u32 = 1;

/// How helmfile has called helm. What is left out is empty, so that the version can be read in any case.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Asked {
    /// The version of the language that the front speaks.
    version: u32,
    /// The arguments.
    pub args: Vec<String>,
    /// The working directory.
    pub folder: PathBuf,
    /// The environment.
    pub env: BTreeMap<String, String>,
}

/// The front speaks another version of the language than the applier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the program was replaced while the applier ran: the front of helm speaks version {0} of their language, and the applier \
     version {VERSION}; restart the applier"
)]
pub struct Foreign(u32);

impl Asked {
    /// A question in our version.
    pub fn new(args: Vec<String>, folder: PathBuf, env: BTreeMap<String, String>) -> Self {
        Self { version: VERSION, args, folder, env }
    }

    /// Whether it can be understood.
    ///
    /// # Errors
    /// When a front of another version has asked.
    pub fn check(&self) -> Result<(), Foreign> {
        if self.version == VERSION { Ok(()) } else { Err(Foreign(self.version)) }
    }
}

impl std::fmt::Debug for Asked {
    /// Without the environment and the arguments after the first, which may hold credentials.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asked").field("command", &self.args.first()).finish_non_exhaustive()
    }
}

/// What the front is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Told {
    /// Print this and end.
    Done {
        /// Exit status.
        exit: u8,
        /// For stdout.
        stdout: String,
        /// For stderr.
        stderr: String,
    },
    /// Become this program. The connection stays open in it, so that the applier sees when it has ended.
    Become {
        /// Full path.
        program: PathBuf,
        /// All arguments.
        args: Vec<String>,
        /// Variables to set, or with `None` to remove.
        env: BTreeMap<String, Option<String>>,
    },
}

impl Told {
    /// Success, with something on stdout.
    pub fn print(stdout: impl Into<String>) -> Self {
        Self::Done { exit: 0, stdout: stdout.into(), stderr: String::new() }
    }

    /// A failure in helm's own form; helmfile, and our reading of it, look for `Error:`.
    pub fn refuse(why: impl std::fmt::Display) -> Self {
        Self::Done { exit: 1, stdout: String::new(), stderr: format!("Error: {why}\n") }
    }
}

/// A short path to a file in a folder, as long as the folder is held open: the path of a socket has room for 100 characters,
/// and folders of runs can be longer.
///
/// # Errors
/// When the folder can't be opened.
pub fn in_folder(folder: &Path, name: &str) -> io::Result<(File, PathBuf)> {
    let open = File::open(folder)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{name}", open.as_raw_fd()));
    Ok((open, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_of_another_version_is_recognised() {
        let read = |text: &str| serde_json::from_str::<Asked>(text).unwrap().check();
        let own = Asked::new(vec!["version".to_owned()], "/".into(), BTreeMap::new());
        assert_eq!(read(&serde_json::to_string(&own).unwrap()), Ok(()));
        assert_eq!(read(r#"{"version": 7, "words": ["upgrade"]}"#), Err(Foreign(7)));
        let said = read(r#"{"args": [], "folder": "/", "env": {}}"#).unwrap_err().to_string();
        assert!(said.contains("version 0") && said.contains("restart the applier"), "{said}");
    }
}
