//! config.yaml exactly as it is written. The doc comments are its reference: the JSON schema carries them to editors.
//!
//! Every map refuses fields it does not know.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A config file.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RawConfig {
    /// What to watch and which handler answers. Entries of several files are merged by name; the last one wins.
    #[serde(default)]
    pub resources: Vec<RawEntry>,
    /// Values handed to every handler, under those of the entry and those of `--set`.
    #[serde(default)]
    pub values: Map<String, Value>,
    /// CustomResourceDefinitions to apply at start and to wait for: files, relative to this one, or `builtin:NAME`.
    /// A newer one in the cluster is left alone.
    #[serde(default)]
    pub crds: Vec<String>,
    /// Where admission webhooks are served. Understood, but not served by this version.
    pub webhook: Option<RawWebhook>,
}

/// One kind of object and what to do about it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RawEntry {
    /// Identity of the entry in logs, field managers and metrics. Default: `kind.group` in lower case.
    pub name: Option<String>,
    /// API group; empty or absent for the core group.
    #[serde(default)]
    pub group: String,
    /// API version, for example `v1`.
    pub version: String,
    /// Kind, for example `ConfigMap`.
    pub kind: String,
    /// Only objects with these labels, in kubectl's syntax (`app=web,tier in (a,b)`); the API server selects. Default: all.
    pub label_selector: Option<String>,
    /// Only objects with these fields (`spec.nodeName=a`); which fields there are depends on the kind. Default: all.
    pub field_selector: Option<String>,
    /// Only objects in these namespaces: names and globs (`team-*`), `!` in front excludes. Plain names alone need rights in
    /// those namespaces only. Default: all that the operator works in.
    #[serde(default)]
    pub namespaces: Vec<String>,
    /// Only objects in namespaces with these labels, in kubectl's syntax. Default: any labels.
    pub namespace_selector: Option<String>,
    /// Watch and hand over nothing but the metadata of the objects: far less memory and traffic. Default: false.
    #[serde(default)]
    pub metadata_only: bool,
    /// Which events run the handler: `Start`, `Created`, `Updated`, `Deleted`, `DependentChanged`, `ReferenceChanged`. What the config
    /// or a reply asks for by itself (`Resync`, `Schedule`, `Requeue`, `Retry`, `Watch`, `Deleting`) always does.
    /// Default: all of them but `ReferenceChanged`.
    pub on: Option<Vec<String>>,
    /// An event runs the handler only when this CEL expression is true. It sees `object`, `oldObject` (null but for Updated)
    /// and `trigger` (`type`, `kind`, `namespace`, `name`). An expression that fails counts as true. Default: true.
    pub when: Option<String>,
    /// Run the handler for every object at these times: five cron fields or `@hourly` and the like, in UTC or with
    /// `TZ=Europe/Berlin` in front. Default: never.
    pub schedule: Option<String>,
    /// Kinds of objects that the handler creates for the object. They are owned by it and go away with it.
    #[serde(default)]
    pub dependents: Vec<RawDependent>,
    /// Kinds of objects that the object names in its fields; the handler is given them.
    #[serde(default)]
    pub references: Vec<RawReference>,
    /// What to do when the object, or something it depends on, changes.
    pub reconciler: Option<RawReconciler>,
    /// What to do before the object goes away. With it, every object gets a finalizer, which is taken off when the handler
    /// succeeds without asking to run again.
    pub finalizer: Option<RawFinalizer>,
    /// Run the handler for every object this often even when nothing happens, as a Go duration. Default: never.
    pub resync_period: Option<String>,
    /// Values handed to this entry's handlers, over those of the file.
    #[serde(default)]
    pub values: Map<String, Value>,
    /// How many objects are handled at once. Default: 4. See also `run --max-concurrency`.
    #[schemars(range(min = 1, max = 1000))]
    pub concurrency: Option<u16>,
    /// What each object looks like on `/metrics`: gauges that are read from it.
    #[serde(default)]
    pub metrics: Vec<RawMetric>,
    /// Name of a condition that the engine keeps in `status.conditions` when a run fails (False, with the reason) and
    /// recovers (True). Default: none, only Events.
    pub condition: Option<String>,
    /// Admission: may an object be written? Understood, but not served by this version.
    pub validator: Option<RawHandler>,
    /// Admission: change an object before it is written. Understood, but not served by this version.
    pub mutator: Option<RawHandler>,
    /// Make objects out of requests from elsewhere. Understood, but not served by this version.
    pub injector: Option<RawInjector>,
}

