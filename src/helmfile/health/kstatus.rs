//! How an object is, from what it says of itself: the rules of kstatus, which `kubectl`, Flux and Argo CD share.
//!
//! First what holds for all kinds (deletion, the observed generation, `Reconciling`, `Stalled`), then the rules of the
//! built-in kinds, then `Ready`. Stricter than kstatus in three places: a load balancer needs an address, an
//! `APIService` must be available, and a Pod that has failed has failed. Milder in one: a Pod that crashes or finds no
//! node is in progress, since it is started again; a rule without a clock can't tell for how long already.

use serde_json::Value;

use super::{
    replicas,
    words::{because, quote},
};
use crate::object::{self, Gvk};

/// How an object is. What is said is one short sentence without a full stop, or part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It is what its spec says.
    Current,
    /// It is on its way, or it is stuck and does not know it.
    InProgress(String),
    /// It says that it does not work.
    Failed(String),
    /// It is being deleted.
    Terminating,
    /// It is not there.
    NotFound,
}

/// Kinds that are what their spec says from the moment that they exist: group and kind.
const ALWAYS_CURRENT: &[(&str, &str)] = &[
    ("", "ConfigMap"),
    ("", "Endpoints"),
    ("", "LimitRange"),
    ("", "PodTemplate"),
    ("", "ResourceQuota"),
    ("", "Secret"),
    ("", "ServiceAccount"),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
    ("autoscaling", "HorizontalPodAutoscaler"),
    ("batch", "CronJob"),
    ("discovery.k8s.io", "EndpointSlice"),
    ("networking.k8s.io", "Ingress"),
    ("networking.k8s.io", "IngressClass"),
    ("networking.k8s.io", "NetworkPolicy"),
    ("node.k8s.io", "RuntimeClass"),
    ("rbac.authorization.k8s.io", "ClusterRole"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
    ("rbac.authorization.k8s.io", "Role"),
    ("rbac.authorization.k8s.io", "RoleBinding"),
    ("scheduling.k8s.io", "PriorityClass"),
    ("storage.k8s.io", "CSIDriver"),
    ("storage.k8s.io", "StorageClass"),
];

/// Whether objects of the kind need no look: they are current as soon as they exist.
pub fn is_always_current(gvk: &Gvk) -> bool {
    ALWAYS_CURRENT.contains(&(gvk.group.as_str(), gvk.kind.as_str()))
}

/// How an object is, as it was read from the API server.
pub fn of(object: &Value) -> Health {
    if object::is_terminating(object) {
        return Health::Terminating;
    }
    let Some(gvk) = Gvk::of(object).filter(|gvk| !is_always_current(gvk)) else { return Health::Current };
    generic(object).unwrap_or_else(|| match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("apps" | "extensions", "Deployment") => replicas::deployment(object),
        ("apps" | "extensions", "DaemonSet") => replicas::daemon_set(object),
        ("apps" | "extensions", "ReplicaSet") => replicas::replica_set(object),
        ("apps", "StatefulSet") => replicas::stateful_set(object),
        ("", "Pod") => pod(object),
        ("", "PersistentVolumeClaim") => claim(object),
        ("", "Service") => service(object),
        ("batch", "Job") => job(object),
        // That its generation has been observed is all it can say.
        ("policy", "PodDisruptionBudget") => Health::Current,
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition(object),
        ("apiregistration.k8s.io", "APIService") => api_service(object),
        _ => ready(object),
    })
}

/// What holds for all kinds, and comes before anything else.
fn generic(object: &Value) -> Option<Health> {
    let observed = object.pointer("/status/observedGeneration").and_then(Value::as_i64);
    if let (Some(generation), Some(observed)) = (object::generation(object), observed)
        && generation != observed
    {
        // A greater one is of another life of the object, before a restore from a backup.
        return Some(Health::InProgress(format!("generation {generation} has not been observed")));
    }
    conditions(object).find_map(|condition| match (condition.kind, condition.status) {
        ("Reconciling", "True") => Some(Health::InProgress(condition.says("it is being reconciled"))),
        ("Stalled", "True") => Some(Health::Failed(condition.says("it is stalled"))),
        _ => None,
    })
}

/// What `Ready` says, for kinds that we don't know.
fn ready(object: &Value) -> Health {
    match condition(object, "Ready") {
        Some(ready @ Condition { status: "False" | "Unknown", .. }) => {
            Health::InProgress(ready.says("it is not ready"))
        }
        _ => Health::Current,
    }
}

