//! How long many objects take to settle after a start, what that costs, and what is left to do afterwards: nothing.

use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _};
use helmfile_operator::object::Gvk;
use kube::{
    Api, Client,
    api::{DynamicObject, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams},
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    calls::{Caller, Requests},
    hook,
    report::Report,
    support::{
        control_plane::ControlPlane,
        operator::Operator,
        scene::{Scene, config_map, hello},
    },
    usage::{self, Cpu},
};

/// How long anything here may take. It ends a benchmark that hangs, and a watch lasts longer.
const DEADLINE: Duration = Duration::from_mins(4);
/// Objects that the operator handles at once: the default, said here since the floor works as wide.
const CONCURRENCY: usize = 4;
/// How long the steady state is looked at.
const STEADY: Duration = Duration::from_mins(1);
/// Objects that are made at once before anything is measured.
const MAKERS: usize = 16;

/// Parents that exist before the operator starts; each gets a `ConfigMap` and a status.
pub(crate) async fn settle(plane: &ControlPlane, report: &mut Report, objects: usize) {
    let caller = Caller::new(plane, "settle").await;
    // The API server works for a while on a new kind; that must not be part of any figure.
    floor(plane, &caller, objects / 10).await;
    let before = floor(plane, &caller, objects).await;
    let run = template(plane, &caller, report, objects).await;
    let after = floor(plane, &caller, objects).await;
    let floors = [before, after];
    report.percentile(format!("settle_{objects}_floor_s"), "s", 0, &floors);
    report.value(format!("settle_{objects}_template_ratio_to_floor"), "times", run / before.min(after));
    exec(plane, &caller, report, objects).await;
}

/// What no operator can beat: a bare client with the same identity that creates the same children and patches the same
/// statuses, as many at once as the operator. Returns the time in seconds; the machine may be busier at one time than at
/// another, so it is measured before and after the operator, and the lesser one counts.
async fn floor(plane: &ControlPlane, caller: &Caller, objects: usize) -> f64 {
    let scene = Scene::new(plane, "floor").await;
    let parents = make_parents(&scene, &caller.client, objects).await;
    let children = api(&caller.client, &scene, &config_map());
    let statuses = api(&caller.client, &scene, &hello());
    let observer = Observer::start(&scene, &caller.client, objects).await;
    let before = Requests::until_now(plane).await;
    let start = Instant::now();
    futures::stream::iter(parents)
        .for_each_concurrent(CONCURRENCY, async |(name, uid)| {
            let owner = json!({"apiVersion": "test.example.com/v1", "kind": "Hello", "name": name, "uid": uid,
                               "controller": true, "blockOwnerDeletion": true});
            let child = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"text": TEXT},
                               "metadata": {"name": name, "ownerReferences": [owner]}});
            children.create(&PostParams::default(), &serde_json::from_value(child).unwrap()).await.unwrap();
            let status = Patch::Merge(json!({"status": {"text": TEXT}}));
            statuses.patch_status(&name, &PatchParams::default(), &status).await.unwrap();
        })
        .await;
    let took = observer.settled().await.duration_since(start).as_secs_f64();
    let requests = Requests::until_now(plane).await.since(&before, &RESOURCES);
    println!("floor: {took:.2} s; {requests}");
    took
}

/// By a template. Returns the time in seconds.
async fn template(plane: &ControlPlane, caller: &Caller, report: &mut Report, objects: usize) -> f64 {
    let scene = Scene::new(plane, "template").await;
    make_parents(&scene, &caller.client, objects).await;
    let entry = format!(
        "{ENTRY}\n  concurrency: {CONCURRENCY}\n  reconciler:\n    template:\n      inline: |{TEMPLATE}"
    );
    let run = run(&scene, caller, &entry, objects).await;
    println!("template: {:.2} s; {} calls of the operator; {}", run.took, run.calls, run.requests);
    let count = f64::from(u32::try_from(objects).unwrap());
    let pid = run.operator.pid().await;
    report.value(format!("settle_{objects}_template_s"), "s", run.took);
    report.value(format!("settle_{objects}_peak_mib"), "MiB", usage::peak_mib(pid));
    report.value(format!("settle_{objects}_writes_per_object"), "writes", run.requests.writes() / count);
    report.value(format!("settle_{objects}_cpu_s"), "s", run.cpu.own);
    steady(plane, caller, report, pid).await;
    let mut operator = run.operator;
    operator.stop().await;
    run.took
}

/// By a program that needs no interpreter: this one.
async fn exec(plane: &ControlPlane, caller: &Caller, report: &mut Report, objects: usize) {
    let scene = Scene::new(plane, "exec").await;
    make_parents(&scene, &caller.client, objects).await;
    let program = std::env::current_exe().unwrap();
    let entry = format!(
        "{ENTRY}\n  concurrency: {CONCURRENCY}\n  reconciler:\n    exec: {{command: {}, args: [{}]}}\n",
        program.display(),
        hook::ARGUMENT
    );
    let run = run(&scene, caller, &entry, objects).await;
    println!(
        "exec: {:.2} s, CPU {:.2} s and {:.2} s in programs; {}",
        run.took, run.cpu.own, run.cpu.children, run.requests
    );
    report.value(format!("settle_{objects}_exec_s"), "s", run.took);
    let mut operator = run.operator;
    operator.stop().await;
}

