//! What the cluster says, asked once: one process compares many releases, often at the same time.
//!
//! What is asked for while the question is under way waits for that answer. A failure is no answer: whoever waits asks again.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use kube::{Client, api::ApiResource, core::discovery::v2::APIResourceDiscovery};
use tokio::sync::OnceCell;

use super::release::{self, Release, ReleaseError, ReleaseMeta};
use crate::{
    cluster::{
        describe,
        discovery::{Discovery, DiscoveryError, Served},
    },
    object::Gvk,
};

/// A cluster and what it has said so far. Share it by reference or by `Arc`.
pub struct Cluster {
    client: Client,
    version: OnceCell<String>,
    apis: Memo<(), Arc<Apis>>,
    /// By namespace, the revisions of all its releases.
    listed: Memo<String, Arc<BTreeMap<String, Vec<ReleaseMeta>>>>,
    /// By namespace and name, the revisions of releases that may not be looked up in the list any more.
    alone: Memo<(String, String), Arc<Vec<ReleaseMeta>>>,
}

impl Cluster {
    /// Starts knowing nothing.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            version: OnceCell::new(),
            apis: Memo::default(),
            listed: Memo::default(),
            alone: Memo::default(),
        }
    }

    /// What it is asked with.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The version of Kubernetes, such as `v1.36.3`. Asked once.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn kube_version(&self) -> Result<String, kube::Error> {
        let ask = || async { Ok(self.client.apiserver_version().await?.git_version) };
        self.version.get_or_try_init(ask).await.cloned()
    }

    /// Everything that the cluster serves: `v1`, `v1/Pod`, `apps/v1`, `apps/v1/Deployment`, …. Kinds of subresources count,
    /// as they do for Helm. Asked by two requests, until [`Self::forget_apis`]. Empty when the API server is too old (before
    /// 1.26) for that question.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn api_versions(&self) -> Result<Arc<BTreeSet<String>>, kube::Error> {
        Ok(Arc::clone(&self.apis().await?.versions))
    }

    /// Asks again what is served when it is needed next: something that may bring or remove kinds has been delivered.
    pub fn forget_apis(&self) {
        self.apis.forget(&());
    }

    /// Where a kind is served; `None` when it is not.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn served(&self, gvk: &Gvk) -> Result<Option<Arc<Served>>, DiscoveryError> {
        let apis = self
            .apis()
            .await
            .map_err(|error| DiscoveryError::Failed { gvk: gvk.clone(), reason: describe(&error) })?;
        if let Some(served) = apis.kinds.get(gvk) {
            return Ok(Some(Arc::clone(served)));
        }
        // The API server is too old for the question above, or the kind is newer than the answer.
        match Discovery::new(self.client.clone()).resolve(gvk).await {
            Ok(served) => Ok(Some(served)),
            Err(DiscoveryError::NotServed(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All revisions of a release, newest first. The first question about a namespace lists all its releases, and the other
    /// ones are answered from that.
    ///
    /// # Errors
    /// When the API server does not answer or refuses.
    pub async fn history(&self, namespace: &str, name: &str) -> Result<Vec<ReleaseMeta>, ReleaseError> {
        let key = (namespace.to_owned(), name.to_owned());
        if let Some(cell) = self.alone.known(&key) {
            let ask = || async { Ok(Arc::new(release::history(&self.client, namespace, name).await?)) };
            return cell.get_or_try_init(ask).await.map(|all| all.to_vec());
        }
        let ask = || async { Ok(Arc::new(release::histories(&self.client, namespace).await?)) };
        let listed = self.listed.cell(&key.0);
        let listed = listed.get_or_try_init(ask).await?;
        Ok(listed.get(name).cloned().unwrap_or_default())
    }

    /// One revision with its content. This is not kept: it can be megabytes, and is asked for once.
    ///
    /// # Errors
    /// When the API server does not answer or refuses, or the Secret is damaged.
    pub async fn get(&self, meta: &ReleaseMeta) -> Result<Release, ReleaseError> {
        release::get(&self.client, meta).await
    }

    /// Asks for this release, and for it alone, when it is needed next: it has been delivered or removed.
    pub fn forget_release(&self, namespace: &str, name: &str) {
        self.alone.forget(&(namespace.to_owned(), name.to_owned()));
    }

    async fn apis(&self) -> Result<Arc<Apis>, kube::Error> {
        let ask = || async { Ok(Arc::new(Apis::ask(&self.client).await?)) };
        self.apis.cell(&()).get_or_try_init(ask).await.cloned()
    }
}

/// Answers by question, each asked at most once at a time.
struct Memo<K, V>(Mutex<HashMap<K, Arc<OnceCell<V>>>>);

impl<K, V> Default for Memo<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash + Clone, V> Memo<K, V> {
    /// Where the answer is, or will be.
    fn cell(&self, key: &K) -> Arc<OnceCell<V>> {
        Arc::clone(self.lock().entry(key.clone()).or_default())
    }

    /// The same, when there was such a question before.
    fn known(&self, key: &K) -> Option<Arc<OnceCell<V>>> {
        self.lock().get(key).cloned()
    }

    /// Makes room for a new answer. Who waits for the old one gets it.
    fn forget(&self, key: &K) {
        self.lock().insert(key.clone(), Arc::default());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<K, Arc<OnceCell<V>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is served.
#[derive(Default)]
struct Apis {
    versions: Arc<BTreeSet<String>>,
    kinds: HashMap<Gvk, Arc<Served>>,
}

impl Apis {
    async fn ask(client: &Client) -> Result<Self, kube::Error> {
        let lists =
            [client.list_core_api_versions_aggregated().await?, client.list_api_groups_aggregated().await?];
        let mut versions = BTreeSet::new();
        let mut kinds = HashMap::new();
        for group in lists.into_iter().flat_map(|list| list.items) {
            let name = group.metadata.and_then(|metadata| metadata.name).unwrap_or_default();
            for version in group.versions {
                let Some(number) = version.version else { continue };
                let gvk = |kind: &str| Gvk::new(&name, &number, kind);
                let api_version = gvk("").api_version();
                for resource in &version.resources {
                    versions.extend(kinds_of(resource).map(|kind| format!("{api_version}/{kind}")));
                    let own = resource.response_kind.as_ref().and_then(|gvk| gvk.kind.as_deref());
                    if let Some(served) = own.and_then(|kind| served(gvk(kind), resource)) {
                        kinds.entry(served.gvk.clone()).or_insert_with(|| Arc::new(served));
                    }
                }
                versions.insert(api_version);
            }
        }
        Ok(Self { versions: Arc::new(versions), kinds })
    }
}

/// The kinds that a resource and its subresources speak of.
fn kinds_of(resource: &APIResourceDiscovery) -> impl Iterator<Item = &str> {
    let of_subresources = resource.subresources.iter().filter_map(|sub| sub.response_kind.as_ref());
    let all = resource.response_kind.iter().chain(of_subresources);
    all.filter_map(|gvk| gvk.kind.as_deref()).filter(|kind| !kind.is_empty())
}

/// `None` for what has no objects that can be read by name.
fn served(gvk: Gvk, resource: &APIResourceDiscovery) -> Option<Served> {
    let plural = resource.resource.clone()?;
    if gvk.kind.is_empty() || !resource.verbs.iter().any(|verb| verb == "get") {
        return None;
    }
    Some(Served {
        resource: ApiResource {
            group: gvk.group.clone(),
            version: gvk.version.clone(),
            api_version: gvk.api_version(),
            kind: gvk.kind.clone(),
            plural,
        },
        namespaced: resource.scope.as_deref() == Some("Namespaced"),
        status_subresource: resource
            .subresources
            .iter()
            .any(|sub| sub.subresource.as_deref() == Some("status")),
        gvk,
    })
}

#[cfg(test)]
#[path = "cluster_tests.rs"]
mod tests;
