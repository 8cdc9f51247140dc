//! Connecting to an API server, and handing the same identity to other programs.

use std::path::{Path, PathBuf};

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError},
};

/// Which API server, as whom.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// A kubeconfig file; default `$KUBECONFIG`, `~/.kube/config` or the pod's service account, in this order.
    pub kubeconfig: Option<PathBuf>,
    /// A context of that file; default its current one. Of no meaning in a pod.
    pub context: Option<String>,
}

/// A connection and where it came from.
#[derive(Clone)]
pub struct Connection {
    /// The client.
    pub client: Client,
    /// The namespace of the kubeconfig's context, of the pod, or `default`.
    pub namespace: String,
    /// A kubeconfig with one context that makes other programs the same user of the same cluster.
    pub kubeconfig: Kubeconfig,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The named file is not there.
    #[error("the kubeconfig `{}` does not exist", .0.display())]
    Missing(PathBuf),
    /// The named file is unusable.
    #[error("failed to read the kubeconfig `{}`", .path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: KubeconfigError,
    },
    /// Nothing to go by.
    #[error("found no cluster to talk to: give --kubeconfig, set KUBECONFIG, or run in a pod")]
    Nothing,
    /// The credentials could not be made into a client.
    #[error("failed to make a client for the cluster")]
    Client(#[source] kube::Error),
}

/// Makes a client. Nothing is sent yet.
///
/// # Errors
/// When there is no usable configuration.
pub async fn connect(target: &Target) -> Result<Connection, ConnectError> {
    let options = KubeConfigOptions { context: target.context.clone(), ..KubeConfigOptions::default() };
    let one_context = |mut file: Kubeconfig| {
        file.current_context = target.context.clone().or(file.current_context);
        one_context(file)
    };
    let (config, kubeconfig) = match &target.kubeconfig {
        Some(path) => {
            let failed = |source| ConnectError::Kubeconfig { path: path.clone(), source };
            if !path.exists() {
                return Err(ConnectError::Missing(path.clone()));
            }
            let file = Kubeconfig::read_from(path).map_err(failed)?;
            (Config::from_custom_kubeconfig(file.clone(), &options).await.map_err(failed)?, one_context(file))
        }
        None => match Kubeconfig::read() {
            Ok(file) if !file.clusters.is_empty() => (
                Config::from_custom_kubeconfig(file.clone(), &options)
                    .await
                    .map_err(|source| ConnectError::Kubeconfig { path: "$KUBECONFIG".into(), source })?,
                one_context(file),
            ),
            // Named by KUBECONFIG; that the default file is missing is what leads to a pod's own account.
            Err(KubeconfigError::ReadConfig(_, path)) if !path.ends_with(".kube/config") => {
                return Err(ConnectError::Missing(path));
            }
            _ => {
                let config = Config::incluster().map_err(|_| ConnectError::Nothing)?;
                let kubeconfig = in_cluster(&config);
                (config, kubeconfig)
            }
        },
    };
    connection(config, kubeconfig)
}

/// Makes a client for the cluster that a kubeconfig with one context names. Nothing is sent yet.
///
/// # Errors
/// When the kubeconfig is unusable.
pub async fn connect_by(kubeconfig: &Kubeconfig) -> Result<Connection, ConnectError> {
    let failed = |source| ConnectError::Kubeconfig { path: "the given kubeconfig".into(), source };
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig.clone(), &options).await.map_err(failed)?;
    connection(config, kubeconfig.clone())
}

fn connection(mut config: Config, kubeconfig: Kubeconfig) -> Result<Connection, ConnectError> {
    // The library's default retries a call for minutes; our own queue retries with a visible reason.
    config.default_retry = false;
    let namespace = config.default_namespace.clone();
    let client = Client::try_from(config).map_err(ConnectError::Client)?;
    Ok(Connection { client, namespace, kubeconfig })
}

/// Only the current context, with its cluster and user: a helmfile must not be able to reach any other.
fn one_context(mut file: Kubeconfig) -> Kubeconfig {
    let current = file.current_context.clone().unwrap_or_default();
    file.contexts.retain(|named| named.name == current);
    let context = file.contexts.first().and_then(|named| named.context.clone());
    let (cluster, user) = context.map_or_else(Default::default, |context| (context.cluster, context.user));
    file.clusters.retain(|named| named.name == cluster);
    file.auth_infos.retain(|named| Some(&named.name) == user.as_ref());
    file
}

const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The pod's own identity as a kubeconfig; the token stays a file, since the kubelet rotates it.
fn in_cluster(config: &Config) -> Kubeconfig {
    let folder = Path::new(SERVICE_ACCOUNT);
    let document = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "pod",
        "clusters": [{"name": "pod", "cluster": {
            "server": config.cluster_url.to_string(), "certificate-authority": folder.join("ca.crt")}}],
        "users": [{"name": "pod", "user": {"tokenFile": folder.join("token")}}],
        "contexts": [{"name": "pod", "context": {"cluster": "pod", "user": "pod", "namespace": config.default_namespace}}],
    });
    serde_json::from_value(document).unwrap_or_default()
}
