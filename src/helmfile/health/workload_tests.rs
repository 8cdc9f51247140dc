use serde_json::json;

use super::*;

fn pod(name: &str, status: Value) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}});
    pod["status"] = status;
    pod
}

/// A pod with one container.
fn with_container(name: &str, container: Value) -> Value {
    let mut container = container;
    container["name"] = "app".into();
    pod(name, json!({"phase": "Running", "containerStatuses": [container]}))
}

fn waiting(reason: &str, message: &str) -> Value {
    json!({"state": {"waiting": {"reason": reason, "message": message}}})
}

fn crash_loop(code: i64, reason: &str) -> Value {
    let mut container = waiting("CrashLoopBackOff", "back-off 5m0s restarting failed container");
    container["lastState"] =
        json!({"terminated": {"exitCode": code, "reason": reason, "message": "password=hunter2"}});
    container
}

fn ended(code: i64, reason: &str) -> Value {
    json!({"state": {"terminated": {"exitCode": code, "reason": reason}}})
}

fn running(ready: bool, last: &Value) -> Value {
    json!({"ready": ready, "restartCount": 2, "state": {"running": {}}, "lastState": last})
}

#[test]
fn each_trouble_has_its_words() {
    let exit = |code: i64| json!({"terminated": {"exitCode": code, "reason": "Error"}});
    for (container, said, log) in [
        (crash_loop(1, "Error"), Some("is in CrashLoopBackOff: exit 1"), Some(true)),
        (crash_loop(137, "OOMKilled"), Some("is in CrashLoopBackOff: OOMKilled"), Some(true)),
        (crash_loop(0, "Completed"), Some("is in CrashLoopBackOff: exit 0"), Some(true)),
        (waiting("CrashLoopBackOff", "back-off"), Some("is in CrashLoopBackOff"), Some(true)),
        (ended(3, "Error"), Some("ended: exit 3"), Some(false)),
        (ended(137, "OOMKilled"), Some("ended: OOMKilled"), Some(false)),
        (ended(0, "Completed"), None, None),
        (running(false, &exit(2)), Some("was restarted 2 times: exit 2"), Some(true)),
        (running(true, &exit(2)), None, None),
        (running(false, &json!({})), None, None),
        (
            waiting("ImagePullBackOff", "Back-off pulling image \"x\": not\nfound"),
            Some("is in ImagePullBackOff: Back-off pulling image \"x\": not found"),
            None,
        ),
        (waiting("ErrImagePull", ""), Some("is in ErrImagePull"), None),
        (
            waiting("CreateContainerConfigError", "secret \"db\" not found"),
            Some("is in CreateContainerConfigError: secret \"db\" not found"),
            None,
        ),
        (waiting("ContainerCreating", ""), None, None),
        (waiting("PodInitializing", ""), None, None),
    ] {
        let found = worst(&[with_container("web-1", container.clone())]);
        let text = found.as_ref().map(|trouble| trouble.text.as_str());
        let expected = said.map(|said| format!("container `app` of pod `web-1` {said}"));
        assert_eq!(text, expected.as_deref(), "{container}");
        let previous = found.and_then(|trouble| trouble.crash).map(|crash| {
            assert_eq!((crash.pod.as_str(), crash.container.as_str()), ("web-1", "app"));
            crash.previous
        });
        assert_eq!(previous, log, "{container}");
    }
}

