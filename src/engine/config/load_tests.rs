use std::fs;

use super::*;
use crate::engine::config::Handler;

fn load_text(text: &str) -> Result<Loaded, LoadError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    fs::write(&file, text).unwrap();
    let surroundings = Surroundings { path: Some("/bin:/usr/bin".into()), ..Surroundings::default() };
    load(&[Source::File(file)], &Library::default(), &surroundings)
}

/// What a person sees, with the temporary folder taken out.
fn complaints(text: &str) -> String {
    let wrong = load_text(text).unwrap_err().diagnostics;
    wrong
        .0
        .iter()
        .map(|diagnostic| format!("{}:{} {}", diagnostic.line, diagnostic.column, diagnostic.message))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn a_small_config_gets_its_defaults() {
    let loaded = load_text(
        "values: {a: 1, m: {x: 1}}\nresources:\n- group: example.com\n  version: v1\n  kind: Hello\n  \
         values: {m: {y: 2}}\n  reconciler:\n    exec: {command: sh}\n",
    )
    .unwrap();
    let entry = &loaded.config.entries[0];
    assert_eq!(entry.name, "hello.example.com");
    assert_eq!(entry.concurrency, 4);
    assert_eq!(serde_json::to_string(&entry.values).unwrap(), r#"{"a":1,"m":{"x":1,"y":2}}"#);
    let Handler::Exec(exec) = &entry.reconciler.as_ref().unwrap().handler else { panic!("no exec") };
    assert_eq!(exec.timeout, Some(std::time::Duration::from_mins(1)));
    assert_eq!(loaded.warnings, Diagnostics::default());
}

#[test]
fn all_misfits_are_found_at_once_with_their_places() {
    let text = "resources:\n- version: v1\n  kind: 3\n  reconsiler: {}\n- group: g\n  version: v1\n  kind: K\n  \
                concurrency: 0\n  reconciler:\n    exec:\n      comand: x\n";
    assert_eq!(
        complaints(text),
        "3:3 `resources[0].kind` must be a text, found the number 3; write \"3\" in quotes\n\
         4:3 unknown field `reconsiler` in `resources[0]`; did you mean `reconciler`?\n\
         \
         8:3 `resources[1].concurrency` must be from 1 to 1000, found 0\n\
         11:7 unknown field `comand` in `resources[1].reconciler.exec`; did you mean `command`?\n\
         10:5 `resources[1].reconciler.exec` lacks the field `command`"
    );
}

#[test]
fn all_wrong_meanings_are_found_at_once_with_their_places() {
    let text = "resources:\n- version: v1\n  kind: A\n  resyncPeriod: 1d\n  reconciler:\n    exec: {command: sh, timeout: -1s}\n    \
                template: {inline: x}\n- version: v1\n  kind: B\n  dependents:\n  - {version: v1, kind: C}\n  - {version: v2, kind: C}\n  \
                - {version: v1, kind: B}\n  reconciler: {}\n";
    assert_eq!(
        complaints(text),
        "7:5 there is exactly one handler, and `exec` is given as well\n\
         4:3 duration `1d` has the unknown unit `d`; units are ms, s, m and h\n\
         12:5 the dependent kind v2 C is listed twice\n\
         13:5 v1 B cannot be a dependent of itself\n\
         14:3 `resources[1].reconciler` needs a handler: one of `exec`, `http` and `template`"
    );
}

#[test]
fn names_of_files_and_builtins_are_checked() {
    let text = "crds: [absent.yaml, 'builtin:nope']\nresources:\n- version: v1\n  kind: A\n  reconciler: {template: {file: none.hbs}}\n";
    let text = complaints(text);
    assert!(text.contains("5:27 failed to read `none.hbs`: No such file"), "{text}");
    assert!(text.contains("1:8 failed to read `absent.yaml`: No such file"), "{text}");
    assert!(text.contains("there is no built-in file `nope`"), "{text}");
}

#[test]
fn two_entries_of_one_name_in_one_file_are_an_error_and_in_two_files_the_last_wins() {
    let entry =
        |command: &str| format!("- version: v1\n  kind: A\n  reconciler: {{exec: {{command: {command}}}}}\n");
    let twice = format!("resources:\n{}{}", entry("sh"), entry("env"));
    assert_eq!(
        complaints(&twice),
        "5:3 `resources[0]` is called `a` already; give one of them another `name`"
    );
    let folder = tempfile::tempdir().unwrap();
    let sources: Vec<Source> = ["sh", "env"]
        .iter()
        .map(|command| {
            let file = folder.path().join(command);
            fs::write(&file, format!("resources:\n{}", entry(command))).unwrap();
            Source::File(file)
        })
        .collect();
    let surroundings = Surroundings { path: Some("/bin:/usr/bin".into()), ..Surroundings::default() };
    let config = load(&sources, &Library::default(), &surroundings).unwrap().config;
    assert_eq!(config.entries.len(), 1);
    let Handler::Exec(exec) = &config.entries[0].reconciler.as_ref().unwrap().handler else {
        panic!("no exec")
    };
    assert_eq!(exec.program, super::super::Program::Named("env".into()));
}

#[test]
fn a_missing_hook_is_a_warning_since_it_may_come_later() {
    let loaded =
        load_text("resources:\n- version: v1\n  kind: A\n  reconciler: {exec: {command: ./hook.sh}}\n")
            .unwrap();
    assert!(loaded.warnings.0[0].message.ends_with("/hook.sh` does not exist"), "{}", loaded.warnings);
}

#[test]
fn the_first_schema_of_the_predecessor_gets_a_hint() {
    assert!(complaints("controllers: []\n").contains("rename it to `resources`"));
}

#[test]
fn a_diagnostic_shows_the_line() {
    let wrong = load_text("resources:\n- version: v1\n  kind: A\n  reconciler:\n    exek: {command: sh}\n")
        .unwrap_err();
    let text = wrong.diagnostics.0[0].to_string();
    let shown: Vec<&str> = text.lines().collect();
    assert_eq!(shown[0], "error: unknown field `exek` in `resources[0].reconciler`; did you mean `exec`?");
    assert!(shown[1].ends_with("config.yaml:5:5"));
    assert_eq!(shown[3..], ["5 |     exek: {command: sh}", "  |     ^"]);
}

#[test]
fn a_finalizers_when_is_checked_like_any_condition() {
    let entry = |when: &str| {
        format!(
            "resources:\n- version: v1\n  kind: A\n  finalizer:\n    exec: {{command: sh}}\n    when: {when}\n"
        )
    };
    assert!(complaints(&entry("objekt.spec.a")).starts_with("6:"), "{}", complaints(&entry("objekt.spec.a")));
    let loaded = load_text(&entry("object.spec.a == 1")).unwrap();
    let finalizer = loaded.config.entries[0].finalizer.as_ref().unwrap();
    assert_eq!(finalizer.when.as_ref().unwrap().to_string(), "object.spec.a == 1");
}

#[test]
fn two_entries_that_would_undo_each_other_are_an_error() {
    let entry = |name: &str| {
        format!(
            "- name: {name}\n  version: v1\n  kind: A\n  condition: Good\n  dependents: [{{version: v1, kind: C}}]\n  reconciler: {{exec: {{command: sh}}}}\n"
        )
    };
    assert_eq!(
        complaints(&format!("resources:\n{}{}", entry("a"), entry("b"))),
        "12:3 `a` creates v1 C for the same objects; the two would delete each other's\n\
         11:3 `a` keeps the same condition on the same objects"
    );
}

#[test]
fn an_unknown_field_does_not_hide_what_else_is_wrong() {
    let text = "resources:\n- version: v1\n  kind: A\n  resync: 1m\n  resyncPeriod: 1d\n  reconciler: {}\n";
    assert_eq!(
        complaints(text),
        "4:3 unknown field `resync` in `resources[0]`; did you mean `resyncPeriod`?\n\
         6:3 `resources[0].reconciler` needs a handler: one of `exec`, `http` and `template`\n\
         5:3 duration `1d` has the unknown unit `d`; units are ms, s, m and h"
    );
}

#[test]
fn every_file_that_a_config_depends_on_is_named_also_when_it_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    let text = "crds: [crd.yaml, 'builtin:x']\nresources:\n- version: v1\n  kind: A\n  reconciler:\n    \
                exec: {command: ./hook.sh, args: [plain, lib/a.py, -v, 'echo a.b c'], workingDir: sub}\n- version: v1\n  kind: B\n  \
                reconciler: {template: {file: none.hbs}}\n  finalizer: {http: {url: 'https://h', tls: {certFile: c.pem, keyFile: /k.pem}}}\n";
    fs::write(&file, text).unwrap();
    fs::write(folder.path().join("plain"), "").unwrap();
    let load =
        |file: &Path| load(&[Source::File(file.to_owned())], &Library::default(), &Surroundings::default());
    let names = |paths: &BTreeSet<PathBuf>| -> Vec<String> {
        let below = paths.iter().map(|path| path.strip_prefix(folder.path()).unwrap_or(path));
        below.map(|path| path.display().to_string()).collect()
    };
    let mut found = names(&load(&file).unwrap_err().paths);
    found.sort();
    assert_eq!(
        found,
        [
            "/k.pem",
            "c.pem",
            "config.yaml",
            "crd.yaml",
            "hook.sh",
            "lib/a.py",
            "none.hbs",
            "plain",
            "sub/./hook.sh",
            "sub/lib/a.py",
            "sub/plain"
        ]
    );
    // Broken so far that nothing else can be read; and absent.
    fs::write(&file, "resources: [").unwrap();
    assert_eq!(names(&load(&file).unwrap_err().paths), ["config.yaml"]);
    fs::remove_file(&file).unwrap();
    assert_eq!(names(&load(&file).unwrap_err().paths), ["config.yaml"]);
}

/// An entry with these metrics, each a line of YAML.
fn measuring(name: &str, more: &str, metrics: &[&str]) -> String {
    let metrics: Vec<String> = metrics.iter().map(|metric| format!("  - {metric}\n")).collect();
    let metrics = metrics.concat();
    format!(
        "- name: {name}\n  version: v1\n  kind: A\n  {more}reconciler: {{exec: {{command: sh}}}}\n  metrics:\n{metrics}"
    )
}

#[test]
fn metrics_are_compiled_and_shared() {
    let metric = "{name: a_ready, help: Is it, value: object.status.ready, labels: {team: object.spec.team}}";
    let entries = measuring("a", "", &[metric]) + &measuring("b", "", &[metric]);
    let config = load_text(&format!("resources:\n{entries}")).unwrap().config;
    let metric = &config.entries[1].metrics[0];
    assert_eq!((metric.name.as_str(), metric.help.as_str()), ("a_ready", "Is it"));
    assert_eq!((metric.value.to_string().as_str(), metric.labels.len()), ("object.status.ready", 1));
    let changed =
        load_text(&format!("resources:\n{}", measuring("a", "", &["{name: b, help: h, value: '1'}"])))
            .unwrap()
            .config;
    assert_ne!(changed.entries[0].digest, config.entries[0].digest);
}

#[test]
fn wrong_metrics_are_found_at_once_with_their_places() {
    let metrics = [
        "{name: 1a, help: h, value: '1'}",
        "{name: 'a:b', help: h, value: '1'}",
        "{name: process_x, help: h, value: '1'}",
        "{name: a_total, help: h, value: '1'}",
        "{name: a, help: \"one\\ntwo\", value: '1'}",
        "{name: b, help: '', value: oldObject.spec.x}",
        "{name: c, help: h, value: '1', labels: {name: \"''\", __x: \"''\", 'a-b': \"''\", good: 'object.'}}",
        "{name: c, help: h, value: object.metadata.generation}",
    ];
    assert_eq!(
        complaints(&format!("resources:\n{}", measuring("a", "", &metrics))),
        "7:6 the name `1a` must be letters, digits and `_`, and begin with no digit\n\
         8:6 the name `a:b` must be letters, digits and `_`, and begin with no digit\n\
         9:6 names that begin with `process_` are the program's own: `process_x`\n\
         10:6 `a_total` is a gauge; names that end in `_total` are for counters and histograms\n\
         11:15 `resources[0].metrics[4].help` must be one line of text\n\
         12:15 `resources[0].metrics[5].help` must be one line of text\n\
         12:25 expression `oldObject.spec.x`: there is no variable `oldObject`; did you mean `object`?\n\
         13:57 the label `__x` must be letters, digits and `_`, and begin with no digit and no `__`\n\
         13:68 the label `a-b` must be letters, digits and `_`, and begin with no digit and no `__`\n\
         13:81 expression `object.`: line 1, column 8: no viable alternative at input '.'\n\
         13:45 every series has a label `name` already: that of its object\n\
         14:6 the entry has a metric `c` already"
    );
}

#[test]
fn there_is_nothing_but_metadata_to_measure_where_only_that_is_watched() {
    let metrics = [
        "{name: a, help: h, value: object.metadata.generation, labels: {kind: object.kind}}",
        "{name: b, help: h, value: object.status.n}",
        "{name: c, help: h, value: '1', labels: {x: has(object.spec.x)}}",
    ];
    assert_eq!(
        complaints(&format!("resources:\n{}", measuring("a", "metadataOnly: true\n  ", &metrics))),
        "9:24 there is no `object.status` with `metadataOnly`\n10:45 there is no `object.spec` with `metadataOnly`"
    );
}

#[test]
fn one_metric_of_two_entries_is_one_in_every_respect() {
    let two = |one: &str, other: &str| {
        complaints(&format!("resources:\n{}{}", measuring("a", "", &[one]), measuring("b", "", &[other])))
    };
    let metric = "{name: m, help: h, value: '1', labels: {x: object.spec.x}}";
    let problem =
        "13:5 `a` has a metric `m` with another help or other labels; give one of them another name";
    assert_eq!(two(metric, "{name: m, help: other, value: '1', labels: {x: object.spec.x}}"), problem);
    assert_eq!(two(metric, "{name: m, help: h, value: '1'}"), problem);
}
