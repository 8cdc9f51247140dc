//! Finding a program, with an error that says what to do.

use std::{
    ffi::OsStr,
    fs::File,
    io::Read as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// A program that cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// No such file in any folder of PATH.
    #[error("`{0}` is not on PATH; install it, or give the full path")]
    NotOnPath(String),
    /// The named file is not there.
    #[error("`{}` does not exist", .0.display())]
    Missing(PathBuf),
    /// The named file is a folder or the like.
    #[error("`{}` is not a file", .0.display())]
    NotAFile(PathBuf),
    /// The file's mode lacks x.
    #[error("`{path}` is not executable; run `chmod +x {path}`", path = .0.display())]
    NotExecutable(PathBuf),
    /// The kernel would look for an interpreter whose name ends with a carriage return.
    #[error("`{path}` has Windows line ends; run `sed -i 's/\\r$//' {path}`", path = .0.display())]
    WindowsLineEnds(PathBuf),
}

/// Finds a program as a shell does: a name without a slash on `path`, anything else relative to `folder`.
///
/// # Errors
/// When there is no such file, or it can't be executed.
pub fn resolve(program: &str, path: Option<&OsStr>, folder: &Path) -> Result<PathBuf, ProgramError> {
    if program.contains('/') {
        let file = folder.join(program.strip_prefix("./").unwrap_or(program));
        return check(&file).map(|()| file);
    }
    let folders = path.map(std::env::split_paths).into_iter().flatten();
    let found: Vec<PathBuf> = folders.map(|dir| dir.join(program)).filter(|file| file.is_file()).collect();
    match found.iter().find(|file| check(file).is_ok()).or(found.first()) {
        Some(file) => check(file).map(|()| file.clone()),
        None => Err(ProgramError::NotOnPath(program.to_owned())),
    }
}

fn check(file: &Path) -> Result<(), ProgramError> {
    let Ok(metadata) = file.metadata() else { return Err(ProgramError::Missing(file.to_owned())) };
    if !metadata.is_file() {
        return Err(ProgramError::NotAFile(file.to_owned()));
    }
    if metadata.permissions().mode() & 0o111 == 0 {
        return Err(ProgramError::NotExecutable(file.to_owned()));
    }
    if first_line(file).is_some_and(|line| line.starts_with(b"#!") && line.ends_with(b"\r")) {
        return Err(ProgramError::WindowsLineEnds(file.to_owned()));
    }
    Ok(())
}

/// The first line, as far as the kernel reads it. Nothing where it can't be read: a program need only be executable.
fn first_line(file: &Path) -> Option<Vec<u8>> {
    let mut start = Vec::new();
    File::open(file).ok()?.take(256).read_to_end(&mut start).ok()?;
    Some(start.split(|byte| *byte == b'\n').next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn says_why_a_program_cannot_be_run() {
        let dir = tempfile::tempdir().unwrap();
        let plain = dir.path().join("plain");
        fs::write(&plain, "").unwrap();
        let find = |program: &str| resolve(program, Some(dir.path().as_os_str()), dir.path());
        assert_eq!(find("absent").unwrap_err(), ProgramError::NotOnPath("absent".into()));
        assert_eq!(find("./absent").unwrap_err(), ProgramError::Missing(dir.path().join("absent")));
        assert_eq!(find("plain").unwrap_err(), ProgramError::NotExecutable(plain.clone()));
        assert_eq!(resolve("/", None, dir.path()).unwrap_err(), ProgramError::NotAFile("/".into()));
        fs::set_permissions(&plain, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(find("plain").unwrap(), plain);
        fs::write(&plain, "#!/bin/sh\r\necho hi\r\n").unwrap();
        let error = find("plain").unwrap_err();
        assert_eq!(error, ProgramError::WindowsLineEnds(plain.clone()));
        assert!(
            error.to_string().ends_with(&format!("run `sed -i 's/\\r$//' {}`", plain.display())),
            "{error}"
        );
        fs::write(&plain, "#!/bin/sh\necho hi\r\n").unwrap();
        assert_eq!(find("plain").unwrap(), plain);
    }
}
