//! Everything that a Helmfile takes reaches the real helmfile: in the documented order, at once when it changes, and not
//! again when it does not.

use std::{ffi::OsStr, fs, time::Duration};

use helmfile_operator::process::resolve;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    gather::{encrypted, key},
    support::{
        control_plane::{ControlPlane, shared},
        git::Repository,
        helmfiles::{Deliveries, ONE_RELEASE, helmfile},
        scene::{SOON, config_map, find},
        tools::Tools,
        wait::wait_until,
    },
};

/// A chart that shows what is in `.Values.seen`, each value as JSON.
const SHOWS: (&str, &str) = (
    "chart/templates/map.yaml",
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}}\ndata:\n{{- range $key, $value := .Values.seen }}\n  {{ $key }}: {{ $value | toJson | quote }}\n{{- end }}\n",
);
const CHART: (&str, &str) = ONE_RELEASE[1];
/// A release of it that sees all values of the state.
const SEES: (&str, &str) = (
    "helmfile.yaml.gotmpl",
    "releases:\n- name: one\n  chart: ./chart\n  values:\n  - seen: {{ .Values.seen | toJson }}\n",
);

/// Programs that write down how they were called.
pub(crate) struct Shims<'a> {
    /// For the operator's environment.
    pub(crate) path: String,
    stage: &'a Deliveries<'a>,
}

impl<'a> Shims<'a> {
    /// Puts them before the real ones.
    pub(crate) fn of(plane: &ControlPlane, stage: &'a Deliveries<'a>) -> Self {
        let shims = stage.scene.folder().join("shims");
        fs::create_dir(&shims).unwrap();
        let path = plane.tools().environment(plane.dir())[OsStr::new("PATH")].clone();
        for program in ["helm", "helmfile", "kustomize", "git"] {
            let real = resolve(program, Some(&path), plane.dir()).unwrap();
            let log = stage.scene.folder().join("started").display().to_string();
            let script = format!("echo {program} \"$@\" >> {log}; exec {} \"$@\"", real.display());
            fs::rename(stage.scene.hook(program, &script), shims.join(program)).unwrap();
        }
        Self { path: format!("{}:{}", shims.display(), path.display()), stage }
    }

    /// All calls so far.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.stage.scene.read("started").lines().map(str::to_owned).collect()
    }

    /// How often a program was called.
    pub(crate) fn count(&self, program: &str) -> usize {
        self.calls().iter().filter(|call| call.starts_with(&format!("{program} "))).count()
    }

    /// Waits until a program was called so often.
    pub(crate) async fn until(&self, program: &str, times: usize) {
        wait_until(&format!("{times} calls of {program}"), SOON, async || {
            if self.count(program) >= times { Ok(()) } else { Err(self.calls().join("\n")) }
        })
        .await;
    }
}

/// Makes a `ConfigMap` or Secret, or changes it.
pub(crate) async fn put(stage: &Deliveries<'_>, kind: &str, name: &str, data: Value) {
    let field = if kind == "Secret" { "stringData" } else { "data" };
    stage
        .scene
        .apply(json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, field: data}))
        .await;
}

/// What a release has delivered.
async fn data(stage: &Deliveries<'_>, name: &str) -> Value {
    stage.scene.get(&config_map(), name).await["data"].clone()
}

async fn until_data(stage: &Deliveries<'_>, name: &str, key: &str, wanted: &str) {
    let what = format!("{key}={wanted}");
    stage.scene.until(&config_map(), name, &what, |map| map["data"][key] == wanted).await;
}

