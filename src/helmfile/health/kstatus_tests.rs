use serde_json::json;

use super::*;

fn said(health: &Health) -> String {
    match health {
        Health::Current => "current".to_owned(),
        Health::InProgress(what) => format!("in progress: {what}"),
        Health::Failed(what) => format!("failed: {what}"),
        Health::Terminating => "terminating".to_owned(),
        Health::NotFound => "not found".to_owned(),
    }
}

/// Holds a table against the rules: spec, status, what is said.
fn check(api_version: &str, kind: &str, table: &[(Value, Value, &str)]) {
    for (spec, status, expected) in table {
        let object = json!({
            "apiVersion": api_version, "kind": kind, "metadata": {"name": "a", "generation": 4},
            "spec": spec, "status": status,
        });
        assert_eq!(said(&of(&object)), *expected, "{object:#}");
    }
}

/// One condition: type, status, reason, message.
fn one(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"conditions": [{"type": kind, "status": status, "reason": reason, "message": message}]})
}

/// `base` with some fields replaced.
fn with(base: &Value, fields: &Value) -> Value {
    let mut all = base.clone();
    for (key, value) in fields.as_object().unwrap() {
        all[key] = value.clone();
    }
    all
}

#[test]
fn custom_resources() {
    let none = json!({});
    check(
        "example.com/v1",
        "Thing",
        &[
            (none.clone(), none.clone(), "current"),
            (none.clone(), json!({"observedGeneration": 4}), "current"),
            (
                none.clone(),
                json!({"observedGeneration": 3}),
                "in progress: generation 4 has not been observed",
            ),
            (
                none.clone(),
                json!({"observedGeneration": 9}),
                "in progress: generation 4 has not been observed",
            ),
            (none.clone(), json!({"conditions": "none"}), "current"),
            (none.clone(), one("Ready", "True", "Done", "m"), "current"),
            (none.clone(), one("Ready", "False", "Broken", "no disk."), "in progress: Broken: no disk"),
            (none.clone(), one("Ready", "False", "", ""), "in progress: it is not ready"),
            (none.clone(), one("Ready", "Unknown", "Asking", ""), "in progress: Asking"),
            (none.clone(), one("Ready", "Odd", "Odd", ""), "current"),
            (none.clone(), one("Reconciling", "True", "Busy", "step 1"), "in progress: Busy: step 1"),
            (none.clone(), one("Reconciling", "True", "", ""), "in progress: it is being reconciled"),
            (none.clone(), one("Reconciling", "False", "Busy", "step 1"), "current"),
            (none.clone(), one("Stalled", "True", "Stuck", "for good"), "failed: Stuck: for good"),
            (none.clone(), one("Stalled", "False", "Stuck", "for good"), "current"),
            (none.clone(), one("Synced", "False", "Other", ""), "current"),
            // What is abnormal comes before what is ready.
            (
                none.clone(),
                json!({"conditions": [{"type": "Ready", "status": "True"}, {"type": "Stalled", "status": "True"}]}),
                "failed: it is stalled",
            ),
        ],
    );
}

#[test]
fn what_is_deleted_is_terminating_whatever_it_says() {
    for (kind, status) in [("Pod", json!({"phase": "Running"})), ("ConfigMap", json!({}))] {
        let object = json!({
            "apiVersion": "v1", "kind": kind, "status": status,
            "metadata": {"name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z"},
        });
        assert_eq!(of(&object), Health::Terminating);
    }
}

#[test]
fn no_kind_is_no_trouble() {
    assert_eq!(of(&json!({"status": {"phase": "Pending"}})), Health::Current);
}

