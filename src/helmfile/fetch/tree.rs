//! Folders of content: what is in them, whether it stays there, its digest, a copy.

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Component, Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use super::{FetchError, attempt::Attempt, error::shown};
use crate::digest::sha256_hex;

/// A folder, for as long as an attempt lasts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tree<'a> {
    pub(super) root: &'a Path,
    pub(super) attempt: &'a Attempt,
}

/// Something in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Relative to the root.
    path: PathBuf,
    kind: Kind,
}

/// What counts of it. Of the mode that is only the bit that Git keeps, too.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Folder,
    File { executable: bool },
    Link { target: PathBuf },
}

/// A folder whatever its name: device and inode.
type Identity = (u64, u64);

impl Tree<'_> {
    /// All there is, sorted. `.git` is left out, and so is the folder `except`: the cache may be in the source.
    pub(super) fn entries(&self, except: Option<&Path>) -> Result<Vec<Entry>, FetchError> {
        let except = except.and_then(|path| path.metadata().ok()).map(|metadata| identity(&metadata));
        let mut found = Vec::new();
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            self.attempt.check()?;
            let full = self.root.join(&folder);
            let failed = || FetchError::storage("read the folder", &full);
            for item in fs::read_dir(&full).map_err(failed())? {
                let name = item.map_err(failed())?.file_name();
                let path = folder.join(&name);
                let metadata =
                    full.join(&name).symlink_metadata().map_err(FetchError::storage("look at", &path))?;
                if name.eq_ignore_ascii_case(".git") || except == Some(identity(&metadata)) {
                    continue;
                }
                let kind = self.kind(&path, &metadata)?;
                if kind == Kind::Folder {
                    folders.push(path.clone());
                }
                found.push(Entry { path, kind });
            }
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    fn kind(&self, path: &Path, metadata: &fs::Metadata) -> Result<Kind, FetchError> {
        let kind = metadata.file_type();
        if kind.is_dir() {
            Ok(Kind::Folder)
        } else if kind.is_file() {
            Ok(Kind::File { executable: metadata.permissions().mode() & 0o111 != 0 })
        } else if kind.is_symlink() {
            let target =
                fs::read_link(self.root.join(path)).map_err(FetchError::storage("read the link", path))?;
            Ok(Kind::Link { target })
        } else {
            Err(self.refused(path, "is neither a file, a folder nor a link".to_owned()))
        }
    }

    /// Refuses links that lead out of the folder: they would show files of this machine, or of another source.
    pub(super) fn check_links(&self, entries: &[Entry]) -> Result<(), FetchError> {
        for Entry { path, kind } in entries {
            if let Kind::Link { target } = kind
                && !stays_inside(self.root, path)
            {
                return Err(self
                    .refused(path, format!("is a link to `{}`, which is not in the source", shown(target))));
            }
        }
        Ok(())
    }

    fn refused(&self, path: &Path, problem: String) -> FetchError {
        let source_name = self.attempt.source_name.clone();
        FetchError::Unsafe { source_name, path: shown(path), problem }
    }

    /// The digest of the entries, made while they are copied to the folder `into`, if there is one.
    pub(super) fn digest(&self, entries: &[Entry], into: Option<&Path>) -> Result<String, FetchError> {
        // Each entry is a kind, a path and a content with their lengths, so that no two trees look the same.
        let mut summary = Vec::new();
        let mut add = |kind: u8, path: &Path, content: &[u8]| {
            summary.push(kind);
            for part in [path.as_os_str().as_encoded_bytes(), content] {
                summary.extend(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
                summary.extend(part);
            }
        };
        for Entry { path, kind } in entries {
            self.attempt.check()?;
            let copy = into.map(|into| into.join(path));
            let failed = FetchError::storage("copy", path);
            match kind {
                Kind::Folder => {
                    copy.map_or(Ok(()), fs::create_dir).map_err(failed)?;
                    add(b'd', path, &[]);
                }
                Kind::Link { target } => {
                    copy.map_or(Ok(()), |copy| std::os::unix::fs::symlink(target, copy)).map_err(failed)?;
                    add(b'l', path, target.as_os_str().as_encoded_bytes());
                }
                Kind::File { executable } => {
                    let content =
                        read_file(&self.root.join(path), copy.as_deref(), *executable).map_err(failed)?;
                    add(if *executable { b'x' } else { b'f' }, path, &content);
                }
            }
        }
        Ok(sha256_hex(&summary))
    }
}

fn identity(metadata: &fs::Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
}

/// The digest of a file, which is copied on the way.
fn read_file(path: &Path, copy: Option<&Path>, executable: bool) -> io::Result<Vec<u8>> {
    // It may have become a link or a pipe since it was looked at.
    let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits().cast_signed();
    let mut file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let mode = if executable { 0o755 } else { 0o644 };
    let open = |copy| fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(copy);
    let mut copy = copy.map(open).transpose()?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = file.read(&mut buffer)?;
        let Some(piece) = buffer.get(..length).filter(|piece| !piece.is_empty()) else { break };
        digest.update(piece);
        if let Some(copy) = &mut copy {
            copy.write_all(piece)?;
        }
    }
    Ok(digest.finalize().to_vec())
}

