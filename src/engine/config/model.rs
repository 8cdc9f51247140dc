//! A config as the program uses it: defaults filled in, templates compiled, durations parsed.

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc, time::Duration};

use serde_json::{Map, Value};

use crate::{
    contract::TriggerType,
    engine::{
        query::{Condition, Expression, JsonPath, LabelSelector, NamespacePatterns, Schedule},
        template::Template,
    },
    object::Gvk,
};

/// A whole configuration.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// What to watch and who answers.
    pub entries: Vec<Arc<Entry>>,
    /// What to apply before anything is watched.
    pub crds: Vec<Crd>,
}

/// A CustomResourceDefinition to apply at start.
#[derive(Debug, Clone, PartialEq)]
pub struct Crd {
    /// Where it was read, for messages.
    pub source: String,
    /// The object.
    pub manifest: Value,
}

/// One entry of `resources[]`.
#[derive(Debug)]
pub struct Entry {
    /// Its identity.
    pub name: String,
    /// The handled kind.
    pub gvk: Gvk,
    /// Which of its objects.
    pub select: Selection,
    /// Whether nothing but the metadata of the objects is watched and handed over.
    pub metadata_only: bool,
    /// Which events run the handler.
    pub wakes: Wakes,
    /// Kinds that the handler creates.
    pub dependents: Vec<Dependent>,
    /// Kinds that the objects name in their fields.
    pub references: Vec<Reference>,
    /// Who answers when something changes.
    pub reconciler: Option<Reconciler>,
    /// Who answers before an object goes away.
    pub finalizer: Option<Finalizer>,
    /// How often to run without a reason.
    pub resync_period: Option<Duration>,
    /// What every run is given.
    pub values: Map<String, Value>,
    /// How many objects at once.
    pub concurrency: usize,
    /// What is measured of each object.
    pub metrics: Vec<Metric>,
    /// The condition that the engine keeps.
    pub condition: Option<String>,
    /// Of all that its behaviour depends on: an entry with another digest is another entry.
    pub digest: String,
}

/// The prefix of the names that we put on objects.
pub const DOMAIN: &str = "helmfile-operator.github.io";

impl Entry {
    /// The field manager of everything this entry writes.
    pub fn field_manager(&self) -> String {
        format!("helmfile-operator/{}", self.name)
    }

    /// The field manager of what the engine itself says about this entry's runs: another one than
    /// [`Self::field_manager`], since applying the entry's status must not remove it.
    pub fn engine_manager(&self) -> String {
        format!("helmfile-operator-engine/{}", self.name)
    }

    /// The field manager of a list of conditions that can only be written as a whole.
    pub fn conditions_manager(&self) -> String {
        format!("helmfile-operator-conditions/{}", self.name)
    }

    /// Whether nothing is ever written.
    pub fn observes(&self) -> bool {
        self.reconciler.as_ref().is_some_and(|reconciler| reconciler.observe)
    }

    /// The finalizer that objects get when there is a finalizer handler: the predecessor's for custom resources; built-in
    /// kinds take only qualified names (RULES 18).
    pub fn finalizer_name(&self) -> String {
        let kind = self.gvk.kind.to_lowercase();
        let group = &self.gvk.group;
        if group.contains('.') && !group.ends_with(".k8s.io") {
            format!("{kind}-controller.{group}")
        } else {
            format!("{DOMAIN}/{kind}-controller")
        }
    }
}

/// Which objects of a kind.
#[derive(Debug, Default)]
pub struct Selection {
    /// With these labels, in kubectl's syntax.
    pub labels: Option<String>,
    /// With these fields, in kubectl's syntax.
    pub fields: Option<String>,
    /// In these namespaces.
    pub namespaces: Option<NamespacePatterns>,
    /// In namespaces with these labels.
    pub namespace_labels: Option<LabelSelector>,
}

