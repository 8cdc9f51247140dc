//! The `Helmfile` kind: what a user asks for.

use std::collections::BTreeMap;

use kube::{CustomResource, CustomResourceExt as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    drift::DriftSpec,
    inputs::{Decryption, EnvVar, KubeConfigReference, Registry, Runner, SecretReference, ValuesReference},
    policy::{DeletionPolicy, Dependency, Retry},
    status::HelmfileStatus,
};
use crate::duration::GoDuration;

/// Where the helmfile is when no source is given: a folder of the applier's image.
pub const DEFAULT_SOURCE: &str = "/assets";

/// A helmfile and the values for it. The cluster is kept equal to what helmfile, helm and kustomize make of them.
#[expect(clippy::duplicated_attributes, reason = "columns of one type repeat `type_`")]
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "apps.mumoshu.github.io",
    version = "v1alpha1",
    kind = "Helmfile",
    plural = "helmfiles",
    shortname = "hf",
    namespaced,
    status = "HelmfileStatus",
    derive = "PartialEq",
    doc = "A helmfile that is delivered to the cluster continuously.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        description = "Whether the cluster has what the helmfile says",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Status",
        type_ = "string",
        description = "What was done last, or what is wrong",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message"
    ),
    printcolumn(
        name = "Revision",
        type_ = "string",
        description = "The revision of the source that the cluster has",
        json_path = ".status.lastAppliedRevision"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "!has(self.version) || has(self.source)",
        "message": "version needs source: it names a version of it",
        "fieldPath": ".version"
    },
    {
        "rule": "!(has(self.inline) && has(self.source))",
        "message": "inline is the helmfile itself; give it or a source, not both",
        "fieldPath": ".inline"
    },
    {
        "rule": "!(has(self.inline) && has(self.file))",
        "message": "inline is the helmfile itself; file names one in a source",
        "fieldPath": ".file"
    },
    {
        "rule": "!(has(self.version) && has(self.source) && self.source.matches('[?&]ref='))",
        "message": "source has ?ref= already; give the version in one place only",
        "fieldPath": ".version"
    },
]))]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of the API")]
pub struct HelmfileSpec {
    /// Where the helmfile comes from: a Git repository or a folder, for example
    /// `git::https://github.com/org/deployments.git@prod/helmfile.yaml?ref=main`.
    /// Default: the folder `/assets` of the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048), regex(pattern = r"\S"))]
    pub source: Option<String>,

    /// The helmfile itself, instead of a source. Values in it count as its contents: no secrets here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 262_144))]
    pub inline: Option<String>,

    /// The branch, tag or commit of the source; the same as `?ref=` in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[^\s-]\S*$"))]
    pub version: Option<String>,

