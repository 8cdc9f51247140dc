//! All files together, and what every part of a file needs to compile: its text, to say where something is wrong.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use serde_json::{Map, Value};

use crate::{
    duration::GoDuration,
    engine::config::{
        diagnostic::{Diagnostic, Severity},
        model::{Config, Crd, Entry},
        raw::RawConfig,
        tree::{Node, Path},
    },
    object::Gvk,
};

/// A file as far as serde took it, with what its names refer to already read.
pub(in crate::engine::config) struct Unit {
    /// How messages call it.
    pub(in crate::engine::config) name: String,
    /// Its text.
    pub(in crate::engine::config) text: String,
    /// Its text with places.
    pub(in crate::engine::config) tree: Node,
    /// What it says.
    pub(in crate::engine::config) raw: RawConfig,
    /// What relative paths start from.
    pub(in crate::engine::config) folder: PathBuf,
    /// The texts of the files it names, or why they could not be read.
    pub(in crate::engine::config) files: BTreeMap<String, Result<String, String>>,
    /// Digests of the files among the commands and arguments of its programs.
    pub(in crate::engine::config) hooks: BTreeMap<String, String>,
    /// The programs it names that can't be run as things are now, and why.
    pub(in crate::engine::config) unusable: BTreeMap<String, String>,
}

/// Compiles all files into one config; `set` is laid over the values of every entry. Usable only when no diagnostic is an
/// error.
pub(in crate::engine::config) fn compile(
    units: &[Unit],
    set: &Map<String, Value>,
) -> (Config, Vec<Diagnostic>) {
    let mut diagnostics = Vec::new();
    let mut entries: Vec<Arc<Entry>> = Vec::new();
    let mut crds = Vec::new();
    for unit in units {
        let mut compiler = Compiler { unit, set, diagnostics: &mut diagnostics };
        let mut seen = HashMap::new();
        for (index, raw) in unit.raw.resources.iter().enumerate() {
            let at = Path::default().key("resources").index(index);
            let Some(entry) = compiler.entry(raw, &at) else { continue };
            if let Some(first) = seen.insert(entry.name.clone(), index) {
                let hint = "give one of them another `name`";
                compiler
                    .error(&at, format!("`resources[{first}]` is called `{}` already; {hint}", entry.name));
            }
            entries.retain(|earlier| earlier.name != entry.name);
            compiler.no_rivals(&entry, &entries, &at);
            compiler.agreeing_metrics(&entry, &entries, &at.key("metrics"));
            entries.push(Arc::new(entry));
        }
        crds.extend(compiler.crds());
        if unit.raw.webhook.is_some() {
            let at = Path::default().key("webhook");
            compiler.warning(&at, "this version does not serve `webhook`; it has no effect".to_owned());
        }
    }
    (Config { entries, crds }, diagnostics)
}

/// No time in a config is longer.
const LONGEST: Duration = Duration::from_hours(365 * 24);

/// Compiles one file.
pub(super) struct Compiler<'a> {
    pub(super) unit: &'a Unit,
    pub(super) set: &'a Map<String, Value>,
    diagnostics: &'a mut Vec<Diagnostic>,
}

impl Compiler<'_> {
    /// Two entries that own the same things would undo each other's work for ever.
    fn no_rivals(&mut self, entry: &Entry, earlier: &[Arc<Entry>], at: &Path) {
        for other in earlier.iter().filter(|other| other.gvk.same_kind(&entry.gvk)) {
            if let Some(kind) = entry
                .dependents
                .iter()
                .find(|kind| other.dependents.iter().any(|theirs| theirs.gvk.same_kind(&kind.gvk)))
            {
                let problem = format!(
                    "`{}` creates {} for the same objects; the two would delete each other's",
                    other.name, kind.gvk
                );
                self.error(&at.key("dependents"), problem);
            }
            if entry.condition.is_some() && entry.condition == other.condition {
                let problem = format!("`{}` keeps the same condition on the same objects", other.name);
                self.error(&at.key("condition"), problem);
            }
            if entry.finalizer.is_some() && other.finalizer.is_some() {
                let problem = format!("`{}` finalizes the same objects; let one handler do both", other.name);
                self.error(&at.key("finalizer"), problem);
            }
        }
    }

    fn crds(&mut self) -> Vec<Crd> {
        let mut crds = Vec::new();
        for (index, source) in self.unit.raw.crds.iter().enumerate() {
            let at = Path::default().key("crds").index(index);
            let text = match self.unit.files.get(source) {
                Some(Ok(text)) => text,
                Some(Err(problem)) => {
                    self.error(&at, problem.clone());
                    continue;
                }
                None => continue,
            };
            match crate::yaml::documents(text) {
                Ok(documents) => {
                    for manifest in documents {
                        let is_crd = Gvk::of(&manifest).is_some_and(|gvk| {
                            gvk.group == "apiextensions.k8s.io" && gvk.kind == "CustomResourceDefinition"
                        });
                        if is_crd {
                            crds.push(Crd { source: source.clone(), manifest });
                        } else {
                            self.error(
                                &at,
                                format!("`{source}` holds something else than CustomResourceDefinitions"),
                            );
                        }
                    }
                }
                Err(error) => self.error(&at, format!("`{source}` is not YAML: {error}")),
            }
        }
        crds
    }

    /// The value, or `None` with its error reported at this place.
    pub(super) fn good<T, E: std::fmt::Display>(&mut self, result: Result<T, E>, at: &Path) -> Option<T> {
        result.map_err(|error| self.error(at, error.to_string())).ok()
    }

    /// How many errors there are so far.
    pub(super) fn error_count(&self) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count()
    }

    pub(super) fn duration(&mut self, text: Option<&str>, at: &Path) -> Option<Duration> {
        let duration = self.good(text?.parse::<GoDuration>(), at)?.0;
        if duration > LONGEST {
            self.error(at, format!("`{at}` is longer than a year"));
        }
        Some(duration.min(LONGEST))
    }

    pub(super) fn not_empty(&mut self, text: &str, at: &Path) {
        if text.is_empty() {
            self.error(at, format!("`{at}` is empty"));
        }
    }

    pub(super) fn error(&mut self, at: &Path, message: String) {
        self.report(Severity::Error, at, message);
    }

    pub(super) fn warning(&mut self, at: &Path, message: String) {
        self.report(Severity::Warning, at, message);
    }

    fn report(&mut self, severity: Severity, at: &Path, message: String) {
        let place = self.unit.tree.locate(at);
        self.diagnostics.push(Diagnostic::new(severity, message, &self.unit.name, &self.unit.text, place));
    }
}
