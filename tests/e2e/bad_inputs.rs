//! Wrong inputs, one sentence each: what, where, why, what to do. Mended, they are delivered.

use std::{
    ffi::CString,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};

use serde_json::{Value, json};

use crate::{
    install::as_account,
    support::{
        control_plane::shared,
        helmfiles::{Deliveries, helmfile},
        private_charts::Charts,
        processes,
        scene::{SOON, config_map, find},
        wait::wait_until,
    },
};

const CHART: &str = "{apiVersion: v2, name: chart, version: 1.0.0}\n";

/// A helmfile with a release that is called as its Helmfile, so that many can be in one namespace.
const OWN_RELEASE: [(&str, &str); 3] = [
    (
        "helmfile.yaml.gotmpl",
        "releases:\n- name: {{ env \"HELMFILE_OPERATOR_NAME\" }}\n  chart: ./chart\n  values: [{a: {{ .Values | getOrNil \"a\" | default \"1\" | quote }}}]\n",
    ),
    ("chart/Chart.yaml", CHART),
    (
        "chart/templates/map.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}}\ndata: {a: {{ .Values.a | quote }}}\n",
    ),
];

/// What a Helmfile gets, the reason and the words that its status has then.
type Mistake = (&'static str, Value, &'static str, &'static str);

/// Applies them all, then waits for each sentence; the panic lists every one that is not as it should be.
async fn tell(stage: &Deliveries<'_>, mistakes: &[Mistake]) {
    for (name, spec, ..) in mistakes {
        stage.apply(name, spec.clone()).await;
    }
    let mut wrong = Vec::new();
    for (name, _, reason, words) in mistakes {
        let object = stage.ready(name, "False", "").await;
        let ready = find(&object, "Ready");
        let message = ready["message"].as_str().unwrap();
        let noise = ["COMBINED OUTPUT", "level=", "panic:", "in ./", "goroutine", "/cache/", "***"];
        if ready["reason"] != *reason
            || !message.contains(words)
            || noise.iter().any(|noise| message.contains(noise))
        {
            wrong.push(format!("{name}: {reason} with `{words}`, not {}: {message}", ready["reason"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn what_is_missing_in_the_namespace_is_named_and_noticed_when_it_comes() {
    let stage = Deliveries::new(shared().await, "missing", &OWN_RELEASE).await;
    let _operator = stage.start(&[]).await;
    stage
        .scene
        .apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "there"},
        "data": {"values.yaml": "a: here\n", "list": "- a\n", "broken": "a: [\n"}}))
        .await;
    let source = stage.source("");
    let from = |kind: &str, name: &str, more: Value| {
        let mut reference = json!({"kind": kind, "name": name});
        reference.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"source": source, "wait": false, "valuesFrom": [reference]})
    };
    let env =
        |from: Value| json!({"source": source, "wait": false, "env": [{"name": "X", "valueFrom": from}]});
    let mistakes = [
        (
            "map",
            from("ConfigMap", "later", json!({})),
            "InputNotFound",
            "valuesFrom[0] names ConfigMap `later`, which does not exist in namespace `missing-",
        ),
        (
            "secret",
            from("Secret", "hidden", json!({"key": "k", "targetPath": "a"})),
            "InputNotFound",
            "valuesFrom[0] names Secret `hidden`, which does not exist",
        ),
        (
            "key",
            from("ConfigMap", "there", json!({"key": "more"})),
            "InputNotFound",
            "valuesFrom[0] names ConfigMap `there`, which has no key `more`; it has ",
        ),
        (
            "env",
            env(json!({"secretKeyRef": {"name": "hidden", "key": "k"}})),
            "InputNotFound",
            "names Secret `hidden`, which does not exist",
        ),
        (
            "list",
            from("ConfigMap", "there", json!({"key": "list"})),
            "InputInvalid",
            "ConfigMap `there`, whose key `list`",
        ),
        (
            "broken",
            from("ConfigMap", "there", json!({"key": "broken"})),
            "InputInvalid",
            "ConfigMap `there`, whose key `broken`",
        ),
        (
            "refused",
            json!({"source": source, "env": [{"name": "KUBECONFIG", "value": "/x"}]}),
            "EnvironmentVariableRefused",
            "KUBECONFIG",
        ),
        (
            "loader",
            json!({"source": source, "env": [{"name": "LD_PRELOAD", "valueFrom": {"configMapKeyRef": {"name": "there", "key": "list"}}}]}),
            "EnvironmentVariableRefused",
            "LD_PRELOAD",
        ),
        (
            "login",
            json!({"source": source, "secretRef": {"name": "no-login"}}),
            "InputNotFound",
            "secretRef names Secret `no-login`, which does not exist",
        ),
        (
            "registry",
            json!({"source": source, "registries": [{"host": "r.example.com", "secretRef": {"name": "no-registry"}}]}),
            "InputNotFound",
            "registries[0] names Secret `no-registry`, which does not exist",
        ),
        (
            "cluster",
            json!({"source": source, "kubeConfig": {"secretRef": {"name": "no-cluster"}}}),
            "InputNotFound",
            "kubeConfig.secretRef names Secret `no-cluster`, which does not exist",
        ),
    ];
    tell(&stage, &mistakes).await;
    for name in ["map", "secret", "env", "key"] {
        assert_eq!(stage.scene.get(&config_map(), name).await, Value::Null, "{name} is half done");
    }
    let optional = json!({"source": source, "wait": false,
        "valuesFrom": [{"kind": "Secret", "name": "never", "optional": true}, {"kind": "ConfigMap", "name": "there", "key": "never", "optional": true}],
        "env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "never", "key": "k", "optional": true}}}]});
    stage.apply("optional", optional).await;
    stage.ready("optional", "True", "applied").await;

    let noticed = async |name: &str, since: Instant| {
        stage
            .scene
            .until(&helmfile(), name, "noticed", |object| find(object, "Ready")["reason"] != "InputNotFound")
            .await;
        // The interval is a minute: nobody has just happened to look.
        assert!(since.elapsed() < Duration::from_secs(5), "{name}: noticed after {:?}", since.elapsed());
        stage.ready(name, "True", "applied").await;
    };
    let since = Instant::now();
    stage.scene.apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "later"}, "data": {"values.yaml": "a: now\n"}})).await;
    noticed("map", since).await;
    assert_eq!(stage.scene.get(&config_map(), "map").await["data"]["a"], "now");
    let since = Instant::now();
    stage.scene.apply(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hidden"}, "stringData": {"k": "from-secret"}})).await;
    noticed("secret", since).await;
    noticed("env", since).await;
    assert_eq!(stage.scene.get(&config_map(), "secret").await["data"]["a"], "from-secret");
    let since = Instant::now();
    let fixed = json!({"data": {"more": "a: more\n", "list": "a: map\n", "broken": "a: whole\n"}});
    stage.scene.patch(&config_map(), "there", fixed).await;
    noticed("key", since).await;
    stage.ready("list", "True", "applied").await;
    stage.ready("broken", "True", "applied").await;
}

