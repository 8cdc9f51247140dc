//! The commands that need no cluster, as a person types them.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

/// Runs the program in a folder, with nothing but PATH in its environment.
#[expect(clippy::disallowed_methods, reason = "a person's shell starts it without a guard")]
pub(super) fn run(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_helmfile-operator"))
        .args(args)
        .current_dir(folder)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .output()
        .unwrap()
}

pub(super) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(super) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub(super) fn repository(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn the_example_is_good_and_renders_offline() {
    let folder = repository("examples/hello");
    let checked = run(&folder, &["check", "-f", "config.yaml"]);
    assert_eq!(
        (checked.status.code(), stdout(&checked).as_str()),
        (Some(0), "ok: hello.example.com\n"),
        "{}",
        stderr(&checked)
    );
    let rendered = run(&folder, &["render", "-f", "config.yaml", "hello.yaml"]);
    assert_eq!(
        stdout(&rendered),
        "# Hello default/first by entry hello.example.com
steps:
- step: create
  manifest:
    apiVersion: v1
    kind: ConfigMap
    metadata:
      name: first
      namespace: default
      ownerReferences:
      - apiVersion: example.com/v1
        kind: Hello
        name: first
        uid: 00000000-0000-0000-0000-000000000000
        controller: true
        blockOwnerDeletion: true
    data:
      hello: world
- step: status
  manifest:
    apiVersion: example.com/v1
    kind: Hello
    metadata:
      name: first
      namespace: default
      uid: 00000000-0000-0000-0000-000000000000
    status:
      greeted: true
",
        "{}",
        stderr(&rendered)
    );
}

#[test]
fn every_builtin_config_compiles_and_can_be_read_and_run_as_a_file() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["default", "applier"] {
        let checked = run(folder.path(), &["check", "-f", &format!("builtin:{name}")]);
        assert!(checked.status.success(), "{name}: {}", stderr(&checked));
        let shown = run(folder.path(), &["config", "show", name]);
        let file = folder.path().join(format!("{name}.yaml"));
        fs::write(&file, &shown.stdout).unwrap();
        let again = run(folder.path(), &["check", "-f", file.to_str().unwrap()]);
        assert_eq!(stdout(&again), stdout(&checked), "{}", stderr(&again));
    }
    assert_eq!(run(folder.path(), &["config", "show"]).stdout, fs::read(repository("config.yaml")).unwrap());
}

#[test]
fn all_mistakes_of_a_config_are_shown_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let text =
        "resources:\n- version: v1\n  kind: A\n  reconciler:\n    exec: {comand: ./a.sh}\n  resync: 1m\n";
    fs::write(folder.path().join("config.yaml"), text).unwrap();
    let checked = run(folder.path(), &["check", "-f", "config.yaml"]);
    assert_eq!(checked.status.code(), Some(1));
    assert_eq!(
        stderr(&checked),
        "error: unknown field `comand` in `resources[0].reconciler.exec`; did you mean `command`?
 --> config.yaml:5:12
  |
5 |     exec: {comand: ./a.sh}
  |            ^

error: `resources[0].reconciler.exec` lacks the field `command`
 --> config.yaml:5:5
  |
5 |     exec: {comand: ./a.sh}
  |     ^

error: unknown field `resync` in `resources[0]`; did you mean `resyncPeriod`?
 --> config.yaml:6:3
  |
6 |   resync: 1m
  |   ^

3 errors
"
    );
}

#[test]
fn a_config_that_is_not_there_or_not_yaml_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let checked = run(folder.path(), &["run", "-c", "nope.yaml"]);
    assert_eq!(checked.status.code(), Some(1));
    assert!(stderr(&checked).starts_with(
        "error: failed to read `nope.yaml`: No such file or directory (os error 2)\n --> nope.yaml"
    ));
    fs::write(folder.path().join("bad.yaml"), "resources: [\n").unwrap();
    assert!(stderr(&run(folder.path(), &["check", "--config", "bad.yaml"])).contains("--> bad.yaml:"));
    assert!(
        stderr(&run(folder.path(), &["check", "-f", "builtin:nope"]))
            .contains("there is no built-in config `nope`")
    );
}

