//! The forms of the text besides the one with signs.

use serde_json::{Value, json};

use super::*;

const OLD: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {gone: x}}
spec:
  replicas: 1
  strategy: {type: Recreate}
  containers:
  - {name: web, image: a, args: [x, z]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: gone}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: kept, annotations: {helm.sh/resource-policy: keep}}
---
apiVersion: v1
kind: Secret
metadata: {name: cred}
data: {a: aHVudGVyMg==, same: c2FtZQ==}
";

const NEW: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {}}
spec:
  replicas: 2
  resources: {limits: {cpu: 1}}
  containers:
  - {name: web, image: b, args: [x]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
---
apiVersion: v1
kind: Secret
metadata: {name: cred}
data: {a: aHVudGVyMw==, same: c2FtZQ==}
";

fn shown(view: &View) -> String {
    print(&compare(objects(OLD, "team"), objects(NEW, "team")), view)
}

fn parsed(view: &View) -> Value {
    serde_json::from_str(&shown(view)).unwrap()
}

fn view(format: Format) -> View {
    View { format, ..View::default() }
}

fn without(patterns: &[&str], format: Format) -> View {
    View { suppress_lines: patterns.iter().map(|p| LinePattern::new(p).unwrap()).collect(), ..view(format) }
}

#[test]
fn simple_names_objects_and_counts_them() {
    assert_eq!(
        shown(&view(Format::Simple)),
        "team, cred, Secret (v1) to be changed.\nteam, gone, ConfigMap (v1) to be removed.\n\
         team, kept, ConfigMap (v1) to be removed from the release, but kept.\n\
         team, web, Deployment (apps) to be changed.\nteam, web, Service (v1) to be added.\n\
         Plan: 1 to add, 2 to change, 1 to destroy, 0 to change ownership.\n"
    );
}

#[test]
fn json_names_objects() {
    let entry = |api: &str, kind: &str, name: &str, change: &str| json!({"api": api, "kind": kind, "namespace": "team", "name": name, "change": change});
    assert_eq!(
        parsed(&view(Format::Json)),
        json!([
            entry("v1", "Secret", "cred", "MODIFY"),
            entry("v1", "ConfigMap", "gone", "REMOVE"),
            entry("v1", "ConfigMap", "kept", "KEEP"),
            entry("apps", "Deployment", "web", "MODIFY"),
            entry("v1", "Service", "web", "ADD"),
        ])
    );
    assert_eq!(print(&[], &view(Format::Json)), "[]\n");
    assert_eq!(print(&[], &view(Format::Structured)), "[]\n");
}

#[test]
fn structured_tells_each_field() {
    let all = parsed(&view(Format::Structured));
    assert_eq!(
        all[3],
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "namespace": "team", "name": "web", "changeType": "MODIFY",
            "resourceStatus": {"oldExists": true, "newExists": true},
            "changes": [
                {"path": "metadata.labels", "field": "gone", "change": "remove", "oldValue": "x"},
                {"path": "spec.containers[0].args", "field": "1", "change": "remove", "oldValue": "z"},
                {"path": "spec.containers[0]", "field": "image", "change": "replace", "oldValue": "a", "newValue": "b"},
                {"path": "spec", "field": "replicas", "change": "replace", "oldValue": 1, "newValue": 2},
                {"path": "spec.resources.limits", "field": "cpu", "change": "add", "newValue": 1},
                {"path": "spec", "field": "strategy", "change": "remove", "oldValue": {"type": "Recreate"}},
            ]
        })
    );
    assert_eq!(
        all[4],
        json!({"apiVersion": "v1", "kind": "Service", "namespace": "team", "name": "web", "changeType": "ADD",
            "resourceStatus": {"oldExists": false, "newExists": true}})
    );
}

#[test]
fn structured_hides_secrets_until_told_otherwise() {
    let changes = |secrets| parsed(&View { secrets, ..view(Format::Structured) })[0]["changes"].clone();
    let change = |old: &str, new: &str| json!([{"path": "data", "field": "a", "change": "replace", "oldValue": old, "newValue": new}]);
    assert_eq!(changes(Secrets::Hidden), change("REDACTED # (7 bytes)", "REDACTED # (7 bytes, changed)"));
    assert_eq!(changes(Secrets::Shown), change("aHVudGVyMg==", "aHVudGVyMw=="));
    assert_eq!(changes(Secrets::Decoded), change("hunter2", "hunter3"));
}

#[test]
fn suppressed_kinds_are_named_and_nothing_more() {
    let suppress = vec!["Secret".to_owned()];
    let structured = parsed(&View { suppress: suppress.clone(), ..view(Format::Structured) });
    assert_eq!(
        structured[0],
        json!({"apiVersion": "v1", "kind": "Secret", "namespace": "team", "name": "cred", "changeType": "MODIFY",
            "resourceStatus": {"oldExists": true, "newExists": true}, "changesSuppressed": true})
    );
    let names = View { suppress, ..view(Format::Json) };
    assert_eq!(parsed(&names)[0]["name"], "cred");
}

#[test]
fn lines_are_suppressed_in_every_form() {
    let patterns = ["image:", "^ *a: "];
    let text = shown(&View { context: Some(0), ..without(&patterns, Format::Diff) });
    assert!(text.contains("team, cred, Secret (v1) has changed, but diff is empty after suppression.\n\n"));
    assert!(
        text.contains("\n-   replicas: 1\n")
            && text.contains("\n+   replicas: 2\n")
            && !text.contains("image"),
        "{text}"
    );
    assert_eq!(parsed(&without(&patterns, Format::Json))[0]["change"], "MODIFY_SUPPRESSED");
    let structured = parsed(&without(&patterns, Format::Structured));
    assert_eq!(
        (structured[0]["changeType"].as_str(), structured[0].get("changes")),
        (Some("MODIFY_SUPPRESSED"), None)
    );
    assert!(!structured[3].to_string().contains("image"), "{structured}");
    let simple = shown(&without(&patterns, Format::Simple));
    assert!(
        simple.contains("cred, Secret (v1) has changed, but diff is empty after suppression.\n"),
        "{simple}"
    );
    assert!(
        simple.ends_with("Plan: 1 to add, 1 to change, 1 to destroy, 0 to change ownership.\n"),
        "{simple}"
    );
}

#[test]
fn decoding_shows_texts_and_leaves_the_rest() {
    let secret = |a: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\ndata: {{a: {a}, b: /w==}}\nstringData: {{c: eA==}}\n"
        )
    };
    let changes = compare(objects(&secret("b25l"), "n"), objects(&secret("dHdv"), "n"));
    let text = print(&changes, &View { secrets: Secrets::Decoded, ..View::default() });
    for line in ["-   a: one\n", "+   a: two\n", "    b: /w==\n", "    c: eA==\n"] {
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn what_the_server_keeps_is_no_part_of_an_object() {
    let object = objects("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {b: 1}\n", "n").remove(0);
    let live = json!({"spec": {"b": 1}, "status": {"phase": "Running"}, "kind": "Pod", "apiVersion": "v1",
        "metadata": {"name": "a", "uid": "u", "resourceVersion": "1", "generation": 3, "creationTimestamp": "now",
            "selfLink": "/x", "managedFields": [{}]}});
    assert_eq!(object.as_in_cluster(live), object);
}

#[test]
fn line_ends_are_no_difference() {
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  k: |\n    one\n    two\n";
    assert!(compare(objects(text, "n"), objects(&text.replace('\n', "\r\n"), "n")).is_empty());
}
