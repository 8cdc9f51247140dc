//! Secrets stay where they belong: a canary in every input that can hold one, and nowhere else.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use helmfile_operator::{object::Gvk, process::Command};
use kube::api::ListParams;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::{
    control_plane::shared,
    git_https::{GitHttps, Options},
    helmfiles::{self, Deliveries},
    http,
    operator::Operator,
    private_charts::Charts,
    scene::find,
    tools::{Tools, guard},
};

/// What every canary starts with; each goes on with the name of its place.
const CANARY: &str = "c4nary";

/// Some secret texts hold what quoting changes.
const QUOTED: &str = "c4nary\"quo\\ted\"<&>";

/// A text that shows a secret, as it is or as the tools write it: what is shown around it, or nothing.
fn leak(text: &str, more: &[String]) -> Option<String> {
    let encoded = [0, 1, 2].map(|skip| {
        // The middle is the same wherever in the encoded text the secret starts.
        let padded = format!("{}{CANARY}", "x".repeat(skip));
        let start = (skip * 4).div_ceil(3);
        let encoded = BASE64_STANDARD.encode(padded);
        encoded.get(start..start + 6).unwrap().to_owned()
    });
    let shown = |at: usize| {
        let from = (0..=at.saturating_sub(200)).rev().find(|from| text.is_char_boundary(*from)).unwrap();
        text.get(from..).unwrap().chars().take(300).collect()
    };
    [CANARY.to_owned()]
        .iter()
        .chain(&encoded)
        .chain(more)
        .find_map(|canary| text.find(canary.as_str()))
        .map(shown)
}

/// Looks at the command lines of all processes, again and again until dropped.
struct Watcher {
    ended: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<(usize, Option<String>)>>,
}

impl Watcher {
    fn start(more: Vec<String>) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ended);
        let thread = thread::spawn(move || {
            let (mut seen, mut found) = (0, None);
            while !told.load(Ordering::Relaxed) {
                for entry in fs::read_dir("/proc").unwrap().flatten() {
                    let Ok(line) = fs::read(entry.path().join("cmdline")) else { continue };
                    let line = String::from_utf8_lossy(&line).replace('\0', " ");
                    seen += usize::from(line.contains("helmfile"));
                    found = found.or_else(|| leak(&line, &more));
                }
                thread::sleep(Duration::from_millis(5));
            }
            (seen, found)
        });
        Self { ended, thread: Some(thread) }
    }

    fn end(mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let (seen, found) = self.thread.take().unwrap().join().unwrap();
        assert!(seen > 0, "no process of ours was seen");
        assert_eq!(found, None, "a secret in the arguments of a process");
    }
}

/// Everything that people can read of a Helmfile and its operator must be free of secrets.
async fn assert_silent(stage: &Deliveries<'_>, operator: &mut Operator, name: &str, more: &[String]) {
    let mut texts = BTreeMap::new();
    for (kind, gvk) in [
        ("Helmfiles", Gvk::new("apps.mumoshu.github.io", "v1alpha1", "Helmfile")),
        ("Events", Gvk::new("events.k8s.io", "v1", "Event")),
        ("ConfigMaps", Gvk::new("", "v1", "ConfigMap")),
        ("Leases", Gvk::new("coordination.k8s.io", "v1", "Lease")),
    ] {
        let list = stage.scene.api(&gvk).await.list(&ListParams::default()).await.unwrap();
        texts.insert(kind.to_owned(), serde_json::to_string(&list).unwrap());
    }
    let admin = operator.admin().await;
    let runs = format!("/debug/whitebox/objects/helmfile/{}/{name}?log=true", stage.scene.namespace);
    for path in ["/metrics", "/debug/whitebox", &runs] {
        let (status, text) = http::get(&admin, path).await;
        assert_eq!(status, 200, "{path}: {text}");
        texts.insert(path.to_owned(), text);
    }
    if find(&stage.scene.get(&helmfiles::helmfile(), name).await, "Ready")["status"] != "Unknown" {
        assert!(texts[&runs].contains("\"log\""), "the runs have their logs: {}", texts[&runs]);
    }
    texts.insert("the log".to_owned(), operator.log());
    let leaks: Vec<_> = texts.iter().filter_map(|(place, text)| Some((place, leak(text, more)?))).collect();
    assert!(leaks.is_empty(), "{leaks:#?}");
}

