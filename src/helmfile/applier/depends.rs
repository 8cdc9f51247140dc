//! Helmfiles that must be Ready first.

use std::time::Duration;

use kube::Api;

use super::{outcome::Failure, prepare::Delivery};
use crate::{
    cluster::{describe, in_time},
    contract::{WatchOn, WatchRequest},
    helmfile::api::{
        ConditionStatus, Dependency, Helmfile, HelmfileSpec, get,
        names::{self, READY, reason},
    },
};

/// How soon to look again, should the watch not say it.
pub(super) const AGAIN: Duration = Duration::from_secs(30);

/// Why the delivery has to wait for another Helmfile; `None` when it has not.
pub(crate) async fn unmet(delivery: &Delivery<'_>) -> Option<Failure> {
    for dependency in &delivery.spec.depends_on {
        if let Some(why) = wanting(delivery, dependency).await {
            return Some(Failure { reason: reason::DEPENDENCY_NOT_READY, message: why });
        }
    }
    None
}

async fn wanting(delivery: &Delivery<'_>, dependency: &Dependency) -> Option<String> {
    let home = match delivery.link.home().await {
        Ok(home) => home,
        Err(error) => return Some(error.to_string()),
    };
    let namespace =
        dependency.namespace.as_ref().or(delivery.subject.namespace.as_ref()).unwrap_or(&home.namespace);
    let name = format!("{namespace}/{}", dependency.name);
    let api: Api<Helmfile> = Api::namespaced(home.client.clone(), namespace);
    match in_time(api.get_opt(&dependency.name)).await {
        Ok(Some(found)) => not_ready(&found).map(|why| format!("waiting for Helmfile `{name}`: {why}")),
        Ok(None) => Some(format!("waiting for Helmfile `{name}`: it does not exist")),
        Err(error) => Some(format!("waiting for Helmfile `{name}`: {}", describe(&error))),
    }
}

/// What is missing to it; nothing when it is Ready with the spec that it has.
fn not_ready(found: &Helmfile) -> Option<String> {
    let conditions = found.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let observed = found.status.as_ref().map_or(-1, |status| status.observed_generation);
    match get(conditions, READY) {
        Some(ready) if ready.status != ConditionStatus::True => {
            Some(format!("it is not Ready ({})", ready.reason))
        }
        Some(_) if found.metadata.generation.is_some_and(|generation| generation != observed) => {
            Some("its spec has changed, and that is not delivered yet".to_owned())
        }
        Some(_) => None,
        None => Some("it is not Ready yet".to_owned()),
    }
}

/// The Helmfiles whose changes start a pass.
pub(crate) fn watches(spec: &HelmfileSpec) -> impl Iterator<Item = WatchRequest> {
    spec.depends_on.iter().map(|dependency| WatchRequest {
        api_version: names::API_VERSION.to_owned(),
        kind: names::KIND.to_owned(),
        namespace: dependency.namespace.clone(),
        name: Some(dependency.name.clone()),
        label_selector: None,
        on: WatchOn::Any,
        body: false,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn ready_means_ready_for_what_is_asked_now() {
        let of = |status: Value| {
            let object = json!({
                "apiVersion": names::API_VERSION, "kind": "Helmfile", "metadata": {"name": "x", "generation": 2}, "spec": {},
                "status": status
            });
            not_ready(&serde_json::from_value(object).unwrap())
        };
        let ready = |status: &str, observed: i64| {
            let at = "2026-01-01T00:00:00Z";
            json!({"observedGeneration": observed, "conditions": [
                {"type": "Ready", "status": status, "reason": "R", "message": "m", "lastTransitionTime": at}]})
        };
        assert_eq!(of(ready("True", 2)), None);
        assert_eq!(of(ready("True", 1)).unwrap(), "its spec has changed, and that is not delivered yet");
        assert_eq!(of(ready("False", 2)).unwrap(), "it is not Ready (R)");
        assert_eq!(of(json!({})).unwrap(), "it is not Ready yet");
    }
}