#[tokio::test]
async fn every_input_has_its_place_in_the_order() {
    let text = "releases:\n- name: one\n  chart: ./chart\n  values:\n  - seen: {{ .Values.seen | toJson }}\n  - seen:\n      {{- range list \"A\" \"B\" \"C\" \"D\" \"E\" }}\n      {{ . }}: {{ env . | quote }}\n      {{- end }}\n";
    let layer = |name: &str, from: usize| -> String {
        let keys: Vec<String> = (from..=6).map(|key| format!("k{key}: {name}")).collect();
        format!("seen: {{{}, deep: {{{name}: 1, all: {name}}}}}\n", keys.join(", "))
    };
    let inside = layer("inside", 1);
    let stage = Deliveries::new(
        shared().await,
        "order",
        &[("helmfile.yaml.gotmpl", text), ("values/a.yaml", &inside), CHART, SHOWS],
    )
    .await;
    let other = Repository::new(&[("values.yaml", &layer("elsewhere", 2))]);
    put(
        &stage,
        "ConfigMap",
        "c",
        json!({"values.yaml": layer("map", 3), "text": "from the map", "number": "12"}),
    )
    .await;
    put(&stage, "Secret", "s", json!({"v": layer("secret", 4), "text": "from the secret", "six": "target"}))
        .await;
    let _operator = stage.start(&[]).await;
    let values: Value = serde_json::from_str(
        r#"{"seen": {"k5": "values", "k6": "values", "deep": {"values": 1, "all": "values"}}}"#,
    )
    .unwrap();
    stage
        .apply(
            "h",
            json!({
                "source": stage.source(""),
                "valuesFiles": ["values/a.yaml", format!("git::{}@values.yaml?ref=main", other.url())],
                "valuesFrom": [
                    {"kind": "Secret", "name": "s", "key": "six", "targetPath": "seen.k6"},
                    {"kind": "ConfigMap", "name": "c"},
                    {"kind": "Secret", "name": "s", "key": "v"},
                    {"kind": "ConfigMap", "name": "c", "key": "number", "targetPath": "seen.typed"},
                    {"kind": "ConfigMap", "name": "c", "key": "number", "targetPath": "seen.literal", "literal": true},
                    {"kind": "ConfigMap", "name": "absent", "optional": true},
                    {"kind": "ConfigMap", "name": "c", "key": "absent", "optional": true, "targetPath": "seen.k1"},
                ],
                "values": values,
                "envvars": {"A": "envvars", "B": "envvars", "C": "envvars", "D": "envvars"},
                "env": [
                    {"name": "B", "value": "env"},
                    {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "text"}}},
                    {"name": "D", "valueFrom": {"secretKeyRef": {"name": "s", "key": "text"}}},
                    {"name": "E", "valueFrom": {"secretKeyRef": {"name": "s", "key": "no", "optional": true}}},
                ],
            }),
        )
        .await;
    let object = stage.ready("h", "True", "1 release").await;
    let deep = r#"{"all":"values","elsewhere":1,"inside":1,"map":1,"secret":1,"values":1}"#;
    assert_eq!(
        data(&stage, "one").await,
        json!({
            "k1": "\"inside\"", "k2": "\"elsewhere\"", "k3": "\"map\"", "k4": "\"secret\"", "k5": "\"values\"",
            "k6": "\"target\"", "deep": deep, "typed": "12", "literal": "\"12\"",
            "A": "\"envvars\"", "B": "\"env\"", "C": "\"from the map\"", "D": "\"from the secret\"", "E": "\"\"",
        })
    );
    assert!(!object["status"].to_string().contains("from the secret"), "{:#}", object["status"]);
    // A file of values from elsewhere has a revision of its own.
    other.commit(&[("values.yaml", "seen: {k2: newer}\n")]);
    stage.scene.patch(&helmfile(), "h", json!({"spec": {"interval": "1s"}})).await;
    until_data(&stage, "one", "k2", "\"newer\"").await;
}