/// A kind of objects that the handler creates.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RawDependent {
    /// API group; empty or absent for the core group.
    #[serde(default)]
    pub group: String,
    /// API version.
    pub version: String,
    /// Kind.
    pub kind: String,
    /// Give them no owner reference, so that they outlive the object, may be in another namespace or in none, and are found
    /// by the label `helmfile-operator.github.io/parent`. Default: false.
    #[serde(default)]
    pub orphan: bool,
}

/// A kind of objects that the object names in its fields.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RawReference {
    /// API group; empty or absent for the core group.
    #[serde(default)]
    pub group: String,
    /// API version.
    pub version: String,
    /// Kind.
    pub kind: String,
    /// Where the object has their names: a path in kubectl's `JSONPath` (`.spec.secretName`, `.spec.volumes[*].configMap.name`). They
    /// are looked for in the object's namespace.
    pub name_field_path: String,
}

/// A gauge with one series for each object, labelled with its `namespace` and `name`. A series goes away with its object.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RawMetric {
    /// The whole name, for example `helmfile_ready`: letters, digits and `_`, with the unit at the end. Entries may share a
    /// name when its help and the names of its labels are the same.
    pub name: String,
    /// What it says, in one line.
    pub help: String,
    /// A CEL expression over `object`: a number; true (1) or false (0); a time in RFC 3339 (seconds since 1970); a Go duration
    /// (seconds). An object for which it is null, or asks for what is not there, has no series.
    pub value: String,
    /// More labels: CEL expressions over `object` that give a text; null, or what is not there, is an empty one. A value is
    /// cut at 128 bytes. A label should have few values: each makes a series of its own.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// A handler and when it runs: exactly one of `exec`, `http` and `template`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RawReconciler {
    /// Run a program with the state on stdin; it prints what it wants.
    pub exec: Option<RawExec>,
    /// POST the state to a URL; status 200 and the body say what it wants.
    pub http: Option<RawHttp>,
    /// Render a Handlebars template; its output is the complete list of the dependents.
    pub template: Option<RawTemplate>,
    /// Run again this long after each success, as a Go duration, unless the reply says otherwise. Default: never.
    pub requeue_after: Option<String>,
    /// Only tell the handler and write nothing at all, whatever it answers. It is told of deletions too, with an object of
    /// nothing but a name, and what was seen last under `lastObject`. Default: false.
    #[serde(default)]
    pub observe: bool,
}

/// A handler: exactly one of `exec`, `http` and `template`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RawHandler {
    /// Run a program with the state on stdin; it prints what it wants.
    pub exec: Option<RawExec>,
    /// POST the state to a URL; status 200 and the body say what it wants.
    pub http: Option<RawHttp>,
    /// Render a Handlebars template; its output is the complete list of the dependents.
    pub template: Option<RawTemplate>,
}

/// A handler for objects that are to go: exactly one of `exec`, `http` and `template`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RawFinalizer {
    /// Run a program with the state on stdin; it prints what it wants.
    pub exec: Option<RawExec>,
    /// POST the state to a URL; status 200 and the body say what it wants.
    pub http: Option<RawHttp>,
    /// Render a Handlebars template; its output is the complete list of the dependents.
    pub template: Option<RawTemplate>,
    /// Only objects get the finalizer for which this CEL expression is true; it sees `object`. It is looked at whenever the
    /// handler of the object runs, and an object for which it is no longer true loses the finalizer. An expression that
    /// fails counts as true. Default: true.
    pub when: Option<String>,
}

/// A program.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RawExec {
    /// The program: a name on PATH, or a path relative to this file. `helmfile-operator` is this program itself.
    pub command: String,
    /// Its arguments.
    #[serde(default)]
    pub args: Vec<String>,
    /// Its working directory, relative to this file. Default: the folder of this file.
    pub working_dir: Option<String>,
    /// Environment variables on top of the operator's own.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// How long it may run, as a Go duration; then it gets SIGTERM. `0` is no limit. Default: `60s`.
    pub timeout: Option<String>,
    /// How long it may take to end after SIGTERM, as a Go duration; then it gets SIGKILL. Default: `5s`.
    pub grace: Option<String>,
    /// Log what it is given and what it prints. Default: false. Shows whatever the objects hold, Secrets included.
    #[serde(default)]
    pub debug: bool,
}

