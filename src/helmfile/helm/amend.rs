//! The few things that we change in Helm's own Secrets: whose a release is, and that a run of helm which was killed has failed.

use std::{collections::BTreeMap, io::Write as _};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::{Compression, write::GzEncoder};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use super::release::{ReleaseError, ReleaseMeta, ReleaseStatus, unpacked};
use crate::cluster::{describe, in_time};

/// Why a release could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum AmendError {
    /// The API server refused.
    #[error("failed to {action} Secret `{namespace}/{secret}`: {}", describe(.cause))]
    Api {
        /// What was tried.
        action: &'static str,
        /// The namespace.
        namespace: String,
        /// The Secret.
        secret: String,
        /// Why.
        cause: Box<kube::Error>,
    },
    /// It is not what Helm writes.
    #[error(transparent)]
    Content(#[from] ReleaseError),
}

/// Whether helm holds the release, or was killed while it did: it refuses every other operation then.
pub const fn is_pending(status: ReleaseStatus) -> bool {
    matches!(
        status,
        ReleaseStatus::PendingInstall | ReleaseStatus::PendingUpgrade | ReleaseStatus::PendingRollback
    )
}

fn failed(action: &'static str, meta: &ReleaseMeta) -> impl Fn(kube::Error) -> AmendError {
    let (namespace, secret) = (meta.namespace.clone(), meta.secret_name());
    move |cause| AmendError::Api {
        action,
        namespace: namespace.clone(),
        secret: secret.clone(),
        cause: Box::new(cause),
    }
}

/// Adds labels to the Secret of a revision. Helm takes them along into the next one.
///
/// # Errors
/// When the API server refuses.
pub async fn label(
    client: &Client,
    meta: &ReleaseMeta,
    labels: &BTreeMap<String, String>,
) -> Result<(), AmendError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), &meta.namespace);
    let patch = json!({"metadata": {"uid": meta.uid, "labels": labels}});
    let patched =
        in_time(api.patch_metadata(&meta.secret_name(), &PatchParams::default(), &Patch::Merge(&patch)))
            .await;
    patched.map(drop).map_err(failed("label", meta))
}

/// Says of a pending revision that it has failed, so that helm goes on from there. Only for a helm that is no more.
///
/// # Errors
/// When the API server refuses, the Secret was changed meanwhile, or holds no release.
pub async fn mark_failed(client: &Client, meta: &ReleaseMeta, why: &str) -> Result<(), AmendError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), &meta.namespace);
    let secret = in_time(api.get(&meta.secret_name())).await.map_err(failed("read", meta))?;
    let data = secret.data.unwrap_or_default();
    let release = data.get("release").ok_or(ReleaseError::Malformed("it has no `release`"))?;
    let release = with_status(&release.0, ReleaseStatus::Failed, why)?;
    let patch = json!({
        "metadata": {
            "uid": secret.metadata.uid, "resourceVersion": secret.metadata.resource_version,
            "labels": {"status": ReleaseStatus::Failed.as_str()},
        },
        "data": {"release": ByteString(release)},
    });
    let patched =
        in_time(api.patch(&meta.secret_name(), &PatchParams::default(), &Patch::Merge(&patch))).await;
    patched.map(drop).map_err(failed("change", meta))
}

/// The bytes of a release with another status. Everything else stays as it is, known to us or not.
fn with_status(data: &[u8], status: ReleaseStatus, why: &str) -> Result<Vec<u8>, ReleaseError> {
    let mut release: Value =
        serde_json::from_slice(&unpacked(data)?).map_err(|_| ReleaseError::Malformed("it is not JSON"))?;
    let info = release.get_mut("info").and_then(Value::as_object_mut);
    let info = info.ok_or(ReleaseError::Malformed("it has no `info`"))?;
    info.insert("status".to_owned(), json!(status.as_str()));
    info.insert("description".to_owned(), json!(why));
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    let packed = gzip.write_all(release.to_string().as_bytes()).and_then(|()| gzip.finish());
    let packed = packed.map_err(|_| ReleaseError::Malformed("it can't be packed"))?;
    Ok(STANDARD.encode(packed).into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helmfile::helm::release::decode;

    #[test]
    fn only_status_and_description_change() {
        let release = json!({
            "name": "web", "namespace": "shop", "version": 3, "manifest": "kind: A\n", "novelty": [1],
            "info": {"status": "pending-upgrade", "description": "Preparing upgrade", "first_deployed": "x"},
        });
        let packed = STANDARD.encode(release.to_string());
        let changed = with_status(packed.as_bytes(), ReleaseStatus::Failed, "killed").unwrap();
        let read = decode(&changed).unwrap();
        assert_eq!(
            (read.status, read.description.as_str(), read.revision),
            (ReleaseStatus::Failed, "killed", 3)
        );
        let mut expected = release;
        expected["info"]["status"] = json!("failed");
        expected["info"]["description"] = json!("killed");
        assert_eq!(serde_json::from_slice::<Value>(&unpacked(&changed).unwrap()).unwrap(), expected);
        assert!(with_status(b"e30=", ReleaseStatus::Failed, "x").is_err());
    }

    #[test]
    fn pending_is_what_helm_refuses() {
        assert!(is_pending(ReleaseStatus::PendingInstall) && is_pending(ReleaseStatus::PendingRollback));
        assert!(!is_pending(ReleaseStatus::Failed) && !is_pending(ReleaseStatus::Uninstalling));
    }
}