#[tokio::test]
async fn an_edit_is_delivered_at_once_and_one_that_means_nothing_is_not() {
    let plane = shared().await;
    let stage = Deliveries::new(plane, "edits", &[SEES, CHART, SHOWS]).await;
    let shims = Shims::of(plane, &stage);
    put(&stage, "ConfigMap", "c", json!({"values.yaml": "seen: {a: 1}", "other": "x"})).await;
    put(&stage, "Secret", "s", json!({"b": "one", "other": "x"})).await;
    let _operator = stage.start(&[("PATH", &shims.path)]).await;
    let from = json!([{"kind": "ConfigMap", "name": "c"},
                      {"kind": "Secret", "name": "s", "key": "b", "targetPath": "seen.b"}]);
    stage.apply("h", json!({"source": stage.source(""), "interval": "1h", "valuesFrom": from})).await;
    let object = stage.ready("h", "True", "1 release").await;
    assert_eq!(object["status"]["refreshReason"], Value::Null, "{:#}", object["status"]);

    for (kind, name, edit, field, wanted) in [
        ("ConfigMap", "c", json!({"values.yaml": "seen: {a: 2}", "other": "x"}), "a", "2"),
        ("Secret", "s", json!({"b": "two", "other": "x"}), "b", "\"two\""),
    ] {
        let start = Instant::now();
        put(&stage, kind, name, edit).await;
        until_data(&stage, "one", field, wanted).await;
        let took = start.elapsed();
        eprintln!("an edit of a {kind} was delivered after {took:?}");
        assert!(took < Duration::from_secs(5), "{kind}: {took:?}");
        stage.ready("h", "True", "1 release").await;
    }

    let (helmfiles, looks) = (shims.count("helmfile"), shims.count("git"));
    for (turn, text) in [(1, "y"), (2, "z")] {
        put(&stage, "ConfigMap", "c", json!({"values.yaml": "seen: {a: 2}", "other": text})).await;
        // The second look begins when the first pass has ended.
        shims.until("git", looks + turn).await;
    }
    assert_eq!(shims.count("helmfile"), helmfiles, "{:#?}", shims.calls());
}

#[tokio::test]
async fn a_helmfile_can_stand_in_the_spec() {
    let stage = Deliveries::new(shared().await, "inline", &[CHART, SHOWS]).await;
    let _operator = stage.start(&[]).await;
    let text = format!(
        "releases:\n- name: one\n  chart: {}/chart\n  values: [{{seen: {{a: '{{{{ .Values.a }}}}'}}}}]\n",
        stage.repository.path().display()
    );
    stage.apply("h", json!({"inline": text, "values": {"a": "first"}})).await;
    let object = stage.ready("h", "True", "1 release").await;
    until_data(&stage, "one", "a", "\"first\"").await;
    let revision = object["status"]["lastAppliedRevision"].as_str().unwrap();
    assert!(revision.starts_with("sha256:"), "{revision}");
    // What is not in the source may change without anybody's telling.
    let reason = object["status"]["refreshReason"].as_str().unwrap();
    assert!(reason.contains("which is not in the source"), "{reason}");
    stage.apply("h", json!({"inline": text, "values": {"a": "second"}})).await;
    until_data(&stage, "one", "a", "\"second\"").await;
}