/// An operator that has settled.
struct Settled {
    operator: Operator,
    /// From its start until the last `ConfigMap` and status were there, in seconds.
    took: f64,
    /// Until then.
    cpu: Cpu,
    /// All finished ones about parents, children and Events, whoever made them, until the operator came to rest.
    requests: Requests,
    /// All that the operator made, about whatever.
    calls: f64,
}

async fn run(scene: &Scene<'_>, caller: &Caller, entry: &str, objects: usize) -> Settled {
    let observer = Observer::start(scene, &caller.client, objects).await;
    let (before, calls) = (Requests::until_now(scene.plane).await, caller.calls(scene.plane).await);
    let start = Instant::now();
    let operator = scene.start_as(entry, &caller.kubeconfig);
    let took = observer.settled().await.duration_since(start).as_secs_f64();
    let pid = operator.pid().await;
    let cpu = Cpu::until_now(pid);
    // What it would still write is counted too.
    usage::at_rest(pid).await;
    let requests = Requests::until_now(scene.plane).await.since(&before, &RESOURCES);
    let calls = caller.calls(scene.plane).await - calls;
    Settled { operator, took, cpu, requests, calls }
}

/// A minute in which nothing happens. Every call of the operator is counted, watches that it opens anew included.
async fn steady(plane: &ControlPlane, caller: &Caller, report: &mut Report, pid: i32) {
    let (calls, cpu, start) = (caller.calls(plane).await, Cpu::until_now(pid), Instant::now());
    assert!(calls > 0.0, "the operator's calls are not counted");
    tokio::time::sleep(STEADY).await;
    let used = Cpu::until_now(pid).own - cpu.own;
    let seconds = start.elapsed().as_secs_f64();
    let calls = caller.calls(plane).await - calls;
    report.value("steady_calls_per_minute", "calls", calls * 60.0 / seconds);
    report.value("steady_cpu_percent", "%", used * 100.0 / seconds);
}

const RESOURCES: [&str; 3] = ["hellos", "configmaps", "events"];
const TEXT: &str = "a text of some length, as a setting may have one";
const ENTRY: &str = "
- group: test.example.com
  version: v1
  kind: Hello
  dependents: [{version: v1, kind: ConfigMap}]";
const TEMPLATE: &str = "
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: {{object.metadata.name}} }
        data: {text: {{quote object.spec.text}} }
        ---
        status: {text: {{quote object.spec.text}} }
";

fn api(client: &Client, scene: &Scene<'_>, gvk: &Gvk) -> Api<DynamicObject> {
    let resource = kube::core::ApiResource::from_gvk(&kube::core::GroupVersionKind::gvk(
        &gvk.group,
        &gvk.version,
        &gvk.kind,
    ));
    Api::namespaced_with(client.clone(), &scene.namespace, &resource)
}

/// Makes the parents; returns names and UIDs.
async fn make_parents(scene: &Scene<'_>, client: &Client, objects: usize) -> Vec<(String, String)> {
    scene.register_hello().await;
    let parents = api(client, scene, &hello());
    futures::stream::iter(0..objects)
        .map(|number| {
            let parents = parents.clone();
            async move {
                let manifest = json!({"apiVersion": "test.example.com/v1", "kind": "Hello",
                                      "metadata": {"name": format!("h-{number}")}, "spec": {"text": TEXT}});
                let made = parents
                    .create(&PostParams::default(), &serde_json::from_value(manifest).unwrap())
                    .await
                    .unwrap();
                (made.metadata.name.unwrap(), made.metadata.uid.unwrap())
            }
        })
        .buffer_unordered(MAKERS)
        .collect()
        .await
}

/// Two watches that see when everything is there. They cost the API server little: what it sends them is what it has
/// encoded for the operator already.
struct Observer(JoinSet<Instant>);

impl Observer {
    async fn start(scene: &Scene<'_>, client: &Client, objects: usize) -> Self {
        let mut tasks = JoinSet::new();
        for (gvk, done) in [(config_map(), "/data/text"), (hello(), "/status/text")] {
            let api = api(client, scene, &gvk);
            let version =
                api.list(&ListParams::default().limit(1)).await.unwrap().metadata.resource_version.unwrap();
            tasks.spawn(async move { until_all(api, &version, done, objects).await });
        }
        Self(tasks)
    }

    /// When the last object was there.
    async fn settled(self) -> Instant {
        let all = tokio::time::timeout(DEADLINE, self.0.join_all()).await;
        all.unwrap_or_else(|_| panic!("the objects have not settled within {DEADLINE:?}"))
            .into_iter()
            .max()
            .unwrap()
    }
}

/// Returns when `objects` different objects have the text at `done`.
async fn until_all(api: Api<DynamicObject>, version: &str, done: &str, objects: usize) -> Instant {
    let params = WatchParams::default().timeout(u32::try_from(DEADLINE.as_secs()).unwrap() + 30);
    let mut events = api.watch(&params, version).await.unwrap().boxed();
    let mut seen = std::collections::HashSet::new();
    while seen.len() < objects {
        let event = events.try_next().await.unwrap().expect("a watch lasts longer than the deadline");
        if let WatchEvent::Added(object) | WatchEvent::Modified(object) = event
            && object.data.pointer(done).and_then(Value::as_str) == Some(TEXT)
        {
            seen.extend(object.metadata.name);
        }
    }
    Instant::now()
}