    /// The helmfile inside the source: a file, or a folder with `helmfile.yaml`, `helmfile.yaml.gotmpl` or `helmfile.d`.
    /// Default: the source's `@file` part, else its top folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), extend("x-kubernetes-validations" = [
        json!({"rule": inside("self"), "message": "file is a path inside the source"})
    ]))]
    pub file: Option<String>,

    /// Only releases with these labels, for example `tier=frontend,name!=db`. One of the list is enough; commas within an
    /// item mean and. Default: all releases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 1024)))]
    pub selector: Vec<String>,

    /// The environment of the helmfile. Default: `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub environment: Option<String>,

    /// Values for the helmfile's templates (`.Values`, `.StateValues`), laid over `valuesFiles`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "free_form")]
    pub values: Map<String, Value>,

    /// Files of values, the lowest layer: paths inside the source, or sources of their own (`git::https://…@values.yaml`);
    /// a later one is laid over an earlier one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        inner(length(min = 1, max = 1024)),
        extend("x-kubernetes-validations" = [json!({
            "rule": format!("self.all(path, path.contains('::') || path.contains('://') || {})", inside("path")),
            "message": "valuesFiles are paths inside the source, or sources such as git::https://…@values.yaml"
        })])
    )]
    pub values_files: Vec<String>,

    /// Values from ConfigMaps and Secrets of the namespace, laid over `valuesFiles` and under `values`; a later one over an
    /// earlier one. Those with a `targetPath` lie over everything. A change of what is named is delivered at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub values_from: Vec<ValuesReference>,

    /// Environment variables for helmfile and the programs it starts. Names that steer those programs (`PATH`, `HOME`,
    /// `KUBECONFIG`, `HELM_DRIVER` and the like) are refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 256, "x-kubernetes-validations" = [{
        "rule": "self.all(name, name.matches('^[A-Za-z_][A-Za-z0-9_]*$'))",
        "message": "a name in envvars has letters, digits and underscores only, and starts with no digit"
    }]))]
    pub envvars: BTreeMap<String, String>,

    /// Environment variables as a container has them: with a value, or with one from a ConfigMap or Secret of the namespace.
    /// They lie over `envvars`; the same names are refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub env: Vec<EnvVar>,

    /// A Secret of the namespace with the credentials of the source: `username` and `password`, or for ssh `identity` and
    /// `known_hosts`, and `ca.crt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretReference>,

    /// Credentials of chart repositories and OCI registries, each for one host and no other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub registries: Vec<Registry>,

    /// Keys for files that are encrypted with SOPS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decryption: Option<Decryption>,

    /// The image of the applier. Default: the operator's own image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,

    /// The service account, in the same namespace, that helmfile runs as. It needs every right that the helmfile needs.
    /// Default: `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub service_account_name: Option<String>,

    /// Another cluster: a Secret of the namespace with a kubeconfig. Programs and files that a kubeconfig can name are
    /// refused in it. Default: the cluster that the Helmfile is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kube_config: Option<KubeConfigReference>,

    /// What the pod of the applier gets, beside its image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner: Option<Runner>,

    /// How often the source is asked for a new revision. Nothing else happens when there is none. At least `1s`.
    #[serde(default = "minute")]
    #[schemars(extend("x-kubernetes-validations" = [at_least_a_second("interval")]))]
    pub interval: GoDuration,

    /// How often helmfile runs though nothing has changed, when it takes something from elsewhere that the source does not
    /// show, such as a rotated secret or the newest version of a chart: that arrives within this time. The status says
    /// what it is. The health of all objects is looked at as often. `0s`: at every `interval`.
    #[serde(default = "ten_minutes")]
    pub refresh_interval: GoDuration,

    /// How long one run of helmfile may take before it is interrupted. At least `1s`.
    #[serde(default = "ten_minutes")]
    #[schemars(extend("x-kubernetes-validations" = [at_least_a_second("timeout")]))]
    pub timeout: GoDuration,

    /// While true nothing is delivered, and a running delivery is finished first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,

    /// Whether releases that have left the helmfile are uninstalled. Only those that this Helmfile has installed or
    /// upgraded itself; after a change of source, file or environment, or when more than half of them would go, only once
    /// somebody has said yes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub prune: bool,

    /// Whether objects that exist already and belong to no release are taken over (Helm's `--take-ownership`). Releases that
    /// exist already are taken over in any case, without an upgrade when they are as the helmfile wants them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopt: bool,

    /// Whether Ready waits until the objects of all releases are healthy, for at most `timeout`.
    #[serde(default = "yes")]
    pub wait: bool,

    /// What is done about objects of the releases that somebody else has changed or removed.
    #[serde(default, skip_serializing_if = "DriftSpec::is_default")]
    pub drift: DriftSpec,

    /// What becomes of the releases when the Helmfile is deleted.
    #[serde(default, skip_serializing_if = "DeletionPolicy::is_default")]
    pub deletion_policy: DeletionPolicy,

    /// Helmfiles that must be Ready before this one is delivered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub depends_on: Vec<Dependency>,

    /// How many helm processes may run for this Helmfile at once.
    #[serde(default = "two")]
    #[schemars(range(min = 1, max = 64), extend("format" = "int32"))]
    pub concurrency: u32,

    /// How a delivery that failed is tried again.
    #[serde(default, skip_serializing_if = "Retry::is_default")]
    pub retry: Retry,
}

