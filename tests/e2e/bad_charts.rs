//! Charts and helmfiles that the real tools refuse, one sentence each. Mended by a commit, they are delivered.

use std::fs;

use helmfile_operator::{digest, object::Gvk};
use serde_json::{Value, json};

use crate::{
    bad_inputs::{CHART, Mistake, OWN_RELEASE, tell},
    support::{
        control_plane::shared,
        helmfiles::Deliveries,
        processes,
        scene::{SOON, config_map, find},
        wait::wait_until,
    },
};

/// Helmfiles, each in a folder of the name of its Helmfile.
const BROKEN: &[(&str, &str)] = &[
    (
        "schema/helmfile.yaml",
        "releases: [{name: schema, chart: ./chart, values: [{size: big-and-secret}]}]\n",
    ),
    ("schema/chart/Chart.yaml", CHART),
    ("schema/chart/values.schema.json", "{\"properties\": {\"size\": {\"type\": \"integer\"}}}"),
    ("render/helmfile.yaml", "releases: [{name: render, chart: ./chart}]\n"),
    ("render/chart/Chart.yaml", CHART),
    ("render/chart/templates/a.yaml", "a: 1\n---\n{{ .Values.a.b.c }}\n"),
    ("version/helmfile.yaml", "releases: [{name: version, chart: ./chart}]\n"),
    ("version/chart/Chart.yaml", "{apiVersion: v2, name: chart, version: 1.0.0, kubeVersion: '>=99.0.0'}\n"),
    ("path/helmfile.yaml", "releases: [{name: path, chart: ../absent}]\n"),
    ("values/helmfile.yaml", "releases: [{name: values, chart: ../chart, values: [v.yaml.gotmpl]}]\n"),
    ("values/v.yaml.gotmpl", "a: 1\nb: {{ required \"b is needed\" .Values.b }}\n"),
    ("valuesfile/helmfile.yaml", "releases: [{name: valuesfile, chart: ../chart, values: [absent.yaml]}]\n"),
    (
        "environment/helmfile.yaml",
        "environments: {staging: {}}\n---\nreleases: [{name: environment, chart: ../chart}]\n",
    ),
    ("context/helmfile.yaml", "releases: [{name: context, chart: ../chart, kubeContext: other}]\n"),
    (
        "kubeconfig/helmfile.yaml",
        "helmDefaults: {args: [--kubeconfig=/etc/other]}\nreleases: [{name: kubeconfig, chart: ../chart}]\n",
    ),
    (
        "hook/helmfile.yaml",
        "releases: [{name: hook, chart: ../chart, hooks: [{events: [presync], command: sh, args: [-c, 'echo hush >&2; exit 7']}]}]\n",
    ),
    ("big/helmfile.yaml", "releases: [{name: big, chart: ./chart}]\n"),
    ("big/chart/Chart.yaml", CHART),
    ("big/chart/templates/a.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: big}}\n"),
    ("object/helmfile.yaml", "releases: [{name: object, chart: ./chart}]\n"),
    ("object/chart/Chart.yaml", CHART),
    (
        "object/chart/templates/a.yaml",
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: object}, data: {a: 1}}\n",
    ),
    ("kind/helmfile.yaml", "releases: [{name: kind, chart: ./chart}]\n"),
    ("kind/chart/Chart.yaml", CHART),
    (
        "kind/chart/templates/a.yaml",
        "{apiVersion: nobody.example.com/v1, kind: Nothing, metadata: {name: x}}\n",
    ),
    (
        "namespace/helmfile.yaml",
        "helmDefaults: {createNamespace: false}\nreleases: [{name: namespace, namespace: no-such-namespace, chart: ../chart}]\n",
    ),
];

/// What their Helmfiles get and say.
fn refused(url: &str) -> [Mistake; 14] {
    let spec = |folder: &str| json!({"source": format!("git::{}@{folder}/helmfile.yaml?ref=main", url), "wait": false, "interval": "1s"});
    let with = |folder: &str, field: &str, value: Value| {
        let mut spec = spec(folder);
        spec[field] = value;
        spec
    };
    [
        ("schema", spec("schema"), "RenderFailed", "release `schema` failed to render: "),
        ("render", spec("render"), "RenderFailed", "chart/templates/a.yaml:3:"),
        ("version", spec("version"), "RenderFailed", "kubeVersion: >=99.0.0"),
        (
            "path",
            spec("path"),
            "ChartUnavailable",
            "release `path`: chart `../absent` does not exist in the source",
        ),
        ("values", spec("values"), "HelmfileInvalid", "v.yaml.gotmpl: line 2:"),
        ("valuesfile", spec("valuesfile"), "FileNotFound", "absent.yaml"),
        ("environment", with("environment", "environment", json!("prod")), "NothingSelected", "`prod`"),
        ("context", spec("context"), "HelmfileInvalid", "release `context` names a cluster of its own"),
        (
            "kubeconfig",
            spec("kubeconfig"),
            "HelmfileInvalid",
            "release `kubeconfig` names a cluster of its own",
        ),
        ("hook", spec("hook"), "HookFailed", "the hook `sh` of release `hook` failed: exit status 7"),
        ("big", spec("big"), "UpgradeFailed", ".helmignore"),
        ("object", spec("object"), "UpgradeFailed", "release `object` failed to install"),
        ("kind", spec("kind"), "UpgradeFailed", "nobody.example.com/v1"),
        ("namespace", spec("namespace"), "UpgradeFailed", "\"no-such-namespace\" not found; create it"),
    ]
}

