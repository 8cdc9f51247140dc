use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn object() -> Value {
    json!({
        "kind": "Pod",
        "metadata": {"name": "web", "labels": {"example.com/team": "a", "x": "y"}},
        "spec": {
            "secretName": "tls",
            "volumes": [
                {"name": "v0", "kind": "Secret", "size": 1},
                {"name": "v1", "kind": "ConfigMap", "size": 5, "optional": true},
                {"name": "v2", "kind": "Secret", "size": 10, "items": [{"name": "i0"}]},
            ],
            "ports": [80, 443, 8080],
            "odd name": 7,
        },
    })
}

fn found(path: &str) -> Value {
    let path = JsonPath::compile(path).unwrap_or_else(|error| panic!("{error}"));
    Value::Array(path.find(&object()).into_iter().cloned().collect())
}

#[test]
fn finds_what_kubectl_finds() {
    for (path, expected) in [
        ("{.spec.secretName}", json!(["tls"])),
        (".spec.secretName", json!(["tls"])),
        ("spec.secretName", json!(["tls"])),
        ("$.spec.secretName", json!(["tls"])),
        ("{$.spec.secretName}", json!(["tls"])),
        ("{@.spec.secretName}", json!(["tls"])),
        (" { .spec.secretName } ", json!(["tls"])),
        ("{.spec['secretName']}", json!(["tls"])),
        ("{['spec'][\"secretName\"]}", json!(["tls"])),
        ("{.spec.['secretName']}", json!(["tls"])),
        ("{.spec['odd name']}", json!([7])),
        (r"{.metadata.labels.example\.com/team}", json!(["a"])),
        ("{.metadata.labels['example.com/team']}", json!(["a"])),
        (r"{.metadata.labels['example\.com/team']}", json!(["a"])),
        ("{.metadata.labels.*}", json!(["a", "y"])),
        ("{.metadata.labels[*]}", json!(["a", "y"])),
        ("{.spec.volumes[*].name}", json!(["v0", "v1", "v2"])),
        ("{.spec.volumes.*.name}", json!(["v0", "v1", "v2"])),
        ("{.spec.volumes[0].name}", json!(["v0"])),
        ("{.spec.volumes[-1].name}", json!(["v2"])),
        ("{.spec.volumes[-4].name}", json!([])),
        ("{.spec.volumes[3].name}", json!([])),
        ("{.spec.ports[0:2]}", json!([80, 443])),
        ("{.spec.ports[1:]}", json!([443, 8080])),
        ("{.spec.ports[:-1]}", json!([80, 443])),
        ("{.spec.ports[-2:]}", json!([443, 8080])),
        ("{.spec.ports[-9:9]}", json!([80, 443, 8080])),
        ("{.spec.ports[::2]}", json!([80, 8080])),
        ("{.spec.ports[2:1]}", json!([])),
        ("{.spec.ports[0,2]}", json!([80, 8080])),
        ("{.spec.ports[2,0:2]}", json!([8080, 80, 443])),
        ("{.spec['secretName','absent','odd name']}", json!(["tls", 7])),
        ("{..name}", json!(["web", "v0", "v1", "v2", "i0"])),
        ("{.spec..name}", json!(["v0", "v1", "v2", "i0"])),
        ("{..['example.com/team']}", json!(["a"])),
        ("{....name}", json!(null)),
        ("{.spec.absent.name}", json!([])),
        ("{.kind.name[0]}", json!([])),
        ("{.kind[?(@.x)]}", json!([])),
    ] {
        if expected.is_null() {
            assert!(JsonPath::compile(path).is_err(), "{path}");
        } else {
            assert_eq!(found(path), expected, "{path}");
        }
    }
    for whole in ["$", ".", "{.}", "{@}", "{$}"] {
        assert_eq!(found(whole), json!([object()]), "{whole}");
    }
}

