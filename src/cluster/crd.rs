//! Registering CustomResourceDefinitions at start.

use std::time::Duration;

use kube::Client;
use serde_json::Value;

use super::{
    apply::{Part, Refusal, WriteError, Writer},
    describe,
    discovery::{self, Discovery, DiscoveryError},
};
use crate::object::{Gvk, Key};

/// Annotation with the version of the program that wrote a CRD: an older program never overwrites a newer one's.
pub const VERSION_ANNOTATION: &str = "helmfile-operator.mumoshu.github.io/version";

const MANAGER: &str = "helmfile-operator";
const WAIT: Duration = Duration::from_mins(1);

/// Why a CRD is not in place.
#[derive(Debug, thiserror::Error)]
pub enum CrdError {
    /// Discovery failed.
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    /// It could not be read.
    #[error("failed to read the CustomResourceDefinition `{name}`: {reason}")]
    Read {
        /// Its name.
        name: String,
        /// Why.
        reason: String,
        /// Whether we have no right to.
        forbidden: bool,
    },
    /// It could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The API server has not taken it up.
    #[error("the CustomResourceDefinition `{name}` is not established after {} s: {reason}", WAIT.as_secs())]
    NotEstablished {
        /// Its name.
        name: String,
        /// What its conditions say.
        reason: String,
    },
}

impl CrdError {
    /// Whether trying again is of no use: we have no right to, or it is not a CRD that the API server takes.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Write(error) => matches!(error.refusal(), Refusal::Forbidden | Refusal::Invalid),
            Self::Read { forbidden, .. } => *forbidden,
            Self::Discovery(_) | Self::NotEstablished { .. } => false,
        }
    }
}

/// Applies a CRD, unless a newer program's is there, and waits until it is served.
///
/// # Errors
/// When the API server refuses it or does not serve it in time.
pub async fn register(client: &Client, manifest: &Value, version: &str) -> Result<(), CrdError> {
    let discovery = Discovery::new(client.clone());
    let gvk = Gvk::new("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let served = discovery.resolve(&gvk).await?;
    let key = Key::of(manifest);
    let read = |error: kube::Error| CrdError::Read {
        name: key.name.clone(),
        reason: describe(&error),
        forbidden: matches!(&error, kube::Error::Api(status) if status.code == 403),
    };
    let live = discovery::get(client, &served, &key).await.map_err(read)?;
    if live.as_ref().and_then(written_by).is_some_and(|theirs| is_newer(theirs, version)) {
        tracing::info!(crd = key.name, "a newer version is registered; leaving it alone");
    } else {
        let mut manifest = manifest.clone();
        manifest["metadata"]["annotations"][VERSION_ANNOTATION] = version.into();
        // Forced: the CRD is this program's own, and a person's `kubectl apply` of it must not lock us out.
        Writer::new(client.clone()).apply(&served, &manifest, MANAGER, true, Part::Main).await?;
    }
    let deadline = tokio::time::Instant::now() + WAIT;
    loop {
        let live = discovery::get(client, &served, &key).await.map_err(read)?.unwrap_or_default();
        if condition(&live, "Established").is_some_and(|(status, _)| status == "True") {
            return Ok(());
        }
        if tokio::time::Instant::now() > deadline {
            let reason = condition(&live, "NamesAccepted")
                .map_or("no conditions yet".to_owned(), |(_, message)| message.to_owned());
            return Err(CrdError::NotEstablished { name: key.name.clone(), reason });
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn written_by(crd: &Value) -> Option<&str> {
    crd.get("metadata")?.get("annotations")?.get(VERSION_ANNOTATION)?.as_str()
}

fn condition<'a>(crd: &'a Value, name: &str) -> Option<(&'a str, &'a str)> {
    let conditions = crd.pointer("/status/conditions")?.as_array()?;
    let found = conditions.iter().find(|condition| condition["type"] == name)?;
    Some((found["status"].as_str()?, found["message"].as_str().unwrap_or_default()))
}

/// Whether version `a` (`1.2.3`) is newer than `b`; unreadable parts count as zero.
fn is_newer(a: &str, b: &str) -> bool {
    let parts = |version: &str| {
        let mut numbers = version.split(['.', '-', '+']).map(|part| part.parse().unwrap_or(0_u64));
        [numbers.next(), numbers.next(), numbers.next()].map(Option::unwrap_or_default)
    };
    parts(a) > parts(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert!(is_newer("0.10.0", "0.9.9"));
        assert!(!is_newer("1.2.3", "1.2.3"));
        assert!(!is_newer("dev", "0.1.0"));
    }
}
