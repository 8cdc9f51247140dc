//! A stage for engine tests: a namespace of its own, a config with hooks in a folder, and an operator that runs it.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use helmfile_operator::{
    cluster::crd,
    object::{self, Gvk, Key},
    yaml,
};
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{control_plane::ControlPlane, operator::Operator, wait::wait_until};

/// How long something may take that usually takes milliseconds. Generous: it ends a test that hangs.
pub const SOON: Duration = Duration::from_mins(1);

/// A stage.
pub struct Scene<'a> {
    pub plane: &'a ControlPlane,
    pub namespace: String,
    folder: TempDir,
}

/// The kind that engine tests use. Its conditions are a list with map key `type`.
pub const HELLO_CRD: &str = include_str!("../fixtures/objects/hello-crd.yaml");

impl<'a> Scene<'a> {
    /// A new stage on this plane.
    pub async fn new(plane: &'a ControlPlane, name: &str) -> Self {
        let namespace = plane.namespace(name).await;
        let folder = tempfile::Builder::new().prefix("scene-").tempdir_in(plane.dir()).unwrap();
        fs::write(folder.path().join("crd.yaml"), HELLO_CRD).unwrap();
        Self { plane, namespace, folder }
    }

    /// The folder of the config and the hooks.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes an executable script, in one step: a run sees the old one or the new one.
    pub fn hook(&self, name: &str, script: &str) -> PathBuf {
        self.write(name, &format!("#!/bin/sh\n{script}"), 0o755)
    }

