//! Helm's plugins for one run: ours, which does the diff, and beside it those that the image brings.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use crate::{
    environment::Environment,
    helmfile::helm::lay::{self, LayError},
    yaml,
};

/// Why the plugins are not there.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// Ours.
    #[error("failed to lay down the diff plugin")]
    Ours(#[from] LayError),
    /// One of the image's.
    #[error("failed to make the helm plugin `{}` visible", .plugin.display())]
    Link {
        /// The plugin's folder.
        plugin: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Fills the folder `plugins`.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn gather(plugins: &Path, executable: &Path, ambient: &Environment) -> Result<(), PluginError> {
    lay::lay(plugins, executable)?;
    for folder in folders(ambient) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let plugin = entry.path();
            let link = plugins.join(entry.file_name());
            // Helm refuses two plugins of one name, and ours is the one that helmfile has to find.
            if !plugin.join("plugin.yaml").is_file()
                || link.exists()
                || name(&plugin).as_deref() == Some("diff")
            {
                continue;
            }
            symlink(&plugin, &link).map_err(|source| PluginError::Link { plugin, source })?;
        }
    }
    Ok(())
}

/// Where helm would look for plugins.
fn folders(ambient: &Environment) -> Vec<PathBuf> {
    let get = |name: &str| ambient.get(std::ffi::OsStr::new(name)).filter(|value| !value.is_empty());
    if let Some(list) = get("HELM_PLUGINS") {
        return std::env::split_paths(list).filter(|folder| folder.is_absolute()).collect();
    }
    let data = get("HELM_DATA_HOME").map(PathBuf::from);
    let xdg = get("XDG_DATA_HOME").map(|folder| Path::new(folder).join("helm"));
    let home = get("HOME").map(|folder| Path::new(folder).join(".local/share/helm"));
    data.or(xdg).or(home).map(|helm| helm.join("plugins")).into_iter().collect()
}

fn name(plugin: &Path) -> Option<String> {
    let text = fs::read_to_string(plugin.join("plugin.yaml")).ok()?;
    let document = yaml::documents(&text).ok()?.into_iter().next()?;
    document.get("name")?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &Path)]) -> Environment {
        pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    #[test]
    fn the_images_plugins_are_visible_beside_ours() {
        let image = tempfile::tempdir().unwrap();
        for (folder, text) in
            [("secrets", "name: secrets"), ("upstream-diff", "name: \"diff\""), ("no-plugin", "")]
        {
            fs::create_dir(image.path().join(folder)).unwrap();
            if !text.is_empty() {
                fs::write(image.path().join(folder).join("plugin.yaml"), text).unwrap();
            }
        }
        let plugins = tempfile::tempdir().unwrap();
        gather(plugins.path(), Path::new("/bin/true"), &env(&[("HELM_PLUGINS", image.path())])).unwrap();
        assert!(plugins.path().join("secrets/plugin.yaml").is_file());
        assert!(plugins.path().join("helm-diff/plugin.yaml").is_file());
        assert!(!plugins.path().join("upstream-diff").exists());
        assert!(!plugins.path().join("no-plugin").exists());
        // A second time changes nothing.
        gather(plugins.path(), Path::new("/bin/true"), &env(&[("HELM_PLUGINS", image.path())])).unwrap();
    }

    #[test]
    fn plugins_are_sought_where_helm_seeks_them() {
        let path = Path::new;
        assert_eq!(folders(&env(&[("HELM_PLUGINS", path("/a:/b:rel"))])), [path("/a"), path("/b")]);
        assert_eq!(
            folders(&env(&[("HELM_DATA_HOME", path("/d")), ("HOME", path("/h"))])),
            [path("/d/plugins")]
        );
        assert_eq!(folders(&env(&[("XDG_DATA_HOME", path("/x"))])), [path("/x/helm/plugins")]);
        assert_eq!(folders(&env(&[("HOME", path("/h"))])), [path("/h/.local/share/helm/plugins")]);
        assert_eq!(folders(&env(&[])), Vec::<PathBuf>::new());
    }
}
