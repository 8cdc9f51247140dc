use serde_json::json;

use super::*;

fn render(text: &str) -> Result<String, TemplateError> {
    let object = json!({
        "metadata": {"name": "web"},
        "spec": {"image": {"tag": "1"}, "ports": [80, 443], "map": {"z": 1, "a": {"k": "v"}, "m": "yes"}, "none": null},
    });
    Template::compile("t", text)?.render(&State { object, ..State::default() })
}

fn refusal(text: &str) -> String {
    render(text).unwrap_err().to_string()
}

#[test]
fn paths_loops_and_conditions_work() {
    let text = "{{object.metadata.name}}:{{#each object.spec.ports}} {{this}}{{/each}}{{#if object.spec.absent}} no{{/if}}";
    assert_eq!(render(text).unwrap(), "web: 80 443");
}

#[test]
fn maps_keep_their_order() {
    let text = "{{#each object.spec.map}}{{@index}}{{@key}}{{#if @last}}.{{/if}}{{/each}} {{#each object.spec.map as |v k|}}{{k}}={{v}};{{/each}}";
    assert_eq!(render(text).unwrap(), "0z1a2m. z=1;a={\"k\":\"v\"};m=yes;");
}

#[test]
fn chains_white_space_control_and_comments_work() {
    let text = "{{#if object.a}}1{{else if object.b}}2{{else if (eq object.metadata.name \"web\")}}3{{else}}4{{/if}}";
    assert_eq!(render(text).unwrap(), "3");
    assert_eq!(render("a   {{~object.metadata.name~}}   \n b{{! no }}{{!-- }} --}}").unwrap(), "awebb");
    assert_eq!(render("a:\n{{#if object}}\n  b: 1\n{{/if}}\nc: 2").unwrap(), "a:\n  b: 1\nc: 2");
    assert_eq!(render("{{#each object.spec.absent}}1{{else if object.spec}}2{{/each}}").unwrap(), "2");
}

#[test]
fn partials_work() {
    let text = "{{#*inline \"port\"}}{{name}}:{{this.number}}\n{{/inline}}\
        {{#each object.spec.ports}}{{> port this name=\"p\" number=this}}{{/each}}";
    assert_eq!(render(text).unwrap(), "p:80\np:443\n");
    let text =
        "{{#*inline \"box\"}}[{{> @partial-block}}]{{/inline}}{{#> box}}{{object.metadata.name}}{{/box}}";
    assert_eq!(render(text).unwrap(), "[web]");
    let text = "{{#*inline \"labels\"}}\napp: {{object.metadata.name}}\nb: 1\n{{/inline}}\nlabels:\n  {{> labels}}\n";
    assert_eq!(render(text).unwrap(), "labels:\n  app: web\n  b: 1\n");
}

#[test]
fn a_partial_that_would_never_end_is_refused() {
    let text = "{{#*inline \"a\"}}{{> b}}{{/inline}}{{#*inline \"b\"}}{{#if object}}{{> a}}{{/if}}{{/inline}}{{> a}}";
    assert!(refusal(text).ends_with("the partial `a` includes itself"), "{}", refusal(text));
    assert!(refusal("{{> template}}").contains("there is no partial `template`"));
    assert!(
        refusal("{{#*inline \"a\"}}{{#> template}}{{/template}}{{/inline}}{{> a}}").contains("no partial")
    );
    assert!(refusal("{{#*inline \"a\"}}{{> [a]}}{{/inline}}{{> a}}").contains("no partial `[a]`"));
    assert!(refusal("{{#*inline \"a\"}}{{> (concat \"a\")}}{{/inline}}{{> a}}").contains("written out"));
    assert!(refusal("{{#*inline \"port\"}}{{/inline}}{{> prot}}").ends_with("did you mean `port`?"));
}