#[tokio::test]
async fn what_is_encrypted_is_decrypted_and_what_is_missing_for_that_is_said() {
    let plane = shared().await;
    let folder = tempfile::tempdir().unwrap();
    let (right, recipient) = key(folder.path()).await;
    let (wrong, _) = key(folder.path()).await;
    let in_source = encrypted(folder.path(), &recipient, "seen: {a: swordfish}\n").await;
    let in_map = encrypted(folder.path(), &recipient, "seen: {b: hunter2}\n").await;
    let stage =
        Deliveries::new(plane, "sops", &[SEES, CHART, SHOWS, ("enc/secrets.yaml", in_source.as_str())]).await;
    put(&stage, "ConfigMap", "enc", json!({"values.yaml": in_map})).await;
    put(&stage, "Secret", "right", json!({"x.agekey": right})).await;
    put(&stage, "Secret", "wrong", json!({"x.agekey": wrong})).await;
    // The same programs without sops.
    let without = stage.scene.folder().join("without");
    fs::create_dir(&without).unwrap();
    for program in ["helm", "helmfile", "kustomize"] {
        std::os::unix::fs::symlink(plane.tools().path(program), without.join(program)).unwrap();
    }
    let path = format!("{}:/usr/bin:/bin", without.display());
    let mut operator = stage.start(&[("PATH", &path)]).await;
    let both = |keys: &str| {
        json!({"source": stage.source(""), "valuesFiles": ["enc/secrets.yaml"],
               "valuesFrom": [{"kind": "ConfigMap", "name": "enc"}],
               "decryption": {"provider": "sops", "secretRef": {"name": keys}}})
    };
    let file = |keys: Option<&str>| {
        let mut spec = both(keys.unwrap_or_default());
        spec.as_object_mut().unwrap().remove("valuesFrom");
        if keys.is_none() {
            spec.as_object_mut().unwrap().remove("decryption");
        }
        spec
    };
    for (name, spec, reason, words) in [
        ("no-program", both("right"), "ProgramNotFound", "`sops` is not on PATH"),
        ("no-program-file", file(Some("right")), "ProgramNotFound", "`enc/secrets.yaml`"),
        ("no-keys", file(None), "InputInvalid", "name the Secret with its keys in `decryption`"),
    ] {
        stage.apply(name, spec).await;
        let object = stage.ready(name, "False", words).await;
        assert_eq!(find(&object, "Ready")["reason"], reason, "{name}");
        // It would deliver the release of the others as soon as it can.
        stage.scene.delete(&helmfile(), name).await;
    }
    operator.stop().await;

    let operator = stage.start(&[]).await;
    let needs = format!("it needs the key of `{recipient}`, which `decryption` does not have");
    for (name, spec) in [("wrong", both("wrong")), ("wrong-file", file(Some("wrong")))] {
        stage.apply(name, spec).await;
        let object = stage.ready(name, "False", &needs).await;
        assert_eq!(find(&object, "Ready")["reason"], "InputInvalid", "{name}");
    }
    stage.apply("h", both("right")).await;
    let object = stage.ready("h", "True", "1 release").await;
    assert_eq!(data(&stage, "one").await, json!({"a": "\"swordfish\"", "b": "\"hunter2\""}));
    let told = format!("{}{}", object["status"], operator.log());
    assert!(!told.contains("swordfish") && !told.contains("hunter2"), "{told}");
    // Nothing that was decrypted is left on this machine.
    let left: Vec<_> =
        fs::read_dir(stage.cache()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with("vault-")), "{left:?}");
}

#[tokio::test]
async fn what_comes_from_elsewhere_is_fetched_again_and_nothing_else_is() {
    let plane = shared().await;
    let stage = Deliveries::new(plane, "volatile", &[CHART, SHOWS]).await;
    let file = stage.scene.write("outside.yaml", "word: first\n", 0o600).display().to_string();
    let release = |name: &str, seen: &str| {
        format!("releases:\n- name: {name}\n  chart: ./chart\n  values:\n  - seen: {seen}\n")
    };
    stage.repository.commit(&[("helmfile.yaml", &release("fixed", "{a: 1}"))]);
    stage.repository.branch("volatile");
    let elsewhere = format!("{{a: 'ref+file://{file}#/word', b: ref+echo://hello}}");
    stage.repository.commit(&[("helmfile.yaml", &release("volatile", &elsewhere))]);
    let shims = Shims::of(plane, &stage);
    let _operator = stage.start(&[("PATH", &shims.path)]).await;
    stage
        .apply("fixed", json!({"source": stage.source(""), "interval": "1s", "refreshInterval": "1s"}))
        .await;
    let object = stage.ready("fixed", "True", "1 release").await;
    assert_eq!(object["status"]["refreshReason"], Value::Null, "{:#}", object["status"]);
    let (helmfiles, looks) = (shims.count("helmfile"), shims.count("git"));
    shims.until("git", looks + 4).await;
    assert_eq!(shims.count("helmfile"), helmfiles, "{:#?}", shims.calls());
    stage.scene.delete(&helmfile(), "fixed").await;

    let source = format!("git::{}?ref=volatile", stage.repository.url());
    stage.apply("volatile", json!({"source": source, "interval": "1s", "refreshInterval": "2s"})).await;
    let object = stage.ready("volatile", "True", "1 release").await;
    assert_eq!(data(&stage, "volatile").await, json!({"a": "\"first\"", "b": "\"hello\""}));
    let reason = object["status"]["refreshReason"].as_str().unwrap();
    assert!(reason.contains("`ref+echo` in helmfile.yaml line 5"), "{reason}");
    stage.scene.write("outside.yaml", "word: second\n", 0o600);
    until_data(&stage, "volatile", "a", "\"second\"").await;
    stage.ready("volatile", "True", "1 release").await;
}

