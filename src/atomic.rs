//! Small private files, each complete at any moment: the old one or the new one, never half of one.

use std::{fs, io, os::unix::fs::DirBuilderExt as _, path::Path};

/// Writes a file, readable by nobody else (mode 0600), in place of what is there. Folders that are missing are made, and are
/// private too.
///
/// # Errors
/// When it can't be written; what was there is there still.
pub fn write(file: &Path, content: &[u8]) -> io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    fs::DirBuilder::new().mode(0o700).recursive(true).create(folder)?;
    let fresh = tempfile::NamedTempFile::new_in(folder)?;
    fs::write(fresh.path(), content)?;
    fresh.persist(file).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_written_is_private_and_replaces_what_was_there() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("a/b/file");
        for content in ["one, which is longer", "two"] {
            write(&file, content.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), content);
        }
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn what_cannot_be_replaced_is_kept() {
        let root = tempfile::tempdir().unwrap();
        let taken = root.path().join("folder");
        fs::create_dir_all(taken.join("full")).unwrap();
        write(&taken, b"text").unwrap_err();
        assert!(taken.join("full").is_dir());
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "nothing is left beside it");
    }
}
