//! What was gathered.

use std::{collections::BTreeMap, fmt};

use kube::config::Kubeconfig;
use serde_json::{Map, Value, json};

use crate::helmfile::fetch::SourceCredentials;

/// All that a Helmfile takes from its namespace. Printing it shows no value.
#[derive(Clone, Default)]
pub struct Inputs {
    /// One layer of values, to be laid over `valuesFiles`: `valuesFrom`, `values`, and what has a `targetPath`.
    pub values: Map<String, Value>,
    /// Environment variables: `envvars`, over them `env`. Whether their names are allowed is not asked here.
    pub env: BTreeMap<String, String>,
    /// Credentials of the source; see [`Locator::with_credentials`](crate::helmfile::fetch::Locator::with_credentials).
    pub credentials: SourceCredentials,
    /// The file of Helm's registries (`HELM_REGISTRY_CONFIG`), if there are any: one entry for each host that the spec
    /// names, and no program that keeps credentials.
    pub registry_config: Option<Value>,
    /// Chart repositories with credentials, for helm's `repositories.yaml`.
    pub repositories: Vec<Repository>,
    /// Keys of age, one per line, for SOPS.
    pub age_keys: Option<String>,
    /// Another cluster: one context, without programs and files.
    pub kubeconfig: Option<Kubeconfig>,
    /// Texts that no log may show, the longest first: all that came from Secrets, but user names.
    pub secrets: Vec<String>,
}

/// A chart repository.
#[derive(Clone, PartialEq, Eq)]
pub struct Repository {
    /// Its URL.
    pub url: String,
    /// The user.
    pub username: String,
    /// The password.
    pub password: String,
}

impl Inputs {
    /// Whether helm finds logins, for repositories or for registries.
    pub fn has_logins(&self) -> bool {
        self.registry_config.is_some() || !self.repositories.is_empty()
    }

    /// Everything that can change what helmfile makes, for a digest. It holds secrets, and some of them are easily
    /// guessed: a digest that others can read has to be keyed.
    ///
    /// Credentials are left out, of the source, of registries, for decryption and of the other cluster: they open what
    /// is delivered and are no part of it, and when one is rotated nothing is to be delivered. What they open is in the
    /// digest by its revision. Of the other cluster its address and namespace count: elsewhere all is to be delivered.
    pub fn digest_material(&self) -> Value {
        json!({"values": self.values, "env": self.env, "cluster": self.cluster()})
    }

    /// Where the other cluster is.
    fn cluster(&self) -> Option<Value> {
        let file = self.kubeconfig.as_ref()?;
        let server = file.clusters.first()?.cluster.as_ref()?.server.as_ref()?;
        let context = file.contexts.first().and_then(|named| named.context.as_ref());
        Some(json!({"server": server, "namespace": context.and_then(|context| context.namespace.as_ref())}))
    }
}

impl fmt::Debug for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inputs")
            .field("values", &self.values.keys().collect::<Vec<_>>())
            .field("env", &self.env.keys().collect::<Vec<_>>())
            .field("repositories", &self.repositories)
            .field("secrets", &self.secrets.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Repository({})", self.url)
    }
}
