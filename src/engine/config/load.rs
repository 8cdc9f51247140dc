//! Reading config files and what they name.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use super::{
    compile::{self, Unit},
    diagnostic::{Diagnostic, Diagnostics, Severity},
    model::Config,
    raw::{self, RawConfig, RawEntry, RawExec},
    shape,
    tree::{self, Node, Place},
};
use crate::{digest, process};

/// A config file to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// One that is compiled into the program: `builtin:NAME`.
    Builtin(String),
}

impl Source {
    /// Reads what a person gives to `--file`.
    pub fn parse(text: &str) -> Self {
        text.strip_prefix(BUILTIN)
            .map_or_else(|| Self::File(text.into()), |name| Self::Builtin(name.to_owned()))
    }
}

const BUILTIN: &str = "builtin:";

/// Texts that are compiled into the program, by name.
#[derive(Debug, Clone, Copy, Default)]
pub struct Library {
    /// Configs.
    pub configs: &'static [(&'static str, &'static str)],
    /// Templates and CRDs that configs may name.
    pub files: &'static [(&'static str, &'static str)],
}

impl Library {
    fn config(&self, name: &str) -> Result<&'static str, String> {
        find(self.configs, name).ok_or_else(|| missing("config", name, self.configs))
    }

    fn file(&self, name: &str) -> Result<&'static str, String> {
        find(self.files, name).ok_or_else(|| missing("file", name, self.files))
    }
}

