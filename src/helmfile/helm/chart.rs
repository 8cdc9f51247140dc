//! A local chart, looked at once: whether it is still the same, and whether its rendering can be another one all the same.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::traits::Traits;
use crate::{
    digest::sha256_hex,
    helmfile::gotmpl::{
        chart::{Role, Text, judge},
        packed::{self, Budget, File, GZIP},
    },
    yaml,
};

/// What the bytes of a chart and of its values say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// SHA-256 of all that Helm reads of them, in lower-case hex: the same wherever the chart is and whenever it was
    /// written.
    pub digest: String,
    /// Whether the rendering follows from these bytes and the flags alone; otherwise what else it takes, and where: "`now`
    /// in templates/secret.yaml".
    pub pure: Result<(), String>,
    /// What they can ask of the cluster.
    pub traits: Traits,
}

/// Looks at a local chart, folder or archive, at files of values in their order, and at texts of the command line (`--set`
/// and its like). `None` when it can't be looked at completely: a chart in a repository, a URL, a broken archive, too much.
pub fn look(chart: &Path, values: &[PathBuf], inline: &[String]) -> Option<Looked> {
    let mut look = Look { files: Vec::new(), budget: Budget::full() };
    look.chart(chart)?;
    // By name only; a name twice in an archive keeps its order.
    look.files.sort_by(|a, b| a.name.cmp(&b.name));
    let mut files: Vec<_> =
        std::mem::take(&mut look.files).into_iter().map(|file| (Role::of(&file.name), file)).collect();
    for (number, path) in values.iter().enumerate() {
        // Their own names are often made up for one run.
        let name = format!("values file {}", number + 1);
        files.push((Role::Values, File { name, content: look.read(path)? }));
    }
    for (number, text) in inline.iter().enumerate() {
        let name = format!("flag {}", number + 1);
        files.push((Role::Flag, File { name, content: text.clone().into_bytes() }));
    }
    Some(result(files))
}

/// Whether a local chart folder declares dependencies. `None` when it is no such folder, or can't be read.
pub fn dependencies(chart: &Path) -> Option<bool> {
    let mut look = Look { files: Vec::new(), budget: Budget::full() };
    let mut declares = |name: &str| {
        let text = String::from_utf8(look.read(&chart.join(name))?).ok()?;
        let documents = yaml::documents(&text).ok()?;
        let is_empty = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
        Some(
            documents
                .iter()
                .filter_map(|document| document.get("dependencies"))
                .any(|value| !is_empty(value)),
        )
    };
    let in_chart = declares("Chart.yaml")?;
    let in_requirements = match chart.join("requirements.yaml").try_exists() {
        Ok(false) => false,
        Ok(true) => declares("requirements.yaml")?,
        Err(_) => return None,
    };
    Some(in_chart || in_requirements)
}

/// How many folders in one another. Links are followed, as Helm does; a loop of them ends here.
const FOLDERS: usize = 32;

struct Look {
    files: Vec<File>,
    budget: Budget,
}

impl Look {
    fn chart(&mut self, path: &Path) -> Option<()> {
        if path.metadata().ok()?.is_dir() {
            return self.folder(path, "", 0);
        }
        let bytes = self.read(path).filter(|bytes| bytes.starts_with(&GZIP))?;
        packed::unpack(&bytes, "", &mut self.budget, &mut self.files)
    }

    fn folder(&mut self, path: &Path, prefix: &str, depth: usize) -> Option<()> {
        if depth > FOLDERS {
            return None;
        }
        for entry in path.read_dir().ok()? {
            let entry = entry.ok()?;
            let name = format!("{prefix}{}", entry.file_name().to_str()?);
            let path = entry.path();
            if path.metadata().ok()?.is_dir() {
                self.budget.entry()?;
                self.folder(&path, &format!("{name}/"), depth + 1)?;
            } else {
                let content = self.read(&path)?;
                packed::add(File { name, content }, &mut self.budget, &mut self.files)?;
            }
        }
        Some(())
    }

    fn read(&mut self, path: &Path) -> Option<Vec<u8>> {
        // Asked first: to open a pipe waits for whoever writes to it.
        if !path.metadata().ok()?.is_file() {
            return None;
        }
        self.budget.read(fs::File::open(path).ok()?)
    }
}

fn result(files: Vec<(Role, File)>) -> Looked {
    let mut hash = Sha256::new();
    let mut traits = Traits::default();
    let mut texts = Vec::new();
    for (role, File { name, content }) in files {
        hash.update([role as u8]);
        // Each part with its length, so that no two lists look the same.
        for part in [name.as_bytes(), &content] {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            hash.update(part);
        }
        traits.add(&String::from_utf8_lossy(&content));
        texts.extend(Text::new(name, role, &content));
    }
    Looked { digest: sha256_hex(&hash.finalize()), pure: judge(&texts), traits }
}

#[cfg(test)]
#[path = "chart_tests.rs"]
mod tests;
