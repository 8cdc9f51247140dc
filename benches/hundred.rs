//! A hundred releases of one small chart in one helmfile: what a delivery takes, beside plain helmfile with the same helm, the
//! same plugin and the same concurrency; and a hundred Helmfiles of one release each, pooled.

use std::{
    ffi::OsStr,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use helmfile_operator::{
    environment::Environment,
    helmfile::helm::lay,
    object::Gvk,
    process::{Command, Status},
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    report::Report,
    support::{
        control_plane::ControlPlane,
        operator::Operator,
        scene::{Scene, find},
        tools::{executable, guard},
        wait::wait_until,
    },
    usage::{self, Cpu},
};

const RELEASES: usize = 100;
const CONCURRENCY: u32 = 4;
/// How long one run may take. It ends a benchmark that hangs.
const LIMIT: Duration = Duration::from_mins(5);

const CHART: &str = "{apiVersion: v2, name: small, version: 1.0.0}\n";
const TEMPLATE: &str = "apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}}
data: {message: {{ .Values.message | quote }}}
---
apiVersion: v1
kind: Service
metadata: {name: {{ .Release.Name }}}
spec:
  selector: {app: {{ .Release.Name }}}
  ports: [{port: 80}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}}
spec:
  replicas: 0
  selector: {matchLabels: {app: {{ .Release.Name }}}}
  template:
    metadata: {labels: {app: {{ .Release.Name }}}}
    spec: {containers: [{name: main, image: example.com/main:1}]}
";

/// Writes the helmfile; one release may say something else than the others.
fn write_source(folder: &Path, message: &str) {
    let templates = folder.join("chart/templates");
    fs::create_dir_all(&templates).unwrap();
    fs::write(folder.join("chart/Chart.yaml"), CHART).unwrap();
    fs::write(folder.join("chart/values.yaml"), "message: hello\n").unwrap();
    fs::write(templates.join("all.yaml"), TEMPLATE).unwrap();
    let mut helmfile = "helmDefaults: {createNamespace: false}\nreleases:\n".to_owned();
    for number in 0..RELEASES {
        let message = if number == 42 { message } else { "hello" };
        writeln!(helmfile, "- {{name: r{number}, chart: ./chart, values: [{{message: {message}}}]}}")
            .unwrap();
    }
    fs::write(folder.join("helmfile.yaml"), helmfile).unwrap();
}

/// One delivery after the other: all new, one changed, nothing changed.
pub(crate) async fn deliveries(plane: &ControlPlane, report: &mut Report) {
    let plain = Plain::new(plane).await;
    let (fresh, one, none) = (plain.run("one").await, plain.run("two").await, plain.run("two").await);
    let ours = Ours::new(plane).await;
    for (name, seconds, baseline) in [
        ("applier_fresh_100", ours.run("one", false).await, fresh),
        ("applier_one_of_100", ours.run("two", false).await, one),
        ("applier_forced_100", ours.run("two", true).await, none),
        ("applier_rendered_100", ours.render_all("two").await, none),
    ] {
        report.value(format!("{name}_seconds"), "s", seconds);
        report.value(format!("{name}_ratio_to_helmfile"), "times", seconds / baseline);
    }
    for (name, seconds) in [("fresh", fresh), ("one_of", one), ("unchanged", none)] {
        report.value(format!("helmfile_{name}_100_seconds"), "s", seconds);
    }
}

/// helmfile as a user would call it.
struct Plain<'a> {
    scene: Scene<'a>,
    env: Environment,
    source: PathBuf,
}

impl<'a> Plain<'a> {
    async fn new(plane: &'a ControlPlane) -> Self {
        let scene = Scene::new(plane, "plain").await;
        let plugins = scene.folder().join("plugins");
        lay::lay(&plugins, &executable().unwrap()).unwrap();
        let mut env = plane.tools().environment(&scene.folder().join("home"));
        env.extend([
            ("KUBECONFIG".into(), plane.kubeconfig().into()),
            ("HELM_PLUGINS".into(), plugins.into()),
            ("HELMFILE_UPGRADE_NOTICE_DISABLED".into(), "1".into()),
        ]);
        let source = scene.folder().join("source");
        Self { scene, env, source }
    }

    async fn run(&self, message: &str) -> f64 {
        write_source(&self.source, message);
        let helmfile = helmfile_operator::process::resolve(
            "helmfile",
            self.env.get(OsStr::new("PATH")).map(std::ffi::OsString::as_os_str),
            &self.source,
        );
        let concurrency = CONCURRENCY.to_string();
        let args =
            ["--namespace", &self.scene.namespace, "apply", "--concurrency", &concurrency, "--suppress-diff"];
        let mut command = Command::new(helmfile.unwrap(), &self.source).args(args).envs(self.env.clone());
        command.timeout = Some(LIMIT);
        let start = Instant::now();
        let ended = command.run(&guard(), &CancellationToken::new(), &mut |_| {}).await.unwrap();
        assert!(ended.status.success(), "{}", ended.stderr);
        start.elapsed().as_secs_f64()
    }
}

/// `apply`, as the engine runs it, for an object in the cluster.
struct Ours<'a> {
    scene: Scene<'a>,
    env: Environment,
    source: PathBuf,
    cache: PathBuf,
    object: tokio::sync::Mutex<Value>,
}

