//! From what is written to what is meant. Goes on after an error, so that all are found. Pure: what the files name has been
//! looked up already.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use serde_json::{Map, Value};

use super::{
    diagnostic::{Diagnostic, Severity},
    model::{Config, Crd, Entry, Exec, Handler, Program, Reconciler},
    raw::{RawConfig, RawEntry, RawExec, RawKind, RawReconciler, RawTemplate},
    tree::{Node, Path},
};
use crate::{duration::GoDuration, engine::template::Template, object::Gvk};

/// A file as far as serde took it, with what its names refer to already read.
pub(super) struct Unit {
    /// How messages call it.
    pub(super) name: String,
    /// Its text.
    pub(super) text: String,
    /// Its text with places.
    pub(super) tree: Node,
    /// What it says.
    pub(super) raw: RawConfig,
    /// What relative paths start from.
    pub(super) folder: PathBuf,
    /// The texts of the files it names, or why they could not be read.
    pub(super) files: BTreeMap<String, Result<String, String>>,
    /// The programs it names that can't be run as things are now, and why.
    pub(super) unusable: BTreeMap<String, String>,
}

/// How long a handler may run when nothing is said: whitebox-controller's default.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(1);
const DEFAULT_GRACE: Duration = Duration::from_secs(5);
const DEFAULT_CONCURRENCY: u16 = 4;

/// Compiles all files into one config; `set` is laid over the values of every entry. Usable only when no diagnostic is an
/// error.
pub(super) fn compile(units: &[Unit], set: &Map<String, Value>) -> (Config, Vec<Diagnostic>) {
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
            entries.push(Arc::new(entry));
        }
        crds.extend(compiler.crds());
    }
    (Config { entries, crds }, diagnostics)
}

struct Compiler<'a> {
    unit: &'a Unit,
    set: &'a Map<String, Value>,
    diagnostics: &'a mut Vec<Diagnostic>,
}

