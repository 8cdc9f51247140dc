//! Files inside a source that the spec names: none of them may lie outside.

use std::{
    fmt, io,
    path::{Component, Path, PathBuf},
};

/// A path in a spec that does not lead to what it should.
#[derive(Debug, thiserror::Error)]
pub enum SourceFileError {
    /// Not even looked for.
    #[error("`{path}` in {field} leads out of the source; write a path inside it")]
    Outside {
        /// The spec's field.
        field: &'static str,
        /// What it says.
        path: String,
    },
    /// It is there, but a link that leads elsewhere.
    #[error("`{path}` in {field} is a link that leads out of the source")]
    LinkedOutside {
        /// The spec's field.
        field: &'static str,
        /// What it says.
        path: String,
    },
    /// Not there.
    #[error("the source has no `{path}`, which {field} names")]
    Missing {
        /// The spec's field.
        field: &'static str,
        /// What it says.
        path: String,
    },
    /// A folder without a helmfile.
    #[error("found no helmfile in {}: looked for helmfile.yaml, helmfile.yaml.gotmpl and helmfile.d", Place(.0))]
    NoHelmfile(PathBuf),
    /// A folder with several; helmfile refuses that too.
    #[error("found {} in {}; keep one of them, or name one in `file`", .found.join(" and "), Place(.folder))]
    SeveralHelmfiles {
        /// The folder in the source.
        folder: PathBuf,
        /// Their names.
        found: Vec<&'static str>,
    },
    /// The two places that may name the helmfile name different ones.
    #[error(
        "the source names the helmfile `{source_file}` and the field file names `{file}`; keep one of them"
    )]
    NamedTwice {
        /// After the `@` in the source.
        source_file: String,
        /// In the spec.
        file: String,
    },
    /// The file system failed.
    #[error("failed to read `{}`", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl SourceFileError {
    /// Whether only another spec can help, and no other revision of the source.
    pub(crate) const fn is_permanent(&self) -> bool {
        matches!(self, Self::Outside { .. } | Self::NamedTwice { .. })
    }
}

/// A folder of the source in a sentence.
struct Place<'a>(&'a Path);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.as_os_str().is_empty() {
            f.write_str("the source's top folder")
        } else {
            write!(f, "`{}`", self.0.display())
        }
    }
}

/// Takes a path from a spec apart and puts it together again without `.`; refuses absolute paths and `..`.
///
/// # Errors
/// When the path, as it is written, leads out of the source.
pub(crate) fn confine(field: &'static str, path: &str) -> Result<PathBuf, SourceFileError> {
    let outside = || SourceFileError::Outside { field, path: path.to_owned() };
    let mut inside = PathBuf::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => inside.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Err(outside()),
        }
    }
    if path.contains('\0') { Err(outside()) } else { Ok(inside) }
}

/// Which of the two names of the helmfile counts: the spec's `file` or the source's `@file`.
///
/// # Errors
/// When they differ, or lead out of the source.
pub(crate) fn name_of_helmfile(
    file: Option<&str>,
    in_source: Option<&str>,
) -> Result<Option<PathBuf>, SourceFileError> {
    let named = file.map(|path| confine("file", path)).transpose()?;
    let in_source_path = in_source.map(|path| confine("source", path)).transpose()?;
    match (named, in_source_path) {
        (Some(one), Some(other)) if one != other => Err(SourceFileError::NamedTwice {
            source_file: in_source.unwrap_or_default().to_owned(),
            file: file.unwrap_or_default().to_owned(),
        }),
        (named, other) => Ok(named.or(other)),
    }
}

const HELMFILES: [&str; 3] = ["helmfile.yaml", "helmfile.yaml.gotmpl", "helmfile.d"];

/// The helmfile of a source, relative to `root`: a file, or a `helmfile.d` folder.
///
/// # Errors
/// When there is none, or more than one.
pub(crate) fn find_helmfile(root: &Path, name: Option<&Path>) -> Result<PathBuf, SourceFileError> {
    let name = name.unwrap_or(Path::new(""));
    let path = root.join(name);
    if !name.as_os_str().is_empty() {
        stay_inside(root, &path, "file", name)?;
    }
    if path.is_file() {
        return Ok(name.to_owned());
    }
    let found: Vec<&str> = HELMFILES.into_iter().filter(|candidate| path.join(candidate).exists()).collect();
    match found.as_slice() {
        [one] => {
            let helmfile = name.join(one);
            stay_inside(root, &root.join(&helmfile), "file", &helmfile)?;
            Ok(helmfile)
        }
        [] if name.file_name().is_some_and(|last| last == "helmfile.d") => Ok(name.to_owned()),
        [] => Err(SourceFileError::NoHelmfile(name.to_owned())),
        _ => Err(SourceFileError::SeveralHelmfiles { folder: name.to_owned(), found }),
    }
}

