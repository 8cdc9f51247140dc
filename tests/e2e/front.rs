//! The front before helm changes nothing that helmfile does: the same releases in the same order with the same hooks as without
//! the applier; and it lets no more helm processes run at once than there may.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use helmfile_operator::{
    helmfile::helm::lay::lay,
    process::{Command, Status},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::support::{
    control_plane::{ControlPlane, shared},
    git::Repository,
    helmfiles::{Deliveries, ONE_RELEASE},
    operator::Operator,
    processes,
    shims::Shims,
    tools::{executable, guard},
};

/// Five releases that need one another, so that there is one order only, with all kinds of hooks.
const MANY: [(&str, &str); 9] = [
    (
        "helmfile.yaml.gotmpl",
        r#"HOOKS all
releases:
- name: base
  chart: ./chart
  HOOKS base
- name: kustomized
  chart: ./kustomize
  needs: [base]
  HOOKS kustomized
- name: web
  chart: ./parent
  needs: [kustomized]
  values: [{chart: {a: {{ .Values | get "a" "1" | quote }}}}]
  HOOKS web
- name: patched
  chart: ./chart
  needs: [web]
  HOOKS patched
  jsonPatches:
  - target: {version: v1, kind: ConfigMap, name: patched}
    patch: [{op: add, path: /data/patched, value: "yes"}]
- name: old
  chart: ./chart
  installed: {{ .Values | get "old" true }}
  needs: [patched]
  HOOKS old
"#,
    ),
    ONE_RELEASE[1],
    ONE_RELEASE[2],
    ("kustomize/kustomization.yaml", "resources: [map.yaml]\n"),
    ("kustomize/map.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: kustomized}\ndata: {a: b}\n"),
    (
        "parent/Chart.yaml",
        "apiVersion: v2\nname: parent\nversion: 1.0.0\ndependencies:\n- {name: sub, version: 1.0.0, repository: \"file://../sub\"}\n",
    ),
    (
        "parent/templates/map.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: parent}\ndata: {a: {{ .Values.chart.a | quote }}}\n",
    ),
    ("sub/Chart.yaml", "apiVersion: v2\nname: sub\nversion: 1.0.0\n"),
    ("sub/templates/map.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: sub}\n"),
];

/// Hooks of all kinds that say in a file who they are.
fn hooks(line: &str) -> String {
    let Some((indent, whose)) = line.split_once("HOOKS ") else { return line.to_owned() };
    let events = "prepare, preapply, presync, postsync, preuninstall, postuninstall, cleanup";
    let event = "{{`{{ .Event.Name }}`}}";
    format!(
        "{indent}hooks: [{{events: [{events}], command: sh, args: ['-c', 'echo {whose} {event} >> {{{{ .Values.log }}}}']}}]"
    )
}

/// A way to run a helmfile, in a namespace of its own.
struct Way<'a> {
    stage: Deliveries<'a>,
    shims: Shims,
    through_us: bool,
}

impl Way<'_> {
    async fn new(through_us: bool) -> Self {
        let name = if through_us { "front" } else { "plain" };
        let stage = Deliveries::new(shared().await, name, &MANY).await;
        let file: Vec<String> = MANY[0].1.lines().map(hooks).collect();
        stage.repository.commit(&[(MANY[0].0, &file.join("\n"))]);
        let shims = Shims::new(&stage.scene);
        shims.watch(&stage.scene, "helm", "upgrade|uninstall|delete");
        Self { stage, shims, through_us }
    }

    /// Applies once with these values, and returns what was done: hooks and changes of releases in their order, and what there
    /// is then.
    async fn apply(&self, values: &str) -> [Vec<String>; 3] {
        let scene = &self.stage.scene;
        let (log, calls) = (scene.folder().join("hooks"), scene.folder().join("helm.calls"));
        for file in [&log, &calls] {
            fs::write(file, "").unwrap();
        }
        let values = scene.write("values.yaml", &format!("log: {}\n{values}", log.display()), 0o600);
        let finished = if self.through_us { self.ours(&values) } else { self.theirs(&values) };
        let finished = finished.run(&guard(), &CancellationToken::new(), &mut |_| {}).await.unwrap();
        assert!(finished.status.success(), "{}: {}", finished.status, finished.stderr);
        let changes = lines(&calls).iter().filter_map(|call| change(call)).collect();
        let mut hooks = lines(&log);
        // Releases are prepared beside each other.
        let prepared = hooks.iter().take_while(|hook| hook.ends_with(" prepare")).count();
        hooks[..prepared].sort_unstable();
        [hooks, changes, self.stage.revisions().await]
    }

    fn command(&self, program: &Path, folder: &Path) -> Command {
        let scene = &self.stage.scene;
        Command::new(program, folder)
            .envs(scene.plane.tools().environment(scene.folder()))
            .envs([("KUBECONFIG", scene.plane.kubeconfig().to_str().unwrap()), ("PATH", &self.shims.path())])
    }

    fn ours(&self, values: &Path) -> Command {
        let (source, namespace) = (self.stage.source(""), &self.stage.scene.namespace);
        let args =
            ["apply", "--source", &source, "--namespace", namespace, "--values", values.to_str().unwrap()];
        self.command(&executable().unwrap(), self.stage.scene.folder()).args(args)
    }

    fn theirs(&self, values: &Path) -> Command {
        let plugins = self.stage.scene.folder().join("plugins");
        lay(&plugins, &executable().unwrap()).unwrap();
        let scene = &self.stage.scene;
        let args =
            ["--namespace", &scene.namespace, "--state-values-file", values.to_str().unwrap(), "apply"];
        self.command(&scene.plane.tools().path("helmfile"), self.stage.repository.path())
            .args(args)
            .args(["--concurrency", "2"])
            .envs([("HELM_PLUGINS", plugins.to_str().unwrap()), ("HELMFILE_UPGRADE_NOTICE_DISABLED", "1")])
    }
}

