use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn config_map(name: &str, data: &str) -> String {
    format!(
        "---\n# Source: c/templates/x.yaml\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n{data}"
    )
}

fn changes(old: &str, new: &str) -> Vec<Change> {
    compare(objects(old, "default"), objects(new, "default"))
}

fn text(old: &str, new: &str) -> String {
    print(&changes(old, new), &View::default())
}

#[test]
fn shows_what_was_added_changed_and_removed() {
    let old =
        config_map("a", "  k: one\n") + &config_map("b", "  k: one\n") + &config_map("same", "  k: one\n");
    let new = config_map("same", "    k:   \"one\" # other\n")
        + &config_map("a", "  k: two\n")
        + &config_map("c", "  k: x\n");
    assert_eq!(
        text(&old, &new),
        "default, a, ConfigMap (v1) has changed:\n  apiVersion: v1\n  kind: ConfigMap\n  metadata:\n    name: a\n  data:\n\
         -   k: one\n+   k: two\n\n\
         default, b, ConfigMap (v1) has been removed:\n- apiVersion: v1\n- kind: ConfigMap\n- metadata:\n-   name: b\n- data:\n\
         -   k: one\n\n\
         default, c, ConfigMap (v1) has been added:\n+ apiVersion: v1\n+ kind: ConfigMap\n+ metadata:\n+   name: c\n+ data:\n\
         +   k: x\n\n"
    );
    assert_eq!(text(&old, &old), "");
}

#[test]
fn the_header_names_group_and_namespace() {
    let new = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: other}\n";
    assert!(text("", new).starts_with("other, web, Deployment (apps) has been added:\n"));
    // Another version of the same API is a change, not a removal and an addition.
    let old = new.replace("apps/v1", "apps/v1beta1");
    assert!(text(&old, new).contains("has changed:\n- apiVersion: apps/v1beta1\n+ apiVersion: apps/v1\n"));
}

#[test]
fn context_leaves_out_the_rest() {
    let body = |changed: &str| -> String {
        (0..30)
            .map(|n| if n == 15 { format!("  k{n:02}: {changed}\n") } else { format!("  k{n:02}: x\n") })
            .collect()
    };
    let all = changes(&config_map("a", &body("old")), &config_map("a", &body("new")));
    let view = View { context: Some(1), ..View::default() };
    assert_eq!(
        print(&all, &view),
        "default, a, ConfigMap (v1) has changed:\n...\n    k14: x\n-   k15: old\n+   k15: new\n    k16: x\n...\n\n"
    );
    let none = print(&all, &View { context: Some(0), ..View::default() });
    assert_eq!(none, "default, a, ConfigMap (v1) has changed:\n...\n-   k15: old\n+   k15: new\n...\n\n");
    assert_eq!(print(&all, &View::default()).lines().count(), 1 + 5 + 31 + 1);
}

#[test]
fn a_change_in_a_text_of_many_lines_is_one_line() {
    let body = |port: u32| {
        format!("  conf: |\n    listen\n    port {port}\n    {}\n", "wide ".repeat(40).trim_end())
    };
    let out = text(&config_map("a", &body(80)), &config_map("a", &body(8080)));
    assert_eq!(out.lines().filter(|line| line.starts_with(['+', '-'])).count(), 2, "{out}");
    assert!(out.contains("\n-     port 80\n+     port 8080\n"), "{out}");
}

const SECRET: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: cred}\ndata: {password: aHVudGVyMg==}\nstringData: {t: hunter2}\n";

#[test]
fn a_changed_secret_shows_without_its_values() {
    let new = SECRET.replace("aHVudGVyMg==", "aHVudGVyMw==");
    assert_eq!(
        text(SECRET, &new),
        "default, cred, Secret (v1) has changed:\n  apiVersion: v1\n  kind: Secret\n  metadata:\n    name: cred\n  data:\n\
         -   password: REDACTED # (7 bytes)\n+   password: REDACTED # (7 bytes, changed)\n  stringData:\n\
         \u{20}   t: REDACTED # (7 bytes)\n\n"
    );
    let revealed = print(&changes(SECRET, &new), &View { secrets: Secrets::Shown, ..View::default() });
    assert!(revealed.contains("+   password: aHVudGVyMw==\n"), "{revealed}");
}

#[test]
fn a_secret_in_a_list_is_hidden_too() {
    let list = format!("apiVersion: v1\nkind: List\nitems:\n- {}", SECRET.replace('\n', "\n  "));
    let out = text("", &list);
    assert!(out.starts_with("default, cred, Secret (v1) has been added:\n"), "{out}");
    assert!(!out.contains("aHVudGVyMg") && !out.contains("hunter2"), "{out}");
}

