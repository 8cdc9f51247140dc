//! Throw-away Git repositories, made by the real git without this machine's configuration.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
};

use helmfile_operator::process;
use tempfile::TempDir;

/// A repository with a work tree on the branch `main`. Equal histories have equal commit ids.
pub struct Repository {
    folder: TempDir,
}

impl Repository {
    /// Without any commit.
    pub fn empty() -> Self {
        Self::with_options(&[])
    }

    /// Without any commit, made by `git init` with more options.
    pub fn with_options(options: &[&str]) -> Self {
        let repository = Self { folder: tempfile::tempdir().unwrap() };
        repository.git(&[&["init", "--quiet", "--template=", "--initial-branch=main"], options].concat());
        repository
    }

    /// With one commit on `main`.
    pub fn new(files: &[(&str, &str)]) -> Self {
        let repository = Self::empty();
        repository.commit(files);
        repository
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// `file://…`
    pub fn url(&self) -> String {
        format!("file://{}", self.path().display())
    }

    /// Writes files into the work tree and commits everything there; returns the commit's id.
    pub fn commit(&self, files: &[(&str, &str)]) -> String {
        for (path, text) in files {
            let path = self.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message=change"]);
        self.head()
    }

    /// The id of the current commit.
    pub fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"])
    }

    /// A new branch at the current commit, which becomes the current branch.
    pub fn branch(&self, name: &str) {
        self.git(&["checkout", "--quiet", "-b", name]);
    }

    /// A lightweight tag at the current commit.
    pub fn tag(&self, name: &str) {
        self.git(&["tag", name]);
    }

    /// A tag with a message, which is an object of its own.
    pub fn annotated_tag(&self, name: &str) {
        self.git(&["tag", "--annotate", "--message=tag", name]);
    }

    /// Runs git in the work tree and returns what it prints.
    ///
    /// # Panics
    /// When git fails.
    pub fn git(&self, args: &[&str]) -> String {
        self.git_with_input(args, "")
    }

    /// The same, with something on stdin.
    pub fn git_with_input(&self, args: &[&str], input: &str) -> String {
        use std::io::Write as _;
        #[expect(clippy::disallowed_methods, reason = "quick, and ends by itself")]
        let mut child = std::process::Command::new(program())
            .args(args)
            .current_dir(self.path())
            .env_clear()
            .envs(environment(self.path()))
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {args:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }
}

/// Full path of git.
///
/// # Panics
/// When it is not installed.
pub fn program() -> PathBuf {
    installed("git", "git")
}

/// Full path of a program of the system.
///
/// # Panics
/// When it is missing, with the Debian package that has it.
pub fn installed(program: &str, package: &str) -> PathBuf {
    let folders = ambient(OsStr::new("PATH"))
        .into_iter()
        .flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    let folders = folders.chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    let path = std::env::join_paths(folders).unwrap();
    process::resolve(program, Some(&path), Path::new("/"))
        .unwrap_or_else(|error| panic!("{error} (Debian: `apt-get install {package}`)"))
}

/// A variable of this test's own environment.
pub fn ambient(name: &OsStr) -> Option<OsString> {
    std::env::vars_os().find(|(other, _)| other == name).map(|(_, value)| value)
}

/// For git as somebody who works on a repository: nobody's configuration, always the same person at the same time.
pub fn environment(home: &Path) -> BTreeMap<OsString, OsString> {
    let fixed = [
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_AUTHOR_NAME", "Test"),
        ("GIT_AUTHOR_EMAIL", "test@example.org"),
        ("GIT_AUTHOR_DATE", "2026-01-01T00:00:00Z"),
        ("GIT_COMMITTER_NAME", "Test"),
        ("GIT_COMMITTER_EMAIL", "test@example.org"),
        ("GIT_COMMITTER_DATE", "2026-01-01T00:00:00Z"),
        ("LC_ALL", "C"),
    ];
    let mut env: BTreeMap<OsString, OsString> =
        fixed.iter().map(|(name, value)| (name.into(), value.into())).collect();
    env.insert("HOME".into(), home.into());
    env.extend(ambient(OsStr::new("PATH")).map(|path| ("PATH".into(), path)));
    env
}

/// The files of a folder below `tests/fixtures`, with their paths inside it.
pub fn fixture(folder: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(folder);
    let mut folders = vec![root.clone()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                files.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    files
}