fn find(texts: &'static [(&str, &str)], name: &str) -> Option<&'static str> {
    texts.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

fn missing(what: &str, name: &str, known: &[(&str, &str)]) -> String {
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    format!("there is no built-in {what} `{name}`; there are {}", names.join(", "))
}

/// What a config is loaded for.
#[derive(Debug, Default)]
pub struct Surroundings {
    /// PATH, to warn of programs that are missing.
    pub path: Option<OsString>,
    /// `--set`: laid over the values of every entry.
    pub set: Map<String, Value>,
}

/// A config that can be used, and what it warns of.
#[derive(Debug)]
pub struct Loaded {
    /// The config.
    pub config: Config,
    /// Warnings only.
    pub warnings: Diagnostics,
    /// Every file that it depends on, absolute, whether it exists or not: a change of one may change the config.
    pub paths: BTreeSet<PathBuf>,
}

/// A config that can't be used.
#[derive(Debug)]
pub struct LoadError {
    /// All that is wrong with it.
    pub diagnostics: Diagnostics,
    /// The files to watch until it is repaired.
    pub paths: BTreeSet<PathBuf>,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.diagnostics.fmt(f)
    }
}

impl std::error::Error for LoadError {}

/// Reads and compiles config files; later ones win where entries have one name.
///
/// # Errors
/// All that is wrong with all of them.
pub fn load(sources: &[Source], library: &Library, surroundings: &Surroundings) -> Result<Loaded, LoadError> {
    let mut found = Found::default();
    let mut units: Vec<Unit> = Vec::new();
    for source in sources {
        match read(source, library, surroundings, &mut found) {
            Ok(unit) => units.push(unit),
            Err(wrong) => found.diagnostics.extend(wrong),
        }
    }
    let (config, wrong) = compile::compile(&units, &surroundings.set);
    let Found { mut diagnostics, paths } = found;
    diagnostics.extend(wrong);
    let diagnostics = Diagnostics(diagnostics);
    if diagnostics.has_errors() {
        Err(LoadError { diagnostics, paths })
    } else {
        Ok(Loaded { config, warnings: diagnostics, paths })
    }
}

/// What is found on the way.
#[derive(Default)]
struct Found {
    diagnostics: Vec<Diagnostic>,
    paths: BTreeSet<PathBuf>,
}

/// How messages call it, what relative paths in it start from, and its text.
fn open(source: &Source, library: &Library) -> (String, PathBuf, Result<String, String>) {
    match source {
        Source::File(path) => {
            let folder =
                path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            // Absolute, since hooks run in folders of their own.
            let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
            let text = std::fs::read_to_string(path);
            let text = text.map_err(|error| format!("failed to read `{}`: {error}", path.display()));
            (path.display().to_string(), folder, text)
        }
        Source::Builtin(name) => {
            let text = library.config(name).map(str::to_owned);
            (format!("{BUILTIN}{name}"), PathBuf::from("/"), text)
        }
    }
}

fn read(
    source: &Source,
    library: &Library,
    surroundings: &Surroundings,
    found: &mut Found,
) -> Result<Unit, Vec<Diagnostic>> {
    let (name, folder, text) = open(source, library);
    if let Source::File(path) = source {
        found.paths.insert(std::path::absolute(path).unwrap_or_else(|_| path.clone()));
    }
    let wrong = |message, text: &str, at| vec![Diagnostic::new(Severity::Error, message, &name, text, at)];
    let text = text.map_err(|message| wrong(message, "", Place { line: 0, column: 0 }))?;
    let tree = Node::parse(&text).map_err(|error| {
        wrong(error.message.clone(), &text, Place { line: error.line, column: error.column })
    })?;
    let misfits = shape::check(&tree, &raw::schema());
    let unknown: Vec<&tree::Path> = misfits.iter().filter_map(|misfit| misfit.unknown.as_ref()).collect();
    // Without its unknown fields the rest may still make sense: then what is wrong with that is found as well.
    let raw: Result<RawConfig, _> = serde_json::from_value(tree.value_without(&unknown));
    let diagnose =
        |misfit: shape::Misfit| Diagnostic::new(Severity::Error, misfit.message, &name, &text, misfit.at);
    let raw = match raw {
        Ok(raw) => raw,
        Err(error) if misfits.is_empty() => return Err(wrong(error.to_string(), &text, tree.at)),
        Err(_) => return Err(misfits.into_iter().map(diagnose).collect()),
    };
    found.diagnostics.extend(misfits.into_iter().map(diagnose));
    found.paths.extend(named_paths(&raw, &folder));
    let files = named_files(&raw).map(|file| (file.to_owned(), read_named(file, &folder, library))).collect();
    let unusable = unusable_programs(&raw, surroundings, &folder);
    let hooks = hooks(&raw, &folder);
    Ok(Unit { name, text, tree, raw, folder, files, hooks, unusable })
}

/// The programs that can't be run as things are now, and why.
fn unusable_programs(
    raw: &RawConfig,
    surroundings: &Surroundings,
    folder: &Path,
) -> BTreeMap<String, String> {
    let programs = programs(raw).map(|exec| &exec.command);
    let resolve = |program: &str| process::resolve(program, surroundings.path.as_deref(), folder);
    let problem = |program: &str| {
        let error = resolve(program).err()?;
        let beside = format!("./{program}");
        Some(match program.split_once(' ') {
            Some((first, _)) if resolve(first).is_ok() => format!("{error}; put arguments into `args`"),
            _ if resolve(&beside).is_ok() => format!("{error}; did you mean `{beside}`?"),
            _ => error.to_string(),
        })
    };
    let programs = programs.filter(|program| !program.is_empty());
    programs.filter_map(|program| Some((program.clone(), problem(program)?))).collect()
}

/// Digests of the hooks: the commands and arguments that are names of files.
fn hooks(raw: &RawConfig, folder: &Path) -> BTreeMap<String, String> {
    let mut hooks = BTreeMap::new();
    for exec in programs(raw) {
        for word in exec.words() {
            let path = places(exec, word, folder).into_iter().find(|path| path.is_file());
            if let Some(bytes) = path.and_then(|path| std::fs::read(path).ok()) {
                hooks.insert(word.to_owned(), digest::sha256_hex(&bytes));
            }
        }
    }
    hooks
}

fn programs(raw: &RawConfig) -> impl Iterator<Item = &RawExec> {
    raw.resources.iter().flat_map(RawEntry::handlers).filter_map(|handler| handler.exec)
}

/// Where the file is that a word names, if it names one. A command is looked for from the config's folder, what it opens
/// itself from its own.
fn places(exec: &RawExec, word: &str, folder: &Path) -> [PathBuf; 2] {
    let own = exec.working_dir.as_ref().map_or_else(|| folder.to_owned(), |below| folder.join(below));
    [folder.join(word), own.join(word)]
}

/// The files that a config names, whether they exist or not.
fn named_paths(raw: &RawConfig, folder: &Path) -> BTreeSet<PathBuf> {
    let texts = named_files(raw).filter(|file| !file.starts_with(BUILTIN));
    let tls =
        raw.resources.iter().flat_map(RawEntry::handlers).filter_map(|handler| Some(&handler.http?.tls));
    let tls = tls.flat_map(|tls| [&tls.cert_file, &tls.key_file, &tls.ca_cert_file]);
    let mut paths: BTreeSet<PathBuf> =
        texts.chain(tls.filter_map(|file| file.as_deref())).map(|file| folder.join(file)).collect();
    for exec in programs(raw) {
        for word in exec.words() {
            let places = places(exec, word, folder);
            // A file that is missing may come later; a flag, a script or a program on PATH is none.
            if looks_like_a_file(word) || places.iter().any(|path| path.is_file()) {
                paths.extend(places);
            }
        }
    }
    paths
}

fn looks_like_a_file(word: &str) -> bool {
    !word.starts_with('-')
        && word.contains(['/', '.'])
        && !word.contains(char::is_whitespace)
        && !word.contains("://")
}

fn named_files(raw: &RawConfig) -> impl Iterator<Item = &str> {
    let templates = raw.resources.iter().flat_map(RawEntry::templates);
    templates.chain(raw.crds.iter().map(String::as_str))
}

fn read_named(file: &str, folder: &Path, library: &Library) -> Result<String, String> {
    match file.strip_prefix(BUILTIN) {
        Some(name) => library.file(name).map(str::to_owned),
        None => std::fs::read_to_string(folder.join(file))
            .map_err(|error| format!("failed to read `{file}`: {error}")),
    }
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
