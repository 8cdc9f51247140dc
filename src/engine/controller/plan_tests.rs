use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::contract::ReplyFormat;

fn parent() -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Hello", "spec": {"a": 1}, "status": {"seen": 1},
           "metadata": {"name": "h", "namespace": "n", "uid": "u-1", "resourceVersion": "7"}})
}

fn child(name: &str, owner: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"k": "v"},
           "metadata": {"name": name, "namespace": "n", "uid": format!("c-{name}"), "resourceVersion": "9",
                        "ownerReferences": [{"apiVersion": "example.com/v1", "kind": "Hello", "name": "h", "uid": owner, "controller": true}]}})
}

fn kinds() -> BTreeMap<String, KindRules> {
    let rules = |group: &str, kind: &str, namespaced| KindRules {
        gvk: Gvk::new(group, "v1", kind),
        namespaced,
        status_subresource: false,
        orphan: false,
    };
    [rules("", "ConfigMap", true), rules("", "Namespace", false)].map(|kind| (kind.gvk.key(), kind)).into()
}

fn print(generation: i64) -> Fingerprint {
    Fingerprint::of(&serde_json::from_value(json!({ "generation": generation })).unwrap())
}

fn planned(shown: &[Value], strangers: &[Value], memory: &Memory, reply: &str) -> Result<Plan, PlanError> {
    let object = parent();
    let observed = Observed {
        object: &object,
        kind: KindRules {
            gvk: Gvk::new("example.com", "v1", "Hello"),
            namespaced: true,
            status_subresource: true,
            orphan: false,
        },
        dependents: &kinds(),
        shown: &shown
            .iter()
            .map(|object| Shown { object: object.clone(), print: Some(print(1)) })
            .collect::<Vec<_>>(),
        stranger: &|name| strangers.iter().find(|object| Key::of(object) == name.key()).cloned(),
        whole: true,
        finalizer: None,
        memory,
        namespaces: &["n".to_owned()],
        now: 0,
    };
    plan(&observed, Reply::parse(reply.as_bytes(), ReplyFormat::Program).unwrap())
}

fn steps(shown: &[Value], reply: &str) -> Vec<Step> {
    planned(shown, &[], &Memory::default(), reply).unwrap().steps
}

fn refused(strangers: &[Value], reply: &str) -> String {
    planned(&[], strangers, &Memory::default(), reply).unwrap_err().to_string()
}

const ONE: &str = r#"{"dependents": {"configmap.v1": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}}]}}"#;

#[test]
fn silence_writes_nothing() {
    assert_eq!(steps(&[child("a", "u-1")], ""), []);
}

#[test]
fn a_new_child_is_created_in_the_parents_namespace_and_owned_by_it() {
    let steps = steps(&[], ONE);
    let [Step::Create { manifest }] = steps.as_slice() else { panic!("{steps:?}") };
    assert_eq!(manifest["metadata"]["namespace"], "n");
    assert_eq!(manifest["metadata"]["ownerReferences"][0], owner_reference(&parent()));
}

#[test]
fn a_child_of_ours_is_applied_once_and_again_when_it_or_its_manifest_changes() {
    let shown = [child("a", "u-1")];
    let steps = steps(&shown, ONE);
    let [Step::Apply { manifest, uid }] = steps.as_slice() else { panic!("{steps:?}") };
    assert_eq!(uid.as_deref(), Some("c-a"), "of the object that was shown");
    let name = ObjectRef::of(manifest).unwrap();
    let remember = |generation| Memory {
        applied: [(name.clone(), Applied { digest: digest::of_json(manifest), print: print(generation) })]
            .into(),
        ..Memory::default()
    };
    assert_eq!(planned(&shown, &[], &remember(1), ONE).unwrap().steps, []);
    assert_eq!(planned(&shown, &[], &remember(0), ONE).unwrap().steps.len(), 1, "somebody changed it");
    let other = ONE.replace("\"v\"", "\"w\"");
    assert_eq!(planned(&shown, &[], &remember(1), &other).unwrap().steps.len(), 1, "we changed our mind");
}

