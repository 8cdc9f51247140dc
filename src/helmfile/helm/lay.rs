//! Puts the plugin where Helm and helmfile look for plugins. Nothing is downloaded.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

/// The version that the plugin calls itself: the helm-diff whose command line it accepts. helmfile 1.7 checks it: it wants
/// at least 3.8.1 for `insecureSkipTLSVerify`, 3.9.0 for `suppressOutputLineRegex`, 3.11.0 for `takeOwnership`, 3.15.10
/// for `serverSide`, and recommends 3.15.11.
pub const PLUGIN_VERSION: &str = "3.15.11";

/// The old form of plugin.yaml: Helm 3 knows no other, and Helm 4 and helmfile read it as well.
const PLUGIN: &str = concat!(
    "# Written by helmfile-operator, which is this plugin.\n",
    "name: diff\n",
    "version: \"@VERSION@\"\n",
    "usage: Show what an upgrade would change\n",
    "description: Compares a release as it was last deployed with what its chart renders to now.\n",
    "platformCommand:\n",
    "- command: $HELM_PLUGIN_DIR/bin/diff\n",
    "  args: [helm, diff]\n",
);

/// Why the plugin could not be laid down.
#[derive(Debug, thiserror::Error)]
#[error("failed to write `{}`", .path.display())]
pub struct LayError {
    /// The file, link or folder.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// Writes `helm-diff/plugin.yaml` and `helm-diff/bin/diff`, a link to `executable`, below the folder `plugins` (Helm's
/// `$HELM_PLUGINS`). What is there already is left alone; what differs is replaced at once, so that a Helm that starts
/// meanwhile sees a whole plugin.
///
/// # Errors
/// When a file can't be written.
pub fn lay(plugins: &Path, executable: &Path) -> Result<(), LayError> {
    let folder = plugins.join("helm-diff");
    let bin = folder.join("bin");
    fs::create_dir_all(&bin).map_err(|source| LayError { path: bin.clone(), source })?;
    let link = bin.join("diff");
    if fs::read_link(&link).ok().as_deref() != Some(executable) {
        replace(&link, |fresh| symlink(executable, fresh))?;
    }
    let file = folder.join("plugin.yaml");
    let content = PLUGIN.replace("@VERSION@", PLUGIN_VERSION);
    // The last step: from now on Helm takes it for a plugin.
    if fs::read(&file).ok().as_deref() != Some(content.as_bytes()) {
        replace(&file, |fresh| fs::write(fresh, &content))?;
    }
    Ok(())
}

/// Makes a new one in a private folder beside it and moves that over the old one, which is atomic.
fn replace(path: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), LayError> {
    let attempt = || {
        let beside = path.parent().unwrap_or(Path::new("."));
        let fresh = tempfile::Builder::new().prefix(".new").tempdir_in(beside)?;
        let file = fresh.path().join("it");
        make(&file)?;
        fs::rename(&file, path)
    };
    attempt().map_err(|source| LayError { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn lays_a_plugin_and_leaves_it_alone() {
        let dir = tempfile::tempdir().unwrap();
        let plugins = dir.path().join("data/plugins");
        lay(&plugins, Path::new("/opt/one")).unwrap();
        let folder = plugins.join("helm-diff");
        let written = fs::metadata(folder.join("plugin.yaml")).unwrap().modified().unwrap();
        lay(&plugins, Path::new("/opt/one")).unwrap();
        assert_eq!(fs::metadata(folder.join("plugin.yaml")).unwrap().modified().unwrap(), written);
        assert_eq!(fs::read_link(folder.join("bin/diff")).unwrap(), Path::new("/opt/one"));
        assert_eq!(
            (names(&folder), names(&folder.join("bin"))),
            (vec!["bin".into(), "plugin.yaml".into()], vec!["diff".into()])
        );
    }

    #[test]
    fn replaces_what_differs() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("helm-diff");
        fs::create_dir_all(folder.join("bin")).unwrap();
        fs::write(folder.join("bin/diff"), "upstream's").unwrap();
        fs::write(folder.join("plugin.yaml"), "name: diff\nversion: 1.0.0\n").unwrap();
        lay(dir.path(), Path::new("/opt/two")).unwrap();
        assert_eq!(fs::read_link(folder.join("bin/diff")).unwrap(), Path::new("/opt/two"));
        let text = fs::read_to_string(folder.join("plugin.yaml")).unwrap();
        let plugin = crate::yaml::documents(&text).unwrap().remove(0);
        assert_eq!(
            (plugin["name"].as_str(), plugin["version"].as_str()),
            (Some("diff"), Some(PLUGIN_VERSION))
        );
    }

    #[test]
    fn names_the_file_in_the_way() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("helm-diff"), "").unwrap();
        let error = lay(dir.path(), Path::new("/opt/one")).unwrap_err();
        assert!(error.to_string().contains("helm-diff/bin"), "{error}");
    }
}
