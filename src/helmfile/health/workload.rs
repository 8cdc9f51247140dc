//! Why a workload is not current: which of its pods are meant, and what is wrong with the worst of them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use serde_json::Value;

use super::{
    kstatus::{condition, text},
    words::{because, count},
};
use crate::object::{self, Gvk};

/// What is wrong with a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    /// One short sentence that names the pod, and the container where it is one.
    pub(super) text: String,
    /// The container whose log says more.
    pub(super) crash: Option<Crash>,
}

/// A container that has ended with an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Crash {
    pub(super) pod: String,
    pub(super) container: String,
    /// Whether another one has taken its place, or will.
    pub(super) previous: bool,
}

/// Which pods belong to an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pods {
    /// It is one itself.
    Itself,
    /// Those with these labels, as the API server takes them.
    Selected(String),
}

/// The pods of an object; `None` when it has none that we could find.
pub(super) fn pods(object: &Value) -> Option<Pods> {
    let gvk = Gvk::of(object)?;
    match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("", "Pod") => Some(Pods::Itself),
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") | ("batch", "Job") => {
            let selector: LabelSelector =
                serde_json::from_value(object.pointer("/spec/selector")?.clone()).ok()?;
            selected(&selector).map(Pods::Selected)
        }
        _ => None,
    }
}

/// A selector as a query; `None` for the empty one, which would be all pods, and for one that we don't understand.
fn selected(selector: &LabelSelector) -> Option<String> {
    let equal = selector.match_labels.iter().flatten().map(|(key, value)| Some(format!("{key}={value}")));
    let expressions = selector.match_expressions.iter().flatten().map(requirement);
    let terms: Option<Vec<String>> = equal.chain(expressions).collect();
    terms.filter(|terms| !terms.is_empty()).map(|terms| terms.join(","))
}

fn requirement(of: &LabelSelectorRequirement) -> Option<String> {
    let LabelSelectorRequirement { key, operator, values } = of;
    let values = values.iter().flatten().map(String::as_str).collect::<Vec<_>>().join(",");
    match operator.as_str() {
        "In" => Some(format!("{key} in ({values})")),
        "NotIn" => Some(format!("{key} notin ({values})")),
        "Exists" => Some(key.clone()),
        "DoesNotExist" => Some(format!("!{key}")),
        _ => None,
    }
}

/// What the object itself says about pods that could not be made: a quota, or an admission that refused them.
pub(super) fn refused(object: &Value) -> Option<Trouble> {
    let failure = condition(object, "ReplicaFailure").filter(|failure| failure.status == "True")?;
    let why = failure.says("their creation failed");
    Some(Trouble { text: format!("its pods cannot be made: {why}"), crash: None })
}

/// How bad something is; what keeps a container from ever starting again comes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Crashed,
    Restarted,
    Misconfigured,
    NoImage,
    Unschedulable,
    /// A pod that has failed as a whole: most controllers have put another one in its place.
    Over,
}

/// The worst trouble of all pods; of equals, that of the pod whose name comes first. Pods that are being deleted don't
/// count.
pub(super) fn worst(pods: &[Value]) -> Option<Trouble> {
    let alive = pods.iter().filter(|pod| !object::is_terminating(pod));
    let troubles = alive
        .flat_map(|pod| of_pod(pod).into_iter().map(|(rank, trouble)| (rank, object::name(pod), trouble)));
    troubles.min_by_key(|(rank, pod, _)| (*rank, *pod)).map(|(_, _, trouble)| trouble)
}

fn of_pod(pod: &Value) -> Vec<(Rank, Trouble)> {
    let is_over = text(pod, "/status/phase") == "Failed";
    let containers = [("init container", "initContainerStatuses"), ("container", "containerStatuses")];
    let containers = containers.into_iter().flat_map(|(noun, field)| {
        let list = pod.pointer("/status").and_then(|status| status.get(field)?.as_array());
        list.into_iter().flatten().filter_map(move |status| of_container(pod, noun, status))
    });
    let all = unschedulable(pod).into_iter().chain(containers);
    if is_over {
        return over(pod).into_iter().chain(all.map(|(_, trouble)| (Rank::Over, trouble))).collect();
    }
    all.collect()
}