/// A container image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Image {
    /// Registry and name, without a tag.
    #[schemars(length(min = 1, max = 1024))]
    pub repository: String,
    /// Tag. Default: `latest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub tag: Option<String>,
}

impl Default for HelmfileSpec {
    fn default() -> Self {
        Self {
            source: None,
            inline: None,
            version: None,
            file: None,
            selector: Vec::new(),
            environment: None,
            values: Map::new(),
            values_files: Vec::new(),
            envvars: BTreeMap::new(),
            image: None,
            service_account_name: None,
            interval: minute(),
            refresh_interval: ten_minutes(),
            timeout: ten_minutes(),
            suspend: false,
            values_from: Vec::new(),
            env: Vec::new(),
            secret_ref: None,
            registries: Vec::new(),
            decryption: None,
            kube_config: None,
            runner: None,
            prune: false,
            drift: DriftSpec::default(),
            adopt: false,
            wait: true,
            deletion_policy: DeletionPolicy::default(),
            depends_on: Vec::new(),
            concurrency: two(),
            retry: Retry::default(),
        }
    }
}

const fn yes() -> bool {
    true
}

const fn two() -> u32 {
    2
}

const fn minute() -> GoDuration {
    GoDuration::from_secs(60)
}

const fn ten_minutes() -> GoDuration {
    GoDuration::from_secs(600)
}

fn free_form(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// A rule for a path that does not lead out of the source.
fn inside(path: &str) -> String {
    format!("!{path}.startsWith('/') && !{path}.matches('(^|/)[.][.](/|$)')")
}

fn at_least_a_second(field: &str) -> Value {
    json!({"rule": "duration(self) >= duration('1s')", "message": format!("{field} is at least 1s")})
}

/// The definition of the kind, as `assets/crds/helmfiles.yaml` has it.
pub fn crd() -> Value {
    let mut crd = serde_json::to_value(Helmfile::crd()).unwrap_or_default();
    // Without a status an object has no observedGeneration at all, and kstatus then takes it for current at birth.
    if let Some(status) = crd.pointer_mut("/spec/versions/0/schema/openAPIV3Schema/properties/status") {
        status["default"] = json!({"observedGeneration": -1});
    }
    crd
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    const REFRESH: &str = "helmfile-operator generate crd > assets/crds/helmfiles.yaml";

    #[test]
    fn the_committed_definition_is_the_generated_one() {
        let committed = include_str!("../../../assets/crds/helmfiles.yaml");
        assert!(yaml::print(&crd()) == committed, "assets/crds/helmfiles.yaml is stale; run `{REFRESH}`");
    }

    #[test]
    fn an_empty_spec_has_the_documented_defaults() {
        let spec: HelmfileSpec = serde_json::from_value(json!({})).unwrap();
        assert_eq!(spec, HelmfileSpec::default());
        assert_eq!(
            serde_json::to_value(&spec).unwrap(),
            json!({"interval": "1m", "refreshInterval": "10m", "timeout": "10m", "wait": true, "concurrency": 2})
        );
    }

    #[test]
    fn a_new_object_is_never_current() {
        let path = "/spec/versions/0/schema/openAPIV3Schema/properties/status/default/observedGeneration";
        assert_eq!(crd().pointer(path), Some(&json!(-1)));
    }

    #[test]
    fn every_field_is_described() {
        let crd = crd();
        let spec = crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties").unwrap();
        for (name, schema) in spec.as_object().unwrap() {
            assert!(schema["description"].as_str().is_some_and(|text| text.len() > 10), "{name}: {schema}");
        }
    }
}
