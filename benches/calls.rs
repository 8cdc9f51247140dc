//! What the API server was asked, by its own count.

use std::{collections::BTreeMap, path::PathBuf};

use helmfile_operator::cluster::client::{Target, connect};
use k8s_openapi::api::{authentication::v1::TokenRequest, core::v1::ServiceAccount};
use kube::{
    Api, Client,
    api::{DynamicObject, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};

use crate::support::control_plane::ControlPlane;

/// A user that may do everything, as an operator in a pod would log in, and whose calls are counted apart.
pub(crate) struct Caller {
    /// Its kubeconfig.
    pub(crate) kubeconfig: PathBuf,
    /// Its client.
    pub(crate) client: Client,
    name: String,
}

impl Caller {
    /// Makes a service account, and a flow schema that only it falls into. The level is that of administrators:
    /// nothing waits.
    pub(crate) async fn new(plane: &ControlPlane, name: &str) -> Self {
        let client = plane.client().await;
        let name = format!("bench-{name}");
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
        accounts.create(&PostParams::default(), &serde_json::from_value(account).unwrap()).await.unwrap();
        let subject = json!({"name": name, "namespace": "default"});
        let subject_of_role = json!({"kind": "ServiceAccount", "name": name, "namespace": "default"});
        create(&client, "rbac.authorization.k8s.io/v1", "ClusterRoleBinding", &name, json!({
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [subject_of_role],
        }))
        .await;
        let all = json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true, "namespaces": ["*"]});
        create(
            &client,
            "flowcontrol.apiserver.k8s.io/v1",
            "FlowSchema",
            &name,
            json!({"spec": {
                "matchingPrecedence": 2,
                "priorityLevelConfiguration": {"name": "exempt"},
                "rules": [{
                    "subjects": [{"kind": "ServiceAccount", "serviceAccount": subject}],
                    "resourceRules": [all],
                    "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
                }],
            }}),
        )
        .await;
        let kubeconfig = write_kubeconfig(plane, &accounts, &name).await;
        let target = Target { kubeconfig: Some(kubeconfig.clone()), context: None };
        let client = connect(&target).await.unwrap().client;
        Self { kubeconfig, client, name }
    }

    /// How many calls it has made so far, those of watches that are still open included.
    pub(crate) async fn calls(&self, plane: &ControlPlane) -> f64 {
        let schema = format!("flow_schema=\"{}\"", self.name);
        let metrics = metrics(&plane.client().await).await;
        let lines = metrics
            .lines()
            .filter(|line| line.starts_with("apiserver_flowcontrol_dispatched_requests_total{"));
        lines.filter(|line| line.contains(&schema)).map(value).sum()
    }
}

/// The plane's kubeconfig with another user: one with a token.
async fn write_kubeconfig(plane: &ControlPlane, accounts: &Api<ServiceAccount>, name: &str) -> PathBuf {
    let request: TokenRequest = serde_json::from_value(json!({"spec": {"audiences": []}})).unwrap();
    let token = accounts.create_token_request(name, &PostParams::default(), &request).await.unwrap();
    let mut kubeconfig: Value =
        serde_json::from_str(&std::fs::read_to_string(plane.kubeconfig()).unwrap()).unwrap();
    kubeconfig["users"][0]["user"] = json!({"token": token.status.unwrap().token});
    let path = plane.dir().join(format!("{name}.kubeconfig"));
    std::fs::write(&path, kubeconfig.to_string()).unwrap();
    path
}

async fn create(client: &Client, api_version: &str, kind: &str, name: &str, mut object: Value) {
    let (group, version) = api_version.split_once('/').unwrap();
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    object["apiVersion"] = api_version.into();
    object["kind"] = kind.into();
    object["metadata"] = json!({"name": name});
    let object: DynamicObject = serde_json::from_value(object).unwrap();
    Api::all_with(client.clone(), &resource).create(&PostParams::default(), &object).await.unwrap();
}

/// What the API server has done.
#[derive(Debug, Clone, Default)]
pub(crate) struct Requests {
    /// Finished requests of everybody by verb and resource (`APPLY hellos/status`).
    counts: BTreeMap<String, f64>,
    /// Its CPU time, in seconds. Other than the time on the clock it says the same on a busy machine.
    cpu: f64,
}

impl Requests {
    /// All until now.
    pub(crate) async fn until_now(plane: &ControlPlane) -> Self {
        let mut all = Self::default();
        for line in metrics(&plane.client().await).await.lines() {
            if line.starts_with("process_cpu_seconds_total ") {
                all.cpu = value(line);
            }
            let Some(labels) = line.strip_prefix("apiserver_request_total{") else { continue };
            let resource = [label(labels, "resource"), label(labels, "subresource")];
            let resource = resource.into_iter().filter(|name| !name.is_empty()).collect::<Vec<_>>().join("/");
            *all.counts.entry(format!("{} {resource}", label(labels, "verb"))).or_default() += value(line);
        }
        all
    }

    /// What has come since `before` about these resources and what is below them.
    pub(crate) fn since(&self, before: &Self, resources: &[&str]) -> Self {
        let is_wanted = |name: &str| {
            let resource = name.split_once(' ').map_or("", |(_, resource)| resource);
            resources.contains(&resource.split('/').next().unwrap_or_default())
        };
        let more = |(name, count): (&String, &f64)| {
            let more = count - before.counts.get(name).copied().unwrap_or_default();
            (more > 0.0 && is_wanted(name)).then(|| (name.clone(), more))
        };
        Self { counts: self.counts.iter().filter_map(more).collect(), cpu: self.cpu - before.cpu }
    }

    /// How many of them write.
    pub(crate) fn writes(&self) -> f64 {
        const WRITES: [&str; 6] = ["POST ", "PUT ", "PATCH ", "APPLY ", "DELETE ", "DELETECOLLECTION "];
        self.counts
            .iter()
            .filter(|(name, _)| WRITES.iter().any(|verb| name.starts_with(verb)))
            .map(|(_, count)| count)
            .sum()
    }
}

impl std::fmt::Display for Requests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all: Vec<String> = self.counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
        write!(f, "{} ({:.1} s of the API server's CPU)", all.join(", "), self.cpu)
    }
}

async fn metrics(client: &Client) -> String {
    client.request_text(hyper::Request::get("/metrics").body(Vec::new()).unwrap()).await.unwrap()
}

/// The value of a label, but for the first one, in a line of the Prometheus text format. These labels hold no quotes.
fn label<'l>(line: &'l str, name: &str) -> &'l str {
    let after = line.split_once(&format!(",{name}=\"")).map_or("", |(_, after)| after);
    after.split('"').next().unwrap_or_default()
}

fn value(line: &str) -> f64 {
    line.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or_default()
}
