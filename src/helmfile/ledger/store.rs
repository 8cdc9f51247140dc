//! Where the record of a Helmfile is kept.

use std::{fs, io, path::PathBuf};

use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
};
use serde_json::{Value, json};

use super::record::Record;
use crate::{
    atomic,
    cluster::{describe, in_time},
};

/// What our objects beside a Helmfile are labelled with.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "helmfile-operator");
/// Who writes them.
pub(super) const MANAGER: &str = "helmfile-operator";
const KEY: &str = "record.json";

/// Where a record is kept.
#[derive(Clone)]
pub enum Ledger {
    /// In a ConfigMap.
    ConfigMap(Box<Place>),
    /// In a folder of this machine, which is made when it is needed.
    Folder(PathBuf),
    /// Nowhere: what a run does is forgotten at its end.
    Nowhere,
}

/// What was seen of a record: who writes it next must have seen the last of it. One that was frozen and wakes up when its
/// claim is somebody else's can't overwrite what that one has written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// The object's resourceVersion; `None` where there was none.
    version: Option<String>,
    text: Option<String>,
    /// What was tried to be written, and may have been though nobody has said so.
    tried: Option<String>,
}

/// A ConfigMap or Secret.
#[derive(Clone)]
pub struct Place {
    /// Reaches it.
    pub client: Client,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Whose end is its end; nobody's when it must outlive the object (RULES 17).
    pub owner: Option<OwnerReference>,
}

/// Why a record could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The API server refused.
    #[error("failed to {action} {kind} `{namespace}/{name}`: {}", describe(.cause))]
    Api {
        /// What was tried.
        action: &'static str,
        /// `ConfigMap`, `Secret` or `Lease`.
        kind: &'static str,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Why.
        cause: Box<kube::Error>,
    },
    /// Somebody else has an object of that name.
    #[error(
        "{kind} `{namespace}/{name}` exists and is not the applier's; remove it, or label it `{}={}` if it may be \
         overwritten", MANAGED_BY.0, MANAGED_BY.1
    )]
    Foreign {
        /// `ConfigMap` or `Secret`.
        kind: &'static str,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// Somebody else has written it since we read it.
    #[error(
        "{place} was changed by somebody else in the middle of a run; what this run had still to write is not written"
    )]
    Overtaken {
        /// Where.
        place: String,
    },
    /// It is not what we have written.
    #[error(
        "the record in {place} can't be read ({why}); if nothing else helps, remove it: its releases count as adopted then"
    )]
    Malformed {
        /// Where.
        place: String,
        /// What is wrong.
        why: String,
    },
    /// A file.
    #[error("failed to {action} `{}`: {source}", .path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl LedgerError {
    /// Whether the API server did not answer at all.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Api { cause, .. } if !matches!(&**cause, kube::Error::Api(_)))
    }

    /// Whether a right is missing.
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Self::Api { cause, .. } if matches!(&**cause, kube::Error::Api(status) if status.code == 403))
    }
}

impl Place {
    /// An error about this place.
    pub(super) fn failed(
        &self,
        action: &'static str,
        kind: &'static str,
    ) -> impl Fn(kube::Error) -> LedgerError {
        let (namespace, name) = (self.namespace.clone(), self.name.clone());
        move |cause| LedgerError::Api {
            action,
            kind,
            namespace: namespace.clone(),
            name: name.clone(),
            cause: Box::new(cause),
        }
    }

    pub(super) fn metadata(&self) -> Value {
        let mut metadata =
            json!({"name": self.name, "namespace": self.namespace, "labels": {MANAGED_BY.0: MANAGED_BY.1}});
        if let Some(owner) = &self.owner {
            metadata["ownerReferences"] = json!([owner]);
        }
        metadata
    }

    pub(super) fn refuse_foreign(
        &self,
        kind: &'static str,
        object: &impl kube::Resource,
    ) -> Result<(), LedgerError> {
        let labels = object.meta().labels.as_ref();
        if labels.and_then(|labels| labels.get(MANAGED_BY.0)).is_some_and(|who| who == MANAGED_BY.1) {
            return Ok(());
        }
        Err(LedgerError::Foreign { kind, namespace: self.namespace.clone(), name: self.name.clone() })
    }

