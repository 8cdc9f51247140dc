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
        scene::{config_map, find},
    },
};

pub(super) const CHART: &str = "{apiVersion: v2, name: chart, version: 1.0.0}\n";

/// A helmfile with a release that is called as its Helmfile, so that many can be in one namespace.
pub(super) const OWN_RELEASE: [(&str, &str); 3] = [
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
pub(super) type Mistake = (&'static str, Value, &'static str, &'static str);

/// Applies them all, then waits for each sentence; the panic lists every one that is not as it should be.
pub(super) async fn tell(stage: &Deliveries<'_>, mistakes: &[Mistake]) {
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

/// Helmfiles that name what is not there, or no good, in their namespace.
fn missing(source: &str) -> [Mistake; 11] {
    let from = |kind: &str, name: &str, more: Value| {
        let mut reference = json!({"kind": kind, "name": name});
        reference.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"source": source, "wait": false, "valuesFrom": [reference]})
    };
    let env =
        |from: Value| json!({"source": source, "wait": false, "env": [{"name": "X", "valueFrom": from}]});
    [
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
    ]
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
    let mistakes = missing(&source);
    tell(&stage, &mistakes).await;
    for name in ["map", "secret", "env", "key"] {
        assert_eq!(stage.scene.get(&config_map(), name).await, Value::Null, "{name} is half done");
    }

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
async fn what_is_optional_may_be_missing() {
    let stage = Deliveries::new(shared().await, "optional", &OWN_RELEASE).await;
    let _operator = stage.start(&[]).await;
    stage
        .scene
        .apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "there"}, "data": {}}))
        .await;
    let source = stage.source("");
    let optional = json!({"source": source, "wait": false,
        "valuesFrom": [{"kind": "Secret", "name": "never", "optional": true}, {"kind": "ConfigMap", "name": "there", "key": "never", "optional": true}],
        "env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "never", "key": "k", "optional": true}}}]});
    stage.apply("optional", optional).await;
    stage.ready("optional", "True", "applied").await;
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