#[test]
fn suppressed_kinds_change_without_a_word() {
    let all = changes("", SECRET);
    assert_eq!(all.len(), 1);
    assert_eq!(print(&all, &View { suppress: vec!["Secret".into()], ..View::default() }), "");
}

#[test]
fn unreadable_documents_change_without_being_shown() {
    let old = "# Source: c/templates/x.yaml\nkind: Secret\ndata: [hunter2\n";
    let out = text(old, &old.replace("hunter2", "hunter3"));
    assert!(out.starts_with("default, c/templates/x.yaml, document () has changed:\n"), "{out}");
    assert!(!out.contains("hunter"), "{out}");
}

#[test]
fn a_kept_object_leaves_the_release_only() {
    let old = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: a, annotations: {helm.sh/resource-policy: keep}}\n";
    let all = changes(old, "");
    assert_eq!(all[0].verb(), Verb::Kept);
    assert!(print(&all, &View::default()).contains("has been removed from the release, but is kept:\n"));
}

#[test]
fn a_hook_and_an_object_of_one_name_are_two() {
    let hook = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a, annotations: {helm.sh/hook: pre-install}}\n";
    let plain = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a}\n";
    let both = |one: &str, other: &str| format!("{one}---\n{other}");
    assert!(changes(&both(hook, plain), &both(plain, hook)).is_empty());
    assert_eq!(changes(plain, &both(plain, hook))[0].verb(), Verb::Added);
}

#[test]
fn names_do_not_steer_the_terminal() {
    let out = text(
        "",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"a\\e[2J\"}\ndata: {k: \"\\e[2Jx\\ny\"}\n",
    );
    assert!(!out.contains('\u{1b}'), "{out:?}");
}

#[test]
fn colours_are_used_when_asked_for() {
    let out = print(&changes("", SECRET), &View { color: true, ..View::default() });
    assert!(out.contains(
        "\u{1b}[33mdefault, cred, Secret (v1) has been added:\u{1b}[0m\n\u{1b}[32m+ apiVersion: v1\u{1b}[0m\n"
    ));
}

#[test]
fn a_huge_object_is_shown_without_being_aligned() {
    let body =
        |key: &str| (0..COMPARABLE_LINES).map(|n| format!("  {key}{n}: x\n")).collect::<Vec<_>>().concat();
    let out = text(&config_map("a", &body("k")), &config_map("a", &body("z")));
    assert!(out.lines().count() > 2 * COMPARABLE_LINES);
}

/// Enough for two sides to be above what is compared.
const COMPARABLE_LINES: usize = 20_001;

proptest! {
    #[test]
    fn a_redacted_diff_never_contains_the_secret(
        old in prop::collection::btree_map("[a-z]{1,6}", "[ZQ@%]{6,60}", 0..5),
        new in prop::collection::btree_map("[a-z]{1,6}", "[ZQ@%]{6,60}", 0..5),
        field in prop::sample::select(vec!["data", "stringData", "Data"]),
        nested in any::<bool>(),
        context in prop::option::of(0..4_usize),
    ) {
        let manifest = |data: &BTreeMap<String, String>| {
            let secret = serde_json::json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, field: data});
            if nested { serde_json::json!({"apiVersion": "v1", "kind": "List", "items": [secret]}) } else { secret }.to_string()
        };
        let all = changes(&manifest(&old), &manifest(&new));
        prop_assert_eq!(all.is_empty(), old == new);
        let out = print(&all, &View { context, ..View::default() });
        prop_assert!(!out.contains(['Z', 'Q', '@', '%']), "{}", out);
        prop_assert_eq!(out.contains("\n+ ") || out.contains("\n- "), old != new, "{}", out);
    }

    #[test]
    fn any_text_can_be_compared(old in any::<String>(), new in "([-a-z:{}\\[\\]'\"#&*!| \\n]|---\n|kind: ){0,40}") {
        prop_assert!(changes(&new, &new).is_empty());
        print(&changes(&old, &new), &View::default());
    }

    #[test]
    fn formatting_and_order_make_no_difference(data in prop::collection::btree_map("[a-z]{1,6}", any::<String>(), 0..5)) {
        let object = serde_json::json!({"kind": "ConfigMap", "data": data, "metadata": {"name": "s"}, "apiVersion": "v1"});
        let all = changes(&object.to_string(), &crate::yaml::print(&object));
        prop_assert!(all.is_empty(), "{}", print(&all, &View::default()));
    }
}