#[tokio::test]
async fn another_cluster_is_reached_by_a_kubeconfig_without_programs() {
    let plane = shared().await;
    let elsewhere = ControlPlane::start(Tools::find().await.unwrap()).await.unwrap();
    let stage = Deliveries::new(plane, "kubeconfig", &ONE_RELEASE).await;
    let admin: Value = serde_json::from_str(&fs::read_to_string(elsewhere.kubeconfig()).unwrap()).unwrap();
    let with = |field: &str, value: Value| {
        let mut file = admin.clone();
        file["users"][0]["user"][field] = value;
        file.to_string()
    };
    put(
        &stage,
        "Secret",
        "other",
        json!({
            "value": admin.to_string(),
            "nobody": with("as", json!("nobody")),
            "exec": with("exec", json!({"apiVersion": "client.authentication.k8s.io/v1", "command": "sh"})),
            "file": with("tokenFile", json!("/etc/passwd")),
        }),
    )
    .await;
    let _operator = stage.start(&[]).await;
    let spec = |key: Option<&str>| {
        let mut spec = json!({"source": stage.source(""), "kubeConfig": {"secretRef": {"name": "other"}}});
        if let Some(key) = key {
            spec["kubeConfig"]["secretRef"]["key"] = key.into();
        }
        spec
    };
    for (key, reason, words) in [
        ("nobody", "Forbidden", "nobody"),
        ("exec", "InputInvalid", "has `exec` in its user, which is refused: it names a program"),
        ("file", "InputInvalid", "has `tokenFile` in its user, which is refused"),
    ] {
        stage.apply(key, spec(Some(key))).await;
        let object = stage.ready(key, "False", words).await;
        assert_eq!(find(&object, "Ready")["reason"], reason, "{key}");
    }
    stage.apply("h", spec(None)).await;
    stage.ready("h", "True", "1 release").await;
    let delivered =
        elsewhere.kubectl(&["get", "configmap", "one", "-n", &stage.scene.namespace, "-o", "name"]).await;
    assert_eq!(delivered.trim(), "configmap/one");
    assert_eq!(stage.scene.get(&config_map(), "one").await, Value::Null);
    // Another Helmfile that has the same idea is seen, though that cluster knows no Helmfiles at all.
    stage.apply("rival", spec(None)).await;
    let object =
        stage.ready("rival", "False", &format!("belongs to Helmfile `{}/h`", stage.scene.namespace)).await;
    assert_eq!(find(&object, "Ready")["reason"], "ReleaseClaimed");
    // And is the next one, once the first is gone.
    stage.scene.delete(&helmfile(), "h").await;
    stage.ready("rival", "True", "1 release").await;
}