#[tokio::test]
async fn what_the_tools_refuse_is_told_in_a_sentence_and_mended_by_a_commit() {
    let stage = Deliveries::new(shared().await, "refused", &OWN_RELEASE).await;
    let big: String =
        (0..40_000_u64).map(|n| helmfile_operator::digest::sha256_hex(&n.to_le_bytes())).collect();
    let broken = [
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
        (
            "version/chart/Chart.yaml",
            "{apiVersion: v2, name: chart, version: 1.0.0, kubeVersion: '>=99.0.0'}\n",
        ),
        ("path/helmfile.yaml", "releases: [{name: path, chart: ../absent}]\n"),
        ("values/helmfile.yaml", "releases: [{name: values, chart: ../chart, values: [v.yaml.gotmpl]}]\n"),
        ("values/v.yaml.gotmpl", "a: 1\nb: {{ required \"b is needed\" .Values.b }}\n"),
        (
            "valuesfile/helmfile.yaml",
            "releases: [{name: valuesfile, chart: ../chart, values: [absent.yaml]}]\n",
        ),
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
        ("big/chart/big.txt", &big),
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
    stage.repository.commit(&broken);
    let _operator = stage.start(&[]).await;
    let spec = |folder: &str| json!({"source": format!("git::{}@{folder}/helmfile.yaml?ref=main", stage.repository.url()), "wait": false, "interval": "1s"});
    let with = |folder: &str, field: &str, value: Value| {
        let mut spec = spec(folder);
        spec[field] = value;
        spec
    };
    let mistakes = [
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
        ("context", spec("context"), "RenderFailed", "names a cluster of its own"),
        ("kubeconfig", spec("kubeconfig"), "RenderFailed", "names a cluster of its own"),
        ("hook", spec("hook"), "HookFailed", "the hook `sh` of release `hook` failed: exit status 7"),
        ("big", spec("big"), "UpgradeFailed", "1048576 bytes"),
        ("object", spec("object"), "UpgradeFailed", "release `object` failed to install"),
        ("kind", spec("kind"), "UpgradeFailed", "nobody.example.com/v1"),
        ("namespace", spec("namespace"), "UpgradeFailed", "no-such-namespace"),
    ];
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
    let quota = helmfile_operator::object::Gvk::new("", "v1", "ResourceQuota");
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
    let web = stage.scene.get(&helmfile_operator::object::Gvk::new("apps", "v1", "Deployment"), "web").await;
    assert_eq!(web["spec"]["paused"], true);
}

#[tokio::test]
async fn what_a_service_account_may_not_do_is_named() {
    let plane = shared().await;
    let stage = Deliveries::new(
        plane,
        "rights",
        &[
            (
                "helmfile.yaml",
                "helmDefaults: {createNamespace: false}\nreleases: [{name: one, chart: ./chart}]\n",
            ),
            ("chart/Chart.yaml", CHART),
            ("chart/templates/a.yaml", "{apiVersion: v1, kind: ServiceAccount, metadata: {name: made}}\n"),
        ],
    )
    .await;
    let namespace = stage.scene.namespace.clone();
    // Registers the kind.
    drop(stage.start(&[]).await);
    plane.kubectl(&["create", "serviceaccount", "few", "-n", &namespace]).await;
    let rules = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "few"}, "rules": [
        {"apiGroups": [""], "resources": ["secrets", "configmaps", "events"], "verbs": ["*"]},
        {"apiGroups": ["events.k8s.io", "coordination.k8s.io", "apps.mumoshu.github.io"], "resources": ["*"], "verbs": ["*"]},
    ]});
    stage.scene.apply(rules).await;
    let subject = format!("--serviceaccount={namespace}:few");
    plane.kubectl(&["create", "rolebinding", "few", "--role=few", &subject, "-n", &namespace]).await;
    let kubeconfig = as_account(plane, &namespace, "few").await;
    let _operator = stage.start(&[("KUBECONFIG", &kubeconfig)]).await;
    stage
        .apply(
            "h",
            json!({"source": stage.source(""), "wait": false, "interval": "1s", "retry": {"maxDelay": "2s"}}),
        )
        .await;
    let object = stage.ready("h", "False", "serviceaccounts").await;
    let ready = find(&object, "Ready");
    assert_eq!(ready["reason"], "Forbidden", "{ready}");
    let message = ready["message"].as_str().unwrap();
    assert!(
        message.contains(&format!("system:serviceaccount:{namespace}:few"))
            && message.contains("release `one`"),
        "{message}"
    );
    plane
        .kubectl(&["create", "role", "more", "--verb=*", "--resource=serviceaccounts", "-n", &namespace])
        .await;
    plane.kubectl(&["create", "rolebinding", "more", "--role=more", &subject, "-n", &namespace]).await;
    stage.ready("h", "True", "applied").await;
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
        let kind = helmfile_operator::object::Gvk::new(&format!("{name}.example.com"), "v1", "Thing");
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
            json!({"source": stage.source("@hang/helmfile.yaml"), "timeout": "2s", "wait": false, "interval": "1s"}),
        )
        .await;
    stage.scene.until_file("there", 1).await;
    let pids = processes::naming(&format!("{folder}/there"));
    assert!(!pids.is_empty());
    let object = stage.ready("h", "False", "2s").await;
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