    /// The ConfigMap of ours, if there is one.
    async fn read(&self) -> Result<Option<ConfigMap>, LedgerError> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let found = in_time(api.get_opt(&self.name)).await.map_err(self.failed("read", "ConfigMap"))?;
        if let Some(found) = &found {
            self.refuse_foreign("ConfigMap", found)?;
        }
        Ok(found)
    }

    /// One text of the ConfigMap; `None` when there is none.
    ///
    /// # Errors
    /// When it can't be read, or is not ours.
    pub async fn read_text(&self, key: &str) -> Result<Option<String>, LedgerError> {
        Ok(self.read().await?.and_then(|found| found.data?.remove(key)))
    }

    /// Gives the ConfigMap the owner that it should have, or none. Gives its version after that.
    async fn bind(&self, found: &ConfigMap) -> Result<Option<String>, LedgerError> {
        let has: Vec<&str> =
            found.metadata.owner_references.iter().flatten().map(|owner| owner.uid.as_str()).collect();
        let should: Vec<&str> = self.owner.iter().map(|owner| owner.uid.as_str()).collect();
        if has == should {
            return Ok(found.metadata.resource_version.clone());
        }
        let owners: Vec<&OwnerReference> = self.owner.iter().collect();
        let patch = Patch::Merge(json!({"metadata": {"ownerReferences": owners}}));
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let bound = in_time(api.patch_metadata(&self.name, &params, &patch)).await;
        bound.map(|bound| bound.metadata.resource_version).map_err(self.failed("change", "ConfigMap"))
    }

    /// Makes the ConfigMap hold this text and nothing else.
    ///
    /// # Errors
    /// When it can't be written, or is somebody else's.
    pub async fn write_text(&self, key: &str, text: &str) -> Result<(), LedgerError> {
        self.read().await?;
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let params = PatchParams::apply(MANAGER).force();
        let written = in_time(api.patch(&self.name, &params, &Patch::Apply(&self.object(key, text)))).await;
        written.map(drop).map_err(self.failed("write", "ConfigMap"))
    }

    fn object(&self, key: &str, text: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": self.metadata(), "data": {key: text}})
    }

    /// Makes the ConfigMap hold this text, if what it holds is still what was seen. Whatever else has changed, a label say,
    /// does not matter.
    async fn replace_text(&self, key: &str, text: &str, seen: &mut Seen) -> Result<(), LedgerError> {
        loop {
            match self.replace_version(key, text, seen.version.as_deref()).await {
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(error) => {
                    seen.tried = Some(text.to_owned());
                    return Err(self.failed("write", "ConfigMap")(error));
                }
                Ok(version) => {
                    *seen = Seen { version, text: Some(text.to_owned()), tried: None };
                    return Ok(());
                }
            }
            let found = self.read().await?;
            let version = found.as_ref().and_then(|found| found.metadata.resource_version.clone());
            let holds = found.and_then(|found| found.data?.remove(key));
            let is_ours = holds == seen.text || (holds.is_some() && holds == seen.tried);
            if !is_ours || version == seen.version {
                let place = format!("ConfigMap `{}/{}`", self.namespace, self.name);
                return Err(LedgerError::Overtaken { place });
            }
            seen.version = version;
        }
    }

    /// Writes the ConfigMap over that version of it, or makes it. Gives the new version.
    async fn replace_version(
        &self,
        key: &str,
        text: &str,
        version: Option<&str>,
    ) -> kube::Result<Option<String>> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let mut object = self.object(key, text);
        let written = if let Some(version) = version {
            object["metadata"]["resourceVersion"] = version.into();
            let params = PatchParams::apply(MANAGER).force();
            in_time(api.patch(&self.name, &params, &Patch::Apply(&object))).await
        } else {
            let object: ConfigMap = serde_json::from_value(object).map_err(kube::Error::SerdeError)?;
            let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
            in_time(api.create(&params, &object)).await
        };
        Ok(written?.metadata.resource_version)
    }

    /// Removes the ConfigMap, if it is there and ours.
    ///
    /// # Errors
    /// When it can't be removed.
    pub async fn remove(&self) -> Result<(), LedgerError> {
        let found = match self.read().await {
            Err(LedgerError::Foreign { .. }) => None,
            other => other?,
        };
        let Some(found) = found else { return Ok(()) };
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        gone(in_time(api.delete(&self.name, &exactly(&found))).await)
            .map_err(self.failed("remove", "ConfigMap"))
    }
}

