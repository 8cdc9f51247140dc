//! Outputs of the real helmfile 1.7.4 with helm 4.2.4 and kustomize 5.8.1, recorded against a real API server.

use std::{fs, path::Path};

use super::*;

fn scrub() -> Scrub {
    Scrub::folders(Path::new("/cache/runs/run-1/source"), Path::new("/cache/runs/run-1"))
}

fn recorded(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/helmfile");
    fs::read_to_string(folder.join(name).with_extension("txt")).unwrap()
}

fn expect(table: &[(&str, &str, &str)]) {
    for (name, reason, message) in table {
        let Outcome::Failed(failure) = read(Status::Exited(1), &recorded(name), &scrub()) else {
            panic!("{name}")
        };
        assert_eq!((failure.reason, failure.message.as_str()), (*reason, *message), "{name}");
    }
}

#[test]
fn what_is_wrong_with_the_helmfile_is_said_with_its_place() {
    expect(&[
        (
            "syntax",
            reason::HELMFILE_INVALID,
            "helmfile.yaml: line 2: did not find expected ',' or ']' (a helmfile with templates needs the extension .gotmpl)",
        ),
        ("empty-file", reason::HELMFILE_INVALID, "no top-level config keys are found in helmfile.yaml"),
        ("unknown-key", reason::HELMFILE_INVALID, "helmfile.yaml: line 1: field releazes not found"),
        (
            "unknown-release-key",
            reason::HELMFILE_INVALID,
            "helmfile.yaml: line 3: field chrt not found in a release",
        ),
        (
            "sub-helmfile",
            reason::HELMFILE_INVALID,
            "sub/helmfile.yaml: line 2: field chrt not found in a release",
        ),
        (
            "template-missing-key",
            reason::HELMFILE_INVALID,
            "helmfile.yaml.gotmpl: line 2:18: at <.Values.missing>: map has no entry for key \"missing\"",
        ),
        ("template-syntax", reason::HELMFILE_INVALID, "helmfile.yaml.gotmpl: line 2: missing value for if"),
        (
            "template-required-env",
            reason::HELMFILE_INVALID,
            "helmfile.yaml.gotmpl: line 2:11: at <requiredEnv \"NOT_SET\">: error calling requiredEnv: required env var `NOT_SET` is not set",
        ),
        (
            "template-exec",
            reason::HELMFILE_INVALID,
            "helmfile.yaml.gotmpl: line 2:11: at <exec \"sh\" (list \"-c\" \"echo oops >&2; exit 3\")>: exit status 3",
        ),
        (
            "values-template",
            reason::HELMFILE_INVALID,
            "release `web`: v.yaml.gotmpl: line 1:13: at <.Values.nope>: map has no entry for key \"nope\"",
        ),
        (
            "values-missing",
            reason::FILE_NOT_FOUND,
            "release `web`: values file matching \"missing.yaml\" does not exist in \".\"",
        ),
        (
            "no-values-file",
            reason::FILE_NOT_FOUND,
            "helmfile.yaml: environment values file matching \"/nope.yaml\" does not exist in \".\"",
        ),
        (
            "vals",
            reason::VALUE_UNAVAILABLE,
            "release `web`: expand vault://127.0.0.1:1/secret#/x: Get \"https://127.0.0.1:8200/v1/sys/internal/ui/mounts/127.0.0.1:1/secret\": dial tcp 127.0.0.1:8200: connect: connection refused",
        ),
        ("needs", reason::HELMFILE_INVALID, "helmfile.yaml: cycle detected: ns1/a -> ns1/b -> ns1/a"),
        (
            "needs-missing",
            reason::HELMFILE_INVALID,
            "helmfile.yaml: release(s) \"ns1/a\" depend(s) on an undefined release \"ns1/zz\". Perhaps you made a typo in \"needs\" or forgot defining a release named \"zz\" with appropriate \"namespace\" and \"kubeContext\"?",
        ),
    ]);
}