#[tokio::test]
async fn a_chart_repository_that_wants_a_login_says_so_until_it_gets_the_right_one() {
    let plane = shared().await;
    let charts = Charts::start(plane.tools(), "bob", "opensesame").await;
    let file = format!(
        "repositories: [{{name: shop, url: {}}}]\nreleases: [{{name: stock, chart: shop/stock, version: 1.0.0}}]\n",
        charts.url
    );
    let stage = Deliveries::new(plane, "login", &[("helmfile.yaml", &file)]).await;
    let _operator = stage.start(&[]).await;
    let secret = |password: &str| {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "shop"},
               "stringData": {"username": "bob", "password": password}})
    };
    let mut spec = json!({"source": stage.source(""), "wait": false, "retry": {"maxDelay": "2s"}});
    stage.apply("h", spec.clone()).await;
    let object = stage.ready("h", "False", "401").await;
    let ready = find(&object, "Ready");
    assert_eq!(ready["reason"], "ChartUnavailable", "{ready}");
    assert!(ready["message"].as_str().unwrap().contains("`shop`"), "{ready}");
    assert!(ready["message"].as_str().unwrap().contains("registries"), "it says what to do: {ready}");

    stage.scene.apply(secret("opensourdough")).await;
    spec["registries"] = json!([{"url": charts.url, "secretRef": {"name": "shop"}}]);
    stage.apply("h", spec).await;
    stage
        .scene
        .until(&helmfile(), "h", "tried with it", |object| object["status"]["observedGeneration"] == 2)
        .await;
    let object = stage.ready("h", "False", "401").await;
    assert!(!object.to_string().contains("sourdough"), "{object:#}");
    stage.scene.apply(secret("opensesame")).await;
    stage.ready("h", "True", "applied").await;
    assert_eq!(stage.scene.get(&config_map(), "stock").await["data"]["from"], "stock");
}

