//! Folders of this machine.
//!
//! Fetching one copies it: a folder that somebody edits while helmfile reads it would give a mix of two states, under a
//! revision that is neither.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    FetchError, Revision,
    attempt::Attempt,
    cache::Shelf,
    tree::{Entry, Tree},
};

/// The digest of the folder's contents.
pub(super) async fn resolve(folder: &Path, cache: &Path, attempt: &Attempt) -> Result<Revision, FetchError> {
    let (folder, cache) = (folder.to_owned(), cache.to_owned());
    let look = move |attempt: &Attempt| {
        let (root, entries) = read(&folder, &cache, attempt)?;
        Ok(Revision::contents(&Tree { root: &root, attempt }.digest(&entries, None)?))
    };
    attempt.blocking(look).await
}

/// A copy of the folder with exactly the contents of `revision`.
pub(super) async fn fetch(
    folder: &Path,
    revision: &Revision,
    cache: &Path,
    attempt: &Attempt,
) -> Result<PathBuf, FetchError> {
    let (folder, revision, cache) = (folder.to_owned(), revision.clone(), cache.to_owned());
    let copy = move |attempt: &Attempt| {
        let shelf = Shelf::of(&cache, "local", &folder.to_string_lossy());
        if let Some(content) = shelf.get(revision.id())? {
            return Ok(content);
        }
        let (root, entries) = read(&folder, &cache, attempt)?;
        let workplace = shelf.workplace()?;
        let digest = Tree { root: &root, attempt }.digest(&entries, Some(&workplace.content()))?;
        if Revision::contents(&digest) != revision {
            return Err(FetchError::Changed { path: folder });
        }
        shelf.publish(workplace, revision.id())
    };
    attempt.blocking(copy).await
}

/// The folder itself, when it was reached by a link, and what is in it.
fn read(folder: &Path, cache: &Path, attempt: &Attempt) -> Result<(PathBuf, Vec<Entry>), FetchError> {
    let problem = |problem| FetchError::Folder { path: folder.to_owned(), problem };
    let root = match fs::canonicalize(folder) {
        Ok(root) if root.is_dir() => root,
        Ok(_) => return Err(problem("is a file; write `FOLDER@FILE` for a helmfile in a folder")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(problem("does not exist")),
        Err(error) => return Err(FetchError::storage("find the folder", folder)(error)),
    };
    let tree = Tree { root: &root, attempt };
    let entries = tree.entries(Some(cache))?;
    tree.check_links(&entries)?;
    Ok((root, entries))
}
