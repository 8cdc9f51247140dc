//! docs/helmfile.md names all there is: a field, a condition, a reason or an annotation that is new must be described there.

use helmfile_operator::helmfile::api;
use serde_json::Value;

const PAGE: &str = include_str!("../../docs/helmfile.md");

/// Whether the page has a word as code: alone, or as a part of a path such as `a.b[].c`.
fn names(word: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-_/".contains(c);
    let code = PAGE.split('`').skip(1).step_by(2);
    code.flat_map(|code| code.split(|c| !is_part(c))).any(|part| part == word)
}

/// The names of all fields, those within others included. What others define ends at its own name.
fn fields(schema: &Value, into: &mut Vec<String>) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        into.push(name.clone());
        // Conditions are the same on all kinds.
        if name != "conditions" {
            fields(field, into);
            fields(&field["items"], into);
        }
    }
}

#[test]
fn the_page_names_every_field() {
    let crd = api::crd();
    let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties").unwrap();
    for part in ["spec", "status"] {
        let mut all = Vec::new();
        fields(&schema[part], &mut all);
        assert!(all.len() > 20, "{part}: {all:?}");
        let missing: Vec<_> = all.into_iter().filter(|field| !names(field)).collect();
        assert!(missing.is_empty(), "docs/helmfile.md lacks these fields of {part}: {missing:?}");
    }
}

#[test]
fn the_page_names_every_reason_condition_and_annotation() {
    let source = include_str!("../../src/helmfile/api/names.rs");
    let (reasons, rest) = source.split_once("pub mod reason {").unwrap().1.split_once("\n}").unwrap();
    assert!(!rest.is_empty());
    let annotations = source.split_once("pub mod annotation {").unwrap().1.split_once("\n}").unwrap().0;
    let quoted = |text: &'static str| {
        text.lines().filter_map(|line| line.trim().strip_prefix("pub const ")?.split('"').nth(1))
    };
    let words: Vec<&str> = quoted(reasons).chain(quoted(annotations)).chain(api::names::CONDITIONS).collect();
    assert!(words.len() > 40, "{words:?}");
    let missing: Vec<_> =
        words.into_iter().filter(|word| !names(word) && !PAGE.contains(&format!("`{word}`"))).collect();
    assert!(missing.is_empty(), "docs/helmfile.md lacks {missing:?}");
}
