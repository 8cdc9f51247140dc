//! Helmfile objects in a cluster: which cluster, reading them, changing them, printing them.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::{Args, ValueEnum};
use kube::{
    Api, Client, Resource as _,
    api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use super::{run, world};
use crate::{
    cluster::{
        self,
        client::{self, Target},
        discovery,
    },
    helmfile::api::Helmfile,
    object::{self, Gvk},
    suggest, yaml,
};

/// Who changes objects, in their `managedFields`.
const MANAGER: &str = "helmfile-operator-cli";

/// Which cluster, and where in it.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// The namespace [default: that of the kubeconfig]
    #[arg(short, long, value_parser = run::namespace)]
    namespace: Option<String>,
    /// Kubeconfig [default: `$KUBECONFIG`, `~/.kube/config` or the pod's service account]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig [default: its current one]
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

/// How to print objects for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

impl Form {
    /// One object as it is; several, or none, as a `List`.
    pub(super) fn print(self, objects: &[Value]) -> String {
        match objects {
            [one] => self.value(one),
            many => self.list(many),
        }
    }

    /// A `List`.
    pub(super) fn list(self, objects: &[Value]) -> String {
        self.value(&json!({"apiVersion": "v1", "kind": "List", "items": objects}))
    }

    fn value(self, value: &Value) -> String {
        match self {
            Self::Json => format!("{value:#}\n"),
            Self::Yaml => yaml::print(value),
        }
    }
}

/// The Helmfiles of a cluster, seen from one namespace.
pub(super) struct Helmfiles {
    client: Client,
    /// The namespace.
    pub namespace: String,
}

impl Helmfiles {
    /// Finds the cluster. Nothing is sent yet.
    pub(super) async fn connect(place: &Place) -> anyhow::Result<Self> {
        let kubeconfig = place.kubeconfig.as_ref().map(world::absolute).transpose()?;
        let target = Target { kubeconfig, context: place.context.clone() };
        let connection = client::connect(&target).await?;
        let namespace = place.namespace.clone().unwrap_or(connection.namespace);
        Ok(Self { client: connection.client, namespace })
    }

    /// Access to those of the namespace. Objects stay as they are, whichever version of the program has written them.
    pub(super) fn api(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource())
    }

    /// All of the namespace, or of the cluster.
    pub(super) async fn list(&self, everywhere: bool) -> anyhow::Result<Vec<Value>> {
        let api = if everywhere { Api::all_with(self.client.clone(), &resource()) } else { self.api() };
        let list = cluster::in_time(api.list(&ListParams::default())).await;
        let place =
            if everywhere { "all namespaces".to_owned() } else { format!("namespace {}", self.namespace) };
        let list = list.map_err(|error| failed(&format!("list the Helmfiles in {place}"), &error))?;
        Ok(list.items.into_iter().map(to_json).collect())
    }

    /// One of the namespace.
    pub(super) async fn get(&self, name: &str) -> anyhow::Result<Value> {
        match cluster::in_time(self.api().get_opt(name)).await {
            Ok(Some(object)) => Ok(to_json(object)),
            Ok(None) => Err(self.absent(name).await),
            Err(error) => Err(failed(&format!("read {}", self.title(name)), &error)),
        }
    }

    /// Changes one by a merge patch, and returns what became of it.
    pub(super) async fn patch(&self, name: &str, patch: &Value) -> anyhow::Result<Value> {
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let patched = cluster::in_time(self.api().patch(name, &params, &Patch::Merge(patch))).await;
        patched.map(to_json).map_err(|error| failed(&format!("change {}", self.title(name)), &error))
    }

    /// `Helmfile team/web`.
    pub(super) fn title(&self, name: &str) -> String {
        format!("Helmfile {}/{name}", self.namespace)
    }

    /// Why there is no such object: the kind is not there, or the name is wrong.
    async fn absent(&self, name: &str) -> anyhow::Error {
        let near = match self.list(false).await {
            Ok(near) => near,
            Err(error) => return error,
        };
        let hint = match suggest::closest(name, near.iter().map(object::name)) {
            Some(meant) => format!("; did you mean `{meant}`?"),
            None => String::new(),
        };
        anyhow!("there is no {}{hint}", self.title(name))
    }
}

fn resource() -> ApiResource {
    ApiResource::erase::<Helmfile>(&())
}

/// An object that was read: with its kind, which lists leave out, and without `managedFields`.
pub(super) fn to_json(object: DynamicObject) -> Value {
    discovery::to_json(&kind(), object)
}

/// The kind.
pub(super) fn kind() -> Gvk {
    Gvk::new(Helmfile::group(&()), Helmfile::version(&()), Helmfile::kind(&()))
}

/// Why something could not be done.
pub(super) fn failed(what: &str, error: &kube::Error) -> anyhow::Error {
    let why = cluster::describe(error);
    let code = if let kube::Error::Api(status) = error { status.code } else { 0 };
    match code {
        403 => anyhow!("you may not {what}: {why}"),
        404 => anyhow!(
            "failed to {what}: {why}; is the CustomResourceDefinition `{}` installed? An operator registers it when it \
             starts, and so does `helmfile-operator generate crd | kubectl apply --server-side -f -`",
            resource_name()
        ),
        _ => anyhow!("failed to {what}: {why}"),
    }
}

/// The kind's name on the command line of kubectl.
pub(super) fn resource_name() -> String {
    format!("{}.{}", Helmfile::plural(&()), Helmfile::group(&()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_object_is_itself_and_others_are_a_list() {
        let one = json!({"kind": "Helmfile"});
        assert_eq!(Form::Yaml.print(std::slice::from_ref(&one)), "kind: Helmfile\n");
        let several = Form::Json.print(&[one.clone(), one.clone()]);
        assert_eq!(serde_json::from_str::<Value>(&several).unwrap()["items"], json!([one, one]));
        assert!(Form::Yaml.print(&[]).contains("items: []"), "{}", Form::Yaml.print(&[]));
    }
}