fn unschedulable(pod: &Value) -> Option<(Rank, Trouble)> {
    let scheduled = condition(pod, "PodScheduled")?;
    (scheduled.status == "False" && scheduled.reason == "Unschedulable").then(|| {
        let text = format!("pod `{}` finds no node: {}", object::name(pod), scheduled.says("Unschedulable"));
        (Rank::Unschedulable, Trouble { text, crash: None })
    })
}

/// A pod that says why it has failed as a whole: `Evicted`, `DeadlineExceeded`.
fn over(pod: &Value) -> Option<(Rank, Trouble)> {
    let why = because(text(pod, "/status/reason"), text(pod, "/status/message"))?;
    Some((
        Rank::Over,
        Trouble { text: format!("pod `{}` has failed: {why}", object::name(pod)), crash: None },
    ))
}

fn of_container(pod: &Value, noun: &str, status: &Value) -> Option<(Rank, Trouble)> {
    let (name, container) = (object::name(pod), text(status, "/name"));
    let crash = |previous| Some(Crash { pod: name.to_owned(), container: container.to_owned(), previous });
    let trouble = |rank, what: String, crash| {
        Some((rank, Trouble { text: format!("{noun} `{container}` of pod `{name}` {what}"), crash }))
    };
    let state = |pointer: &str| status.pointer(pointer).filter(|state| state.is_object());
    let before = state("/lastState/terminated");
    if let Some(ended) = state("/state/terminated") {
        return trouble(Rank::Crashed, format!("ended: {}", end(ended)?), crash(false));
    }
    if let Some(waiting) = state("/state/waiting") {
        let reason = text(waiting, "/reason");
        let rank = waits_for(reason)?;
        if rank == Rank::Crashed {
            // The kubelet's own message is how long it waits, which changes all the time.
            let why = before.map(|before| end(before).unwrap_or_else(|| "exit 0".to_owned()));
            return trouble(
                rank,
                format!("is in {}", because(reason, &why.unwrap_or_default())?),
                crash(true),
            );
        }
        return trouble(rank, format!("is in {}", because(reason, text(waiting, "/message"))?), None);
    }
    let is_ready = status.pointer("/ready").and_then(Value::as_bool) == Some(true);
    let why = before.filter(|_| !is_ready).and_then(end)?;
    let restarts = status.pointer("/restartCount").and_then(Value::as_u64).unwrap_or(1);
    let times = count(usize::try_from(restarts).unwrap_or(usize::MAX), "time");
    trouble(Rank::Restarted, format!("was restarted {times}: {why}"), crash(true))
}

/// How bad it is that a container waits for this reason; `None` for what is on its usual way.
fn waits_for(reason: &str) -> Option<Rank> {
    match reason {
        "CrashLoopBackOff" => Some(Rank::Crashed),
        "CreateContainerConfigError"
        | "CreateContainerError"
        | "RunContainerError"
        | "PreCreateHookError"
        | "PreStartHookError"
        | "PostStartHookError" => Some(Rank::Misconfigured),
        "ImagePullBackOff"
        | "ErrImagePull"
        | "ErrImageNeverPull"
        | "InvalidImageName"
        | "ImageInspectError"
        | "RegistryUnavailable"
        | "SignatureValidationFailed" => Some(Rank::NoImage),
        _ => None,
    }
}

/// How a container has ended; `None` when it was meant to. Its own message is left out: it may be the end of its log.
fn end(terminated: &Value) -> Option<String> {
    let code = terminated.pointer("/exitCode").and_then(Value::as_i64).unwrap_or(0);
    match text(terminated, "/reason") {
        "" | "Error" | "Completed" => (code != 0).then(|| format!("exit {code}")),
        reason => Some(reason.to_owned()),
    }
}

#[cfg(test)]
#[path = "workload_tests.rs"]
mod tests;