#[test]
fn lists_and_maps_are_printed_as_json() {
    assert_eq!(render("{{object.spec.map.a}} {{{object.spec.ports}}}").unwrap(), "{\"k\":\"v\"} [80,443]");
    assert_eq!(render("{{#each object.spec.map}}{{this}}{{/each}}").unwrap(), "1{\"k\":\"v\"}yes");
    assert_eq!(
        render("{{#with object.spec}}{{ports.[0]}}{{lookup this \"ports\"}}{{/with}}").unwrap(),
        "80[80,443]"
    );
}

#[test]
fn keys_may_have_the_names_of_helpers() {
    assert_eq!(
        render("{{#with (dict \"title\" \"T\" \"first\" 1)}}{{title}}{{first}}{{/with}}").unwrap(),
        "T1"
    );
    assert_eq!(render("{{toJson values}}{{toJson (dict)}}{{list}}").unwrap(), "null{}[]");
}

#[test]
fn nothing_is_escaped() {
    assert_eq!(render("{{default object.spec.absent \"<a> & 'b'\"}}").unwrap(), "<a> & 'b'");
}

#[test]
fn a_missing_path_is_an_error_with_a_place() {
    for text in ["a\n  {{object.spec.imag.tag}}", "a\n {{#if object}}{{quote object.spec.imag.tag}}{{/if}}"] {
        let error = refusal(text);
        assert!(error.starts_with("template `t`, line 2, column "), "{error}");
        assert!(error.contains("`object.spec.imag.tag` is missing"), "{error}");
    }
}

#[test]
fn blocks_take_what_is_missing_for_empty() {
    for (text, expected) in [
        ("{{#if object.a.b}}1{{/if}}{{#unless object.a.b}}2{{/unless}}", "2"),
        ("{{#each object.a.b}}1{{/each}}{{#each object.spec.none}}1{{/each}}", ""),
        ("{{#each object.a.b}}1{{else}}2{{/each}}{{#with object.a.b}}1{{else}}2{{/with}}", "22"),
        ("{{#with object.a.b}}1{{/with}}[{{object.spec.none}}]", "[]"),
    ] {
        assert_eq!(render(text).unwrap(), expected, "{text}");
    }
}

#[test]
fn mistakes_are_found_in_branches_that_are_not_rendered() {
    for (tag, expected) in [
        ("{{quot object}}", "there is no helper `quot`; did you mean `quote`?"),
        ("{{quote (nosuch 1)}}", "there is no helper `nosuch`"),
        ("{{quote 1 2}}", "`quote` is given 2 arguments, expected `quote value`"),
        ("{{quote (lower)}}", "`lower` is given 0 arguments, expected `lower text`"),
        ("{{#eq 1 1}}{{/eq}}", "`eq` is not a block; write `{{#if (eq …)}}`"),
        ("{{if 1}}", "`if` is a block; write `{{#if …}}…{{/if}}`"),
        ("{{dict a=1}}", "`dict` takes no arguments by name"),
        ("{{#iff object}}{{/iff}}", "there is no helper `iff`; did you mean `if`?"),
        ("{{log object}}", "there is no helper `log`"),
        ("{{* inline}}", "there are no decorators but `{{#*inline \"name\"}}`"),
        ("{{> none}}", "there is no partial `none`"),
    ] {
        let error = refusal(&format!("\n{{{{#if object.never}}}}\n{tag}\n{{{{/if}}}}"));
        assert!(error.starts_with("template `t`, line 3, column "), "{tag}: {error}");
        assert!(error.ends_with(expected), "{tag}: {error}");
    }
}

#[test]
fn the_output_has_a_limit() {
    let text = "{{#each (until 100)}}{{repeat 1000 (repeat 1000 \"a\")}}{{/each}}";
    assert!(refusal(text).ends_with("the output is larger than 16 MiB"), "{}", refusal(text));
    assert_eq!(
        render("{{#each (until 10)}}{{repeat 1000 (repeat 1000 \"a\")}}{{/each}}").unwrap().len(),
        10_000_000
    );
}

#[test]
fn errors_are_one_line() {
    for text in ["{{#if a}}", "{{nosuch 1}}", "{{toYaml}}", "{{"] {
        let error = refusal(text);
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}
