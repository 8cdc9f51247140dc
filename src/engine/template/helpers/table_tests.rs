use std::collections::BTreeSet;

use super::*;
use crate::{contract::State, engine::template::Template, yaml};

fn state() -> State {
    let documents = yaml::documents(EXAMPLE_STATE).unwrap();
    serde_json::from_value(documents.into_iter().next().unwrap()).unwrap()
}

fn render(template: &str) -> Result<String, String> {
    let template = Template::compile("t", template).map_err(|error| error.to_string())?;
    template.render(&state()).map_err(|error| error.to_string())
}

/// What is said after the place.
fn refusal(template: &str) -> String {
    let error = render(template).unwrap_err();
    error.split_once(": ").unwrap().1.to_owned()
}

#[test]
fn every_example_prints_what_it_says() {
    for helper in all() {
        assert!(helper.example.contains(helper.name), "the example of `{}` does not use it", helper.name);
        assert_eq!(render(helper.example).as_deref(), Ok(helper.output), "{}", helper.example);
    }
}

#[test]
fn every_row_is_complete() {
    let mut names = BTreeSet::new();
    for helper in all() {
        assert!(names.insert(helper.name), "`{}` is there twice", helper.name);
        assert!(helper.description.ends_with('.') && !helper.description.contains('\n'), "{}", helper.name);
        assert!(!helper.arity().is_empty(), "{}", helper.name);
    }
}

#[test]
fn refusals_name_the_helper_and_the_reason() {
    let cases = [
        ("{{required \"spec.source is needed\" object.absent}}", "`required`: spec.source is needed"),
        ("{{fail \"no\"}}", "`fail`: no"),
        ("{{b64dec \"%\"}}", "`b64dec`: the value is not base64"),
        ("{{int \"4x\"}}", "`int`: this text is not a whole number of 64 bits"),
        ("{{add \"1\" 2}}", "`add`: this text is not a number (see `int`)"),
        ("{{div 1 0}}", "`div`: the result is no number of 64 bits"),
        ("{{div 1 0.0}}", "`div`: the result is no finite number"),
        ("{{mul 18446744073709551615 2}}", "`mul`: the result is no number of 64 bits"),
        (
            "{{lt 1 \"2\"}}",
            "`lt`: this number and this text can't be compared; both must be numbers, or texts (see `int`)",
        ),
        ("{{lookup object.spec.labels \"none\"}}", "`lookup`: there is no `none`"),
        ("{{first \"a\"}}", "`first`: this text is not a list"),
        ("{{split \"\" \"a\"}}", "`split`: argument 1 is an empty text"),
        ("{{dict \"a\"}}", "`dict`: the last key has no value"),
        ("{{get object \"a.[b\"}}", "`get`: a `[` is not closed in `a.[b`"),
        ("{{squote \"a\\nb\"}}", "`squote`: a text of several lines can't be in single quotes; use `quote`"),
        ("{{regexMatch \"(\" \"a\"}}", "`regexMatch`: the pattern is not valid: unclosed group"),
        ("{{dnsLabel \"--\"}}", "`dnsLabel`: the text has no letter or digit that a name may have"),
    ];
    for (template, expected) in cases {
        assert_eq!(refusal(template), expected, "{template}");
    }
}

#[test]
fn nothing_grows_without_end() {
    let mib = "(repeat 1000 (repeat 1000 \"a\"))";
    let thirty_two = format!("(concat{})", format!(" {mib}").repeat(32));
    for template in [
        "{{until 1001}}".to_owned(),
        "{{indent object.spec.huge \"a\"}}".replace("object.spec.huge", "4294967296"),
        format!("{{{{repeat 1000 {mib}}}}}"),
        format!("{{{{replace \"a\" \"{}\" {mib}}}}}", "b".repeat(100)),
        format!("{{{{regexReplaceAll \"a\" {mib} \"{}\"}}}}", "b".repeat(100)),
        format!("{{{{len {thirty_two}}}}}"),
        format!("{{{{indent 1000 (replace \"a\" \"b\\n\" {mib})}}}}"),
    ] {
        let refusal = refusal(&template);
        let bounded = refusal.contains("larger than 16 MiB") || refusal.contains("from 0 to 1000");
        assert!(bounded, "{refusal}");
    }
}

#[test]
fn what_is_missing_is_empty_where_the_table_says_so_and_else_an_error() {
    for (template, expected) in [
        ("{{default object.spec.absent \"x\"}}{{coalesce object.a object.b}}", "x"),
        ("{{get object.spec.absent \"a.b\" 3}}{{get object.spec.absent \"a\"}}", "3"),
        (
            "{{len object.spec.absent}}{{join \",\" object.spec.absent}}{{hasKey object.spec.absent \"a\"}}",
            "0false",
        ),
        ("{{toJson (merge object.spec.absent object.spec.absent)}}", "{}"),
        (
            "{{#with (find references \"pod.v1\" object.spec.absent)}}1{{/with}}{{find watched \"a\" \"b\"}}",
            "",
        ),
        ("{{eq object.spec.absent null}}{{ternary 1 2 object.spec.absent}}", "true2"),
    ] {
        assert_eq!(render(template).as_deref(), Ok(expected), "{template}");
    }
    for template in
        ["{{quote object.spec.absent}}", "{{toYaml object.spec.absent}}", "{{add 1 object.spec.absent}}"]
    {
        assert!(refusal(template).starts_with("`object.spec.absent` is missing"), "{template}");
    }
}

#[test]
fn find_asks_for_the_namespace_where_the_name_is_not_enough() {
    let mut state = state();
    let mut other = state.references["secret.v1"][0].clone();
    other["metadata"]["namespace"] = "bank".into();
    state.references.get_mut("secret.v1").unwrap().push(other);
    let render = |text: &str| Template::compile("t", text).unwrap().render(&state);
    let error = render("{{find references \"secret.v1\" \"login\"}}").unwrap_err().to_string();
    assert!(error.ends_with("several objects `secret.v1` are named `login`; add the namespace"), "{error}");
    let text = "{{get (find references \"secret.v1\" \"login\" \"bank\") \"metadata.namespace\"}}";
    assert_eq!(render(text).unwrap(), "bank");
}

#[test]
fn names_stay_valid_and_distinct() {
    let long = "a".repeat(80);
    for (one, other) in [("shop/web", "shop.web"), ("a_b", "a-b"), (&*long, &*"a".repeat(81))] {
        let [one, other] = [one, other].map(|text| render(&format!("{{{{dnsLabel \"{text}\"}}}}")).unwrap());
        assert_ne!(one, other);
        for label in [one, other] {
            assert!(label.len() <= 63 && !label.ends_with('-') && !label.contains('_'), "{label}");
        }
    }
}