#[test]
fn values_from_the_command_line_reach_the_handler() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("config.yaml"),
        "values: {a: {b: 1, c: 2}}\nresources:\n- version: v1\n  kind: Pod\n  reconciler:\n    template: {inline: 'status: {{toJson values}}'}\n",
    )
    .unwrap();
    fs::write(
        folder.path().join("pod.yaml"),
        "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: team}}",
    )
    .unwrap();
    let args = ["render", "-f", "config.yaml", "--set", "a.b=3", "--set", "d=text", "pod.yaml"];
    let rendered = stdout(&run(folder.path(), &args));
    assert!(
        rendered.ends_with("    status:\n      a:\n        b: 3\n        c: 2\n      d: text\n"),
        "{rendered}"
    );
}

#[test]
fn usage_mistakes_exit_with_64_and_help_with_0() {
    let folder = repository(".");
    for (args, code) in
        [(&["frobnicate"][..], 64), (&["run", "--only", "x"], 64), (&["--help"], 0), (&["version"], 0)]
    {
        assert_eq!(run(&folder, args).status.code(), Some(code), "{args:?}");
    }
}

#[test]
fn an_object_that_no_entry_handles_is_an_error_that_says_what_is_handled() {
    let folder = repository("examples/hello");
    let rendered = run(&folder, &["render", "-f", "config.yaml", "crd.yaml"]);
    assert_eq!(rendered.status.code(), Some(1));
    assert!(stderr(&rendered).contains("it handles example.com/v1 Hello"), "{}", stderr(&rendered));
}

#[test]
fn a_delivery_is_not_rendered_since_that_would_deliver() {
    let folder = tempfile::tempdir().unwrap();
    let object = "{apiVersion: apps.mumoshu.github.io/v1alpha1, kind: Helmfile, metadata: {name: h, namespace: team}, spec: {source: ./x}}";
    fs::write(folder.path().join("h.yaml"), object).unwrap();
    let rendered = run(folder.path(), &["render", "-f", "builtin:applier", "h.yaml"]);
    assert_eq!(rendered.status.code(), Some(1));
    assert!(stderr(&rendered).contains("a delivery can't be rendered"), "{}", stderr(&rendered));
    let default = run(folder.path(), &["render", "h.yaml"]);
    assert!(stdout(&default).contains("- --only=team/h"), "{}{}", stdout(&default), stderr(&default));
}

#[test]
fn what_a_helmfile_that_is_being_deleted_waits_for_can_be_rendered() {
    let folder = tempfile::tempdir().unwrap();
    let plan = |spec: &str, namespace: &str| {
        let object = format!(
            "{{apiVersion: apps.mumoshu.github.io/v1alpha1, kind: Helmfile, spec: {spec}, metadata: {{name: h, namespace: team, \
             deletionTimestamp: '2026-01-01T00:00:00Z'}}}}\n---\n{{apiVersion: v1, kind: Namespace, metadata: {{name: team{namespace}}}}}\n"
        );
        fs::write(folder.path().join("h.yaml"), object).unwrap();
        let rendered = run(folder.path(), &["render", "-f", "builtin:default", "h.yaml"]);
        assert!(rendered.status.success(), "{}", stderr(&rendered));
        stdout(&rendered)
    };
    let kept = plan("{deletionPolicy: Destroy}", "");
    assert!(kept.contains("step: create") && kept.contains("requeueAfter: 30s"), "{kept}");
    let going = plan("{deletionPolicy: Destroy}", ", deletionTimestamp: '2026-01-01T00:00:00Z'");
    assert!(going.contains("step: removeFinalizer") && going.contains("DestroyGivenUp"), "{going}");
    let orphan = plan("{}", "");
    assert!(orphan.contains("step: removeFinalizer") && !orphan.contains("events"), "{orphan}");
}
