//! Files of values that are sources of their own.

use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use crate::helmfile::{
    api::{DEFAULT_SOURCE, HelmfileSpec, names::reason},
    fetch::{FetchError, Fetcher, Locator, Revision, SourceCredentials},
};

/// An item of `valuesFiles`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValuesFile {
    /// A path inside the source, as it is written: whether it leads out of there is not asked here.
    Inside(String),
    /// A file of a source of its own.
    Elsewhere(Box<Elsewhere>),
}

/// A file of a source of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elsewhere {
    /// Its place in the spec, as `valuesFiles[1]`.
    pub field: String,
    /// The source; its `@file` is the file.
    pub locator: Locator,
    /// What that source is now: for the digest of what is delivered.
    pub revision: Revision,
}

impl ValuesFile {
    /// What its source is now, if it has one of its own.
    pub const fn revision(&self) -> Option<&Revision> {
        match self {
            Self::Inside(_) => None,
            Self::Elsewhere(elsewhere) => Some(&elsewhere.revision),
        }
    }
}

/// Why a file of values can't be had.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The text names no file.
    #[error("{field} names no file in `{locator}`; add `@FILE` after the repository or folder")]
    NoFile {
        /// The place in the spec.
        field: String,
        /// The source.
        locator: Locator,
    },
    /// The `@` leads to a folder.
    #[error("{field} names `{locator}`, which is a folder and no file of values")]
    Folder {
        /// The place in the spec.
        field: String,
        /// The source.
        locator: Locator,
    },
    /// The source.
    #[error("{field}: {source}")]
    Fetch {
        /// The place in the spec.
        field: String,
        /// Why.
        source: FetchError,
    },
}

impl FileError {
    /// The reason for a condition.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NoFile { .. } => reason::INVALID_SPEC,
            Self::Folder { .. } => reason::FILE_NOT_FOUND,
            Self::Fetch { source, .. } => source.reason(),
        }
    }
}

/// What an item of `valuesFiles` is, by its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named<'a> {
    /// A path inside the source.
    Inside(&'a str),
    /// A source of its own: it has `::` or `://` in it.
    Elsewhere(&'a str),
}

/// Tells the items of `valuesFiles` apart, in their order.
pub fn split(values_files: &[String]) -> Vec<Named<'_>> {
    let is_source = |text: &str| text.contains("::") || text.contains("://");
    let named = |text| if is_source(text) { Named::Elsewhere(text) } else { Named::Inside(text) };
    values_files.iter().map(|text| named(text.as_str())).collect()
}

/// Asks the sources of all `valuesFiles` for their revisions. Nothing is downloaded. `credentials` are those of the
/// Helmfile's own source: they are shown to the same server only. `base` is the folder that relative paths start from.
///
/// # Errors
/// When an item is no source, names no file, or its source can't be asked.
pub async fn resolve_files(
    fetcher: &Fetcher,
    spec: &HelmfileSpec,
    base: &Path,
    credentials: &SourceCredentials,
    stop: &CancellationToken,
) -> Result<Vec<ValuesFile>, FileError> {
    let source = spec.source.as_deref().unwrap_or(DEFAULT_SOURCE);
    let own = Locator::parse(source, spec.version.as_deref(), base).ok();
    let mut files = Vec::new();
    for (index, item) in split(&spec.values_files).into_iter().enumerate() {
        let text = match item {
            Named::Inside(path) => {
                files.push(ValuesFile::Inside(path.to_owned()));
                continue;
            }
            Named::Elsewhere(text) => text,
        };
        let field = format!("valuesFiles[{index}]");
        let failed = |source: FetchError| FileError::Fetch { field: field.clone(), source };
        let locator = Locator::parse(text, None, base).map_err(|error| failed(error.into()))?;
        let locator = match &own {
            Some(own) if own.is_beside(&locator) => locator.with_credentials(credentials),
            _ => locator,
        };
        if locator.file().is_none() {
            return Err(FileError::NoFile { field, locator });
        }
        let revision = fetcher.resolve(&locator, stop).await.map_err(failed)?;
        files.push(ValuesFile::Elsewhere(Box::new(Elsewhere { field, locator, revision })));
    }
    Ok(files)
}

/// The full path of a file elsewhere, downloaded if it is not there yet; nothing for one inside the source. It may be
/// encrypted; see [`Sops::plain_file`](super::Sops::plain_file).
///
/// # Errors
/// When the source or the file can't be had.
pub async fn fetch_file(
    fetcher: &Fetcher,
    file: &ValuesFile,
    stop: &CancellationToken,
) -> Result<Option<PathBuf>, FileError> {
    let ValuesFile::Elsewhere(elsewhere) = file else { return Ok(None) };
    let Elsewhere { field, locator, revision } = elsewhere.as_ref();
    let failed = |source| FileError::Fetch { field: field.clone(), source };
    let root = fetcher.fetch(locator, revision, stop).await.map_err(failed)?;
    match root.join(locator.file().unwrap_or_default()) {
        path if path.is_file() => Ok(Some(path)),
        _ => Err(FileError::Folder { field: field.clone(), locator: locator.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_told_from_paths() {
        let items = ["a/b.yaml", "git::https://h/r@v.yaml", "https://h/v.yaml", "s3::x/v.yaml", "a:b.yaml"];
        let items = items.map(str::to_owned);
        let [path, git, https, s3, colon] = &items;
        assert_eq!(
            split(&items),
            [
                Named::Inside(path),
                Named::Elsewhere(git),
                Named::Elsewhere(https),
                Named::Elsewhere(s3),
                Named::Inside(colon)
            ]
        );
    }
}
