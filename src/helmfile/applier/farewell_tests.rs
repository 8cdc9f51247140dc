use serde_json::json;

use super::*;

#[test]
fn an_event_names_what_is_left_and_is_not_too_long() {
    let left = |count: usize| {
        let release = |number: usize| json!({"namespace": "n".repeat(63), "name": format!("{number:053}")});
        let releases: Vec<_> = (0..count).map(release).collect();
        let object = json!({
            "metadata": {"name": "web", "namespace": "shop", "generation": 1, "deletionTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {}, "status": {"inventory": {"count": count, "releases": releases}}
        });
        given_up(&Subject::of(&object, "/".into()), "the annotation says so").events.remove(0).message
    };
    let many = left(40);
    assert!(many.len() < 1024 && many.ends_with(" and 35 more"), "{many}");
    assert!(left(2).starts_with("the releases were not destroyed, as the annotation says so; left: nnn"));
}
