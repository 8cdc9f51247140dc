//! `render` and `test`: handlers for objects on paper.

use std::{fs, path::Path};

use tempfile::TempDir;

use super::cli::{repository, run, stderr, stdout};

/// A template for `Shop`: a ConfigMap of its settings, and a status of all that it is given.
const SHOP: &str = "
values: {color: red, size: 1}
resources:
- group: example.com
  version: v1
  kind: Shop
  dependents: [{version: v1, kind: ConfigMap}]
  reconciler:
    template:
      inline: |
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: {{object.metadata.name}}}
        data: {color: {{values.color}}}
        ---
        status:
          attempt: {{attempt}}
          size: {{values.size}}
          trigger: {{triggers.0.type}}
          watched: {{toJson watched}}
  finalizer: {template: {inline: 'status: {closing: {{triggers.0.type}} }'}}
- {version: v1, kind: Pod, reconciler: {template: {inline: 'status: {seen: true}'}}}
";

const ONE_SHOP: &str = "{apiVersion: example.com/v1, kind: Shop, metadata: {name: one, namespace: team}}\n";

fn write(folder: &Path, file: &str, text: &str) {
    let file = folder.join(file);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

/// A folder with config.yaml and these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "config.yaml", SHOP);
    for (file, text) in files {
        write(folder.path(), file, text);
    }
    folder
}

/// What `test -f config.yaml` says in a folder, and whether it exits with 0.
fn tested(folder: &TempDir, args: &[&str]) -> (String, bool) {
    let output = run(folder.path(), &[&["test", "-f", "config.yaml", "--log=warn"], args].concat());
    (stdout(&output) + &stderr(&output), output.status.success())
}

#[test]
fn the_cases_of_the_example_and_of_the_documentation_are_good() {
    let hello = repository("examples/hello");
    let tested = run(&hello, &["test", "-f", "config.yaml"]);
    assert_eq!(tested.status.code(), Some(0), "{}{}", stdout(&tested), stderr(&tested));
    let page = fs::read_to_string(repository("docs/testing-handlers.md")).unwrap();
    let case = hello.join("tests/removes-only-its-own");
    for text in [
        stdout(&tested),
        fs::read_to_string(case.join("given.yaml")).unwrap(),
        fs::read_to_string(case.join("expected.yaml")).unwrap(),
    ] {
        assert!(page.contains(&text), "docs/testing-handlers.md lacks:\n{text}");
    }
}

#[test]
fn each_handled_object_is_rendered_unless_one_is_chosen() {
    let pod = "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: team}}\n";
    let folder = folder(&[("objects.yaml", &format!("{ONE_SHOP}---\n{pod}"))]);
    let render = |args: &[&str]| {
        run(folder.path(), &[&["render", "-f", "config.yaml", "objects.yaml"], args].concat())
    };
    let all = stdout(&render(&[]));
    let heads: Vec<&str> = all.lines().filter(|line| line.starts_with('#')).collect();
    assert_eq!(heads, ["# Shop team/one by entry shop.example.com", "# Pod team/p by entry pod"]);
    let one = stdout(&render(&["--object", "pod/p"]));
    assert!(one.starts_with("# Pod team/p") && !one.contains("Shop") && all.ends_with(&one), "{one}");
    let none = render(&["--object", "Pod/q"]);
    assert_eq!(none.status.code(), Some(1));
    assert_eq!(
        stderr(&none),
        "error: no entry handles `Pod/q` in `objects.yaml`; there the config handles Shop/one, Pod/p\n"
    );
    assert_eq!(render(&["--object", "Pod"]).status.code(), Some(64));
}

#[test]
fn the_rest_of_the_state_can_be_given_and_deletion_is_for_the_finalizer() {
    let rest =
        "attempt: 3\nvalues: {color: blue}\ntriggers: [{type: Updated}]\nwatched: {secret.v1: [{a: 1}]}\n";
    let gone = ONE_SHOP.replace("name: one,", "name: one, deletionTimestamp: '2020-01-01T00:00:00Z',");
    let folder = folder(&[("one.yaml", &format!("{ONE_SHOP}---\n{rest}")), ("gone.yaml", &gone)]);
    let rendered = stdout(&run(folder.path(), &["render", "-f", "config.yaml", "one.yaml"]));
    for line in ["color: blue", "attempt: 3", "size: 1", "trigger: Updated", "secret.v1:"] {
        assert!(rendered.contains(line), "no `{line}` in\n{rendered}");
    }
    let rendered = stdout(&run(folder.path(), &["render", "-f", "config.yaml", "gone.yaml"]));
    assert!(rendered.contains("closing: Deleting") && !rendered.contains("ConfigMap"), "{rendered}");
}

#[test]
fn references_are_found_among_the_given_objects() {
    let config = "
resources:
- group: example.com
  version: v1
  kind: Shop
  references:
  - {version: v1, kind: Secret, nameFieldPath: '.spec.keys[*]'}
  - {version: v1, kind: ConfigMap, nameFieldPath: .spec.settings}
  reconciler: {template: {inline: 'status: {{toJson references}}'}}
";
    let secret = |name: &str| {
        format!("---\n{{apiVersion: v1, kind: Secret, metadata: {{name: {name}, namespace: team}}}}\n")
    };
    let shop = "{apiVersion: example.com/v1, kind: Shop, metadata: {name: one, namespace: team}, spec: {keys: [a, b], settings: c}}\n";
    let objects = [shop.to_owned(), secret("a"), secret("b"), secret("c")].concat();
    let folder = folder(&[("references.yaml", config), ("objects.yaml", &objects)]);
    let rendered = stdout(&run(folder.path(), &["render", "-f", "references.yaml", "objects.yaml"]));
    assert!(rendered.contains("configmap.v1: []"), "{rendered}");
    assert_eq!(rendered.matches("kind: Secret").count(), 2, "{rendered}");
}

