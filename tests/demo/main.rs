//! `make demo`: a real control plane, a Git repository with a helmfile, a `Helmfile` object, and a commit delivered.
//!
//! Pooled mode: the operator itself runs helmfile, since there is no node for applier pods. `DEMO_KEEP=1` keeps it all up
//! until Ctrl-C and says how to look around.
#![expect(clippy::unwrap_used, reason = "a demo that fails should say where")]
#![expect(clippy::print_stdout, reason = "it is there to be read")]
#![expect(clippy::disallowed_methods, reason = "it is a program of its own: DEMO_KEEP is its option")]

#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../support/mod.rs"]
mod support;

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use helmfile_operator::object::Gvk;
use serde_json::{Value, json};
use support::{
    control_plane::ControlPlane,
    git::{Repository, fixture},
    operator::Operator,
    scene::{Scene, find},
    tools::Tools,
    wait::wait_until,
};

#[tokio::main]
async fn main() {
    let clock = Instant::now();
    let say = |text: &str| println!("{:>6.1}s  {text}", clock.elapsed().as_secs_f64());
    println!("helmfile-operator: a helmfile in Git becomes running releases\n");

    say("starting etcd, kube-apiserver and kube-controller-manager on this machine");
    let plane = ControlPlane::start(Tools::find().await.unwrap()).await.unwrap();
    let scene = Scene::new(&plane, "team").await;
    say(&format!("control plane ready at {}", plane.url()));

    let mut operator = Operator::start(&plane, &["run", "-f", "builtin:applier"], &[]);
    operator.wait_for_log("watching").await;
    say("operator running: it has registered the CRD and watches for Helmfiles");

    let repository = Repository::empty();
    let files = fixture("helmfiles/four");
    let first = repository
        .commit(&files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect::<Vec<_>>());
    say(&format!("Git repository with a helmfile, commit {}", short(&first)));

    let source = format!("git::{}@helmfile.yaml.gotmpl?ref=main", repository.url());
    scene
        .apply(json!({"apiVersion": "apps.mumoshu.github.io/v1alpha1", "kind": "Helmfile", "metadata": {"name": "demo"},
                      "spec": {"source": source, "interval": "1s"}}))
        .await;
    say(&format!("created a Helmfile that points at it: {source}"));
    let mut said = BTreeSet::new();
    follow(&scene, &first, &mut said, &say).await;
    show(&plane, &scene, "get helmfiles,configmaps,deployments").await;

    let second = repository.commit(&[("manifests/config.yaml", CHANGED)]);
    say(&format!("committed a change, {}", short(&second)));
    follow(&scene, &second, &mut said, &say).await;
    show(&plane, &scene, "get helmfiles").await;
    show(&plane, &scene, "get configmap manifests -o jsonpath={.data}").await;

    if std::env::var_os("DEMO_KEEP").is_some() {
        println!("\nLook around in another terminal; Ctrl-C here ends it all:\n");
        println!(
            "  export KUBECONFIG={} PATH={}:$PATH",
            plane.kubeconfig().display(),
            plane.tools().bin().display()
        );
        println!("  kubectl -n {} describe helmfile demo", scene.namespace);
        println!("  helm -n {} list", scene.namespace);
        println!("  git -C {} log", repository.path().display());
        tokio::signal::ctrl_c().await.unwrap();
    }
    operator.stop().await;
    drop(scene);
    plane.stop().await;
    say("everything is stopped and removed");
    println!("\ntotal: {:.1} s", clock.elapsed().as_secs_f64());
}

const CHANGED: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: manifests\ndata:\n  kind: changed by a commit\n";

fn short(commit: &str) -> String {
    commit.chars().take(7).collect()
}

/// Prints each new thing that the Helmfile says, until the commit is applied.
async fn follow(scene: &Scene<'_>, commit: &str, said: &mut BTreeSet<String>, say: &impl Fn(&str)) {
    let helmfile = Gvk::new("apps.mumoshu.github.io", "v1alpha1", "Helmfile");
    wait_until("the commit to be applied", Duration::from_mins(2), async || {
        let object = scene.get(&helmfile, "demo").await;
        let ready = find(&object, "Ready");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let line = format!("Ready={} {}", text(&ready["status"]), text(&ready["message"]));
        if ready.is_object() && said.insert(line.clone()) {
            say(&format!("  {line}"));
        }
        let applied = text(&object["status"]["lastAppliedRevision"]);
        if applied.ends_with(commit) && ready["status"] == "True" { Ok(()) } else { Err(line) }
    })
    .await;
}

async fn show(plane: &ControlPlane, scene: &Scene<'_>, command: &str) {
    let mut args: Vec<&str> = command.split(' ').collect();
    args.extend(["-n", &scene.namespace]);
    println!("\n$ kubectl {command}\n{}\n", plane.kubectl(&args).await.trim_end());
}
