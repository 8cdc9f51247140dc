//! How kinds are that count pods: `Deployment`, `StatefulSet`, `DaemonSet`, `ReplicaSet`.

use serde_json::Value;

use super::kstatus::{Health, condition, text};

/// `Progressing` with the deadline exceeded is the only failure; then enough pods that are new, ready and available,
/// none too many, and both conditions.
pub(super) fn deployment(object: &Value) -> Health {
    let progressing = condition(object, "Progressing");
    if progressing.is_some_and(|progressing| progressing.reason == "ProgressDeadlineExceeded") {
        return Health::Failed(match deadline(object) {
            Some(seconds) => format!("it has made no progress for {seconds} s"),
            None => "it has made no progress in time".to_owned(),
        });
    }
    let is_complete = deadline(object).is_none()
        || progressing.is_some_and(|progressing| {
            progressing.status == "True" && progressing.reason == "NewReplicaSetAvailable"
        });
    let is_available = condition(object, "Available").is_some_and(|available| available.status == "True");
    let (wanted, there) = (wanted(object), status(object, "replicas"));
    let (updated, available) = (status(object, "updatedReplicas"), status(object, "availableReplicas"));
    first([
        fewer(there, wanted, "there"),
        fewer(updated, wanted, "updated"),
        fewer(status(object, "readyReplicas"), wanted, "ready"),
        more(there, wanted),
        fewer(available, updated, "available"),
        (!is_complete).then(|| "its rollout is not complete".to_owned()),
        (!is_available).then(|| "it is not available".to_owned()),
    ])
}

/// Its time to make progress, in seconds; the largest number means none.
fn deadline(object: &Value) -> Option<i64> {
    let seconds = object.pointer("/spec/progressDeadlineSeconds").and_then(Value::as_i64);
    seconds.filter(|seconds| *seconds != i64::from(i32::MAX))
}

/// Pods below the partition may be old ones; with `OnDelete` the user says when a pod is replaced.
pub(super) fn stateful_set(object: &Value) -> Health {
    if text(object, "/spec/updateStrategy/type") == "OnDelete" {
        return Health::Current;
    }
    let (wanted, there) = (wanted(object), status(object, "replicas"));
    let partition = object.pointer("/spec/updateStrategy/rollingUpdate/partition").and_then(Value::as_i64);
    let counted = [
        fewer(there, wanted, "there"),
        fewer(status(object, "readyReplicas"), wanted, "ready"),
        more(there, wanted),
    ];
    let rolled_out = if let Some(partition) = partition {
        [fewer(status(object, "updatedReplicas"), wanted - partition, "updated"), None]
    } else {
        let revision = |which: &str| text(object, &format!("/status/{which}Revision"));
        let differs = revision("current") != revision("update");
        [
            fewer(status(object, "currentReplicas"), wanted, "current"),
            differs.then(|| "its rollout is not complete".to_owned()),
        ]
    };
    first(counted.into_iter().chain(rolled_out))
}

/// Its controller writes the numbers and the generation together; before that, zero pods would be enough.
pub(super) fn daemon_set(object: &Value) -> Health {
    let is_observed = object.pointer("/status/observedGeneration").is_some_and(Value::is_i64);
    let wanted = object.pointer("/status/desiredNumberScheduled").and_then(Value::as_i64);
    let Some(wanted) = wanted.filter(|_| is_observed) else {
        return Health::InProgress("it has not been observed".to_owned());
    };
    first([
        fewer(status(object, "currentNumberScheduled"), wanted, "there"),
        fewer(status(object, "updatedNumberScheduled"), wanted, "updated"),
        fewer(status(object, "numberReady"), wanted, "ready"),
        fewer(status(object, "numberAvailable"), wanted, "available"),
    ])
}

/// A failure to make pods is tried again, so it is progress that is missing.
pub(super) fn replica_set(object: &Value) -> Health {
    if let Some(failure) = condition(object, "ReplicaFailure").filter(|failure| failure.status == "True") {
        return Health::InProgress(failure.says("its pods cannot be made"));
    }
    let wanted = wanted(object);
    first([
        fewer(status(object, "fullyLabeledReplicas"), wanted, "there"),
        fewer(status(object, "readyReplicas"), wanted, "ready"),
        fewer(status(object, "availableReplicas"), wanted, "available"),
        more(status(object, "replicas"), wanted),
    ])
}

/// The number of pods that are wanted; one, as their controllers take it, where there is no number.
fn wanted(object: &Value) -> i64 {
    object.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1)
}

fn status(object: &Value, field: &str) -> i64 {
    object.pointer("/status").and_then(|status| status.get(field)?.as_i64()).unwrap_or(0)
}

fn fewer(are: i64, wanted: i64, what: &str) -> Option<String> {
    (are < wanted).then(|| format!("{are} of {wanted} replicas are {what}"))
}

fn more(are: i64, wanted: i64) -> Option<String> {
    (are > wanted).then(|| format!("{} of {are} replicas have yet to end", are - wanted))
}

/// The first thing that is missing, in the order in which it comes about.
fn first(missing: impl IntoIterator<Item = Option<String>>) -> Health {
    missing.into_iter().flatten().next().map_or(Health::Current, Health::InProgress)
}