#[test]
fn what_is_no_longer_listed_is_deleted_last_and_only_that() {
    let steps = steps(&[child("a", "u-1"), child("b", "u-1")], &ONE.replace("\"a\"", "\"c\""));
    assert!(matches!(&steps[0], Step::Create { .. }));
    let gone: Vec<_> = steps[1..]
        .iter()
        .map(|step| match step {
            Step::Delete { object, uid, resource_version } => {
                (object.name.as_str(), uid.as_str(), resource_version.as_deref())
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(gone, [("a", "c-a", Some("9")), ("b", "c-b", Some("9"))]);
}

#[test]
fn an_absent_key_leaves_its_children_alone() {
    assert_eq!(steps(&[child("a", "u-1")], r#"{"dependents": {"namespace.v1": []}}"#), []);
}

#[test]
fn an_echoed_child_is_left_alone_and_an_edited_one_is_patched_against_what_was_seen() {
    let seen = child("a", "u-1");
    let reply = |copy: &Value| json!({"dependents": {"configmap.v1": [copy]}}).to_string();
    assert_eq!(steps(std::slice::from_ref(&seen), &reply(&seen)), []);
    let mut edited = seen.clone();
    edited["data"]["k"] = "w".into();
    let steps = steps(std::slice::from_ref(&seen), &reply(&edited));
    let [Step::Patch { patch, .. }] = steps.as_slice() else { panic!("{steps:?}") };
    assert_eq!(*patch, json!({"data": {"k": "w"}, "metadata": {"resourceVersion": "9"}}));
}

#[test]
fn what_belongs_to_others_is_refused_and_named() {
    let theirs = child("a", "somebody");
    assert_eq!(
        refused(&[theirs], ONE),
        "ConfigMap n/a exists and is not ours: it belongs to Hello `h`; delete it or choose another name"
    );
    let mut nobodys = child("a", "x");
    nobodys["metadata"]["ownerReferences"] = json!([]);
    assert!(refused(&[nobodys], ONE).contains("it was not created for this object"));
}

#[test]
fn bad_replies_are_refused_as_a_whole() {
    let list = |key: &str, object: Value| json!({"dependents": {key: [object]}}).to_string();
    let map = |metadata: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata});
    for (reply, message) in [
        (
            list("secret.v1", json!({})),
            "the reply lists `secret.v1`, which is not a declared dependent; add it to `dependents` in the config",
        ),
        (
            list("configmap.v1", json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}})),
            "an object under `configmap.v1` is a v1 Secret",
        ),
        (
            list("configmap.v1", json!({"metadata": {"name": "a"}})),
            "an object under `configmap.v1` has no apiVersion and kind",
        ),
        (list("configmap.v1", map(json!({}))), "an object under `configmap.v1` has no metadata.name"),
        (
            list("configmap.v1", map(json!({"name": "a", "namespace": "m"}))),
            "ConfigMap m/a is outside the namespace `n` of its parent; an owned object must be in it, unless `orphan: true`",
        ),
        (
            list("configmap.v1", map(json!({"name": "a", "resourceVersion": "3"}))),
            "ConfigMap n/a carries a resourceVersion but was not given to the handler; leave out the resourceVersion",
        ),
        (
            list("namespace.v1", json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}})),
            "Namespace a is cluster-scoped and can't be owned by an object in a namespace; see `orphan`",
        ),
        (
            json!({"dependents": {"configmap.v1": [map(json!({"name": "a"})), map(json!({"name": "a"}))]}})
                .to_string(),
            "ConfigMap n/a is listed twice",
        ),
    ] {
        assert_eq!(refused(&[], &reply), message);
    }
    let mut renamed = parent();
    renamed["metadata"]["name"] = "other".into();
    assert_eq!(
        refused(&[], &json!({ "object": renamed }).to_string()),
        "the reply changes the object's name from `h` to `other`; a handler can't do that"
    );
}

#[test]
fn an_edited_object_is_written_in_two_parts() {
    let mut edited = parent();
    edited["spec"]["a"] = 2.into();
    edited["status"]["seen"] = 2.into();
    let steps = steps(&[], &json!({ "object": edited }).to_string());
    let [Step::Patch { patch: main, status: false, .. }, Step::Patch { patch: status, status: true, .. }] =
        steps.as_slice()
    else {
        panic!("{steps:?}")
    };
    assert_eq!(*main, json!({"spec": {"a": 2}, "metadata": {"resourceVersion": "7", "uid": "u-1"}}));
    assert_eq!(*status, json!({"status": {"seen": 2}, "metadata": {"resourceVersion": "7", "uid": "u-1"}}));
}

