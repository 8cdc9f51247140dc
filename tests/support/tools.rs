//! Where the programs are: ours, and those that `make tools` builds.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use helmfile_operator::process::{Command, Guard};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

/// The real programs of `tools/versions.env`, all in one folder.
#[derive(Debug, Clone)]
pub struct Tools {
    bin: PathBuf,
}

impl Tools {
    /// Finds them; asks `tools/install.sh` once per process.
    ///
    /// # Errors
    /// When one is not installed. A test must fail then: what was not run has not passed.
    pub async fn find() -> anyhow::Result<&'static Self> {
        static FOUND: OnceCell<Tools> = OnceCell::const_new();
        FOUND.get_or_try_init(Self::ask).await
    }

    async fn ask() -> anyhow::Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/install.sh");
        // Where the cache is depends on HOME and more, so this one gets the whole environment.
        let command = Command::new("/bin/sh", "/")
            .args([script.as_os_str(), "--bin".as_ref()])
            .envs(std::env::vars_os());
        let finished = command.run(&guard(), &CancellationToken::new(), &mut |_| {}).await?;
        ensure!(
            finished.status.success(),
            "the real programs are missing (`make tools` builds them): {}",
            finished.stderr
        );
        Ok(Self { bin: PathBuf::from(String::from_utf8(finished.stdout)?.trim_end()) })
    }

    /// The folder that holds them all.
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// Full path of one.
    ///
    /// # Panics
    /// When `tools/versions.env` does not list it.
    pub fn path(&self, program: &str) -> PathBuf {
        let path = self.bin.join(program);
        assert!(
            path.exists(),
            "`{program}` is not one of the programs in `{}`; run `make tools`",
            self.bin.display()
        );
        path
    }

    /// An environment for programs that must not see the machine's settings: these tools, the system's, and a HOME of
    /// their own, where what they leave in temporary files goes away with it.
    pub fn environment(&self, home: &Path) -> BTreeMap<OsString, OsString> {
        fs::create_dir_all(home).unwrap();
        let mut path = self.bin.clone().into_os_string();
        path.push(":/usr/local/bin:/usr/bin:/bin");
        [("PATH".into(), path), ("HOME".into(), home.into()), ("TMPDIR".into(), home.into())].into()
    }
}

/// The guard that everything here runs under.
///
/// # Panics
/// When our program was not built.
pub fn guard() -> Guard {
    Guard::new(executable().unwrap())
}

/// Our own program.
///
/// # Errors
/// When it was not built.
pub fn executable() -> anyhow::Result<PathBuf> {
    // Cargo builds the program for tests and benchmarks and says where; for examples it does neither.
    if let Some(path) = option_env!("CARGO_BIN_EXE_helmfile-operator") {
        return Ok(path.into());
    }
    let example = std::env::current_exe().context("failed to find the running program")?;
    let path = example.ancestors().nth(2).map(|profile| profile.join("helmfile-operator"));
    match path {
        Some(path) if path.exists() => Ok(path),
        _ => bail!("`helmfile-operator` is not beside `{}`; run `cargo build`", example.display()),
    }
}