#[test]
fn deployments() {
    let spec = json!({"replicas": 3, "progressDeadlineSeconds": 600});
    let conditions = |progressing: (&str, &str), available: &str| {
        json!([{"type": "Progressing", "status": progressing.0, "reason": progressing.1},
               {"type": "Available", "status": available}])
    };
    let complete = ("True", "NewReplicaSetAvailable");
    let done = json!({
        "observedGeneration": 4, "replicas": 3, "updatedReplicas": 3, "readyReplicas": 3, "availableReplicas": 3,
        "conditions": conditions(complete, "True"),
    });
    let but = |fields: Value| with(&done, &fields);
    let late = conditions(("False", "ProgressDeadlineExceeded"), "True");
    check(
        "apps/v1",
        "Deployment",
        &[
            (spec.clone(), done.clone(), "current"),
            (
                spec.clone(),
                but(json!({"observedGeneration": 3})),
                "in progress: generation 4 has not been observed",
            ),
            (spec.clone(), json!({}), "in progress: 0 of 3 replicas are there"),
            (spec.clone(), but(json!({"replicas": 2})), "in progress: 2 of 3 replicas are there"),
            (spec.clone(), but(json!({"updatedReplicas": 1})), "in progress: 1 of 3 replicas are updated"),
            (spec.clone(), but(json!({"readyReplicas": 1})), "in progress: 1 of 3 replicas are ready"),
            (spec.clone(), but(json!({"replicas": 4})), "in progress: 1 of 4 replicas have yet to end"),
            (
                spec.clone(),
                but(json!({"availableReplicas": 2})),
                "in progress: 2 of 3 replicas are available",
            ),
            (spec.clone(), but(json!({"conditions": late})), "failed: it has made no progress for 600 s"),
            (json!({}), but(json!({"conditions": late})), "failed: it has made no progress in time"),
            (
                spec.clone(),
                but(json!({"conditions": conditions(("True", "ReplicaSetUpdated"), "True")})),
                "in progress: its rollout is not complete",
            ),
            (
                spec.clone(),
                but(json!({"conditions": conditions(("Unknown", "NewReplicaSetAvailable"), "True")})),
                "in progress: its rollout is not complete",
            ),
            (
                spec.clone(),
                but(json!({"conditions": conditions(complete, "False")})),
                "in progress: it is not available",
            ),
            // Without a deadline its controller does not say whether it progresses.
            (
                json!({"replicas": 3, "progressDeadlineSeconds": i32::MAX}),
                but(json!({"conditions": [{"type": "Available", "status": "True"}]})),
                "current",
            ),
            (
                json!({}),
                json!({"replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1,
                       "conditions": conditions(complete, "True")}),
                "current",
            ),
            (
                json!({"replicas": 0, "progressDeadlineSeconds": 600}),
                json!({"conditions": conditions(complete, "True")}),
                "current",
            ),
        ],
    );
}