#[test]
fn charts_that_cannot_be_had() {
    expect(&[
        (
            "chart-missing",
            reason::CHART_UNAVAILABLE,
            "release `web`: chart `charts/nothing` not found: the source has no such folder, and the helmfile no repository `charts`",
        ),
        (
            "repo-missing",
            reason::CHART_UNAVAILABLE,
            "release `web`: chart `stable/nothing` not found: the source has no such folder, and the helmfile no repository `stable`",
        ),
        (
            "repo-unreachable",
            reason::CHART_UNAVAILABLE,
            "repository `r` failed: looks like \"https://***@127.0.0.1:1/charts\" is not a valid chart repository or cannot be reached: Get \"https://***@127.0.0.1:1/charts/index.yaml\": dial tcp 127.0.0.1:1: connect: connection refused",
        ),
        (
            "oci-unreachable",
            reason::CHART_UNAVAILABLE,
            "chart `oci://127.0.0.1:1/x/y` failed to download: failed to perform \"FetchReference\" on source: Get \"https://127.0.0.1:1/v2/x/y/manifests/1.0.0\": dial tcp 127.0.0.1:1: connect: connection refused",
        ),
        (
            "dependency",
            reason::CHART_UNAVAILABLE,
            "dependencies of chart `charts/dep` failed to download: Unable to get an update from the \"https://127.0.0.1:1/\" chart repository: Get \"https://127.0.0.1:1/index.yaml\": dial tcp 127.0.0.1:1: connect: connection refused",
        ),
    ]);
}

#[test]
fn releases_that_cannot_be_rendered() {
    expect(&[
        (
            "required-value",
            reason::RENDER_FAILED,
            "release `web` failed to render: execution error at (fails/templates/cm.yaml:1:6): a password is needed",
        ),
        (
            "chart-nil-pointer",
            reason::RENDER_FAILED,
            "release `web` failed to render: tmplerr/templates/cm.yaml:4:20; executing \"tmplerr/templates/cm.yaml\" at <.Values.a.b.c>: nil pointer evaluating interface {}.b",
        ),
        (
            "chart-bad-yaml",
            reason::RENDER_FAILED,
            "release `web` failed to render: YAML parse error on badyaml/templates/cm.yaml: error converting YAML to JSON: yaml: line 3: did not find expected ',' or '}'",
        ),
        (
            "schema",
            reason::RENDER_FAILED,
            "release `sch` failed to render: values don't meet the specifications of the schema(s) in the following chart(s): schema: - at '/port': got string, want integer",
        ),
        (
            "kustomize",
            reason::RENDER_FAILED,
            "kustomize failed: accumulating resources from 'missing.yaml': open charts/kust/missing.yaml: no such file or directory",
        ),
        (
            "several-files",
            reason::RENDER_FAILED,
            "release `a` failed to render: execution error at (fails/templates/cm.yaml:1:6): a password is needed",
        ),
    ]);
}

