//! The main job: a Helmfile object becomes running releases.

use std::fs;

use helmfile_operator::process::{Command, resolve};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::{
    control_plane::{ControlPlane, shared},
    git::{Repository, fixture},
    helmfiles::{Deliveries, ONE_RELEASE, helmfile},
    operator::Operator,
    scene::{SOON, config_map},
    tools::{executable, guard},
    wait::wait_until,
};

/// Runs helm as a user would.
async fn helm(plane: &ControlPlane, args: &[&str]) -> String {
    let command = Command::new(plane.tools().path("helm"), plane.dir())
        .args(args)
        .envs(plane.tools().environment(plane.dir()))
        .envs([("KUBECONFIG", plane.kubeconfig())]);
    let finished = command.run(&guard(), &CancellationToken::new(), &mut |_| {}).await.unwrap();
    assert!(finished.status.success(), "helm {args:?}: {}", finished.stderr);
    String::from_utf8(finished.stdout).unwrap()
}

#[tokio::test]
async fn four_kinds_of_release_are_delivered_and_so_is_a_commit_after_that() {
    let plane = shared().await;
    let stage = Deliveries::of_fixture(plane, "four").await;
    let namespace = &stage.scene.namespace;
    let _operator = stage.start(&[]).await;
    let first = stage.repository.head();
    let spec = json!({"source": stage.source("@helmfile.yaml.gotmpl"), "interval": "1s", "values": {"message": "from the object"}});
    stage.apply("all", spec).await;
    let object = stage.applied("all", &first).await;

    let releases = helm(plane, &["list", "-n", namespace, "-o", "json"]).await;
    let releases: Value = serde_json::from_str(&releases).unwrap();
    let mut listed: Vec<_> = releases
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["name"].as_str().unwrap(), one["status"].as_str().unwrap()))
        .collect();
    listed.sort_unstable();
    assert_eq!(
        listed,
        [("kustomized", "deployed"), ("manifests", "deployed"), ("patched", "deployed"), ("web", "deployed")]
    );
    let inventory = object["status"]["inventory"]["releases"].as_array().unwrap();
    assert_eq!(inventory.len(), 4, "{inventory:?}");
    assert!(
        inventory.iter().all(|release| release["status"] == "deployed" && release["revision"] == 1),
        "{inventory:?}"
    );
    assert_eq!(object["status"]["lastAttemptedRevision"], object["status"]["lastAppliedRevision"]);

    let map = async |name: &str| stage.scene.get(&config_map(), name).await["data"].clone();
    assert_eq!(map("web").await, json!({"message": "from the object"}));
    assert_eq!(map("patched").await, json!({"message": "from the object", "patched": "yes"}));
    assert_eq!(map("manifests").await, json!({"kind": "plain manifests"}));
    assert_eq!(map("kustomized").await, json!({"kind": "kustomization"}));

    let table = plane.kubectl(&["get", "helmfiles", "-n", namespace]).await;
    let header: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(header, ["NAME", "READY", "STATUS", "REVISION", "AGE"]);
    assert!(table.contains(&format!("main@sha1:{first}")) && table.contains("4 releases"), "{table}");

    let second = stage.repository.commit(&[(
        "manifests/config.yaml",
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: manifests}, data: {kind: changed}}\n",
    )]);
    let object = stage.applied("all", &second).await;
    assert_eq!(map("manifests").await, json!({"kind": "changed"}));
    let revisions: Vec<(&str, i64)> = object["status"]["inventory"]["releases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|release| (release["name"].as_str().unwrap(), release["revision"].as_i64().unwrap()))
        .collect();
    for (name, revision) in revisions {
        assert_eq!(
            revision,
            if name == "manifests" { 2 } else { 1 },
            "only what changed is upgraded: {name}"
        );
    }

    stage.scene.delete(&helmfile(), "all").await;
    stage.scene.until(&helmfile(), "all", "gone", Value::is_null).await;
    let left = helm(plane, &["list", "-n", namespace, "-q"]).await;
    assert_eq!(left.lines().count(), 4, "releases stay when the object goes: {left}");
}