impl Selection {
    /// Whether there may be objects of the kind that are not selected.
    pub fn is_partial(&self) -> bool {
        let Self { labels, fields, namespaces, namespace_labels } = self;
        labels.is_some() || fields.is_some() || namespaces.is_some() || namespace_labels.is_some()
    }
}

/// Which events run the handler.
#[derive(Debug, Default)]
pub struct Wakes {
    /// Events of these types; what a config or a reply asks for by itself is not among them.
    pub on: Vec<TriggerType>,
    /// Only when this is true.
    pub when: Option<Condition>,
    /// And at these times.
    pub schedule: Option<Schedule>,
}

/// A kind that the handler creates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependent {
    /// The kind.
    pub gvk: Gvk,
    /// Whether they have no owner reference.
    pub orphan: bool,
}

/// A kind that the objects name in their fields.
#[derive(Debug)]
pub struct Reference {
    /// The kind.
    pub gvk: Gvk,
    /// Where the names are.
    pub names: JsonPath,
}

/// A gauge with one series for each object.
#[derive(Debug)]
pub struct Metric {
    /// Its whole name.
    pub name: String,
    /// What it says, in one line.
    pub help: String,
    /// Its value.
    pub value: Expression,
    /// Labels beside `namespace` and `name`.
    pub labels: BTreeMap<String, Expression>,
}

impl Metric {
    /// Whether both can be one metric.
    pub fn agrees(&self, other: &Self) -> bool {
        self.help == other.help && self.labels.keys().eq(other.labels.keys())
    }
}

/// A handler and when it runs again.
#[derive(Debug)]
pub struct Reconciler {
    /// Who answers.
    pub handler: Handler,
    /// When to run again after a success.
    pub requeue_after: Option<Duration>,
    /// Whether the answer is ignored and nothing is written.
    pub observe: bool,
}

/// A handler for objects that are to go.
#[derive(Debug)]
pub struct Finalizer {
    /// Who answers.
    pub handler: Handler,
    /// Only objects for which this is true get the finalizer.
    pub when: Option<Condition>,
}

/// Who answers.
#[derive(Debug)]
pub enum Handler {
    /// A program.
    Exec(Exec),
    /// A URL.
    Http(Http),
    /// A template.
    Template(Template),
}

/// A program and how to run it.
#[derive(Debug, Clone)]
pub struct Exec {
    /// Which one.
    pub program: Program,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its working directory.
    pub folder: PathBuf,
    /// The folder of the config file, which relative program paths start from.
    pub base: PathBuf,
    /// Environment variables on top of the operator's own.
    pub env: BTreeMap<String, String>,
    /// The longest it may run.
    pub timeout: Option<Duration>,
    /// The longest it may take to end when asked to.
    pub grace: Duration,
    /// Whether to log what goes in and out.
    pub debug: bool,
}

/// A service that is called: the state by POST, the reply in the body of the answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Http {
    /// Where: `http` or `https`. Its user information is sent as basic authentication.
    pub url: String,
    /// What proves who is who; for `https`.
    pub tls: HttpTls,
    /// The longest a call may take, from the first packet to the last byte. None: no limit.
    pub timeout: Option<Duration>,
    /// Whether to log what goes in and out.
    pub debug: bool,
}

impl fmt::Debug for Http {
    /// Without the URL, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url: _, tls, timeout, debug } = self;
        let mut shown = f.debug_struct("Http");
        shown.field("tls", tls).field("timeout", timeout).field("debug", debug).finish_non_exhaustive()
    }
}

/// PEM files, with absolute paths. They are looked at again at each call, so that rotated ones are found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct HttpTls {
    /// Our certificate, and those between it and its authority. Goes with `key_file`.
    pub cert_file: Option<PathBuf>,
    /// Its private key.
    pub key_file: Option<PathBuf>,
    /// The only authorities that the service's certificate may come from. None: those that the system trusts.
    pub ca_cert_file: Option<PathBuf>,
}

/// Which program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// This one.
    Own,
    /// Another, by name or path. Looked up at each run, so that a hook that is put in place later is found.
    Named(String),
}