#[test]
fn releases_that_cannot_be_delivered() {
    expect(&[
        (
            "refused",
            reason::UPGRADE_FAILED,
            "release `ref` failed to install: server-side apply failed for object ns1/Bad_Name /v1, Kind=ConfigMap: ConfigMap \"Bad_Name\" is invalid: metadata.name: Invalid value: \"Bad_Name\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
        ),
        (
            "unknown-kind",
            reason::UPGRADE_FAILED,
            "release `unk` failed to install: unable to build kubernetes objects from release manifest: resource mapping not found for name: \"d\" namespace: \"\" from \"\": no matches for kind \"Widget\" in version \"example.com/v1\"; ensure CRDs are installed first",
        ),
        (
            "not-ready",
            reason::UPGRADE_FAILED,
            "release `waits` failed to install: resource Deployment/ns1/d not ready. status: InProgress, message: Replicas: 0/1; context deadline exceeded",
        ),
        (
            "helm-hook",
            reason::UPGRADE_FAILED,
            "release `hooked` failed to install: failed pre-install: resource Job/ns1/h not ready. status: InProgress, message: Job in progress; context deadline exceeded",
        ),
        (
            "conflict",
            reason::CONFLICT,
            "release `web` failed to upgrade: conflict occurred while applying object ns1/web /v1, Kind=ConfigMap: Apply failed with 1 conflict: conflict with \"kubectl-patch\" using v1: .data.a",
        ),
        (
            "locked",
            reason::RELEASE_LOCKED,
            "release `good` failed to upgrade: another operation (install/upgrade/rollback) is in progress; when no helm is running, roll the release back or delete its newest Secret of type helm.sh/release.v1",
        ),
        (
            "forbidden",
            reason::FORBIDDEN,
            "release `web2` failed to upgrade: query: failed to query with labels: secrets is forbidden: User \"system:serviceaccount:ns1:poor\" cannot list resource \"secrets\" in API group \"\" in the namespace \"ns2\"; one more release failed",
        ),
        (
            "forbidden-object",
            reason::FORBIDDEN,
            "release `d1` failed to install: unable to continue with install: could not get information about the resource Deployment \"d\" in namespace \"ns1\": deployments.apps \"d\" is forbidden: User \"system:serviceaccount:ns1:poor\" cannot get resource \"deployments\" in API group \"apps\" in the namespace \"ns1\"",
        ),
        (
            "forbidden-list",
            reason::FORBIDDEN,
            "`helm list` failed: list: failed to list: secrets is forbidden: User \"system:serviceaccount:ns1:poor\" cannot list resource \"secrets\" in API group \"\" in the namespace \"ns2\"",
        ),
        (
            "unreachable",
            reason::CLUSTER_UNREACHABLE,
            "release `web` failed to upgrade: kubernetes cluster unreachable: Get \"https://127.0.0.1:1/version\": dial tcp 127.0.0.1:1: connect: connection refused; one more release failed",
        ),
        (
            "several-fail",
            reason::UPGRADE_FAILED,
            "release `refe` failed to install: unable to build kubernetes objects from release manifest: resource mapping not found for name: \"d\" namespace: \"\" from \"\": no matches for kind \"Widget\" in version \"example.com/v1\"; ensure CRDs are installed first; one more release failed",
        ),
    ]);
}

#[test]
fn what_is_not_the_helmfiles_fault() {
    expect(&[
        ("no-helm", reason::PROGRAM_NOT_FOUND, "`helm` is not on PATH"),
        ("no-kustomize", reason::PROGRAM_NOT_FOUND, "`kustomize` is not on PATH"),
        ("hook-missing", reason::HOOK_FAILED, "the hook `nonexistent` failed: `nonexistent` is not on PATH"),
        ("hook", reason::HOOK_FAILED, "the hook `sh` of release `web` failed: exit status 4"),
        (
            "panic",
            reason::UPGRADE_FAILED,
            "release `web2` failed to upgrade: helm crashed: panic: runtime error: invalid memory address or nil pointer dereference; one more release failed",
        ),
        ("bad-flag", reason::FAILED, "helmfile failed: unknown flag: --nonsense"),
    ]);
}

#[test]
fn the_status_alone_is_not_believed() {
    let end = |code: u8, name: &str| read(Status::Exited(code), &recorded(name), &scrub());
    assert_eq!(end(0, "unchanged"), Outcome::Unchanged);
    assert_eq!(end(2, "changed"), Outcome::Applied);
    assert_eq!(end(2, "deleted"), Outcome::Applied);
    // A release whose helm died with status 2 makes helmfile exit with 2 as well.
    assert!(matches!(end(2, "panic"), Outcome::Failed(_)));
    assert!(matches!(end(2, "refused"), Outcome::Failed(_)));
    assert_eq!(end(3, "nothing-selected"), Outcome::NothingSelected);
    assert_eq!(end(3, "empty"), Outcome::NothingSelected);
    // So is every error that has no status of its own.
    assert!(matches!(end(3, "bad-flag"), Outcome::Failed(_)));
}