#[tokio::test]
async fn what_the_tools_refuse_is_told_in_a_sentence_and_mended_by_a_commit() {
    let stage = Deliveries::new(shared().await, "refused", &OWN_RELEASE).await;
    let big: String = (0..40_000_u64).map(|n| digest::sha256_hex(&n.to_le_bytes())).collect();
    stage.repository.commit(&[BROKEN, &[("big/chart/big.txt", &big)]].concat());
    let _operator = stage.start(&[]).await;
    let mistakes = refused(&stage.repository.url());
    tell(&stage, &mistakes).await;
    let schema = stage.ready("schema", "False", "").await.to_string();
    assert!(!schema.contains("big-and-secret"), "{schema}");
    let hook = stage.ready("hook", "False", "").await.to_string();
    assert!(!hook.contains("hush"), "{hook}");

    for folder in mistakes.iter().map(|mistake| mistake.0) {
        let text = format!(
            "environments: {{default: {{}}, prod: {{}}}}\n---\nreleases: [{{name: {folder}, chart: ../chart}}]\n"
        );
        stage.repository.commit(&[(&format!("{folder}/helmfile.yaml"), &text)]);
    }
    for (name, ..) in &mistakes {
        stage.ready(name, "True", "applied").await;
        assert!(stage.scene.get(&config_map(), name).await.is_object(), "{name}");
    }
}

#[tokio::test]
async fn an_immutable_field_and_a_quota_are_told_and_the_release_before_stays() {
    let plane = shared().await;
    let deployment = |label: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n  replicas: 0\n  selector: {{matchLabels: {{app: {label}}}}}\n  template:\n    metadata: {{labels: {{app: {label}}}}}\n    spec: {{containers: [{{name: c, image: example.com/c}}]}}\n"
        )
    };
    let stage = Deliveries::new(
        plane,
        "immutable",
        &[
            ("helmfile.yaml", "releases: [{name: web, chart: ./chart}]\n"),
            ("chart/Chart.yaml", CHART),
            ("chart/templates/web.yaml", &deployment("one")),
            ("quota/helmfile.yaml", "releases: [{name: quota, chart: ./chart}]\n"),
            ("quota/chart/Chart.yaml", CHART),
            (
                "quota/chart/templates/a.yaml",
                "{apiVersion: v1, kind: Service, metadata: {name: limited}, spec: {ports: [{port: 80}]}}\n",
            ),
        ],
    )
    .await;
    let _operator = stage.start(&[]).await;
    let quota = Gvk::new("", "v1", "ResourceQuota");
    stage.scene.apply(json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": {"count/services": "0"}}})).await;
    stage.scene.until(&quota, "few", "counted", |object| object["status"]["hard"].is_object()).await;
    let first = stage.repository.head();
    stage.apply("h", json!({"source": stage.source(""), "wait": false, "interval": "1s"})).await;
    stage.applied("h", &first).await;
    stage.repository.commit(&[("chart/templates/web.yaml", &deployment("two"))]);
    let retry = json!({"maxDelay": "2s"});
    stage
        .apply(
            "q",
            json!({"source": stage.source("//quota"), "wait": false, "interval": "1s", "retry": retry}),
        )
        .await;

    let object = stage.ready("h", "False", "field is immutable").await;
    let ready = find(&object, "Ready");
    assert_eq!(ready["reason"], "UpgradeFailed", "{ready}");
    assert!(
        ready["message"].as_str().unwrap().contains("Deployment")
            && ready["message"].as_str().unwrap().contains("`web`"),
        "{ready}"
    );
    assert!(object["status"]["lastAppliedRevision"].as_str().unwrap().ends_with(&first), "{object:#}");
    let object = stage.ready("q", "False", "exceeded quota: few").await;
    assert_eq!(find(&object, "Ready")["reason"], "UpgradeFailed", "{object:#}");

    stage.scene.delete(&quota, "few").await;
    stage.ready("q", "True", "applied").await;
    let third = stage.repository.commit(&[(
        "chart/templates/web.yaml",
        &deployment("one").replace("replicas: 0", "replicas: 0\n  paused: true"),
    )]);
    stage.applied("h", &third).await;
    let web = stage.scene.get(&Gvk::new("apps", "v1", "Deployment"), "web").await;
    assert_eq!(web["spec"]["paused"], true);
}