/// A URL.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RawHttp {
    /// Where to POST: `http://` or `https://`. A user and a password in it are sent as basic authentication.
    pub url: String,
    /// Certificates, when the system's are not right.
    #[serde(default)]
    pub tls: RawHttpTls,
    /// How long the answer may take, as a Go duration. `0` is no limit. Default: `60s`.
    pub timeout: Option<String>,
    /// Log what goes out and what comes back. Default: false. Shows whatever the objects hold, Secrets included.
    #[serde(default)]
    pub debug: bool,
}

/// Certificates of an `http` handler: PEM files relative to the config. They are read again when they change.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RawHttpTls {
    /// The certificate that we show. Needs `keyFile`.
    pub cert_file: Option<String>,
    /// Its key.
    pub key_file: Option<String>,
    /// Who may have signed the server's certificate. Default: the system's authorities.
    pub ca_cert_file: Option<String>,
}

/// A template: exactly one of `file` and `inline`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RawTemplate {
    /// A file relative to this one, or `builtin:NAME`.
    pub file: Option<String>,
    /// The template itself.
    pub inline: Option<String>,
}

/// A handler for requests from elsewhere.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RawInjector {
    /// Run a program.
    pub exec: Option<RawExec>,
    /// POST to a URL.
    pub http: Option<RawHttp>,
    /// The public key that requests must be signed with, as a PEM file.
    pub verify_key_file: Option<String>,
}

/// The server of admission webhooks.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RawWebhook {
    /// Address to listen on.
    pub host: Option<String>,
    /// Port to listen on.
    pub port: Option<u16>,
    /// Its certificate.
    pub tls: Option<RawWebhookTls>,
}

/// The certificate of the webhook server.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RawWebhookTls {
    /// PEM file with the certificate.
    pub cert_file: Option<String>,
    /// PEM file with its key.
    pub key_file: Option<String>,
}

/// What a handler is, wherever it is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct HandlerRef<'a> {
    pub(super) exec: Option<&'a RawExec>,
    pub(super) http: Option<&'a RawHttp>,
    pub(super) template: Option<&'a RawTemplate>,
}

impl<'a> From<&'a RawReconciler> for HandlerRef<'a> {
    fn from(raw: &'a RawReconciler) -> Self {
        Self { exec: raw.exec.as_ref(), http: raw.http.as_ref(), template: raw.template.as_ref() }
    }
}

impl<'a> From<&'a RawHandler> for HandlerRef<'a> {
    fn from(raw: &'a RawHandler) -> Self {
        Self { exec: raw.exec.as_ref(), http: raw.http.as_ref(), template: raw.template.as_ref() }
    }
}

impl<'a> From<&'a RawFinalizer> for HandlerRef<'a> {
    fn from(raw: &'a RawFinalizer) -> Self {
        Self { exec: raw.exec.as_ref(), http: raw.http.as_ref(), template: raw.template.as_ref() }
    }
}

impl RawExec {
    /// The command and its arguments: each may name a file that belongs to the hook.
    pub(super) fn words(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.command).chain(&self.args).map(String::as_str)
    }
}

impl RawEntry {
    /// The handlers that this version serves.
    pub(super) fn handlers(&self) -> impl Iterator<Item = HandlerRef<'_>> {
        let reconciler = self.reconciler.as_ref().map(HandlerRef::from);
        reconciler.into_iter().chain(self.finalizer.as_ref().map(HandlerRef::from))
    }

    /// The template files it names.
    pub(super) fn templates(&self) -> impl Iterator<Item = &str> {
        self.handlers().filter_map(|handler| handler.template?.file.as_deref())
    }
}

/// The JSON schema of a config file.
pub fn schema() -> Value {
    schemars::schema_for!(RawConfig).to_value()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_committed_schema_is_fresh() {
        let committed = include_str!("../../../assets/schema/config.json");
        let fresh = serde_json::to_string_pretty(&super::schema()).unwrap() + "\n";
        let refresh = "helmfile-operator generate schema > assets/schema/config.json";
        assert!(committed == fresh, "assets/schema/config.json is stale; run `{refresh}`");
    }
}