#[test]
fn a_crash_of_helmfile_is_no_change() {
    let crash = "Comparing release=web\npanic: assignment to entry in nil map\n\ngoroutine 1 [running]:\nmain.main()\n";
    let Outcome::Failed(failure) = read(Status::Exited(2), crash, &scrub()) else { panic!("not failed") };
    assert_eq!(failure.message, "helmfile crashed: panic: assignment to entry in nil map");
}

#[test]
fn signals_and_silence_are_put_into_words() {
    let message = |status: Status, text: &str| match read(status, text, &scrub()) {
        Outcome::Failed(failure) => failure.message,
        other => panic!("{other:?}"),
    };
    assert_eq!(message(Status::Exited(1), ""), "helmfile failed with exit status 1");
    assert_eq!(
        message(Status::Signaled(9), ""),
        "helmfile was killed (signal 9); has the machine or the pod too little memory?"
    );
    assert_eq!(message(Status::Signaled(15), ""), "helmfile was ended by signal 15");
}

#[test]
fn a_report_without_its_beginning_still_says_something() {
    let cut = "  Error: UPGRADE FAILED: x\n\nCOMBINED OUTPUT:\n  Error: UPGRADE FAILED: x\n";
    let Outcome::Failed(failure) = read(Status::Exited(1), cut, &scrub()) else { panic!("not failed") };
    assert_eq!(failure.message, "helmfile failed: Error: UPGRADE FAILED: x");
}

#[test]
fn the_words_of_our_own_diff_plugin_are_read_as_well() {
    expect(&[
        (
            "own-diff-required-value",
            reason::RENDER_FAILED,
            "release `web` failed to render: execution error at (fails/templates/cm.yaml:1:6): a password is needed",
        ),
        (
            "own-diff-unreachable",
            reason::CLUSTER_UNREACHABLE,
            "release `good` failed to render: failed to list the Helm releases in namespace `ns1`: ServiceError: client error \
             (Connect): tcp connect error: Connection refused (os error 111)",
        ),
        (
            "own-diff-forbidden",
            reason::FORBIDDEN,
            "release `good` failed to render: failed to list the Helm releases in namespace `ns1`: secrets is forbidden: \
             User \"system:anonymous\" cannot list resource \"secrets\" in API group \"\" in the namespace \"ns1\": Forbidden",
        ),
        (
            "own-diff-schema",
            reason::RENDER_FAILED,
            "release `sch` failed to render: values don't meet the specifications of the schema(s) in the following \
             chart(s): schema: - at '/pw3': maximum: got 99,999, want 5; - at '/pw': '…' does not match pattern '^x'; \
             - at '/pw2': value must be 'a'",
        ),
    ]);
}

#[test]
fn no_secret_gets_through() {
    for name in ["repo-unreachable", "own-diff-schema"] {
        let text = recorded(name);
        assert!(text.contains("hunter2"), "the sample {name} has one");
        let mut filter = LogLines::new(scrub());
        let logged: Vec<_> = text.lines().filter_map(|line| filter.take(line)).collect();
        let Outcome::Failed(failure) = read(Status::Exited(1), &text, &scrub()) else { panic!("not failed") };
        assert!(!failure.message.contains("hunter2"), "{}", failure.message);
        assert!(logged.len() > 5 && logged.iter().all(|line| !line.contains("hunter2")), "{logged:?}");
    }
}

proptest::proptest! {
    #[test]
    fn any_output_gives_one_short_line(text in "(in \\./h.yaml: |Error: |STDERR:|ARGS:|\\[|\\]|=|\"|\n|  |[a-zä]|panic: ){0,60}", code in 0_u8..4) {
        if let Outcome::Failed(failure) = read(Status::Exited(code), &text, &scrub()) {
            proptest::prop_assert!(!failure.message.contains('\n') && failure.message.len() <= 1024);
            proptest::prop_assert!(!failure.message.is_empty());
        }
    }
}