#[tokio::test]
#[ignore = "mounts a disk, which only root may: run it with --ignored"]
async fn a_disk_that_is_full_is_told_and_room_is_enough_to_go_on() {
    let plane = shared().await;
    let big = "x".repeat(1 << 20);
    let stage = Deliveries::new(plane, "disk", &OWN_RELEASE).await;
    stage.repository.commit(&[("big.txt", &big)]);
    let disk = Disk::mount(&stage.cache(), "1m");
    let _operator = stage.start(&[]).await;
    stage
        .apply(
            "h",
            json!({"source": stage.source(""), "wait": false, "interval": "1s", "retry": {"maxDelay": "2s"}}),
        )
        .await;
    let object = stage.ready("h", "False", "").await;
    let ready = find(&object, "Ready");
    assert_eq!(ready["reason"], "StorageOperationFailed", "{ready}");
    assert!(!ready["message"].as_str().unwrap().contains("/cache/"), "{ready}");
    assert_eq!(stage.scene.get(&config_map(), "h").await, Value::Null);
    disk.grow("64m");
    stage.ready("h", "True", "applied").await;
}

/// A disk of its own, in memory.
struct Disk(PathBuf);

impl Disk {
    fn mount(folder: &Path, size: &str) -> Self {
        fs::create_dir_all(folder).unwrap();
        let data = CString::new(format!("size={size},mode=0755")).unwrap();
        mount("tmpfs", folder, "tmpfs", MountFlags::empty(), Some(data.as_c_str())).unwrap();
        Self(folder.to_owned())
    }

    fn grow(&self, size: &str) {
        let data = CString::new(format!("size={size}")).unwrap();
        mount_remount(&self.0, MountFlags::empty(), &data).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: the operator may still have its folder open.
        let _ended_with_the_machine = unmount(&self.0, UnmountFlags::DETACH);
    }
}
