//! What `helm version` says: the same for as long as the program is the same, so that it is asked once and not in each run.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use crate::{atomic, digest, helmfile::helm::front::Told};

/// Tells a program from others, and from what it was before; `None` when its file can't be looked at.
pub(super) fn fingerprint(program: &Path) -> Option<String> {
    let file = fs::metadata(program).ok()?;
    let changed = (file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec());
    Some(format!("{} {} {} {changed:?}", program.display(), file.size(), file.ino()))
}

/// The answers of one helm.
pub(super) struct Versions {
    folder: PathBuf,
    program: Option<String>,
}

impl Versions {
    /// Those that are kept in `folder`.
    pub(super) fn of(folder: PathBuf, helm: &Path) -> Self {
        Self { folder, program: fingerprint(helm) }
    }

    fn file(&self, args: &[String]) -> Option<PathBuf> {
        let program = self.program.as_ref()?;
        let name = digest::sha256_hex(format!("{program} {args:?}").as_bytes());
        Some(self.folder.join(name).with_extension("json"))
    }

    /// The answer to the same question.
    pub(super) fn get(&self, args: &[String]) -> Option<Told> {
        serde_json::from_slice(&fs::read(self.file(args)?).ok()?).ok()
    }

    /// Keeps an answer that is one. When that fails, helm is asked again.
    pub(super) fn note(&mut self, args: &[String], told: &Told) {
        let (Some(file), Told::Done { exit: 0, .. }) = (self.file(args), told) else { return };
        let text = serde_json::to_vec(told).map_err(io::Error::from);
        if let Err(error) = text.and_then(|text| atomic::write(&file, &text)) {
            tracing::warn!(folder = %self.folder.display(), %error, "failed to keep what helm says of its version");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_program_is_asked_again() {
        let folder = tempfile::tempdir().unwrap();
        let helm = folder.path().join("helm");
        fs::write(&helm, "one").unwrap();
        let versions = || Versions::of(folder.path().join("versions"), &helm);
        let args = |word: &str| vec!["version".to_owned(), word.to_owned()];
        assert_eq!(versions().get(&args("--short")), None);
        versions().note(&args("--short"), &Told::print("v4"));
        versions().note(&args("--long"), &Told::refuse("no"));
        assert_eq!(versions().get(&args("--short")), Some(Told::print("v4")));
        assert_eq!(versions().get(&args("--long")), None, "a failure is no answer");
        fs::write(&helm, "two is longer").unwrap();
        assert_eq!(versions().get(&args("--short")), None);
    }
}