fn lines(file: &Path) -> Vec<String> {
    fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// What a call of helm changes.
fn change(call: &str) -> Option<String> {
    let words: Vec<&str> = call.split(' ').collect();
    match words[..] {
        ["upgrade", "--install", release, ..] => Some(format!("upgrade {release}")),
        ["uninstall" | "delete", release, ..] => Some(format!("uninstall {release}")),
        ["upgrade" | "install", ..] => Some(call.to_owned()),
        _ => None,
    }
}

#[tokio::test]
async fn the_same_is_done_as_without_the_applier() {
    let (ours, theirs) = (Way::new(true).await, Way::new(false).await);
    for (values, changes, revisions) in [
        (
            "",
            &["upgrade base", "upgrade kustomized", "upgrade web", "upgrade patched", "upgrade old"][..],
            &[
                "base.v1 deployed",
                "kustomized.v1 deployed",
                "old.v1 deployed",
                "patched.v1 deployed",
                "web.v1 deployed",
            ][..],
        ),
        (
            "",
            &[],
            &[
                "base.v1 deployed",
                "kustomized.v1 deployed",
                "old.v1 deployed",
                "patched.v1 deployed",
                "web.v1 deployed",
            ],
        ),
        (
            "a: '2'\nold: false\n",
            &["uninstall old", "upgrade web"],
            &[
                "base.v1 deployed",
                "kustomized.v1 deployed",
                "patched.v1 deployed",
                "web.v1 superseded",
                "web.v2 deployed",
            ],
        ),
    ] {
        let [our_hooks, our_changes, our_revisions] = ours.apply(values).await;
        let [hooks, their_changes, their_revisions] = theirs.apply(values).await;
        assert_eq!(their_changes, changes);
        assert_eq!(our_changes, changes);
        assert_eq!(their_revisions, revisions);
        assert_eq!(our_revisions, revisions);
        assert!(hooks.iter().any(|hook| hook.contains("prepare")), "{hooks:?}");
        assert_eq!(in_order(our_hooks), in_order(hooks));
    }
}

/// The hooks in the order in which they ran. helmfile's own order of `cleanup` differs from run to run.
fn in_order(hooks: Vec<String>) -> (Vec<String>, BTreeSet<String>) {
    let (cleanup, others): (Vec<String>, Vec<String>) =
        hooks.into_iter().partition(|hook| hook.ends_with(" cleanup"));
    (others, cleanup.into_iter().collect())
}

#[tokio::test]
async fn a_signal_in_the_middle_of_an_upgrade_leaves_no_release_locked() {
    let stage = Deliveries::new(shared().await, "signal", &ONE_RELEASE).await;
    stage.repository.commit(&[(
        "chart/templates/job.yaml",
        "apiVersion: batch/v1\nkind: Job\nmetadata: {name: one, annotations: {helm.sh/hook: pre-install}}\n\
         spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: example.com/a}]}}}\n",
    )]);
    let (source, cache) = (stage.source(""), stage.cache().display().to_string());
    let args = ["apply", "--source", &source, "--namespace", &stage.scene.namespace, "--cache-dir", &cache];
    let mut apply = Operator::start(stage.scene.plane, &args, &[]);
    stage.until_revision("one.v1 pending-install").await;
    let since = tokio::time::Instant::now();
    assert_eq!(apply.stop().await, Status::Signaled(15));
    assert!(since.elapsed() < Duration::from_secs(15), "{:?}", since.elapsed());
    assert_eq!(processes::naming(&cache), Vec::<i32>::new());
    assert_eq!(stage.revisions().await, ["one.v1 failed"]);
}

#[tokio::test]
async fn a_helm_that_is_killed_alone_leaves_no_release_locked() {
    let stage = Deliveries::new(shared().await, "killed-helm", &ONE_RELEASE).await;
    stage.repository.commit(&[(
        "chart/templates/job.yaml",
        "apiVersion: batch/v1\nkind: Job\nmetadata: {name: one, annotations: {helm.sh/hook: \"pre-install,pre-upgrade\"}}\n\
         spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: example.com/a}]}}}\n",
    )]);
    let shims = Shims::new(&stage.scene);
    let pid = stage.scene.folder().join("pid");
    shims.add(
        &stage.scene,
        "helm",
        &format!("[ \"$1\" = upgrade ] && echo $$ > {}\nexec REAL \"$@\"", pid.display()),
    );
    let _operator = stage.start(&[("PATH", &shims.path())]).await;
    stage
        .apply("h", json!({"source": stage.source(""), "retry": {"maxDelay": "1h"}, "interval": "1h"}))
        .await;
    stage.until_revision("one.v1 pending-install").await;
    // As when the machine has too little memory.
    let helm = stage.scene.read("pid").trim().parse().unwrap();
    kill_process(Pid::from_raw(helm).unwrap(), Signal::KILL).unwrap();
    stage.ready("h", "False", "").await;
    assert_eq!(stage.revisions().await, ["one.v1 failed"], "the next one can go on");
}

/// A repository whose releases don't wait for one another.
fn side_by_side(count: usize) -> Repository {
    let releases: Vec<_> = (0..count).map(|n| json!({"name": format!("r{n}"), "chart": "./chart"})).collect();
    let file = format!("releases: {}\n", json!(releases));
    Repository::new(&[("helmfile.yaml", &file), ONE_RELEASE[1], ONE_RELEASE[2]])
}

#[tokio::test]
async fn a_concurrency_of_one_upgrades_one_release_after_the_other() {
    let plane = shared().await;
    for (concurrency, overlaps) in [(1, false), (4, true)] {
        let (stage, shims) = watched(plane, "concurrency", "upgrade").await;
        let _operator = stage.start(&[("PATH", &shims.path())]).await;
        let source = format!("git::{}?ref=main", stage.repository.url());
        stage.apply("h", json!({"source": source, "concurrency": concurrency})).await;
        stage.ready("h", "True", "4 releases").await;
        assert_eq!(!stage.scene.read("helm.overlaps").is_empty(), overlaps, "with {concurrency}");
    }
}

#[tokio::test]
async fn there_are_no_more_helm_processes_than_there_may_be() {
    let (stage, shims) = watched(shared().await, "slots", "*").await;
    let env = [("PATH", shims.path()), ("HELMFILE_OPERATOR_HELM_PROCESSES", "1".to_owned())];
    let _operator = stage.start(&env.each_ref().map(|(name, value)| (*name, value.as_str()))).await;
    let file = |n: u32| {
        let releases: Vec<_> =
            (0..3).map(|m| json!({"name": format!("h{n}-{m}"), "chart": "./chart"})).collect();
        format!("releases: {}\n", json!(releases))
    };
    for n in 0..5 {
        stage.repository.commit(&[(&format!("h{n}.yaml"), &file(n))]);
    }
    for n in 0..5 {
        stage.apply(&format!("h{n}"), json!({"source": stage.source(&format!("@h{n}.yaml"))})).await;
    }
    for n in 0..5 {
        stage.ready(&format!("h{n}"), "True", "3 releases").await;
    }
    assert_eq!(stage.scene.read("helm.overlaps"), "");
    let upgrades = lines(&stage.scene.folder().join("helm.calls"));
    assert_eq!(upgrades.iter().filter(|call| call.starts_with("upgrade ")).count(), 15);
}

/// A stage with four releases beside each other, and a helm whose overlapping calls are written down.
async fn watched<'a>(plane: &'a ControlPlane, name: &str, calls: &str) -> (Deliveries<'a>, Shims) {
    let mut stage = Deliveries::new(plane, name, &ONE_RELEASE).await;
    stage.repository = side_by_side(4);
    let shims = Shims::new(&stage.scene);
    shims.watch(&stage.scene, "helm", calls);
    (stage, shims)
}