/// Deletes this object, and no other one that has its name by now.
pub(super) fn exactly(object: &impl kube::Resource) -> DeleteParams {
    let uid = object.meta().uid.clone();
    DeleteParams {
        preconditions: Some(Preconditions { uid, resource_version: None }),
        ..DeleteParams::default()
    }
}

/// Gone already is fine, and so is another one in its place.
pub(super) fn gone<T>(removed: kube::Result<T>) -> kube::Result<()> {
    match removed {
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        other => other.map(drop),
    }
}

impl Ledger {
    /// The record, if there is one. From now on it goes with the Helmfile, or outlives it, as the place says: the policy may
    /// have changed since it was written.
    ///
    /// # Errors
    /// When there is one that can't be read.
    pub async fn load(&self) -> Result<(Option<Record>, Seen), LedgerError> {
        let mut seen = Seen::default();
        seen.text = match self {
            Self::ConfigMap(place) => {
                let found = place.read().await?;
                if let Some(found) = &found {
                    seen.version = place.bind(found).await?;
                }
                found.and_then(|found| found.data?.remove(KEY))
            }
            Self::Folder(folder) => match fs::read_to_string(folder.join(KEY)) {
                Ok(text) => Some(text),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(source) => {
                    return Err(LedgerError::File { action: "read", path: folder.join(KEY), source });
                }
            },
            Self::Nowhere => None,
        };
        let record = seen.text.as_deref().map(serde_json::from_str).transpose();
        let record = record
            .map_err(|error| LedgerError::Malformed { place: self.to_string(), why: error.to_string() })?;
        Ok((record, seen))
    }

    /// Keeps the record, if nobody has written it since it was seen.
    ///
    /// # Errors
    /// When it can't be written, or somebody has; the one before is still there then.
    pub async fn save(&self, record: &Record, seen: &mut Seen) -> Result<(), LedgerError> {
        let text = serde_json::to_string(record).unwrap_or_default();
        match self {
            Self::ConfigMap(place) => place.replace_text(KEY, &text, seen).await,
            Self::Folder(folder) => {
                let path = folder.join(KEY);
                atomic::write(&path, text.as_bytes()).map_err(|source| LedgerError::File {
                    action: "write",
                    path,
                    source,
                })
            }
            Self::Nowhere => Ok(()),
        }
    }

    /// Removes the record.
    ///
    /// # Errors
    /// When it can't be removed.
    pub async fn remove(&self) -> Result<(), LedgerError> {
        match self {
            Self::ConfigMap(place) => place.remove().await,
            Self::Folder(folder) => match fs::remove_file(folder.join(KEY)) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    Err(LedgerError::File { action: "remove", path: folder.join(KEY), source })
                }
                _ => Ok(()),
            },
            Self::Nowhere => Ok(()),
        }
    }
}

impl std::fmt::Display for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ConfigMap(place) => write!(f, "ConfigMap `{}/{}`", place.namespace, place.name),
            Self::Folder(folder) => write!(f, "`{}`", folder.join(KEY).display()),
            Self::Nowhere => f.write_str("memory"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helmfile::ledger::ReleaseId;

    #[tokio::test]
    async fn a_folder_keeps_a_record() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::Folder(folder.path().join("deep/er"));
        let (fresh, mut seen) = ledger.load().await.unwrap();
        assert_eq!(fresh, None);
        let mut record = Record::new("u");
        record.own(&ReleaseId::new("a", "b"), false);
        ledger.save(&record, &mut seen).await.unwrap();
        assert_eq!(ledger.load().await.unwrap().0, Some(record));
        fs::write(folder.path().join("deep/er/record.json"), "{").unwrap();
        assert!(ledger.load().await.unwrap_err().to_string().contains("record.json` can't be read"));
        ledger.remove().await.unwrap();
        ledger.remove().await.unwrap();
        assert_eq!(ledger.load().await.unwrap().0, None);
    }
}
