//! What the API server serves: kinds to paths, scopes and subresources.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use kube::{
    Client, ResourceExt as _,
    api::{Api, ApiResource, DynamicObject, GroupVersionKind},
    core::{Status, discovery::Scope},
};

use crate::object::{Gvk, Key};

/// A kind as the API server serves it.
#[derive(Debug, Clone)]
pub struct Served {
    /// Its name.
    pub gvk: Gvk,
    /// Its path.
    pub resource: ApiResource,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Whether status is written apart from the rest.
    pub status_subresource: bool,
}

impl Served {
    /// Access to all objects of the kind, or to those of one namespace.
    pub fn api(&self, client: &Client, namespace: Option<&str>) -> Api<DynamicObject> {
        let scope = if self.namespaced { Scope::Namespaced } else { Scope::Cluster };
        let api = Api::dynamic(client.clone(), &self.resource, &scope);
        match namespace {
            Some(namespace) => api.constrain(namespace),
            None => api,
        }
    }

    /// Access to the namespace of one object.
    pub fn api_of(&self, client: &Client, key: &Key) -> Api<DynamicObject> {
        self.api(client, key.namespace.as_deref())
    }
}

/// Why a kind cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DiscoveryError {
    /// No such kind, for now.
    #[error("the API server does not serve {0}; is its CustomResourceDefinition installed?")]
    NotServed(Gvk),
    /// The API server did not answer.
    #[error("failed to ask the API server for {gvk}: {reason}")]
    Failed {
        /// The kind.
        gvk: Gvk,
        /// Why.
        reason: String,
    },
}

/// Discovery that remembers what it has found. Cheap to clone.
#[derive(Clone)]
pub struct Discovery {
    client: Client,
    found: Arc<Mutex<HashMap<Gvk, Arc<Served>>>>,
}

impl Discovery {
    /// Starts knowing nothing.
    pub fn new(client: Client) -> Self {
        Self { client, found: Arc::default() }
    }

    /// The client it asks with.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Finds a kind.
    ///
    /// # Errors
    /// When it is not served now, or the API server did not answer. Nothing is remembered then.
    pub async fn resolve(&self, gvk: &Gvk) -> Result<Arc<Served>, DiscoveryError> {
        if let Some(served) = self.known(gvk) {
            return Ok(served);
        }
        let wanted = GroupVersionKind::gvk(&gvk.group, &gvk.version, &gvk.kind);
        let (resource, capabilities) = super::in_time(kube::discovery::pinned_kind(&self.client, &wanted))
            .await
            .map_err(|error| match &error {
                kube::Error::Discovery(_) => DiscoveryError::NotServed(gvk.clone()),
                kube::Error::Api(status) if is_missing(status) => DiscoveryError::NotServed(gvk.clone()),
                _ => DiscoveryError::Failed { gvk: gvk.clone(), reason: super::describe(&error) },
            })?;
        let served = Arc::new(Served {
            gvk: gvk.clone(),
            namespaced: capabilities.scope == Scope::Namespaced,
            status_subresource: capabilities
                .subresources
                .iter()
                .any(|(sub, _)| sub.plural.ends_with("status")),
            resource,
        });
        self.lock().insert(gvk.clone(), Arc::clone(&served));
        Ok(served)
    }

    /// Asks again when it is needed next: the kind is not served any more, or may have been changed.
    pub fn forget(&self, gvk: &Gvk) {
        self.lock().remove(gvk);
    }

    /// Where else a kind of this name is served: in other versions or groups, the preferred version of each group first.
    ///
    /// # Errors
    /// When the API server did not answer.
    pub async fn elsewhere(&self, gvk: &Gvk) -> Result<Vec<Gvk>, DiscoveryError> {
        let all = super::in_time(kube::discovery::Discovery::new(self.client.clone()).run()).await;
        let all = all
            .map_err(|error| DiscoveryError::Failed { gvk: gvk.clone(), reason: super::describe(&error) })?;
        let mut found = Vec::new();
        for group in all.groups_alphabetical() {
            for version in group.versions() {
                let served = group.versioned_resources(version);
                let named =
                    served.iter().filter(|(resource, _)| resource.kind.eq_ignore_ascii_case(&gvk.kind));
                found.extend(
                    named.map(|(resource, _)| Gvk::new(&resource.group, &resource.version, &resource.kind)),
                );
            }
        }
        Ok(found)
    }

    /// What is known of a kind without asking.
    pub fn known(&self, gvk: &Gvk) -> Option<Arc<Served>> {
        self.lock().get(gvk).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Gvk, Arc<Served>>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_missing(status: &Status) -> bool {
    status.code == 404
}

/// Reads one object as JSON; `None` when there is none.
///
/// # Errors
/// Whatever else the API server says.
pub async fn get(client: &Client, served: &Served, key: &Key) -> kube::Result<Option<serde_json::Value>> {
    let api = served.api_of(client, key);
    let object = super::in_time(api.get_opt(&key.name)).await?;
    Ok(object.map(|object| to_json(&served.gvk, object)))
}

/// An object as JSON, with its kind, which lists leave out.
pub fn to_json(gvk: &Gvk, mut object: DynamicObject) -> serde_json::Value {
    object.types = Some(kube::core::TypeMeta { api_version: gvk.api_version(), kind: gvk.kind.clone() });
    object.managed_fields_mut().clear();
    serde_json::to_value(object).unwrap_or_default()
}