#[test]
fn stateful_sets() {
    let spec = json!({"replicas": 3});
    let partition = |number: i64| json!({"replicas": 3, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": number}}});
    let done = json!({
        "observedGeneration": 4, "replicas": 3, "readyReplicas": 3, "currentReplicas": 3, "updatedReplicas": 3,
        "currentRevision": "a", "updateRevision": "a",
    });
    let but = |fields: Value| with(&done, &fields);
    check(
        "apps/v1",
        "StatefulSet",
        &[
            (spec.clone(), done.clone(), "current"),
            (spec.clone(), json!({}), "in progress: 0 of 3 replicas are there"),
            (spec.clone(), but(json!({"readyReplicas": 1})), "in progress: 1 of 3 replicas are ready"),
            (spec.clone(), but(json!({"replicas": 5})), "in progress: 2 of 5 replicas have yet to end"),
            (spec.clone(), but(json!({"currentReplicas": 2})), "in progress: 2 of 3 replicas are current"),
            (spec.clone(), but(json!({"updateRevision": "b"})), "in progress: its rollout is not complete"),
            (json!({}), json!({"replicas": 1, "readyReplicas": 1, "currentReplicas": 1}), "current"),
            (partition(0), but(json!({"updatedReplicas": 2})), "in progress: 2 of 3 replicas are updated"),
            (partition(2), but(json!({"updatedReplicas": 0})), "in progress: 0 of 1 replicas are updated"),
            // Those below the partition stay as they are.
            (
                partition(2),
                but(json!({"updatedReplicas": 1, "currentReplicas": 2, "updateRevision": "b"})),
                "current",
            ),
            (partition(9), but(json!({"updatedReplicas": 0})), "current"),
            (json!({"replicas": 3, "updateStrategy": {"type": "OnDelete"}}), json!({}), "current"),
        ],
    );
}

#[test]
fn daemon_sets() {
    let none = json!({});
    let done = json!({
        "observedGeneration": 4, "desiredNumberScheduled": 2, "currentNumberScheduled": 2,
        "updatedNumberScheduled": 2, "numberReady": 2, "numberAvailable": 2,
    });
    let but = |fields: Value| with(&done, &fields);
    let unobserved = "in progress: it has not been observed";
    check(
        "apps/v1",
        "DaemonSet",
        &[
            (none.clone(), done.clone(), "current"),
            (none.clone(), json!({"observedGeneration": 4, "desiredNumberScheduled": 0}), "current"),
            (none.clone(), json!({"desiredNumberScheduled": 0}), unobserved),
            (none.clone(), json!({"observedGeneration": 4}), unobserved),
            (
                none.clone(),
                but(json!({"observedGeneration": 3})),
                "in progress: generation 4 has not been observed",
            ),
            (
                none.clone(),
                but(json!({"currentNumberScheduled": 1})),
                "in progress: 1 of 2 replicas are there",
            ),
            (
                none.clone(),
                but(json!({"updatedNumberScheduled": 1})),
                "in progress: 1 of 2 replicas are updated",
            ),
            (none.clone(), but(json!({"numberReady": 0})), "in progress: 0 of 2 replicas are ready"),
            (none.clone(), but(json!({"numberAvailable": 1})), "in progress: 1 of 2 replicas are available"),
        ],
    );
}

#[test]
fn replica_sets() {
    let spec = json!({"replicas": 2});
    let done = json!({
        "observedGeneration": 4, "replicas": 2, "fullyLabeledReplicas": 2, "readyReplicas": 2, "availableReplicas": 2,
    });
    let but = |fields: Value| with(&done, &fields);
    let failure = |status: &str| one("ReplicaFailure", status, "FailedCreate", "exceeded quota");
    check(
        "apps/v1",
        "ReplicaSet",
        &[
            (spec.clone(), done.clone(), "current"),
            (json!({"replicas": 0}), json!({}), "current"),
            (spec.clone(), but(json!({"fullyLabeledReplicas": 1})), "in progress: 1 of 2 replicas are there"),
            (spec.clone(), but(json!({"readyReplicas": 1})), "in progress: 1 of 2 replicas are ready"),
            (
                spec.clone(),
                but(json!({"availableReplicas": 1})),
                "in progress: 1 of 2 replicas are available",
            ),
            (spec.clone(), but(json!({"replicas": 3})), "in progress: 1 of 3 replicas have yet to end"),
            (spec.clone(), but(failure("True")), "in progress: FailedCreate: exceeded quota"),
            (spec.clone(), but(failure("False")), "current"),
        ],
    );
}

#[test]
fn pods() {
    let none = json!({});
    let phase = |phase: &str, conditions: Value| with(&conditions, &json!({"phase": phase}));
    check(
        "v1",
        "Pod",
        &[
            (none.clone(), phase("Running", one("Ready", "True", "", "")), "current"),
            (
                none.clone(),
                phase("Running", one("Ready", "False", "", "")),
                "in progress: it is running but not ready",
            ),
            (none.clone(), phase("Succeeded", json!({})), "current"),
            (none.clone(), phase("Failed", json!({})), "failed: it has ended with an error"),
            (
                none.clone(),
                json!({"phase": "Failed", "reason": "Evicted", "message": "low on memory."}),
                "failed: Evicted: low on memory",
            ),
            (none.clone(), phase("Pending", json!({})), "in progress: it is pending"),
            (
                none.clone(),
                phase("Pending", one("PodScheduled", "False", "Unschedulable", "0/3 nodes are available")),
                "in progress: it finds no node: Unschedulable: 0/3 nodes are available",
            ),
            (
                none.clone(),
                phase("Pending", one("PodScheduled", "False", "SchedulingGated", "")),
                "in progress: it is pending",
            ),
            (none.clone(), json!({}), "in progress: it has not been observed"),
        ],
    );
}

#[test]
fn jobs() {
    let none = json!({});
    check(
        "batch/v1",
        "Job",
        &[
            (none.clone(), json!({}), "in progress: it has not been started"),
            (none.clone(), json!({"startTime": "2026-01-01T00:00:00Z", "active": 1}), "current"),
            (none.clone(), one("Complete", "True", "", ""), "current"),
            (none.clone(), one("Suspended", "True", "JobSuspended", ""), "current"),
            (
                none.clone(),
                one("Suspended", "False", "JobResumed", ""),
                "in progress: it has not been started",
            ),
            (
                none.clone(),
                one("Failed", "True", "BackoffLimitExceeded", "too many tries"),
                "failed: BackoffLimitExceeded: too many tries",
            ),
        ],
    );
}

#[test]
fn services_and_volumes() {
    let balanced = json!({"type": "LoadBalancer", "clusterIP": "10.0.0.1"});
    check(
        "v1",
        "Service",
        &[
            (json!({"type": "ClusterIP"}), json!({"loadBalancer": {}}), "current"),
            (balanced.clone(), json!({"loadBalancer": {}}), "in progress: its load balancer has no address"),
            (
                balanced.clone(),
                json!({"loadBalancer": {"ingress": []}}),
                "in progress: its load balancer has no address",
            ),
            (balanced.clone(), json!({"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}), "current"),
            (with(&balanced, &json!({"externalIPs": ["1.2.3.4"]})), json!({}), "current"),
        ],
    );
    let none = json!({});
    check(
        "v1",
        "PersistentVolumeClaim",
        &[
            (none.clone(), json!({"phase": "Bound"}), "current"),
            (none.clone(), json!({"phase": "Pending"}), "in progress: it is not bound but `Pending`"),
            (none.clone(), json!({}), "in progress: it is not bound"),
        ],
    );
}

#[test]
fn extensions_of_the_api() {
    let none = json!({});
    check(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        &[
            (none.clone(), json!({}), "in progress: it is not established"),
            (none.clone(), one("Established", "True", "", ""), "current"),
            (
                none.clone(),
                one("Established", "False", "Installing", "m"),
                "in progress: it is not established",
            ),
            (none.clone(), one("Established", "False", "NotAccepted", "m"), "failed: NotAccepted: m"),
            (none.clone(), one("NamesAccepted", "False", "PluralConflict", "m"), "failed: PluralConflict: m"),
            (none.clone(), one("NamesAccepted", "True", "", ""), "in progress: it is not established"),
        ],
    );
    check(
        "apiregistration.k8s.io/v1",
        "APIService",
        &[
            (none.clone(), one("Available", "True", "", ""), "current"),
            (
                none.clone(),
                one("Available", "False", "MissingEndpoints", "m"),
                "in progress: MissingEndpoints: m",
            ),
            (none.clone(), json!({}), "in progress: it is not available"),
        ],
    );
}

#[test]
fn kinds_with_little_to_say() {
    check("v1", "Namespace", &[(json!({}), json!({"phase": "Active"}), "current")]);
    let late = json!({"observedGeneration": 3});
    check(
        "policy/v1",
        "PodDisruptionBudget",
        &[
            (json!({}), one("DisruptionAllowed", "False", "InsufficientPods", ""), "current"),
            (json!({}), late.clone(), "in progress: generation 4 has not been observed"),
        ],
    );
    // Their status says what they do, not whether they work.
    for (api_version, kind) in
        [("autoscaling/v2", "HorizontalPodAutoscaler"), ("batch/v1", "CronJob"), ("v1", "ConfigMap")]
    {
        check(api_version, kind, &[(json!({}), late.clone(), "current")]);
        assert!(is_always_current(&Gvk::from_api_version(api_version, kind)));
    }
    // Another group's kind of the same name is another kind.
    assert!(!is_always_current(&Gvk::new("example.com", "v1", "ConfigMap")));
    check("example.com/v1", "Deployment", &[(json!({"replicas": 3}), json!({}), "current")]);
}