fn pod(object: &Value) -> Health {
    let waiting = |text: &str| Health::InProgress(text.to_owned());
    let is = |kind: &str, status: &str| condition(object, kind).filter(|found| found.status == status);
    match text(object, "/status/phase") {
        "Succeeded" => Health::Current,
        "Failed" => {
            let status = |field: &str| text(object, &format!("/status/{field}"));
            let why = because(status("reason"), status("message"));
            Health::Failed(why.unwrap_or_else(|| "it has ended with an error".to_owned()))
        }
        "Running" if is("Ready", "True").is_some() => Health::Current,
        "Running" => waiting("it is running but not ready"),
        "Pending" => match is("PodScheduled", "False").filter(|found| found.reason == "Unschedulable") {
            Some(found) => Health::InProgress(format!("it finds no node: {}", found.says("Unschedulable"))),
            None => waiting("it is pending"),
        },
        _ => waiting("it has not been observed"),
    }
}

fn claim(object: &Value) -> Health {
    match text(object, "/status/phase") {
        "Bound" => Health::Current,
        "" => Health::InProgress("it is not bound".to_owned()),
        phase => Health::InProgress(format!("it is not bound but `{}`", quote(phase))),
    }
}

fn service(object: &Value) -> Health {
    let is_empty =
        |pointer: &str| object.pointer(pointer).and_then(Value::as_array).is_none_or(Vec::is_empty);
    let needs_address = text(object, "/spec/type") == "LoadBalancer" && is_empty("/spec/externalIPs");
    if needs_address && is_empty("/status/loadBalancer/ingress") {
        return Health::InProgress("its load balancer has no address".to_owned());
    }
    Health::Current
}

/// A Job that runs is current: it can be meant to run for days, and Helm does not wait for it either.
fn job(object: &Value) -> Health {
    let verdict =
        conditions(object).filter(|condition| condition.status == "True").find_map(
            |condition| match condition.kind {
                "Complete" | "Suspended" => Some(Health::Current),
                "Failed" => Some(Health::Failed(condition.says("it has failed"))),
                _ => None,
            },
        );
    verdict.unwrap_or_else(|| match text(object, "/status/startTime") {
        "" => Health::InProgress("it has not been started".to_owned()),
        _ => Health::Current,
    })
}

fn definition(object: &Value) -> Health {
    let verdict = conditions(object).find_map(|condition| match (condition.kind, condition.status) {
        ("NamesAccepted", "False") => Some(Health::Failed(condition.says("its names are not accepted"))),
        ("Established", "False") if condition.reason != "Installing" => {
            Some(Health::Failed(condition.says("it is not established")))
        }
        ("Established", "True") => Some(Health::Current),
        _ => None,
    });
    verdict.unwrap_or_else(|| Health::InProgress("it is not established".to_owned()))
}

fn api_service(object: &Value) -> Health {
    match condition(object, "Available") {
        Some(Condition { status: "True", .. }) => Health::Current,
        Some(available) => Health::InProgress(available.says("it is not available")),
        None => Health::InProgress("it is not available".to_owned()),
    }
}

/// A condition, as far as it is text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Condition<'a> {
    kind: &'a str,
    pub status: &'a str,
    pub reason: &'a str,
    message: &'a str,
}

impl Condition<'_> {
    /// Its reason and message, or `otherwise` when it has none.
    pub(super) fn says(&self, otherwise: &str) -> String {
        because(self.reason, self.message).unwrap_or_else(|| otherwise.to_owned())
    }
}

fn conditions(object: &Value) -> impl Iterator<Item = Condition<'_>> {
    let list = object.pointer("/status/conditions").and_then(Value::as_array);
    list.into_iter().flatten().map(|condition| Condition {
        kind: text(condition, "/type"),
        status: text(condition, "/status"),
        reason: text(condition, "/reason"),
        message: text(condition, "/message"),
    })
}

/// The condition of a type.
pub(super) fn condition<'a>(object: &'a Value, kind: &str) -> Option<Condition<'a>> {
    conditions(object).find(|condition| condition.kind == kind)
}

/// A text, by its JSON pointer; empty where there is none.
pub(super) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
#[path = "kstatus_tests.rs"]
mod tests;