impl<'a> Ours<'a> {
    async fn new(plane: &'a ControlPlane) -> Self {
        let scene = Scene::new(plane, "ours").await;
        let definition = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/crds/helmfiles.yaml");
        plane.kubectl(&["apply", "-f", definition]).await;
        plane.kubectl(&["wait", "--for=condition=Established", "-f", definition]).await;
        let source = scene.folder().join("source");
        let cache = scene.folder().join("cache");
        let spec = json!({"source": source, "concurrency": CONCURRENCY, "refreshInterval": "24h"});
        scene
            .apply(json!({"apiVersion": "apps.mumoshu.github.io/v1alpha1", "kind": "Helmfile",
                          "metadata": {"name": "hundred"}, "spec": spec}))
            .await;
        let object = scene.get(&helmfile(), "hundred").await;
        let mut env = plane.tools().environment(&scene.folder().join("home"));
        env.extend([
            ("KUBECONFIG".into(), plane.kubeconfig().into()),
            ("HELMFILE_OPERATOR_CACHE_DIR".into(), cache.clone().into()),
        ]);
        Self { scene, env, source, cache, object: object.into() }
    }

    async fn run(&self, message: &str, force: bool) -> f64 {
        write_source(&self.source, message);
        let mut object = self.object.lock().await;
        if force {
            let now = format!("{:?}", Instant::now());
            object["metadata"]["annotations"] =
                json!({"reconcile.fluxcd.io/requestedAt": now, "reconcile.fluxcd.io/forceAt": now});
        }
        let command = Command {
            input: serde_json::to_vec(&json!({ "object": *object })).unwrap(),
            timeout: Some(LIMIT),
            ..Command::new(executable().unwrap(), self.scene.folder()).args(["apply"]).envs(self.env.clone())
        };
        let start = Instant::now();
        let ended = command.run(&guard(), &CancellationToken::new(), &mut |_| {}).await.unwrap();
        let seconds = start.elapsed().as_secs_f64();
        assert_eq!(ended.status, Status::Exited(0), "{}", ended.stderr);
        let reply: Value = serde_json::from_slice(&ended.stdout).unwrap();
        object["status"] = reply["status"].clone();
        assert_eq!(find(&object, "Ready")["status"], "True", "{:#}", object["status"]["conditions"]);
        seconds
    }

    /// A forced pass that has to render every chart.
    async fn render_all(&self, message: &str) -> f64 {
        for entry in fs::read_dir(self.cache.join("objects")).unwrap() {
            let renders = entry.unwrap().path().join("renders.json");
            fs::remove_file(renders).unwrap();
        }
        self.run(message, true).await
    }
}

fn helmfile() -> Gvk {
    Gvk::new("apps.mumoshu.github.io", "v1alpha1", "Helmfile")
}

/// A hundred Helmfiles of one release each, all made at once, until the last one is Ready.
pub(crate) async fn fleet(plane: &ControlPlane, report: &mut Report) {
    let scene = Scene::new(plane, "fleet").await;
    let cache = scene.folder().join("cache");
    let env = [("HELMFILE_OPERATOR_CACHE_DIR", cache.to_str().unwrap())];
    let mut operator =
        Operator::start(plane, &["run", "-f", "builtin:applier", "-n", &scene.namespace], &env);
    operator.wait_for_log("watching").await;
    let source = scene.folder().join("source");
    write_source(&source, "hello");
    let pid = operator.pid().await;
    let before = Cpu::until_now(pid);
    let start = Instant::now();
    for number in 0..RELEASES {
        let helmfile = format!("releases:\n- {{name: r{number}, chart: {}/chart}}\n", source.display());
        let spec = json!({"inline": helmfile, "refreshInterval": "24h"});
        scene
            .apply(json!({"apiVersion": "apps.mumoshu.github.io/v1alpha1", "kind": "Helmfile",
                          "metadata": {"name": format!("h{number}")}, "spec": spec}))
            .await;
    }
    let peak = std::sync::atomic::AtomicU64::new(0);
    let ready = async {
        for number in 0..RELEASES {
            let ready = |object: &Value| find(object, "Ready")["status"] == "True";
            wait_until(&format!("h{number} to be Ready"), LIMIT, async || {
                let found = scene.get(&helmfile(), &format!("h{number}")).await;
                if ready(&found) { Ok(()) } else { Err(format!("{:#}", found["status"])) }
            })
            .await;
        }
    };
    tokio::select! {
        () = ready => {}
        () = usage::sample_tree(pid, &peak) => {}
    }
    let seconds = start.elapsed().as_secs_f64();
    let after = Cpu::until_now(pid);
    report.value("fleet_100x1_seconds", "s", seconds);
    report.value("fleet_100x1_cpu_seconds", "s", after.own + after.children - before.own - before.children);
    report.value("fleet_100x1_operator_cpu_seconds", "s", after.own - before.own);
    let mib =
        f64::from(u32::try_from(peak.load(std::sync::atomic::Ordering::Relaxed) >> 10).unwrap()) / 1024.0;
    report.value("fleet_100x1_peak_mib", "MiB", mib);
    report.value("fleet_100x1_operator_peak_mib", "MiB", usage::peak_mib(pid));
    operator.stop().await;
}