#[test]
fn null_deletes_the_object_itself_by_uid() {
    assert!(matches!(&steps(&[], r#"{"object": null}"#)[..], [Step::Delete { uid, .. }] if uid == "u-1"));
}

#[test]
fn a_status_is_written_when_it_differs_and_not_again() {
    assert_eq!(steps(&[], r#"{"status": {"seen": 1}}"#), []);
    let steps = steps(&[], r#"{"status": {"seen": 2}}"#);
    let [Step::Status { manifest }] = steps.as_slice() else { panic!("{steps:?}") };
    assert_eq!(manifest["metadata"], json!({"name": "h", "namespace": "n", "uid": "u-1"}));
    // Others may add to the status; ours was written and is still there.
    let memory = Memory { status: Some(digest::of_json(&json!({}))), ..Memory::default() };
    assert_eq!(planned(&[], &[], &memory, r#"{"status": {}}"#).unwrap().steps, []);
}

proptest! {
    /// Whatever a handler lists, no step touches an object that is not ours or leaves the namespace.
    #[test]
    fn no_step_reaches_beyond_what_is_ours(names in proptest::collection::btree_set("[a-e]", 0..5),
                                          ours in proptest::collection::btree_set("[a-e]", 0..5),
                                          theirs in proptest::collection::btree_set("[f-h]", 0..3)) {
        let shown: Vec<Value> = ours.iter().map(|name| child(name, "u-1")).collect();
        let strangers: Vec<Value> = theirs.iter().map(|name| child(name, "other")).collect();
        let list: Vec<Value> = names.iter().map(|name| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})).collect();
        let reply = json!({"dependents": {"configmap.v1": list}}).to_string();
        let plan = planned(&shown, &strangers, &Memory::default(), &reply).unwrap();
        let mut deleted = std::collections::BTreeSet::new();
        for step in &plan.steps {
            match step {
                Step::Create { manifest } | Step::Apply { manifest, .. } => {
                    prop_assert_eq!(object::namespace(manifest), Some("n"));
                    prop_assert!(names.contains(object::name(manifest)));
                }
                Step::Delete { object, .. } => { deleted.insert(object.name.clone()); }
                other => prop_assert!(false, "{:?}", other),
            }
        }
        let expected: std::collections::BTreeSet<String> = ours.difference(&names).cloned().collect();
        prop_assert_eq!(deleted, expected);
    }
}

#[test]
fn a_status_that_was_there_before_progress_was_written_is_written_again() {
    let written = |status: Value| Memory { status: Some(digest::of_json(&status)), ..Memory::default() };
    let after_progress = written(json!({"seen": "working"}));
    assert_eq!(planned(&[], &[], &after_progress, r#"{"status": {"seen": 1}}"#).unwrap().steps.len(), 1);
    assert_eq!(
        planned(&[], &[], &written(json!({"seen": 1})), r#"{"status": {"seen": 1}}"#).unwrap().steps,
        []
    );
}

#[test]
fn a_terminating_child_is_neither_applied_nor_deleted_again() {
    let mut going = child("a", "u-1");
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    assert_eq!(steps(std::slice::from_ref(&going), ONE), []);
    assert_eq!(steps(&[going], r#"{"dependents": {"configmap.v1": []}}"#), []);
}

#[test]
fn what_another_object_controls_is_not_ours_even_when_it_names_us() {
    let mut shared = child("a", "u-1");
    shared["metadata"]["ownerReferences"][0]["controller"] = false.into();
    shared["metadata"]["ownerReferences"].as_array_mut().unwrap().push(json!(
        {"apiVersion": "v1", "kind": "Other", "name": "o", "uid": "u-2", "controller": true}
    ));
    assert!(refused(&[shared], ONE).contains("it belongs to Other `o`"));
}

#[test]
fn a_child_where_we_do_not_look_is_refused() {
    let mut object = parent();
    object["metadata"].as_object_mut().unwrap().remove("namespace");
    let observed = Observed {
        object: &object,
        kind: KindRules {
            gvk: Gvk::new("example.com", "v1", "Hello"),
            namespaced: false,
            status_subresource: true,
            orphan: false,
        },
        dependents: &kinds(),
        shown: &[],
        stranger: &|_| None,
        whole: true,
        finalizer: None,
        memory: &Memory::default(),
        namespaces: &["n".to_owned()],
        now: 0,
    };
    let reply = |namespace: &str| {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": namespace}});
        let text = json!({"dependents": {"configmap.v1": [map]}}).to_string();
        plan(&observed, Reply::parse(text.as_bytes(), ReplyFormat::Program).unwrap())
    };
    assert_eq!(reply("n").unwrap().steps.len(), 1);
    assert_eq!(
        reply("m").unwrap_err(),
        PlanError::Unwatched(ObjectRef {
            gvk: Gvk::new("", "v1", "ConfigMap"),
            namespace: Some("m".into()),
            name: "a".into(),
        })
    );
}

/// A stage for the rarer questions.
fn asked(
    object: &Value,
    orphan: bool,
    change: impl FnOnce(&mut Observed<'_>),
    shown: &[Shown],
    reply: &str,
) -> Result<Plan, PlanError> {
    let mut kinds = kinds();
    for kind in kinds.values_mut() {
        kind.orphan = orphan;
    }
    let kind = KindRules {
        gvk: Gvk::new("example.com", "v1", "Hello"),
        namespaced: true,
        status_subresource: true,
        orphan: false,
    };
    let memory = Memory::default();
    let mut observed = Observed {
        object,
        kind,
        dependents: &kinds,
        shown,
        stranger: &|_| None,
        whole: true,
        finalizer: None,
        memory: &memory,
        namespaces: &[],
        now: 0,
    };
    change(&mut observed);
    plan(&observed, Reply::parse(reply.as_bytes(), ReplyFormat::Program).unwrap())
}

#[test]
fn an_orphan_has_marks_instead_of_an_owner_and_may_be_anywhere() {
    let reply = r#"{"dependents": {
        "configmap.v1": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "elsewhere"}}],
        "namespace.v1": [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "b"}}]}}"#;
    let plan = asked(&parent(), true, |_| {}, &[], reply).unwrap();
    for step in &plan.steps {
        let Step::Create { manifest } = step else { panic!("{step:?}") };
        assert_eq!(manifest["metadata"].get("ownerReferences"), None);
        assert_eq!(manifest["metadata"]["annotations"][object::PARENT], "example.com/Hello/n/h");
    }
    assert_eq!(plan.steps.len(), 2);
    let marked = match &plan.steps[0] {
        Step::Create { manifest } => Shown { object: manifest.clone(), print: None },
        other => panic!("{other:?}"),
    };
    let gone = asked(&parent(), true, |_| {}, &[marked], r#"{"dependents": {"configmap.v1": []}}"#).unwrap();
    // It has no UID here, as it was never created; with one it is deleted.
    assert_eq!(gone.steps, []);
    assert!(asked(&parent(), false, |_| {}, &[], reply).is_err());
}

#[test]
fn a_finalizer_goes_when_its_handler_has_nothing_left_to_do() {
    let finalizer = |reply: &str| {
        let plan = asked(&parent(), false, |observed| observed.finalizer = Some("f"), &[], reply).unwrap();
        plan.steps
            .iter()
            .any(|step| matches!(step, Step::RemoveFinalizer { finalizer, .. } if finalizer == "f"))
    };
    assert!(finalizer("{}"));
    assert!(finalizer(r#"{"status": {"bye": true}}"#));
    assert!(!finalizer(r#"{"requeue": true}"#));
    assert!(!finalizer(r#"{"requeueAfter": "10s"}"#));
    assert!(!finalizer(r#"{"requeueAfter": 0}"#));
    let plan = asked(&parent(), false, |_| {}, &[], "{}").unwrap();
    assert_eq!(plan.steps, [], "an object that stays keeps its finalizer");
}

#[test]
fn no_time_at_all_is_at_once_with_back_off() {
    let plan = asked(&parent(), false, |_| {}, &[], r#"{"requeueAfter": 0}"#).unwrap();
    assert_eq!((plan.requeue, plan.requeue_after), (true, None));
}

#[test]
fn where_only_metadata_is_seen_a_status_is_written_once() {
    let (object, reply) = (parent(), r#"{"status": {"a": 1}}"#);
    let said = Memory { status: Some(digest::of_json(&json!({"a": 1}))), ..Memory::default() };
    let steps = |whole, memory: &Memory| {
        let kinds = kinds();
        let observed = Observed {
            object: &object,
            kind: kinds["configmap.v1"].clone(),
            dependents: &kinds,
            shown: &[],
            stranger: &|_| None,
            whole,
            finalizer: None,
            memory,
            namespaces: &[],
            now: 0,
        };
        plan(&observed, Reply::parse(reply.as_bytes(), ReplyFormat::Program).unwrap()).unwrap().steps.len()
    };
    assert_eq!(steps(false, &Memory::default()), 1);
    assert_eq!(steps(false, &said), 0);
    assert_eq!(steps(true, &said), 1, "the object as a whole shows that somebody has removed it");
}