#[test]
fn filters_compare_by_type() {
    for (filter, expected) in [
        (r#"@.kind=="Secret""#, json!(["v0", "v2"])),
        ("@.kind == 'Secret'", json!(["v0", "v2"])),
        ("'Secret' == @.kind", json!(["v0", "v2"])),
        (r#"@.kind!="Secret""#, json!(["v1"])),
        ("@.size<5", json!(["v0"])),
        ("@.size<=5", json!(["v0", "v1"])),
        ("@.size>5", json!(["v2"])),
        ("@.size>=5.0", json!(["v1", "v2"])),
        ("@.size=='5'", json!([])),
        ("@.size<'5'", json!([])),
        ("@.name > 'v0'", json!(["v1", "v2"])),
        ("@.optional", json!(["v1"])),
        ("@.optional == true", json!(["v1"])),
        // As in kubectl: what is not there is not different.
        ("@.optional != true", json!([])),
        ("@.absent == null", json!([])),
        ("@.items[0].name == 'i0'", json!(["v2"])),
        ("@.items[?(@.name=='i0')]", json!(["v2"])),
        ("@.size > 1 && @.kind == 'Secret'", json!(["v2"])),
        ("@.size > 1 && @.kind == 'Secret' || @.name == 'v0'", json!(["v0", "v2"])),
        ("@.size > 1 && (@.kind == 'Secret' || @.optional)", json!(["v1", "v2"])),
    ] {
        assert_eq!(found(&format!("{{.spec.volumes[?({filter})].name}}")), expected, "{filter}");
    }
    assert_eq!(found("{.spec.ports[?(@ > 100)]}"), json!([443, 8080]));
}

#[test]
fn a_place_is_found_once() {
    assert_eq!(found("{..name..name}"), json!([]));
    assert_eq!(found("{.spec.ports[0,0,-3]}"), json!([80]));
    // Without that, this would find 2^40 values.
    assert_eq!(found(&format!("{{.spec.ports{}[0]}}", "..[0,0]".repeat(40))), json!([]));
}

#[test]
fn errors_say_the_column_what_is_there_and_what_should_be() {
    for (path, expected) in [
        ("", "column 1: found the end, expected a path, for example `.spec.secretName`"),
        ("{}", "column 2: found `}`, expected a path, for example `.spec.secretName`"),
        ("{.spec", "column 7: found the end, expected `.`, `[` or the closing `}`"),
        (".spec.", "column 7: found the end, expected a name or `*`"),
        (".spec...x", "column 8: found `.`, expected a name or `*`"),
        (".spec name", "column 7: found `n`, expected `.`, `[` or the end"),
        (".a[", "column 4: found the end, expected a number, `*`, a name in quotes or `?(`"),
        (".a[]", "column 4: found `]`, expected a number, `*`, a name in quotes or `?(`"),
        (".a[0", "column 5: found the end, expected `,` or `]`"),
        (".a[b]", "column 4: found `b`, expected a number, `*`, a name in quotes or `?(`"),
        (".a['b]", "column 7: found the end, expected the closing '"),
        (".a[0:4:0]", "column 8: found `0`, expected a step of at least 1"),
        (".a[-]", "column 4: found `-`, expected a whole number"),
        (".a[99999999999999999999]", "column 4: found `99999999999999999999`, expected a whole number"),
        (".a[?@.b]", "column 5: found `@`, expected `(` after `?`"),
        (".a[?(@.b=1)]", "column 9: found `=`, expected `&&`, `||`, a comparison or `)`"),
        (".a[?('b')]", "column 6: found only `\"b\"`, expected a comparison with a path such as `@.kind`"),
        (
            ".a[?(b==1)]",
            "column 6: found `b`, expected `@`, a text in quotes, a number, `true`, `false` or `null`",
        ),
        (
            "{.a}{.b}",
            "column 5: found `{`, expected nothing: only one path in one pair of braces is understood",
        ),
        (
            "{.a} text",
            "column 6: found `t`, expected nothing: only one path in one pair of braces is understood",
        ),
        (
            "{range .items[*]}",
            "column 2: found `range`, expected a path: `range`, `end` and text are not understood; write `[*]` for all elements",
        ),
        (
            "{end}",
            "column 2: found `end`, expected a path: `range`, `end` and text are not understood; write `[*]` for all elements",
        ),
        (
            r#"{"a"}"#,
            "column 2: found `\"a\"`, expected a path: `range`, `end` and text are not understood; write `[*]` for all elements",
        ),
    ] {
        let error = JsonPath::compile(path).unwrap_err().to_string();
        assert_eq!(error, format!("JSONPath `{path}`, {expected}"));
    }
    assert_eq!(JsonPath::compile("a\n[").unwrap_err().to_string().lines().count(), 1);
    assert!(JsonPath::compile(&format!(".a[?({}@.b", "(".repeat(100_000))).is_err());
}

#[test]
fn prints_as_written() {
    assert_eq!(JsonPath::compile(" {.a ['b']}").map_err(|_| ()), Err(()));
    assert_eq!(JsonPath::compile(" {.a['b'] }").unwrap().to_string(), " {.a['b'] }");
}

proptest! {
    #[test]
    fn arbitrary_text_does_not_panic(text in "\\PC*", pathlike in r#"[{}.\[\]*?()@$a0:,'"=!<>&| \\-]{0,24}"#) {
        for text in [text, pathlike] {
            match JsonPath::compile(&text) {
                Ok(path) => {
                    let all = json!({"a": [0, {"a": [{"a": null}, [1, 2, 3]]}, "a"], "0": {"a": 0.5}});
                    path.find(&all);
                    path.find(&Value::Null);
                }
                Err(error) => assert!(error.column <= text.chars().count() + 1, "{error}"),
            }
        }
    }

    #[test]
    fn any_key_can_be_named(key in "\\PC+") {
        let quoted = key.replace('\\', "\\\\").replace('\'', "\\'");
        let object = json!({"a": {key: 1}});
        let path = JsonPath::compile(&format!("{{.a['{quoted}']}}")).unwrap();
        prop_assert_eq!(path.find(&object), [&json!(1)]);
    }

    #[test]
    fn slices_are_those_of_rust(from in -6_i64..6, to in -6_i64..6) {
        let list: Vec<i64> = (0..4).collect();
        let clamp = |index: i64| usize::try_from(if index < 0 { index + 4 } else { index }).unwrap_or(0).min(4);
        let expected = list.get(clamp(from)..clamp(to)).unwrap_or_default();
        let path = JsonPath::compile(&format!("[{from}:{to}]")).unwrap();
        let object = json!(list);
        let found: Vec<i64> = path.find(&object).iter().filter_map(|value| value.as_i64()).collect();
        prop_assert_eq!(found, expected);
    }
}