#[test]
fn pods_as_a_whole_have_troubles_too() {
    let conditions = json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available."}]);
    let init = json!([{"name": "migrate", "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}]);
    for (status, said) in [
        (
            json!({"phase": "Pending", "conditions": conditions}),
            Some("pod `a` finds no node: Unschedulable: 0/3 nodes are available"),
        ),
        (json!({"phase": "Pending"}), None),
        (json!({"initContainerStatuses": init}), Some("init container `migrate` of pod `a` ended: exit 1")),
        (
            json!({"phase": "Failed", "reason": "Evicted", "message": "low on memory", "containerStatuses": init}),
            Some("pod `a` has failed: Evicted: low on memory"),
        ),
        // As the pods of a Job are.
        (
            json!({"phase": "Failed", "containerStatuses": init}),
            Some("container `migrate` of pod `a` ended: exit 1"),
        ),
        (json!({"phase": "Failed"}), None),
    ] {
        let found = worst(&[pod("a", status)]).map(|trouble| trouble.text);
        assert_eq!(found.as_deref(), said);
    }
}

#[test]
fn the_worst_comes_first_then_the_first_name() {
    let over = pod("a", json!({"phase": "Failed", "reason": "Evicted"}));
    let unschedulable = pod(
        "b",
        json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]}),
    );
    let mut all = vec![
        over,
        unschedulable,
        with_container("c", waiting("ImagePullBackOff", "")),
        with_container("d", waiting("CreateContainerConfigError", "")),
        with_container("e", running(false, &json!({"terminated": {"exitCode": 1}}))),
        with_container("g", crash_loop(1, "Error")),
        with_container("f", crash_loop(1, "Error")),
    ];
    for name in ["f", "g", "e", "d", "c", "b", "a"] {
        let text = worst(&all).unwrap().text;
        assert!(text.contains(&format!("pod `{name}`")), "{name}: {text}");
        all.retain(|pod| object::name(pod) != name);
    }
    assert_eq!(worst(&all), None);
}

#[test]
fn pods_that_are_being_deleted_do_not_count() {
    let mut pod = with_container("a", crash_loop(1, "Error"));
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    assert_eq!(worst(&[pod]), None);
}

#[test]
fn what_a_container_says_at_its_end_stays_out() {
    let text = worst(&[with_container("a", crash_loop(1, "Error"))]).unwrap().text;
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn selectors_are_queries() {
    let labels = json!({"matchLabels": {"app": "web", "tier": "front"}});
    let expressions = json!({"matchLabels": {"app": "web"}, "matchExpressions": [
        {"key": "a", "operator": "In", "values": ["x", "y"]}, {"key": "b", "operator": "NotIn", "values": ["z"]},
        {"key": "c", "operator": "Exists"}, {"key": "d", "operator": "DoesNotExist"}]});
    let odd = json!({"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "a", "operator": "Like"}]});
    for (api_version, kind, selector, expected) in [
        ("apps/v1", "Deployment", labels.clone(), Some("app=web,tier=front")),
        ("apps/v1", "StatefulSet", expressions, Some("app=web,a in (x,y),b notin (z),c,!d")),
        ("batch/v1", "Job", labels.clone(), Some("app=web,tier=front")),
        // All pods of the namespace would be nobody's.
        ("apps/v1", "ReplicaSet", json!({}), None),
        ("apps/v1", "DaemonSet", odd, None),
        ("example.com/v1", "Deployment", labels, None),
    ] {
        let object = json!({"apiVersion": api_version, "kind": kind, "spec": {"selector": selector}});
        assert_eq!(pods(&object), expected.map(|query| Pods::Selected(query.to_owned())), "{object}");
    }
    assert_eq!(pods(&pod("a", json!({}))), Some(Pods::Itself));
    assert_eq!(pods(&json!({"apiVersion": "apps/v1", "kind": "Deployment"})), None);
}

#[test]
fn pods_that_cannot_be_made_are_a_cause() {
    let object = |status: &str| {
        json!({"status": {"conditions": [
            {"type": "ReplicaFailure", "status": status, "reason": "FailedCreate", "message": "exceeded quota: q"}]}})
    };
    let said = "its pods cannot be made: FailedCreate: exceeded quota: q";
    assert_eq!(refused(&object("True")).map(|trouble| trouble.text).as_deref(), Some(said));
    assert_eq!(refused(&object("False")), None);
}
