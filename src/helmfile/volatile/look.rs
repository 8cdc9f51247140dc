//! Walks through a source.

use std::{
    collections::BTreeSet,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use super::{
    judge::{self, Source},
    mention::{Mentions, is_evident},
    reason::{self, Place, Reason},
};
use crate::helmfile::gotmpl::packed::{self, Budget, GZIP};

/// Says what the state that a helmfile describes depends on besides the source and the spec: the first few reasons in a
/// fixed order, none when it is fixed.
///
/// `root` is the folder of the source, `helmfile` the path in it of the helmfile or of a folder of helmfiles; `known_env`
/// are the environment variables that the spec and we ourselves set.
pub fn look(root: &Path, helmfile: &Path, known_env: &BTreeSet<String>) -> Vec<Reason> {
    let mut walk = Walk {
        root: root.to_owned(),
        inside: root.to_owned(),
        budget: Budget::full(),
        source: Source::default(),
        files: Vec::new(),
        reasons: Vec::new(),
    };
    let helmfile = helmfile.components().as_path().to_string_lossy();
    let helmfile = helmfile.trim_start_matches("./").trim_end_matches('/');
    let helmfile = if helmfile == "." { "" } else { helmfile };
    if walk.all(helmfile).is_none() {
        walk.reasons.push(Reason::TooMuch);
    } else {
        walk.reasons.extend(judge::reasons(&walk.source, helmfile, known_env));
    }
    reason::first(walk.reasons)
}

/// How many folders may be in one another. Links are followed; a loop of them ends here.
const FOLDERS: usize = 32;
/// How much of a file says whether it is a text.
const HEAD: u64 = 8 << 10;

struct Walk {
    root: PathBuf,
    /// The root without links.
    inside: PathBuf,
    budget: Budget,
    source: Source,
    files: Vec<String>,
    reasons: Vec<Reason>,
}

/// In each of them `None` stands for too much.
impl Walk {
    fn all(&mut self, helmfile: &str) -> Option<()> {
        match self.root.canonicalize() {
            Ok(inside) => self.inside = inside,
            Err(_) => self.unreadable("."),
        }
        self.folder("", 0)?;
        let is_chart = |path: &String| path == "Chart.yaml" || path.ends_with("/Chart.yaml");
        let folder =
            |path: &String| path.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_owned());
        self.source.charts = self.files.iter().filter(|path| is_chart(path)).map(folder).collect();
        let files = std::mem::take(&mut self.files);
        let (mut next, mut rest): (Vec<_>, Vec<_>) =
            files.into_iter().partition(|path| is_evident(path, helmfile, &self.source.charts));
        let mut mentions = Mentions::default();
        // What is read may name others.
        while !next.is_empty() {
            for path in next {
                self.file(&path)?;
                if let Some(text) = self.source.texts.get(&path) {
                    mentions.add(text);
                }
            }
            (next, rest) = rest.into_iter().partition(|path| mentions.name(path));
        }
        let unpacked =
            self.source.packed.iter().map(|file| &file.name).filter(|path| is_chart(path)).map(folder);
        self.source.charts.extend(unpacked);
        Some(())
    }

    fn folder(&mut self, folder: &str, depth: usize) -> Option<()> {
        let Ok(entries) = self.root.join(folder).read_dir().and_then(Iterator::collect::<Result<Vec<_>, _>>)
        else {
            self.unreadable(folder);
            return Some(());
        };
        if depth > FOLDERS {
            self.unreadable(folder);
            return Some(());
        }
        for entry in entries {
            self.budget.entry()?;
            let name = entry.file_name();
            let path = if folder.is_empty() { String::new() } else { format!("{folder}/") };
            let path = format!("{path}{}", name.to_string_lossy());
            if name.to_str().is_none() {
                self.unreadable(&path);
            } else if !name.eq_ignore_ascii_case(".git") {
                self.entry(path, &entry, depth)?;
            }
        }
        Some(())
    }

    fn entry(&mut self, path: String, entry: &fs::DirEntry, depth: usize) -> Option<()> {
        let full = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_symlink())
            && !full.canonicalize().is_ok_and(|target| target.starts_with(&self.inside))
        {
            self.reasons.push(Reason::Link(path));
            return Some(());
        }
        match full.metadata() {
            Ok(metadata) if metadata.is_dir() => {
                self.source.paths.insert(path.clone());
                self.folder(&path, depth + 1)?;
            }
            Ok(metadata) if metadata.is_file() => {
                self.source.paths.insert(path.clone());
                self.files.push(path);
            }
            _ => self.unreadable(&path),
        }
        Some(())
    }

    fn file(&mut self, path: &str) -> Option<()> {
        let Ok(mut file) = fs::File::open(self.root.join(path)) else {
            self.unreadable(path);
            return Some(());
        };
        let mut head = Vec::new();
        if file.by_ref().take(HEAD).read_to_end(&mut head).is_err() {
            self.unreadable(path);
            return Some(());
        }
        // Helm takes whatever is in there for a text.
        let is_template = path.split('/').any(|part| part == "templates");
        let is_packed = head.starts_with(&GZIP);
        if head.contains(&0) && !is_template && !is_packed {
            return Some(());
        }
        let bytes = self.budget.read(head.as_slice().chain(file))?;
        if is_packed {
            self.packed(path, &bytes);
        } else {
            self.source.texts.insert(path.to_owned(), String::from_utf8_lossy(&bytes).into_owned());
        }
        Some(())
    }

    fn packed(&mut self, path: &str, bytes: &[u8]) {
        let mut files = Vec::new();
        if packed::unpack(bytes, &format!("{path}/"), &mut self.budget, &mut files).is_some() {
            self.source.packed.extend(files);
        } else if Path::new(path).extension().is_some_and(|extension| extension == "tgz") {
            self.unreadable(path);
        }
    }

    fn unreadable(&mut self, path: &str) {
        let file = if path.is_empty() { "." } else { path }.to_owned();
        self.reasons.push(Reason::Unreadable(Place { file, line: None }));
    }
}

#[cfg(test)]
#[path = "look_tests.rs"]
mod tests;
