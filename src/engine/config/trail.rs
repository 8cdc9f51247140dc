//! The way to a file: every name that leads to it, through symlinks too.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs,
    path::{Component, Path, PathBuf},
};

/// The ways to some files, as they are at one moment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Trails {
    /// Every name that leads to one of them: a change of what it names may change the file. The folder of each is free of
    /// symlinks.
    pub(super) names: BTreeSet<PathBuf>,
    /// The folders of the names, as far as they exist, and whether it is the last on the way to a file.
    pub(super) folders: BTreeMap<PathBuf, bool>,
}

/// The kernel's own limit for symlinks on one way.
const LINKS: usize = 40;

impl Trails {
    /// Follows absolute paths as far as they lead.
    pub(super) fn of(paths: &BTreeSet<PathBuf>) -> Self {
        let mut trails = Self::default();
        for path in paths {
            trails.follow(path);
        }
        trails
    }

    fn follow(&mut self, path: &Path) {
        let mut here = PathBuf::from("/");
        let mut last = here.clone();
        let mut ahead = steps(path);
        let mut links = 0;
        while let Some(step) = ahead.pop() {
            if step == ".." {
                here.pop();
                continue;
            }
            if here.is_dir() {
                self.folders.entry(here.clone()).or_default();
                last.clone_from(&here);
            }
            let name = here.join(step);
            self.names.insert(name.clone());
            match fs::read_link(&name) {
                Ok(target) if links < LINKS => {
                    links += 1;
                    if target.is_absolute() {
                        here = PathBuf::from("/");
                    }
                    ahead.extend(steps(&target));
                }
                _ => here = name,
            }
        }
        self.folders.insert(last, true);
    }
}

/// The steps of a path, the first one last.
fn steps(path: &Path) -> Vec<OsString> {
    let named = path.components().filter(|step| matches!(step, Component::Normal(_) | Component::ParentDir));
    let mut steps: Vec<OsString> = named.map(|step| step.as_os_str().to_owned()).collect();
    steps.reverse();
    steps
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Names and folders below `root`, relative to it.
    fn trail(root: &Path, path: &str) -> (Vec<String>, Vec<(String, bool)>) {
        let trails = Trails::of(&BTreeSet::from([root.join(path)]));
        let below = |path: &Path| Some(path.strip_prefix(root).ok()?.to_str()?.to_owned());
        let folders = trails.folders.iter();
        (
            trails.names.iter().filter_map(|name| below(name)).filter(|name| !name.is_empty()).collect(),
            folders.filter_map(|(folder, last)| Some((below(folder)?, *last))).collect(),
        )
    }

    #[test]
    fn every_link_and_every_folder_on_the_way_is_found() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("v1")).unwrap();
        fs::write(root.join("v1/a.yaml"), "").unwrap();
        symlink("v1", root.join("..data")).unwrap();
        symlink("..data/a.yaml", root.join("a.yaml")).unwrap();
        let folders = |list: &[(&str, bool)]| -> Vec<(String, bool)> {
            list.iter().map(|(name, last)| ((*name).to_owned(), *last)).collect()
        };
        assert_eq!(
            trail(&root, "a.yaml"),
            (
                vec!["..data".into(), "a.yaml".into(), "v1".into(), "v1/a.yaml".into()],
                folders(&[("", false), ("v1", true)])
            )
        );
        assert_eq!(
            trail(&root, "v1/../v1/a.yaml"),
            (vec!["v1".into(), "v1/a.yaml".into()], folders(&[("", false), ("v1", true)]))
        );
        assert_eq!(
            trail(&root, "no/such/file"),
            (vec!["no".into(), "no/such".into(), "no/such/file".into()], folders(&[("", true)]))
        );
    }

    #[test]
    fn links_in_a_circle_have_an_end() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        symlink("b", root.join("a")).unwrap();
        symlink("a", root.join("b")).unwrap();
        assert_eq!(trail(&root, "a/file").1, [(String::new(), true)]);
    }
}