impl Compiler<'_> {
    fn entry(&mut self, raw: &RawEntry, at: &Path) -> Option<Entry> {
        self.not_empty(&raw.version, &at.key("version"));
        self.not_empty(&raw.kind, &at.key("kind"));
        let gvk = Gvk::new(&raw.group, &raw.version, &raw.kind);
        let dependents = self.dependents(&raw.dependents, &gvk, &at.key("dependents"));
        let reconciler = self.reconciler(&raw.reconciler, &at.key("reconciler"));
        let resync_period = self.duration(raw.resync_period.as_deref(), &at.key("resyncPeriod"));
        let name = raw.name.clone().unwrap_or_else(|| default_name(&gvk));
        self.name(&name, &at.key("name"));
        let mut values = self.unit.raw.values.clone();
        for layer in [&raw.values, self.set] {
            lay_over(&mut values, layer);
        }
        Some(Entry {
            name,
            gvk,
            dependents,
            reconciler: reconciler?,
            resync_period: resync_period.filter(|period| !period.is_zero()),
            values,
            concurrency: raw.concurrency.unwrap_or(DEFAULT_CONCURRENCY).into(),
            condition: raw.condition.clone(),
        })
    }

    /// Two entries that own the same things would undo each other's work for ever.
    fn no_rivals(&mut self, entry: &Entry, earlier: &[Arc<Entry>], at: &Path) {
        for other in earlier.iter().filter(|other| other.gvk.same_kind(&entry.gvk)) {
            if let Some(kind) = entry
                .dependents
                .iter()
                .find(|kind| other.dependents.iter().any(|theirs| theirs.same_kind(kind)))
            {
                let problem = format!(
                    "`{}` creates {kind} for the same objects; the two would delete each other's",
                    other.name
                );
                self.error(&at.key("dependents"), problem);
            }
            if entry.condition.is_some() && entry.condition == other.condition {
                let problem = format!("`{}` keeps the same condition on the same objects", other.name);
                self.error(&at.key("condition"), problem);
            }
        }
    }

    /// An entry's name is part of a field manager, which the API server limits to 128 characters.
    fn name(&mut self, name: &str, at: &Path) {
        let good = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if name.is_empty() || name.len() > 90 || !name.chars().all(good) {
            self.error(at, format!("the name `{name}` must be 1 to 90 letters, digits, `-`, `.` or `_`"));
        }
    }

    fn dependents(&mut self, raw: &[RawKind], owner: &Gvk, at: &Path) -> Vec<Gvk> {
        let mut kinds: Vec<Gvk> = Vec::new();
        for (index, kind) in raw.iter().enumerate() {
            let here = at.index(index);
            self.not_empty(&kind.version, &here.key("version"));
            self.not_empty(&kind.kind, &here.key("kind"));
            let gvk = Gvk::new(&kind.group, &kind.version, &kind.kind);
            if kinds.iter().any(|known| known.same_kind(&gvk)) {
                self.error(&here, format!("the dependent kind {gvk} is listed twice"));
            } else if owner.same_kind(&gvk) {
                self.error(&here, format!("{gvk} cannot be a dependent of itself"));
            } else {
                kinds.push(gvk);
            }
        }
        kinds
    }

    fn reconciler(&mut self, raw: &RawReconciler, at: &Path) -> Option<Reconciler> {
        let requeue_after = self.duration(raw.requeue_after.as_deref(), &at.key("requeueAfter"));
        let handler = match (&raw.exec, &raw.template) {
            (Some(exec), None) => Handler::Exec(self.exec(exec, &at.key("exec"))),
            (None, Some(template)) => Handler::Template(self.template(template, &at.key("template"))?),
            (None, None) => {
                self.error(at, "a reconciler needs a handler: one of `exec` and `template`".to_owned());
                return None;
            }
            (Some(_), Some(_)) => {
                let message = "a reconciler has exactly one handler, and `exec` is given as well";
                self.error(&at.key("template"), message.to_owned());
                return None;
            }
        };
        Some(Reconciler { handler, requeue_after: requeue_after.filter(|delay| !delay.is_zero()) })
    }

    fn exec(&mut self, raw: &RawExec, at: &Path) -> Exec {
        self.not_empty(&raw.command, &at.key("command"));
        let base = self.unit.folder.clone();
        let program = match raw.command.as_str() {
            env!("CARGO_PKG_NAME") => Program::Own,
            command => {
                if let Some(problem) = self.unit.unusable.get(command) {
                    self.warning(&at.key("command"), problem.clone());
                }
                Program::Named(command.to_owned())
            }
        };
        let timeout = self.duration(raw.timeout.as_deref(), &at.key("timeout")).unwrap_or(DEFAULT_TIMEOUT);
        let grace = self.duration(raw.grace.as_deref(), &at.key("grace")).unwrap_or(DEFAULT_GRACE);
        Exec {
            program,
            args: raw.args.clone(),
            folder: raw.working_dir.as_ref().map_or_else(|| base.clone(), |folder| base.join(folder)),
            base,
            env: raw.env.clone(),
            timeout: (!timeout.is_zero()).then_some(timeout),
            grace,
            debug: raw.debug,
        }
    }

    fn template(&mut self, raw: &RawTemplate, at: &Path) -> Option<Template> {
        let (name, text, place) = match (&raw.file, &raw.inline) {
            (None, Some(text)) => (format!("{}: {at}", self.unit.name), text, at.key("inline")),
            (Some(file), None) => match self.unit.files.get(file) {
                Some(Ok(text)) => (file.clone(), text, at.key("file")),
                Some(Err(problem)) => {
                    self.error(&at.key("file"), problem.clone());
                    return None;
                }
                None => return None,
            },
            _ => {
                self.error(at, "a template is given by exactly one of `file` and `inline`".to_owned());
                return None;
            }
        };
        Template::compile(&name, text).map_err(|error| self.error(&place, error.to_string())).ok()
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

    fn duration(&mut self, text: Option<&str>, at: &Path) -> Option<Duration> {
        match text?.parse::<GoDuration>() {
            Ok(duration) => Some(duration.0),
            Err(error) => {
                self.error(at, error.to_string());
                None
            }
        }
    }

    fn not_empty(&mut self, text: &str, at: &Path) {
        if text.is_empty() {
            self.error(at, format!("`{at}` is empty"));
        }
    }

    fn error(&mut self, at: &Path, message: String) {
        self.report(Severity::Error, at, message);
    }

    fn warning(&mut self, at: &Path, message: String) {
        self.report(Severity::Warning, at, message);
    }

    fn report(&mut self, severity: Severity, at: &Path, message: String) {
        let place = self.unit.tree.locate(at);
        self.diagnostics.push(Diagnostic::new(severity, message, &self.unit.name, &self.unit.text, place));
    }
}

fn default_name(gvk: &Gvk) -> String {
    let name = if gvk.group.is_empty() { gvk.kind.clone() } else { format!("{}.{}", gvk.kind, gvk.group) };
    name.to_lowercase()
}

/// Merges maps key by key; anything else is replaced.
fn lay_over(below: &mut Map<String, Value>, above: &Map<String, Value>) {
    for (key, value) in above {
        match (below.get_mut(key), value) {
            (Some(Value::Object(below)), Value::Object(above)) => lay_over(below, above),
            _ => {
                below.insert(key.clone(), value.clone());
            }
        }
    }
}