#[tokio::test]
async fn specs_that_make_no_sense_are_refused_with_a_sentence() {
    let stage = Deliveries::new(shared().await, "nonsense", &ONE_RELEASE).await;
    let _operator = stage.start(&[]).await;
    let reference = |more: Value| {
        let mut reference = json!({"kind": "Secret", "name": "s"});
        reference.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"valuesFrom": [reference]})
    };
    for (spec, sentence) in [
        (reference(json!({"literal": true})), "literal needs targetPath"),
        (reference(json!({"key": "a/b"})), "spec.valuesFrom[0].key"),
        (reference(json!({"name": ""})), "spec.valuesFrom[0].name"),
        (reference(json!({"kind": "Pod"})), "Unsupported value: \"Pod\""),
        (reference(json!({"targetPath": "a=b"})), "spec.valuesFrom[0].targetPath"),
        (
            json!({"env": [{"name": "A", "value": "x", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}),
            "a variable in env has either value or valueFrom",
        ),
        (json!({"env": [{"name": "A"}]}), "a variable in env has either value or valueFrom"),
        (
            json!({"env": [{"name": "A", "valueFrom": {}}]}),
            "valueFrom has either configMapKeyRef or secretKeyRef",
        ),
        (json!({"env": [{"name": "1A", "value": "x"}]}), "spec.env[0].name"),
        (json!({"env": [{"name": "A", "value": "x"}, {"name": "A", "value": "y"}]}), "duplicate"),
        (json!({"envvars": {"A-B": "x"}}), "letters, digits and underscores only"),
        (
            json!({"registries": [{"host": "h", "url": "https://h", "secretRef": {"name": "s"}}]}),
            "a registry has either host (OCI) or url (chart repository)",
        ),
        (json!({"registries": [{"secretRef": {"name": "s"}}]}), "a registry has either host"),
        (json!({"registries": [{"host": "h"}]}), "secretRef: Required value"),
        (
            json!({"registries": [{"url": "https://me:word@h/x", "secretRef": {"name": "s"}}]}),
            "spec.registries[0].url",
        ),
        (json!({"registries": [{"url": "ftp://h", "secretRef": {"name": "s"}}]}), "spec.registries[0].url"),
        (json!({"inline": "releases: []", "source": "git::x"}), "give it or a source, not both"),
        (json!({"inline": "releases: []", "file": "x"}), "file names one in a source"),
        (json!({"version": "v1"}), "version needs source"),
        (json!({"version": "--upload-pack=x", "source": "git::x"}), "spec.version"),
        (json!({"file": "../x"}), "file is a path inside the source"),
        (json!({"file": "/etc/passwd"}), "file is a path inside the source"),
        (json!({"valuesFiles": ["a.yaml", "/b.yaml"]}), "valuesFiles are paths inside the source"),
        (json!({"timeout": "0s"}), "timeout is at least 1s"),
        (json!({"interval": "999ms"}), "interval is at least 1s"),
        (json!({"refreshInterval": "soon"}), "spec.refreshInterval"),
        (json!({"retry": {"maxDelay": "0s"}}), "retry.maxDelay is at least 1s"),
        (json!({"concurrency": 0}), "spec.concurrency"),
        (json!({"concurrency": 65}), "spec.concurrency"),
        (json!({"deletionPolicy": "Other"}), "Unsupported value: \"Other\""),
        (json!({"dependsOn": [{"name": ""}]}), "spec.dependsOn[0].name"),
        (json!({"dependsOn": [{"namespace": "n"}]}), "spec.dependsOn[0].name"),
        (
            json!({"decryption": {"provider": "gpg", "secretRef": {"name": "s"}}}),
            "Unsupported value: \"gpg\"",
        ),
        (json!({"decryption": {"provider": "sops"}}), "secretRef: Required value"),
        (json!({"kubeConfig": {"secretRef": {}}}), "spec.kubeConfig.secretRef.name"),
        (json!({"image": {"tag": "v1"}}), "spec.image.repository"),
        (json!({"selector": [""]}), "spec.selector[0]"),
        (json!({"suspend": "yes"}), "spec.suspend"),
        (json!({"values": [1]}), "spec.values"),
    ] {
        let manifest = json!({"apiVersion": "apps.mumoshu.github.io/v1alpha1", "kind": "Helmfile",
                              "metadata": {"name": "h"}, "spec": spec});
        let refused = stage.scene.try_apply(manifest).await.expect_err(&spec.to_string());
        assert!(refused.contains(sentence), "{spec}: {refused}");
    }
}