#[tokio::test]
async fn everything_in_the_spec_reaches_helmfile() {
    let stage = Deliveries::new(
        shared().await,
        "inputs",
        &[
            (
                "apps/all.yaml.gotmpl",
                "environments:\n  prod:\n    values: [{tier: gold}]\n---\nreleases:\n- name: in\n  labels: {pick: me}\n  chart: ../chart\n  values:\n  - a: '{{ .Values.tier }} {{ .Values.file }} {{ .Values.both }} {{ env \"GREETING\" }} {{ env \"HELMFILE_OPERATOR_BRANCH\" }}'\n- name: out\n  chart: ../chart\n",
            ),
            ("apps/more.yaml", "file: from-the-file\nboth: lost\n"),
            ONE_RELEASE[1],
            ONE_RELEASE[2],
        ],
    )
    .await;
    stage.repository.branch("release");
    let _operator = stage.start(&[]).await;
    let source = format!("git::{}", stage.repository.url());
    stage
        .apply(
            "h",
            json!({"source": source, "version": "release", "file": "apps/all.yaml.gotmpl", "environment": "prod", "selector": ["pick=me"],
                   "values": {"both": "spec-wins"}, "valuesFiles": ["apps/more.yaml"], "envvars": {"GREETING": "hi"}}),
        )
        .await;
    let object = stage.ready("h", "True", "1 release").await;
    assert!(
        object["status"]["lastAppliedRevision"].as_str().unwrap().starts_with("release@sha1:"),
        "{object:#}"
    );
    assert_eq!(
        stage.scene.get(&config_map(), "in").await["data"]["a"],
        "gold from-the-file spec-wins hi release"
    );
    assert_eq!(stage.scene.get(&config_map(), "out").await, Value::Null);

    stage.apply("h", json!({"source": source, "version": "release", "file": "apps/all.yaml.gotmpl", "environment": "prod", "suspend": true})).await;
    stage.ready("h", "False", "suspended").await;
}

#[tokio::test]
async fn nothing_runs_but_git_when_nothing_has_changed() {
    let plane = shared().await;
    let stage = Deliveries::new(plane, "idle", &ONE_RELEASE).await;
    let (log, shims) = (stage.scene.folder().join("started"), stage.scene.folder().join("shims"));
    fs::create_dir(&shims).unwrap();
    let path = plane.tools().environment(plane.dir())[std::ffi::OsStr::new("PATH")].clone();
    for program in ["helm", "helmfile", "kustomize", "git"] {
        let real = resolve(program, Some(&path), plane.dir()).unwrap();
        let script = format!("echo {program} $2 >> {}; exec {} \"$@\"", log.display(), real.display());
        fs::rename(stage.scene.hook(program, &script), shims.join(program)).unwrap();
    }
    let path = format!("{}:{}", shims.display(), path.display());
    let _operator = stage.start(&[("PATH", &path)]).await;
    stage.apply("h", json!({"source": stage.source(""), "interval": "1s"})).await;
    stage.ready("h", "True", "1 release").await;
    let started = || fs::read_to_string(&log).unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
    let before = started().len();
    let since = wait_until("three more looks at the source", SOON, async || {
        let since = started().split_off(before);
        if since.len() >= 3 { Ok(since) } else { Err(format!("{since:?}")) }
    })
    .await;
    assert!(since.iter().all(|line| line.starts_with("git ")), "{since:?}");
}