#[test]
fn a_case_is_written_passes_and_fails_when_something_changes() {
    let folder =
        folder(&[("tests/a/given.yaml", ONE_SHOP), ("tests/.hidden/x", ""), ("tests/notes.txt", "")]);
    let missing = "FAILED a\n    there is no expected.yaml; --update writes it\n1 case: 0 ok, 1 failed\n";
    assert_eq!(tested(&folder, &[]), (missing.to_owned(), false));
    assert_eq!(tested(&folder, &["--update"]), ("updated a\n1 case: 1 ok, 0 failed\n".to_owned(), true));
    assert_eq!(tested(&folder, &[]), ("ok a\n1 case: 1 ok, 0 failed\n".to_owned(), true));
    let rendered = run(folder.path(), &["render", "-f", "config.yaml", "tests/a/given.yaml"]);
    let expected = folder.path().join("tests/a/expected.yaml");
    assert_eq!(fs::read_to_string(&expected).unwrap(), stdout(&rendered));
    // What a person writes otherwise is still the same.
    let text = fs::read_to_string(&expected).unwrap().replace("color: red", "'color': \"red\" # of course");
    fs::write(&expected, &text).unwrap();
    assert_eq!(tested(&folder, &["--update"]).0, "ok a\n1 case: 1 ok, 0 failed\n");
    assert_eq!(fs::read_to_string(&expected).unwrap(), text);
    let (said, good) = tested(&folder, &["--set", "color=green"]);
    assert!(!good);
    assert!(said.starts_with("FAILED a\n    --- expected.yaml\n    +++ now\n    @@ "), "{said}");
    assert!(said.contains("\n    -      color: red\n    +      color: green\n"), "{said}");
    assert!(said.ends_with("1 case: 0 ok, 1 failed\n"), "{said}");
}

#[test]
fn a_handler_that_fails_is_an_outcome_and_a_case_may_bring_its_own_config() {
    let broken = "resources:\n- {version: v1, kind: Pod, reconciler: {exec: {command: ./nope.sh}}}\n";
    let folder = folder(&[
        ("tests/a/given.yaml", "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: team}}"),
        ("tests/a/config.yaml", broken),
        ("tests/b/given.yaml", "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: team}}"),
        (
            "tests/b/config.yaml",
            "resources:\n- {version: v1, kind: Pod, reconciler: {exec: {command: sh, args: [-c, 'echo no such luck >&2; exit 3']}}}\n",
        ),
    ]);
    fs::remove_file(folder.path().join("config.yaml")).unwrap();
    assert_eq!(tested(&folder, &["--update"]).0, "updated a\nupdated b\n2 cases: 2 ok, 0 failed\n");
    let read = |case: &str| {
        fs::read_to_string(folder.path().join("tests").join(case).join("expected.yaml")).unwrap()
    };
    assert_eq!(read("a"), "error: the hook `nope.sh` does not exist\n");
    assert_eq!(read("b"), "error: \"the hook `sh` failed with exit status 3: no such luck\"\n");
    assert!(tested(&folder, &[]).1);
}

#[test]
fn mistakes_in_cases_are_named_and_never_written_down_as_expected() {
    for (files, said) in [
        (&[][..], "error: failed to read the folder `tests`: No such file or directory (os error 2)\n"),
        (
            &[("tests/notes.txt", "")],
            "error: there are no cases in `tests`: a case is a folder with given.yaml and expected.yaml\n",
        ),
        (
            &[("tests/a/expected.yaml", "")],
            "FAILED a\n    failed to read given.yaml: No such file or directory (os error 2)\n1 case: 0 ok, 1 failed\n",
        ),
        (&[("tests/a/given.yaml", "a: [")], "FAILED a\n    given.yaml is unusable: not YAML: line "),
        (
            &[("tests/a/given.yaml", "{apiVersion: example.com/v1, kind: Shopp, metadata: {name: one}}")],
            "FAILED a\n    given.yaml: the config has no entry for any of these objects (example.com/v1 Shopp); it handles example.com/v1 Shop, v1 Pod\n",
        ),
        (
            &[("tests/a/given.yaml", "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: n}}")],
            "FAILED a\n    given.yaml is unusable: `metadata.namespace` in document 1 is wrong: it must be a text, found false; write it in quotes\n",
        ),
        (
            &[("tests/a/given.yaml", "attempts: 3")],
            "FAILED a\n    given.yaml is unusable: document 1 has the unknown key `attempts`; did you mean `attempt`?\n",
        ),
        (
            &[("tests/a/given.yaml", ONE_SHOP), ("tests/a/config.yaml", "resource: []")],
            "FAILED a\n    error: unknown field `resource`; did you mean `resources`?",
        ),
        (
            &[("tests/a/given.yaml", ONE_SHOP), ("config.yaml", "resource: []")],
            "error: unknown field `resource`; did you mean `resources`?",
        ),
    ] {
        let folder = folder(files);
        for args in [&[][..], &["--update"]] {
            let (text, good) = tested(&folder, args);
            assert!(text.starts_with(said), "{files:?}: {text}");
            assert!(!good);
        }
        let written = folder.path().join("tests/a/expected.yaml");
        assert!(fs::read_to_string(written).unwrap_or_default().is_empty());
    }
    let folder = folder(&[("tests/a/given.yaml", ONE_SHOP), ("tests/a/expected.yaml", "a: [")]);
    assert!(tested(&folder, &[]).0.starts_with("FAILED a\n    expected.yaml is not YAML: line "));
}