    /// Writes a file with a mode.
    pub fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let (path, new) = (self.folder.path().join(name), self.folder.path().join(format!("{name}.new")));
        fs::write(&new, text).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(mode)).unwrap();
        fs::rename(&new, &path).unwrap();
        path
    }

    /// Starts an operator on entries of config.yaml (each indented by nothing); it works in this namespace only.
    pub fn start(&self, entries: &str) -> Operator {
        self.start_with(entries, &[])
    }

    /// The same with more arguments.
    pub fn start_with(&self, entries: &str, args: &[&str]) -> Operator {
        let config = self.configure(entries);
        let base = ["run", "-f", config.to_str().unwrap(), "-n", &self.namespace];
        Operator::start(self.plane, &[&base, args].concat(), &[])
    }

    /// The same, but in all namespaces.
    pub fn start_everywhere(&self, entries: &str) -> Operator {
        let config = self.configure(entries);
        Operator::start(self.plane, &["run", "-f", config.to_str().unwrap()], &[])
    }

    /// Writes config.yaml with these entries, in one step.
    pub fn configure(&self, entries: &str) -> PathBuf {
        self.write("config.yaml", &format!("crds: [crd.yaml]\nresources:\n{entries}"), 0o644)
    }

    /// The same in this namespace, for an operator that is somebody else to the API server.
    pub fn start_as(&self, entries: &str, kubeconfig: &Path) -> Operator {
        let config = self.configure(entries);
        let env = [("KUBECONFIG", kubeconfig.to_str().unwrap())];
        Operator::start(self.plane, &["run", "-f", config.to_str().unwrap(), "-n", &self.namespace], &env)
    }

    /// An operator with one entry for `Hello` that runs `./hook.sh`, may make `ConfigMaps`, and keeps the condition
    /// `Reconciled`.
    pub fn start_hello(&self) -> Operator {
        self.start(HELLO_ENTRY)
    }

    /// Access to objects of a kind in this namespace.
    pub async fn api(&self, gvk: &Gvk) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(&gvk.group, &gvk.version, &gvk.kind));
        Api::namespaced_with(self.plane.client().await, &self.namespace, &resource)
    }

    /// Applies an object as a user would, and returns it.
    ///
    /// # Panics
    /// When the API server refuses it.
    pub async fn apply(&self, manifest: Value) -> Value {
        self.try_apply(manifest).await.unwrap()
    }

    /// Applies an object as a user would; the error is the API server's sentence.
    pub async fn try_apply(&self, mut manifest: Value) -> Result<Value, String> {
        manifest["metadata"]["namespace"] = self.namespace.clone().into();
        let api = self.api(&Gvk::of(&manifest).unwrap()).await;
        let params = PatchParams::apply("a-user").force();
        let applied = api.patch(object::name(&manifest), &params, &Patch::Apply(&manifest)).await;
        applied.map(|applied| serde_json::to_value(applied).unwrap()).map_err(|error| error.to_string())
    }

    /// Registers `Hello` before any operator does, so that objects can be there when one starts.
    pub async fn register_hello(&self) {
        let manifest = yaml::documents(HELLO_CRD).unwrap().remove(0);
        crd::register(&self.plane.client().await, &manifest, env!("CARGO_PKG_VERSION")).await.unwrap();
    }

    /// Waits for the operator to have registered `Hello`, then makes one.
    pub async fn hello(&self, name: &str, spec: Value) -> Value {
        self.crd().await;
        self.apply(json!({"apiVersion": "test.example.com/v1", "kind": "Hello", "metadata": {"name": name}, "spec": spec}))
            .await
    }

    /// Waits for the operator to have registered `Hello`.
    pub async fn crd(&self) {
        let crd = Gvk::new("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
        let is_established = |crd: &Value| crd.to_string().contains("\"Established\"");
        self.until_in_cluster(&crd, "hellos.test.example.com", "established", is_established).await;
    }

    /// Access to cluster-scoped objects.
    pub async fn cluster_api(&self, gvk: &Gvk) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(&gvk.group, &gvk.version, &gvk.kind));
        Api::all_with(self.plane.client().await, &resource)
    }

    /// Waits until a cluster-scoped object satisfies `check`, and returns it.
    pub async fn until_in_cluster(
        &self,
        gvk: &Gvk,
        name: &str,
        what: &str,
        check: impl Fn(&Value) -> bool,
    ) -> Value {
        let api = self.cluster_api(gvk).await;
        let what = format!("{} {name}: {what}", gvk.kind);
        wait_until(&what, SOON, async || {
            let found = api.get_opt(name).await.map_err(|error| error.to_string())?;
            let found = serde_json::to_value(found).unwrap();
            if check(&found) { Ok(found) } else { Err(found.to_string()) }
        })
        .await
    }

    /// Deletes a cluster-scoped object.
    pub async fn delete_in_cluster(&self, gvk: &Gvk, name: &str) {
        self.cluster_api(gvk).await.delete(name, &kube::api::DeleteParams::default()).await.unwrap();
    }

    /// Sets labels of this namespace.
    pub async fn label_namespace(&self, labels: Value) {
        let api = self.cluster_api(&Gvk::new("", "v1", "Namespace")).await;
        let patch = json!({"metadata": {"labels": labels}});
        api.patch(&self.namespace, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// The Events about the objects of this name.
    pub async fn events(&self, name: &str) -> Vec<Value> {
        let api = self.api(&Gvk::new("events.k8s.io", "v1", "Event")).await;
        let list = api.list(&kube::api::ListParams::default()).await.unwrap();
        let events = list.items.iter().map(|event| serde_json::to_value(event).unwrap());
        events.filter(|event| event["regarding"]["name"] == name).collect()
    }

    /// Waits for an Event about the object of this name, and returns it.
    pub async fn event(&self, name: &str, reason: &str) -> Value {
        wait_until(&format!("an Event {reason} about {name}"), SOON, async || {
            let events = self.events(name).await;
            let found = events.iter().find(|event| event["reason"] == reason);
            found.cloned().ok_or_else(|| format!("{events:?}"))
        })
        .await
    }

    /// Reads an object; `null` when there is none.
    pub async fn get(&self, gvk: &Gvk, name: &str) -> Value {
        let found = self.api(gvk).await.get_opt(name).await;
        found.map_or_else(
            |error| json!({ "error": error.to_string() }),
            |found| serde_json::to_value(found).unwrap(),
        )
    }

    /// Waits until an object satisfies `check`, and returns it.
    pub async fn until(&self, gvk: &Gvk, name: &str, what: &str, check: impl Fn(&Value) -> bool) -> Value {
        let what = format!("{} {name}: {what}", gvk.kind);
        wait_until(&what, SOON, async || {
            let found = self.get(gvk, name).await;
            if check(&found) { Ok(found) } else { Err(serde_json::to_string_pretty(&found).unwrap()) }
        })
        .await
    }

    /// Waits until a condition of a Hello has this status, and returns the condition.
    pub async fn condition(&self, name: &str, kind: &str, status: &str) -> Value {
        self.condition_of(&hello(), name, kind, status).await
    }

    /// Waits until a condition of an object has this status, and returns the condition.
    pub async fn condition_of(&self, gvk: &Gvk, name: &str, kind: &str, status: &str) -> Value {
        let what = format!("condition {kind}={status}");
        let found = self.until(gvk, name, &what, |object| find(object, kind)["status"] == status).await;
        find(&found, kind).clone()
    }

    /// Deletes an object.
    pub async fn delete(&self, gvk: &Gvk, name: &str) {
        self.api(gvk).await.delete(name, &kube::api::DeleteParams::default()).await.unwrap();
    }

    /// Merge-patches an object as a user would.
    pub async fn patch(&self, gvk: &Gvk, name: &str, patch: Value) {
        self.api(gvk).await.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// Edits an object in a way that means nothing, so that its handler runs.
    pub async fn touch(&self, gvk: &Gvk, name: &str) {
        let found = self.get(gvk, name).await;
        let patch = json!({"metadata": {"annotations": {"touched": found["metadata"]["resourceVersion"]}}});
        self.patch(gvk, name, patch).await;
    }

    /// How many lines a file in the folder has; 0 when it is not there.
    pub fn lines(&self, file: &str) -> usize {
        fs::read_to_string(self.folder().join(file)).map_or(0, |text| text.lines().count())
    }

    /// A file in the folder; empty when it is not there.
    pub fn read(&self, file: &str) -> String {
        fs::read_to_string(self.folder().join(file)).unwrap_or_default()
    }

    /// Waits until a file has at least so many lines; a file without the end of a line has one.
    pub async fn until_file(&self, file: &str, lines: usize) {
        self.until_file_within(file, lines, SOON).await;
    }

    /// The same with another deadline.
    pub async fn until_file_within(&self, file: &str, lines: usize, deadline: Duration) {
        wait_until(&format!("{lines} lines in {file}"), deadline, async || {
            if self.lines(file) >= lines { Ok(()) } else { Err(self.read(file)) }
        })
        .await;
    }

    /// The key of an object in this namespace.
    pub fn key(&self, name: &str) -> Key {
        Key { namespace: Some(self.namespace.clone()), name: name.to_owned() }
    }
}

/// A condition by type; `null` when there is none.
pub fn find<'v>(object: &'v Value, kind: &str) -> &'v Value {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().find(|condition| condition["type"] == kind).unwrap_or(&Value::Null)
}

/// The kind `Hello`.
pub fn hello() -> Gvk {
    Gvk::new("test.example.com", "v1", "Hello")
}

/// The kind `ConfigMap`.
pub fn config_map() -> Gvk {
    Gvk::new("", "v1", "ConfigMap")
}

const HELLO_ENTRY: &str = "
- group: test.example.com
  version: v1
  kind: Hello
  dependents: [{version: v1, kind: ConfigMap}]
  condition: Reconciled
  reconciler:
    exec: {command: ./hook.sh, timeout: 20s}
";