/// The most links that one path may go through, as in the kernel.
const LINK_LIMIT: usize = 40;

/// Whether a link, followed through all other links, never leaves the root, even if its end does not exist.
fn stays_inside(root: &Path, link: &Path) -> bool {
    let mut position = PathBuf::new();
    let mut pending: Vec<PathBuf> = parts_reversed(link);
    let mut links = 0;
    while let Some(part) = pending.pop() {
        match part.components().next() {
            Some(Component::Normal(name)) => {
                let next = position.join(name);
                match fs::read_link(root.join(&next)) {
                    Ok(target) => {
                        links += 1;
                        // A loop leads nowhere, so not outside either.
                        if links > LINK_LIMIT {
                            return true;
                        }
                        pending.extend(parts_reversed(&target));
                    }
                    Err(_no_link) => position = next,
                }
            }
            Some(Component::ParentDir) => {
                if !position.pop() {
                    return false;
                }
            }
            Some(Component::RootDir | Component::Prefix(_)) => return false,
            Some(Component::CurDir) | None => {}
        }
    }
    true
}

fn parts_reversed(path: &Path) -> Vec<PathBuf> {
    path.components().rev().map(|part| PathBuf::from(part.as_os_str())).collect()
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::symlink, time::Duration};

    use tokio_util::sync::CancellationToken;

    use super::*;

    fn attempt() -> Attempt {
        Attempt::start("src".to_owned(), Duration::from_mins(1), &CancellationToken::new())
    }

    fn digest(root: &Path) -> String {
        let attempt = attempt();
        let tree = Tree { root, attempt: &attempt };
        tree.digest(&tree.entries(None).unwrap(), None).unwrap()
    }

    /// a/run (executable), a/text, b (empty), link → a/text
    fn example(root: &Path) {
        fs::create_dir_all(root.join("a")).unwrap();
        fs::create_dir_all(root.join("b")).unwrap();
        fs::write(root.join("a/text"), "one").unwrap();
        fs::write(root.join("a/run"), "two").unwrap();
        fs::set_permissions(root.join("a/run"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink("a/text", root.join("link")).unwrap();
    }

    #[test]
    fn the_digest_covers_all_that_counts_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("src");
        example(&root);
        let before = digest(&root);
        let changes: [(&str, &dyn Fn()); 8] = [
            ("bytes", &|| fs::write(root.join("a/text"), "uno").unwrap()),
            ("mode", &|| fs::set_permissions(root.join("a/run"), fs::Permissions::from_mode(0o644)).unwrap()),
            ("name", &|| fs::rename(root.join("a/text"), root.join("a/txt")).unwrap()),
            ("place", &|| fs::rename(root.join("a/text"), root.join("b/text")).unwrap()),
            ("empty folder", &|| fs::remove_dir(root.join("b")).unwrap()),
            ("new file", &|| fs::write(root.join("new"), "").unwrap()),
            ("link", &|| {
                fs::remove_file(root.join("link")).unwrap();
                symlink("a/run", root.join("link")).unwrap();
            }),
            ("link to file", &|| {
                fs::remove_file(root.join("link")).unwrap();
                fs::write(root.join("link"), "a/text").unwrap();
            }),
        ];
        for (what, change) in changes {
            fs::remove_dir_all(&root).unwrap();
            example(&root);
            assert_eq!(digest(&root), before, "the same content again, before changing: {what}");
            change();
            assert_ne!(digest(&root), before, "{what}");
        }
        fs::remove_dir_all(&root).unwrap();
        example(&root);
        fs::create_dir(root.join(".git")).unwrap();
        fs::write(root.join("a/.GIT"), "gitdir: elsewhere").unwrap();
        fs::set_permissions(root.join("a/text"), fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(digest(&root), before);
    }

    #[test]
    fn a_copy_has_the_same_digest() {
        let folder = tempfile::tempdir().unwrap();
        let (root, copy) = (folder.path().join("src"), folder.path().join("copy"));
        example(&root);
        fs::create_dir(&copy).unwrap();
        let attempt = attempt();
        let tree = Tree { root: &root, attempt: &attempt };
        let copied = tree.digest(&tree.entries(None).unwrap(), Some(&copy)).unwrap();
        assert_eq!(copied, digest(&root));
        assert_eq!(copied, digest(&copy));
        assert_eq!(fs::read_to_string(copy.join("link")).unwrap(), "one");
    }

    #[test]
    fn a_cache_in_the_source_is_no_part_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("src");
        example(&root);
        let before = digest(&root);
        fs::create_dir(root.join("cache")).unwrap();
        let attempt = attempt();
        let tree = Tree { root: &root, attempt: &attempt };
        let entries = tree.entries(Some(&root.join("cache"))).unwrap();
        assert_eq!(tree.digest(&entries, None).unwrap(), before);
    }

    #[test]
    fn links_must_not_lead_out() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("src");
        let table: [(&[(&str, &str)], bool); 10] = [
            (&[("x", "a/text")], true),
            (&[("a/x", "../a/text")], true),
            (&[("x", "missing/../text")], true),
            (&[("x", "x")], true),
            (&[("x", "/etc/passwd")], false),
            (&[("x", "..")], false),
            (&[("a/x", "../../src/a/text")], false),
            (&[("x", "missing/../../y")], false),
            // Looks harmless part by part, but `up` is the root, so that its `..` is outside.
            (&[("a/up", ".."), ("x", "a/up/../y")], false),
            (&[("here", "."), ("x", "here/here/a/text")], true),
        ];
        for (links, is_fine) in table {
            let _absent_at_first = fs::remove_dir_all(&root);
            example(&root);
            for (link, target) in links {
                symlink(target, root.join(link)).unwrap();
            }
            let attempt = attempt();
            let tree = Tree { root: &root, attempt: &attempt };
            let checked = tree.check_links(&tree.entries(None).unwrap());
            assert_eq!(checked.is_ok(), is_fine, "{links:?}: {checked:?}");
        }
    }

    #[test]
    fn pipes_and_the_like_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe\u{1b}[0m");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
        let attempt = attempt();
        let tree = Tree { root: folder.path(), attempt: &attempt };
        let error = tree.entries(None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`src` is refused: `pipe\u{fffd}[0m` is neither a file, a folder nor a link"
        );
    }

    #[test]
    fn stops_when_the_time_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let attempt = Attempt::start("src".to_owned(), Duration::ZERO, &CancellationToken::new());
        let tree = Tree { root: folder.path(), attempt: &attempt };
        assert_eq!(tree.entries(None).unwrap_err().reason(), "Timeout");
    }
}
