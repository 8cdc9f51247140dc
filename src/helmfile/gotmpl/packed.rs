//! Charts that are packed, taken apart in memory.

use std::{io::Read, path::Path};

/// What a packed file begins with: gzip, deflated.
pub const GZIP: [u8; 3] = [0x1f, 0x8b, 0x08];

/// How many archives may be in one another.
const ARCHIVES: usize = 4;

/// What may still be looked at.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Bytes.
    bytes: u64,
    /// Files and folders.
    entries: usize,
}

impl Budget {
    /// 64 MiB in 20,000 files and folders.
    pub const fn full() -> Self {
        Self { bytes: 64 << 20, entries: 20_000 }
    }

    /// Reads to the end. `None` when that fails or is too much.
    pub fn read(&mut self, reader: impl Read) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        reader.take(self.bytes + 1).read_to_end(&mut bytes).ok()?;
        self.bytes = self.bytes.checked_sub(u64::try_from(bytes.len()).ok()?)?;
        Some(bytes)
    }

    /// Counts a file or a folder. `None` when there are too many.
    pub fn entry(&mut self) -> Option<()> {
        self.entries = self.entries.checked_sub(1)?;
        Some(())
    }
}

/// A file of a chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its path in the chart, separated by `/`; that of an archive stands for a folder.
    pub name: String,
    /// What is in it.
    pub content: Vec<u8>,
}

/// Adds a file of a chart, or the files in it when it is a packed chart. `None` when it is a broken one, or too much.
pub fn add(file: File, budget: &mut Budget, files: &mut Vec<File>) -> Option<()> {
    add_at(file, 0, budget, files)
}

fn add_at(file: File, archives: usize, budget: &mut Budget, files: &mut Vec<File>) -> Option<()> {
    let is_chart = file.name.split('/').any(|part| part == "charts")
        && Path::new(&file.name).extension().is_some_and(|extension| extension == "tgz");
    if is_chart && file.content.starts_with(&GZIP) {
        return unpack_at(&file.content, &format!("{}/", file.name), archives + 1, budget, files);
    }
    budget.entry()?;
    files.push(file);
    Some(())
}

/// Adds the files of a packed chart, their names with `prefix`. `None` when it is broken, or too much.
pub fn unpack(bytes: &[u8], prefix: &str, budget: &mut Budget, files: &mut Vec<File>) -> Option<()> {
    unpack_at(bytes, prefix, 0, budget, files)
}

fn unpack_at(
    bytes: &[u8],
    prefix: &str,
    archives: usize,
    budget: &mut Budget,
    files: &mut Vec<File>,
) -> Option<()> {
    if archives > ARCHIVES {
        return None;
    }
    let unpacked = budget.read(flate2::bufread::MultiGzDecoder::new(bytes))?;
    for entry in tar::Archive::new(unpacked.as_slice()).entries().ok()? {
        let mut entry = entry.ok()?;
        let kind = entry.header().entry_type();
        if kind.is_dir() || kind.is_pax_global_extensions() {
            continue;
        }
        // Helm takes the names that Windows writes.
        let name = String::from_utf8(entry.path_bytes().into_owned()).ok()?.replace('\\', "/");
        let content = budget.read(&mut entry)?;
        add_at(File { name: format!("{prefix}{name}"), content }, archives, budget, files)?;
    }
    Some(())
}
