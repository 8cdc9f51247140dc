//! The applier: what a pass costs when nothing has changed.

use std::{
    fs,
    time::{Duration, Instant},
};

use helmfile_operator::{
    object::Gvk,
    process::{Command, resolve},
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    calls::Caller,
    report::Report,
    support::{
        control_plane::ControlPlane,
        git::{Repository, fixture},
        operator::Operator,
        scene::{Scene, find},
        tools::{executable, guard},
    },
};

const PASSES: usize = 30;
const COUNTED: [&str; 4] = ["helm", "helmfile", "kustomize", "git"];

/// One pass for a Helmfile with four releases of the four kinds that is up to date.
pub(crate) async fn no_change(plane: &ControlPlane, report: &mut Report) {
    let scene = Scene::new(plane, "nochange").await;
    let repository = Repository::empty();
    let files = fixture("helmfiles/four");
    repository.commit(&files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect::<Vec<_>>());
    let cache = scene.folder().join("cache");
    let env = [("HELMFILE_OPERATOR_CACHE_DIR", cache.to_str().unwrap())];
    let mut operator =
        Operator::start(plane, &["run", "-f", "builtin:applier", "-n", &scene.namespace], &env);
    operator.wait_for_log("watching").await;
    let source = format!("git::{}@helmfile.yaml.gotmpl?ref=main", repository.url());
    let manifest = json!({"apiVersion": "apps.mumoshu.github.io/v1alpha1", "kind": "Helmfile",
                          "metadata": {"name": "four"}, "spec": {"source": source, "refreshInterval": "24h"}});
    scene.apply(manifest).await;
    let helmfile = Gvk::new("apps.mumoshu.github.io", "v1alpha1", "Helmfile");
    let is_settled = |object: &serde_json::Value| {
        find(object, "Ready")["status"] == "True" && find(object, "Drifted")["status"] == "False"
    };
    let object = scene.until(&helmfile, "four", "delivered, and looked at", is_settled).await;
    operator.stop().await;

    // Every start of one of these programs leaves a line.
    let (counts, shims) = (scene.folder().join("counts"), scene.folder().join("shims"));
    fs::create_dir(&shims).unwrap();
    let mut env = plane.tools().environment(&scene.folder().join("home"));
    let path = env.get(std::ffi::OsStr::new("PATH")).cloned().unwrap();
    for program in COUNTED {
        let real = resolve(program, Some(&path), scene.folder()).unwrap();
        let line = format!("echo {program} >> {}; exec {} \"$@\"", counts.display(), real.display());
        fs::rename(scene.hook(program, &line), shims.join(program)).unwrap();
    }
    let mut shimmed = shims.into_os_string();
    shimmed.push(":");
    shimmed.push(&path);
    env.insert("PATH".into(), shimmed);

    let caller = Caller::new(plane, "noop").await;
    let command = Command {
        input: serde_json::to_vec(&json!({ "object": object })).unwrap(),
        timeout: Some(Duration::from_mins(1)),
        ..Command::new(executable().unwrap(), scene.folder()).args(["apply"])
    };
    let command = command.envs(env).envs([
        ("KUBECONFIG", caller.kubeconfig.as_os_str()),
        ("HELMFILE_OPERATOR_CACHE_DIR", cache.as_os_str()),
    ]);
    let before = caller.calls(plane).await;
    let mut samples = Vec::new();
    for _ in 0..PASSES {
        let start = Instant::now();
        let finished = command.run(&guard(), &CancellationToken::new(), &mut |_| {}).await.unwrap();
        assert!(finished.status.success(), "{}", finished.stderr);
        samples.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    let calls = (caller.calls(plane).await - before) / f64::from(u32::try_from(PASSES).unwrap());
    report.percentile("applier_noop_api_calls", "calls", 50, &[calls]);
    let started = fs::read_to_string(&counts).unwrap();
    let of = |program: &str| started.lines().filter(|line| *line == program).count();
    let per_pass =
        |count: usize| f64::from(u32::try_from(count).unwrap()) / f64::from(u32::try_from(PASSES).unwrap());
    report.percentile("applier_noop_ms", "ms", 50, &samples);
    let of_helm = of("helm") + of("helmfile") + of("kustomize");
    report.percentile("applier_noop_helm_processes", "processes", 50, &[per_pass(of_helm)]);
    report.percentile("applier_noop_git_processes", "processes", 50, &[per_pass(of("git"))]);
}