#[tokio::test]
async fn the_default_mode_gives_each_helmfile_an_applier_of_its_own() {
    let plane = shared().await;
    let stage = Deliveries::new(plane, "default-mode", &ONE_RELEASE).await;
    let namespace = stage.scene.namespace.clone();
    let mut operator =
        Operator::start(plane, &["run", "-n", &namespace, "--set", "image=example.com/operator:1"], &[]);
    operator.wait_for_log("watching").await;
    stage.apply("h", json!({"source": stage.source(""), "serviceAccountName": "deployer"})).await;
    let deployments = helmfile_operator::object::Gvk::new("apps", "v1", "Deployment");
    let deployment = stage.scene.until(&deployments, "h-applier", "rendered", Value::is_object).await;
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(pod["serviceAccountName"], "deployer");
    assert_eq!(pod["containers"][0]["image"], "example.com/operator:1");

    // As on a cluster whose nodes can't run the pod: the object says so, in the cluster's words.
    let waiting = stage.scene.condition_of(&helmfile(), "h", "RunnerReady", "False").await;
    assert_eq!(waiting["reason"], "MinimumReplicasUnavailable", "{waiting}");

    // There is no node: what the pod would run is run here as it stands in the Deployment.
    let container = &pod["containers"][0];
    let words = |field: &str| -> Vec<String> {
        container[field].as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(words("command"), ["helmfile-operator"]);
    let args = words("args");
    let home = stage.scene.folder().join("pod");
    let env: Vec<(String, String)> = container["env"]
        .as_array()
        .unwrap()
        .iter()
        .map(|variable| {
            let value = variable["value"].as_str().unwrap();
            (variable["name"].as_str().unwrap().to_owned(), format!("{}{value}", home.display()))
        })
        .collect();
    let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut applier = Operator::start(plane, &args, &env);
    stage.ready("h", "True", "1 release").await;
    assert!(applier.stop().await.success());

    stage.scene.delete(&helmfile(), "h").await;
    stage.scene.until(&deployments, "h-applier", "gone with its Helmfile", Value::is_null).await;
    assert!(stage.scene.get(&config_map(), "one").await.is_object(), "its releases stay");
}

#[tokio::test]
async fn one_helmfile_without_any_object() {
    let plane = shared().await;
    let stage = Deliveries::new(plane, "flags", &ONE_RELEASE).await;
    let values = stage.scene.write("values.yaml", "a: x\n", 0o600);
    let source = stage.source("");
    let run = async |more: &[&str]| {
        let args = [
            "apply",
            "--source",
            &source,
            "--namespace",
            &stage.scene.namespace,
            "--values",
            values.to_str().unwrap(),
        ];
        let command = Command::new(executable().unwrap(), stage.scene.folder())
            .args(args)
            .args(more.iter().copied())
            .envs(plane.tools().environment(stage.scene.folder()))
            .envs([("KUBECONFIG", plane.kubeconfig())]);
        command.run(&guard(), &CancellationToken::new(), &mut |_| {}).await.unwrap()
    };
    let first = run(&["--once", "--detailed-exitcode"]).await;
    assert_eq!(first.status, helmfile_operator::process::Status::Exited(2), "{}", first.stderr);
    assert!(stage.scene.get(&config_map(), "one").await.is_object());
    let second = run(&["--once", "--detailed-exitcode"]).await;
    assert!(second.status.success(), "{}", second.stderr);
    assert!(String::from_utf8_lossy(&second.stdout).contains("nothing changed"));
    let wrong = run(&["--once", "-f", "absent.yaml"]).await;
    assert_eq!(wrong.status, helmfile_operator::process::Status::Exited(1));
    assert!(wrong.stderr.contains("`absent.yaml`"), "{}", wrong.stderr);
}

#[tokio::test]
async fn an_operator_that_is_killed_in_the_middle_of_an_apply_leaves_nothing_and_the_next_one_converges() {
    let plane = shared().await;
    let stage = Deliveries::new(plane, "killed", &ONE_RELEASE).await;
    let folder = stage.scene.folder().display().to_string();
    let hook = format!(
        "releases:\n- name: one\n  chart: ./chart\n  hooks:\n  - events: [presync]\n    command: sh\n    args: [-c, 'echo $$ > {folder}/pid; while [ ! -e {folder}/go ]; do sleep 0.05; done']\n"
    );
    let commit = stage.repository.commit(&[("helmfile.yaml", &hook)]);
    let mut operator = stage.start(&[]).await;
    stage.apply("h", json!({"source": stage.source("")})).await;
    let pid = wait_until("helmfile to be in the middle of it", SOON, async || {
        let text = fs::read_to_string(format!("{folder}/pid")).map_err(|error| error.to_string())?;
        text.trim().parse::<i32>().map_err(|error| error.to_string())
    })
    .await;
    let meanwhile = stage.ready("h", "Unknown", "first delivery").await;
    assert!(meanwhile["status"]["lastAttemptedRevision"].as_str().unwrap().ends_with(&commit));
    operator.kill().await;
    crate::support::processes::wait_until_gone("helmfile's hook", &[pid], SOON).await;
    stage.scene.write("go", "", 0o644);
    let _operator = stage.start(&[]).await;
    stage.applied("h", &commit).await;
    let releases = helm(plane, &["list", "-n", &stage.scene.namespace, "-o", "json"]).await;
    assert!(
        releases.contains("\"status\":\"deployed\"") && releases.contains("\"revision\":\"1\""),
        "{releases}"
    );
}

#[tokio::test]
async fn the_example_of_the_original_with_folder_and_file_in_the_locator() {
    let stage = Deliveries::of_fixture(shared().await, "locator").await;
    let nested = Repository::empty();
    let files = fixture("helmfiles/four");
    let files: Vec<(String, &str)> =
        files.iter().map(|(path, text)| (format!("sub/dir/{path}"), text.as_str())).collect();
    nested.commit(&files.iter().map(|(path, text)| (path.as_str(), *text)).collect::<Vec<_>>());
    let _operator = stage.start(&[]).await;
    stage.apply("h", json!({"source": format!("git::{}//sub@dir?ref=main", nested.url())})).await;
    stage.ready("h", "True", "4 releases").await;
}
