//! A local chart, looked at once: whether it is still the same, and whether its rendering can be another one all the same.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::render::Traits;
use crate::{
    digest::sha256_hex,
    helmfile::gotmpl::chart::{Role, Text, judge},
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
    let mut look = Look { files: Vec::new(), budget: BYTES, entries: ENTRIES };
    look.chart(chart)?;
    // By name only; a name twice in an archive keeps its order.
    look.files.sort_by(|a, b| a.name.cmp(&b.name));
    for (number, path) in values.iter().enumerate() {
        // Their own names are often made up for one run.
        let name = format!("values file {}", number + 1);
        let content = look.read(path)?;
        look.files.push(Found { name, role: Role::Values, content });
    }
    for (number, text) in inline.iter().enumerate() {
        let name = format!("flag {}", number + 1);
        look.files.push(Found { name, role: Role::Flag, content: text.clone().into_bytes() });
    }
    Some(look.result())
}

/// Whether a local chart folder declares dependencies. `None` when it is no such folder, or can't be read.
pub fn dependencies(chart: &Path) -> Option<bool> {
    let mut look = Look { files: Vec::new(), budget: BYTES, entries: ENTRIES };
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

/// How many bytes are looked at.
const BYTES: u64 = 64 << 20;
/// How many files and folders.
const ENTRIES: usize = 20_000;
/// How many folders in one another. Links are followed, as Helm does; a loop of them ends here.
const FOLDERS: usize = 32;
/// How many archives in one another.
const ARCHIVES: usize = 4;
/// What a file that is packed begins with: gzip, deflated.
const GZIP: [u8; 3] = [0x1f, 0x8b, 0x08];

struct Look {
    files: Vec<Found>,
    budget: u64,
    entries: usize,
}

struct Found {
    name: String,
    role: Role,
    content: Vec<u8>,
}

impl Look {
    fn chart(&mut self, path: &Path) -> Option<()> {
        if path.metadata().ok()?.is_dir() {
            self.folder(path, "", 0)
        } else {
            let bytes = self.read(path).filter(|bytes| bytes.starts_with(&GZIP))?;
            self.archive(&bytes, "", 0)
        }
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
                self.entries = self.entries.checked_sub(1)?;
                self.folder(&path, &format!("{name}/"), depth + 1)?;
            } else {
                let content = self.read(&path)?;
                self.file(name, content, 0)?;
            }
        }
        Some(())
    }

    /// Takes a file of a chart, which may be a packed chart.
    fn file(&mut self, name: String, content: Vec<u8>, archives: usize) -> Option<()> {
        let is_chart = name.split('/').any(|part| part == "charts")
            && Path::new(&name).extension().is_some_and(|extension| extension == "tgz");
        if is_chart && content.starts_with(&GZIP) {
            return self.archive(&content, &format!("{name}/"), archives + 1);
        }
        self.entries = self.entries.checked_sub(1)?;
        let role = Role::of(&name);
        self.files.push(Found { name, role, content });
        Some(())
    }

    fn archive(&mut self, bytes: &[u8], prefix: &str, archives: usize) -> Option<()> {
        if archives > ARCHIVES {
            return None;
        }
        let unpacked = self.take(flate2::bufread::MultiGzDecoder::new(bytes))?;
        for entry in tar::Archive::new(unpacked.as_slice()).entries().ok()? {
            let mut entry = entry.ok()?;
            let kind = entry.header().entry_type();
            if kind.is_dir() || kind.is_pax_global_extensions() {
                continue;
            }
            // Helm takes the names that Windows writes.
            let name = String::from_utf8(entry.path_bytes().into_owned()).ok()?.replace('\\', "/");
            let content = self.take(&mut entry)?;
            self.file(format!("{prefix}{name}"), content, archives)?;
        }
        Some(())
    }

    fn read(&mut self, path: &Path) -> Option<Vec<u8>> {
        // Asked first: to open a pipe waits for whoever writes to it.
        if !path.metadata().ok()?.is_file() {
            return None;
        }
        let file = File::open(path).ok()?;
        self.take(file)
    }

    fn take(&mut self, reader: impl Read) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        reader.take(self.budget + 1).read_to_end(&mut bytes).ok()?;
        self.budget = self.budget.checked_sub(u64::try_from(bytes.len()).ok()?)?;
        Some(bytes)
    }

    fn result(self) -> Looked {
        let mut hash = Sha256::new();
        let mut traits = Traits::default();
        let mut texts = Vec::new();
        for Found { name, role, content } in self.files {
            // Each part with its length, so that no two lists look the same.
            hash.update([role as u8]);
            for part in [name.as_bytes(), &content] {
                hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
                hash.update(part);
            }
            let is_binary = role == Role::File && (content.contains(&0) || str::from_utf8(&content).is_err());
            let content = String::from_utf8_lossy(&content).into_owned();
            traits.add(&content);
            if !is_binary {
                texts.push(Text { name, role, content });
            }
        }
        Looked { digest: sha256_hex(&hash.finalize()), pure: judge(&texts), traits }
    }
}

#[cfg(test)]
#[path = "chart_tests.rs"]
mod tests;