async fn tool(folder: &Path, program: &str, args: &[&str]) -> String {
    let tools = Tools::find().await.unwrap();
    let command = Command::new(tools.path(program), folder).args(args).envs(tools.environment(folder));
    let finished = command.run(&guard(), &CancellationToken::new(), &mut |_| {}).await.unwrap();
    assert!(finished.status.success(), "{program} {args:?}: {}", finished.stderr);
    String::from_utf8(finished.stdout).unwrap()
}

/// All files below a folder, and what is in them.
fn files(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            found.extend(files(&path));
        } else if kind.is_file() {
            found.push((path.clone(), String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned()));
        }
    }
    found
}

const CHART: &str = "{apiVersion: v2, name: chart, version: 1.0.0}\n";
/// All that the inputs hold, in a Secret of the chart.
const SECRET: &str = "apiVersion: v1
kind: Secret
metadata: {name: {{ .Release.Name }}}
stringData:
  all: {{ toJson .Values | quote }}
  own: c4nary-manifest
";

/// A helmfile whose release gets all inputs; its hook waits for a file.
fn helmfile(folder: &str, repository: &str) -> String {
    format!(
        "repositories: [{{name: shop, url: {repository}}}]
releases:
- name: stock
  chart: shop/stock
- name: all
  chart: ./chart
  hooks:
  - events: [presync]
    showlogs: true
    command: sh
    args: [-c, 'echo x > {folder}/there; while [ ! -e {folder}/go ]; do sleep 0.05; done; echo $API_KEY; echo $API_KEY >&2']
  values: [{{values: {{{{ .Values | toJson }}}}, env: {{{{ env \"API_KEY\" | quote }}}}}}]
"
    )
}

/// Templates that fail, each in another way, and show what they have in their error; with the reason.
const FAILING: [(&str, &str, &str); 6] = [
    (
        "fail",
        "{{ fail (printf \"no good: %s %s %s\" (toJson .Values) .Values.env .Values.values.quoted) }}\n",
        "RenderFailed",
    ),
    ("yaml", "a: [{{ .Values.values.deep.target }}\n  b: {{ .Values.values.file }}\n", "RenderFailed"),
    (
        "label",
        "{apiVersion: v1, kind: Secret, metadata: {name: all, labels: {a: {{ print \"no!label \" .Values.values.values \" \" .Values.values.quoted | toJson }}}}}\n",
        "UpgradeFailed",
    ),
    (
        "file",
        "{apiVersion: v1, kind: Secret, metadata: {name: all, labels: {a: {{ print \"no!label \" .Values.values.file | quote }}}}}\n",
        "UpgradeFailed",
    ),
    (
        "data",
        "{apiVersion: v1, kind: Secret, metadata: {name: all}, data: {a: {{ .Values.values.file | quote }}}}\n",
        "UpgradeFailed",
    ),
    (
        "type",
        "{apiVersion: v1, kind: Secret, metadata: {name: all}, type: Opaque, stringData: [{{ .Values.values.map | quote }}]}\n",
        "UpgradeFailed",
    ),
];

/// Puts a canary into every object that can hold one, and a helmfile that uses them all into the repository. Gives the parts
/// of keys that may be seen nowhere either.
async fn plant(stage: &Deliveries<'_>, charts: &Charts, git: &GitHttps) -> [String; 2] {
    let folder = stage.scene.folder().display().to_string();
    let key = tool(stage.scene.folder(), "age-keygen", &[]).await;
    let recipient = key.split_once("# public key: ").unwrap().1.lines().next().unwrap();
    let encrypt = async |text: &str| {
        stage.scene.write("plain.yaml", text, 0o600);
        tool(stage.scene.folder(), "sops", &["encrypt", "--age", recipient, "plain.yaml"]).await
    };
    let (file, map) = (encrypt("file: c4nary-file\n").await, encrypt("map: c4nary-map\n").await);
    stage.repository.commit(&[
        ("helmfile.yaml.gotmpl", &helmfile(&folder, &charts.url)),
        ("encrypted.yaml", &file),
        ("chart/Chart.yaml", CHART),
        ("chart/templates/secret.yaml", SECRET),
    ]);
    let secret = async |name: &str, data: Value| {
        stage
            .scene
            .apply(
                json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}),
            )
            .await
    };
    let config = fs::read_to_string(stage.scene.plane.kubeconfig()).unwrap();
    let (_, private) = config.split_once("client-key-data").unwrap();
    let private: String = private.trim_start_matches(['"', ':', ' ']).chars().take(80).collect();
    let age: String = key.split_once("AGE-SECRET-KEY-").unwrap().1.chars().take(40).collect();
    secret("values", json!({"values.yaml": "values: c4nary-values\n", "target": "c4nary-target", "quoted": QUOTED, "env": "c4nary-env"})).await;
    secret("git", json!({"username": "bob", "password": "c4nary-git", "ca.crt": fs::read_to_string(git.authority()).unwrap()})).await;
    secret("shop", json!({"username": "bob", "password": "c4nary-registry"})).await;
    secret("oci", json!({"username": "bob", "password": "c4nary-oci"})).await;
    secret("age", json!({"x.agekey": key})).await;
    secret("cluster", json!({"value": config})).await;
    stage.scene.apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "map"}, "data": {"values.yaml": map}})).await;
    [private.chars().skip(40).collect(), age]
}

/// A spec with all of them.
fn spec(stage: &Deliveries<'_>, charts: &Charts, git: &GitHttps) -> Value {
    let repository = stage.repository.path().file_name().unwrap().to_str().unwrap();
    json!({
        "source": format!("git::{}/{repository}?ref=main", git.url()), "wait": false, "interval": "1s", "retry": {"maxDelay": "2s"},
        "secretRef": {"name": "git"}, "kubeConfig": {"secretRef": {"name": "cluster"}},
        "registries": [{"url": charts.url, "secretRef": {"name": "shop"}}, {"host": "oci.example.com", "secretRef": {"name": "oci"}}],
        "decryption": {"provider": "sops", "secretRef": {"name": "age"}},
        "valuesFiles": ["encrypted.yaml"],
        "valuesFrom": [
            {"kind": "Secret", "name": "values"}, {"kind": "ConfigMap", "name": "map"},
            {"kind": "Secret", "name": "values", "key": "target", "targetPath": "deep.target"},
            {"kind": "Secret", "name": "values", "key": "quoted", "targetPath": "quoted", "literal": true},
        ],
        "env": [{"name": "API_KEY", "valueFrom": {"secretKeyRef": {"name": "values", "key": "env"}}}],
    })
}

#[tokio::test]
async fn a_secret_of_any_input_is_seen_nowhere() {
    let plane = shared().await;
    let charts = Charts::start(plane.tools(), "bob", "c4nary-registry").await;
    let stage = Deliveries::new(plane, "canary", &[]).await;
    let root = stage.repository.path().parent().unwrap();
    let options = Options { credentials: Some(("bob".into(), "c4nary-git".into())), ..Options::default() };
    let git = GitHttps::start(root, options).await;
    let more = plant(&stage, &charts, &git).await;
    let watcher = Watcher::start(more.to_vec());
    let mut operator = stage.start(&[("HELMFILE_OPERATOR_LOG", "debug")]).await;
    stage.apply("h", spec(&stage, &charts, &git)).await;
    stage.scene.until_file("there", 1).await;
    assert_silent(&stage, &mut operator, "h", &more).await;
    stage.scene.write("go", "", 0o644);
    stage.ready("h", "True", "2 releases").await;
    let made = stage.scene.get(&Gvk::new("", "v1", "Secret"), "all").await;
    let made =
        String::from_utf8(BASE64_STANDARD.decode(made["data"]["all"].as_str().unwrap()).unwrap()).unwrap();
    for place in ["values", "target", "env", "file", "map"] {
        assert!(made.contains(&format!("c4nary-{place}")), "{place} has arrived: {made}");
    }
    assert_silent(&stage, &mut operator, "h", &more).await;

    for (name, template, reason) in FAILING {
        let commit = stage.repository.commit(&[("chart/templates/secret.yaml", template)]);
        let tried = |object: &Value| {
            let attempted = object["status"]["lastAttemptedRevision"].as_str();
            attempted.is_some_and(|revision| revision.ends_with(&commit))
                && find(object, "Ready")["status"] == "False"
        };
        let object = stage.scene.until(&helmfiles::helmfile(), "h", name, tried).await;
        assert_eq!(find(&object, "Ready")["reason"], reason, "{name}: {}", find(&object, "Ready"));
        assert_silent(&stage, &mut operator, "h", &more).await;
    }
    watcher.end();
    operator.stop().await;
    let left = files(&stage.cache());
    assert!(!left.is_empty());
    let own = ["c4nary-manifest", "kept by the repository itself"];
    for (path, text) in left {
        let text = text.replace(own[0], own[1]);
        assert_eq!(leak(&text, &more), None, "on the disk, in {}", path.display());
    }
    assert_eq!(leak(&operator.log(), &more), None);
}