#[tokio::test]
async fn a_kind_and_an_object_of_it_in_one_helmfile_are_delivered_in_their_order() {
    let crd = |group: &str| {
        format!(
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: things.{group}}}\nspec:\n  group: {group}\n  scope: Namespaced\n  names: {{plural: things, singular: thing, kind: Thing, listKind: ThingList}}\n  versions: [{{name: v1, served: true, storage: true, schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}}}]\n"
        )
    };
    let thing = |group: &str| format!("{{apiVersion: {group}/v1, kind: Thing, metadata: {{name: it}}}}\n");
    let stage = Deliveries::new(shared().await, "kinds", &[
        ("folder/helmfile.yaml", "releases:\n- {name: kind, chart: ./kind}\n- {name: thing, chart: ./thing, needs: [kind]}\n"),
        ("folder/kind/Chart.yaml", CHART),
        ("folder/kind/crds/crd.yaml", &crd("folder.example.com")),
        ("folder/thing/Chart.yaml", CHART),
        ("folder/thing/templates/a.yaml", &thing("folder.example.com")),
        ("template/helmfile.yaml", "releases:\n- {name: kind2, chart: ./kind}\n- {name: thing2, chart: ./thing, needs: [kind2]}\n"),
        ("template/kind/Chart.yaml", CHART),
        ("template/kind/templates/crd.yaml", &crd("template.example.com")),
        ("template/thing/Chart.yaml", CHART),
        ("template/thing/templates/a.yaml", &thing("template.example.com")),
        ("both/helmfile.yaml", "releases: [{name: both, chart: ./chart}]\n"),
        ("both/chart/Chart.yaml", CHART),
        ("both/chart/crds/crd.yaml", &crd("both.example.com")),
        ("both/chart/templates/a.yaml", &thing("both.example.com")),
    ]).await;
    let _operator = stage.start(&[]).await;
    for name in ["folder", "template", "both"] {
        stage.apply(name, json!({"source": stage.source(&format!("//{name}"))})).await;
    }
    for name in ["folder", "template", "both"] {
        stage.ready(name, "True", "applied").await;
        let kind = Gvk::new(format!("{name}.example.com"), "v1", "Thing");
        assert!(stage.scene.get(&kind, "it").await["metadata"]["uid"].is_string(), "{name}");
    }
}

#[tokio::test]
async fn a_hook_that_hangs_is_ended_with_all_that_it_has_started() {
    let stage = Deliveries::new(shared().await, "hangs", &OWN_RELEASE).await;
    let folder = stage.scene.folder().display().to_string();
    let hanging = format!(
        "releases:\n- name: one\n  chart: ../chart\n  hooks:\n  - events: [presync]\n    command: sh\n    args: [-c, 'trap \"\" INT TERM; (setsid sleep 3600; true {folder}) & echo x > {folder}/there; while :; do sleep 3600; done']\n"
    );
    stage.repository.commit(&[("hang/helmfile.yaml", &hanging)]);
    let _operator = stage.start(&[]).await;
    stage
        .apply(
            "h",
            json!({"source": stage.source("@hang/helmfile.yaml"), "timeout": "8s", "wait": false, "interval": "1s"}),
        )
        .await;
    stage.scene.until_file("there", 1).await;
    let pids = processes::naming(&format!("{folder}/there"));
    assert!(!pids.is_empty());
    let object = stage.ready("h", "False", "8s").await;
    assert_eq!(find(&object, "Ready")["reason"], "TimedOut", "{object:#}");
    processes::wait_until_gone("the hook", &pids, SOON).await;
    stage.repository.commit(&[("hang/helmfile.yaml", "releases: [{name: one, chart: ../chart}]\n")]);
    stage.ready("h", "True", "applied").await;
}

#[tokio::test]
async fn a_helm_that_panics_has_delivered_nothing() {
    let plane = shared().await;
    let stage = Deliveries::new(plane, "panics", &OWN_RELEASE).await;
    let path = plane.tools().environment(plane.dir())[std::ffi::OsStr::new("PATH")].clone();
    let script = format!(
        "if [ \"$1\" = upgrade ] && [ ! -e {}/well ]; then printf 'panic: runtime error: invalid memory address\\n\\ngoroutine 1 [running]:\\nmain.main()\\n' >&2; exit 2; fi; exec {} \"$@\"",
        stage.scene.folder().display(),
        plane.tools().path("helm").display()
    );
    let shims = stage.scene.folder().join("shims");
    fs::create_dir(&shims).unwrap();
    fs::rename(stage.scene.hook("helm", &script), shims.join("helm")).unwrap();
    let path = format!("{}:{}", shims.display(), path.display());
    let _operator = stage.start(&[("PATH", &path)]).await;
    stage
        .apply(
            "h",
            json!({"source": stage.source(""), "wait": false, "interval": "1s", "retry": {"maxDelay": "2s"}}),
        )
        .await;
    let object = stage.ready("h", "False", "helm crashed").await;
    assert_eq!(find(&object, "Ready")["reason"], "UpgradeFailed", "{object:#}");
    assert_eq!(find(&object, "Applied")["status"], "False", "{object:#}");
    assert_eq!(stage.scene.get(&config_map(), "h").await, Value::Null);
    stage.scene.write("well", "", 0o644);
    stage.ready("h", "True", "applied").await;
    wait_until("the release", SOON, async || {
        let map = stage.scene.get(&config_map(), "h").await;
        if map.is_object() { Ok(()) } else { Err(map.to_string()) }
    })
    .await;
}
