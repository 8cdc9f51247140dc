//! Copying and removing folders with all that is in them.

use std::{
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink},
    path::Path,
};

/// Copies a folder. The copy can be written by us; links stay links; pipes, sockets and devices are left out.
///
/// # Errors
/// When something cannot be read or written.
pub(crate) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            symlink(fs::read_link(&source)?, &target)?;
        } else if kind.is_dir() {
            copy(&source, &target)?;
        } else if kind.is_file() {
            fs::copy(&source, &target)?;
            let mode = target.metadata()?.permissions().mode();
            fs::set_permissions(&target, Permissions::from_mode(mode | 0o600))?;
        }
    }
    Ok(())
}

/// Removes a folder, also one with parts that their makers have write-protected. What can't be removed stays, with a
/// line in the log.
pub(crate) fn remove(folder: &Path) {
    let removed = match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            unprotect(folder);
            fs::remove_dir_all(folder)
        }
        other => other,
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(folder = %folder.display(), %error, "a temporary folder stays behind");
        }
        _ => {}
    }
}

fn unprotect(folder: &Path) {
    let _removal_reports_it = fs::set_permissions(folder, Permissions::from_mode(0o700));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            unprotect(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_complete_and_can_be_written() {
        let from = tempfile::tempdir().unwrap();
        let script = from.path().join("a/run.sh");
        fs::create_dir(from.path().join("a")).unwrap();
        fs::write(&script, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&script, Permissions::from_mode(0o555)).unwrap();
        symlink("a/run.sh", from.path().join("link")).unwrap();
        symlink("/nowhere", from.path().join("broken")).unwrap();
        let to = tempfile::tempdir().unwrap();
        let copied = to.path().join("copy");
        copy(from.path(), &copied).unwrap();
        assert_eq!(fs::read_to_string(copied.join("link")).unwrap(), "#!/bin/sh\n");
        assert_eq!(fs::read_link(copied.join("broken")).unwrap(), Path::new("/nowhere"));
        assert_eq!(copied.join("a/run.sh").metadata().unwrap().permissions().mode() & 0o777, 0o755);
    }

    #[test]
    fn removes_what_is_write_protected() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("x");
        fs::create_dir_all(folder.join("deep/er")).unwrap();
        fs::write(folder.join("deep/er/file"), "").unwrap();
        fs::set_permissions(folder.join("deep/er"), Permissions::from_mode(0o500)).unwrap();
        fs::set_permissions(folder.join("deep"), Permissions::from_mode(0o500)).unwrap();
        remove(&folder);
        assert!(!folder.exists());
        remove(&folder);
    }
}