/// The full path of a file of values in a source.
///
/// # Errors
/// When it is not there, or a link leads out of the source.
pub(crate) fn find_values(root: &Path, path: &Path) -> Result<PathBuf, SourceFileError> {
    let full = root.join(path);
    stay_inside(root, &full, "valuesFiles", path)?;
    Ok(full)
}

fn stay_inside(root: &Path, full: &Path, field: &'static str, path: &Path) -> Result<(), SourceFileError> {
    let shown = || path.display().to_string();
    let real = |path: &Path| path.canonicalize();
    let target = real(full).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            SourceFileError::Missing { field, path: shown() }
        }
        _ => SourceFileError::Read { path: path.to_owned(), source },
    })?;
    let root = real(root).map_err(|source| SourceFileError::Read { path: root.to_owned(), source })?;
    if target.starts_with(root) {
        Ok(())
    } else {
        Err(SourceFileError::LinkedOutside { field, path: shown() })
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    fn source(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        root
    }

    fn find(files: &[&str], name: Option<&str>) -> String {
        let root = source(files);
        match find_helmfile(root.path(), name.map(Path::new)) {
            Ok(path) => path.display().to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_helmfile_is_found_where_helmfile_itself_looks() {
        assert_eq!(find(&["helmfile.yaml", "values.yaml"], None), "helmfile.yaml");
        assert_eq!(find(&["helmfile.yaml.gotmpl"], None), "helmfile.yaml.gotmpl");
        assert_eq!(find(&["helmfile.d/a.yaml"], None), "helmfile.d");
        assert_eq!(find(&["a/helmfile.yaml"], Some("a")), "a/helmfile.yaml");
        assert_eq!(find(&["a/b.yaml"], Some("a/b.yaml")), "a/b.yaml");
        assert_eq!(find(&["a/helmfile.d/b.yaml"], Some("a/helmfile.d")), "a/helmfile.d");
    }

    #[test]
    fn what_was_looked_for_is_said() {
        let looked = "looked for helmfile.yaml, helmfile.yaml.gotmpl and helmfile.d";
        assert_eq!(
            find(&["values.yaml"], None),
            format!("found no helmfile in the source's top folder: {looked}")
        );
        assert_eq!(find(&["a/values.yaml"], Some("a")), format!("found no helmfile in `a`: {looked}"));
        assert_eq!(
            find(&["helmfile.yaml"], Some("prod.yaml")),
            "the source has no `prod.yaml`, which file names"
        );
        assert_eq!(
            find(&["helmfile.yaml"], Some("helmfile.yaml/x")),
            "the source has no `helmfile.yaml/x`, which file names"
        );
        assert_eq!(
            find(&["helmfile.yaml", "helmfile.d/a.yaml"], None),
            "found helmfile.yaml and helmfile.d in the source's top folder; keep one of them, or name one in `file`"
        );
    }

    #[test]
    fn nothing_outside_the_source_is_reached() {
        for path in ["/etc/passwd", "../x", "a/../../x", "a/.."] {
            assert!(confine("file", path).is_err(), "{path}");
        }
        assert_eq!(confine("file", "./a//b/./c..d").unwrap(), Path::new("a/b/c..d"));
        let outside = source(&["secret.yaml"]);
        let root = source(&["real.yaml"]);
        symlink(outside.path().join("secret.yaml"), root.path().join("helmfile.yaml")).unwrap();
        symlink("real.yaml", root.path().join("link.yaml")).unwrap();
        let error = find_helmfile(root.path(), None).unwrap_err().to_string();
        assert_eq!(error, "`helmfile.yaml` in file is a link that leads out of the source");
        assert!(find_values(root.path(), Path::new("helmfile.yaml")).is_err());
        assert!(find_values(root.path(), Path::new("link.yaml")).is_ok());
    }

    #[test]
    fn the_helmfile_is_named_once() {
        assert_eq!(name_of_helmfile(Some("a.yaml"), None).unwrap(), Some("a.yaml".into()));
        assert_eq!(name_of_helmfile(None, Some("a.yaml")).unwrap(), Some("a.yaml".into()));
        assert_eq!(name_of_helmfile(Some("./a.yaml"), Some("a.yaml")).unwrap(), Some("a.yaml".into()));
        assert_eq!(
            name_of_helmfile(Some("a.yaml"), Some("b.yaml")).unwrap_err().to_string(),
            "the source names the helmfile `b.yaml` and the field file names `a.yaml`; keep one of them"
        );
    }
}
