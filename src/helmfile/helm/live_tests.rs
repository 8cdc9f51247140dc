use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::core::Status;

use super::*;

#[test]
fn what_helm_dropped_is_removed_and_nothing_else() {
    let old = json!({"metadata": {"name": "a", "namespace": "n", "labels": {"app": "x", "old": "y"}},
        "spec": {"gone": {"a": 1}, "kept": 1, "containers": [
            {"name": "web", "image": "a", "env": [{"name": "OLD", "value": "1"}]}, {"name": "side"}]}});
    let new = json!({"metadata": {"name": "a", "labels": {"app": "x"}},
        "spec": {"kept": 2, "containers": [{"name": "web", "image": "b", "env": []}]}});
    let mut would = json!({"metadata": {"name": "a", "namespace": "n",
            "labels": {"app": "x", "old": "y", "app.kubernetes.io/managed-by": "Helm"}, "annotations": {"mine": "1"}},
        "spec": {"gone": {"a": 1, "b": 2}, "kept": 2, "default": true, "containers": [
            {"name": "web", "image": "b", "env": [{"name": "OLD", "value": "1"}, {"name": "injected"}]},
            {"name": "side"}, {"name": "injected"}]}});
    remove_dropped(&mut would, &declared(&old), &declared(&new));
    assert_eq!(
        would,
        json!({"metadata": {"name": "a", "namespace": "n",
            "labels": {"app": "x", "app.kubernetes.io/managed-by": "Helm"}, "annotations": {"mine": "1"}},
        "spec": {"kept": 2, "default": true, "containers": [
            {"name": "web", "image": "b", "env": [{"name": "injected"}]}, {"name": "injected"}]}})
    );
}

fn live(entries: &[(&str, &str, Option<&str>)]) -> DynamicObject {
    let resource = kube::api::ApiResource {
        group: String::new(),
        version: "v1".into(),
        api_version: "v1".into(),
        kind: "ConfigMap".into(),
        plural: "configmaps".into(),
    };
    let mut object = DynamicObject::new("a", &resource);
    let entry = |(manager, operation, subresource): &(&str, &str, Option<&str>)| ManagedFieldsEntry {
        manager: Some((*manager).to_owned()),
        operation: Some((*operation).to_owned()),
        subresource: subresource.map(str::to_owned),
        ..ManagedFieldsEntry::default()
    };
    object.metadata.managed_fields = Some(entries.iter().map(entry).collect());
    object
}

#[test]
fn client_side_writes_are_told_from_applies() {
    for (entries, by_update) in [
        (&[("helm", "Update", None)][..], true),
        (&[("helm", "Update", None), ("kubectl-edit", "Update", None)], true),
        (&[("helm", "Apply", None)], false),
        (&[("helm", "Update", None), ("helm", "Apply", None)], false),
        (&[("helm", "Update", Some("status"))], false),
        (&[("kubectl", "Update", None)], false),
        (&[], false),
    ] {
        assert_eq!(is_written_by_update(&live(entries)), by_update, "{entries:?}");
    }
}

fn error(code: u16) -> kube::Error {
    let status = Status::failure("stringData.a: got 12345", "Invalid").with_code(code);
    kube::Error::Api(Box::new(status))
}

#[test]
fn a_refusal_is_no_failure_and_quotes_no_secret() {
    for (code, refusal) in [(400, true), (422, true), (415, true), (403, false), (409, false), (500, false)] {
        assert_eq!(is_refusal(&error(code)), refusal, "{code}");
    }
    let named =
        |kind| Key { namespace: Some("n".into()), name: "a".into() }.of_kind(&Gvk::new("", "v1", kind));
    assert!(refused(&named("ConfigMap"), &error(422)).contains("12345"));
    for code in [422, 500] {
        assert_eq!(said(&named("Secret"), &error(code)), format!("{code} Invalid"));
    }
}
