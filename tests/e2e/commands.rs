//! What people type at a terminal: `get`, `reconcile`, `suspend`, `resume`. The operator's part is played by the test, which
//! writes the status as an applier does: so each moment of a delivery can be looked at.

use std::time::Duration;

use helmfile_operator::{
    cluster::crd,
    helmfile::api,
    process::{Command, Finished, Status},
};
use kube::api::{ListParams, Patch, PatchParams};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::{
    control_plane::{ControlPlane, shared},
    helmfiles::{Deliveries, ONE_RELEASE, helmfile},
    processes,
    scene::{SOON, Scene},
    server::Server,
    tools::{Tools, executable, guard},
    wait::wait_until,
};

/// A namespace with Helmfiles that no operator works on.
struct Desk<'a>(Scene<'a>);

impl<'a> Desk<'a> {
    async fn new(name: &str) -> Desk<'a> {
        let plane = shared().await;
        let client = plane.client().await;
        crd::register(&client, &api::crd(), env!("CARGO_PKG_VERSION")).await.unwrap();
        let desk = Desk(Scene::new(plane, name).await);
        // A kind that was just registered is not served everywhere at once.
        wait_until("Helmfiles to be served", SOON, async || {
            let api = desk.0.api(&helmfile()).await;
            api.list(&ListParams::default()).await.map_err(|error| error.to_string())
        })
        .await;
        desk
    }

    async fn make(&self, name: &str, spec: Value) {
        let manifest = json!({"apiVersion": "apps.mumoshu.github.io/v1alpha1", "kind": "Helmfile",
                              "metadata": {"name": name}, "spec": spec});
        self.0.apply(manifest).await;
    }

    /// Our program in a person's shell, with the arguments and the namespace.
    fn command(&self, line: &str) -> Command {
        let command = typed(self.0.plane, self.0.folder(), line);
        command.args(["-n", &self.0.namespace])
    }

    /// Runs it to its end.
    async fn run(&self, line: &str) -> Finished {
        finished(&self.command(line)).await
    }

    /// Writes the status as the applier does: Ready with a status and a message, maybe more.
    async fn status(&self, name: &str, ready: &str, message: &str, more: Value) {
        let condition = |kind: &str, status: &str| {
            json!({"type": kind, "status": status, "reason": "Told", "message": message,
                   "lastTransitionTime": "2026-01-02T03:04:05Z"})
        };
        let generation = self.0.get(&helmfile(), name).await["metadata"]["generation"].clone();
        let mut conditions = vec![condition("Ready", ready)];
        if ready == "Unknown" {
            conditions.push(condition("Reconciling", "True"));
        }
        let mut status = json!({"observedGeneration": generation, "conditions": conditions});
        status.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let patch = Patch::Merge(json!({ "status": status }));
        self.0.api(&helmfile()).await.patch_status(name, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Waits for a request, and returns its value.
    async fn requested(&self, name: &str) -> String {
        let object = self
            .0
            .until(&helmfile(), name, "a request", |object| object.pointer(REQUESTED_AT).is_some())
            .await;
        object.pointer(REQUESTED_AT).unwrap().as_str().unwrap().to_owned()
    }
}

const REQUESTED_AT: &str = "/metadata/annotations/reconcile.fluxcd.io~1requestedAt";

fn typed(plane: &ControlPlane, folder: &std::path::Path, line: &str) -> Command {
    Command::new(executable().unwrap(), folder)
        .args(line.split(' '))
        .envs(plane.tools().environment(folder))
        .envs([("KUBECONFIG", plane.kubeconfig())])
}

async fn finished(command: &Command) -> Finished {
    let command = Command { timeout: Some(SOON), ..command.clone() };
    command.run(&guard(), &CancellationToken::new(), &mut |_| {}).await.unwrap()
}

fn stdout(finished: &Finished) -> String {
    String::from_utf8(finished.stdout.clone()).unwrap()
}

/// What it printed on stdout, when all was well and it had nothing to say on the side.
fn told(finished: &Finished) -> String {
    assert_eq!((finished.status, finished.stderr.as_str()), (Status::Exited(0), ""));
    stdout(finished)
}

/// What it said when it failed.
fn refused(finished: &Finished) -> &str {
    assert_eq!(finished.status, Status::Exited(1), "{}", stdout(finished));
    finished.stderr.trim_end()
}

#[tokio::test]
async fn get_shows_helmfiles_and_what_is_wrong_with_one() {
    let desk = Desk::new("get").await;
    let namespace = &desk.0.namespace;
    let nothing = desk.run("get").await;
    assert_eq!(nothing.stderr, format!("No Helmfiles found in namespace {namespace}"));
    assert_eq!((nothing.status, nothing.stdout.len()), (Status::Exited(0), 0));

    desk.make("web", json!({})).await;
    desk.make("db", json!({"suspend": true})).await;
    let delivered = json!({
        "lastAppliedRevision": "main@sha1:5e0c2a7d91b4e8d0c19f1b6c0f4a5d2e3b7a8c90",
        "inventory": {"count": 1, "objects": 1, "releases": [{"namespace": "apps", "name": "web", "chart": "web-1.2.3", "revision": 4, "status": "deployed"}]},
    });
    desk.status("web", "True", "applied main@sha1:5e0c2a7d91b4: 1 release", delivered).await;
    let table = told(&desk.run("get").await);
    let words = |line: usize| table.lines().nth(line).unwrap().split_whitespace().collect::<Vec<_>>();
    assert_eq!(words(0), ["NAME", "READY", "STATUS", "REVISION", "RELEASES", "AGE"]);
    assert!(
        table.lines().nth(1).unwrap().starts_with("db     Unknown   no operator has taken it up yet"),
        "{table}"
    );
    let web = words(2);
    assert_eq!(
        (web[1], web[web.len() - 3], web[web.len() - 2]),
        ("True", "main@sha1:5e0c2a7d91b4", "1"),
        "{table}"
    );

    let one = told(&desk.run("get web").await);
    assert!(one.ends_with("\n\nNAMESPACE   NAME   CHART       REVISION   STATUS\napps        web    web-1.2.3   4          deployed\n"), "{one}");
    desk.status("web", "False", "the chart is not there", json!({"inventory": null})).await;
    let one = told(&desk.run("get web").await);
    assert!(one.contains("\nReady       False    Told     the chart is not there\n"), "{one}");

    let object: Value = serde_json::from_str(&told(&desk.run("get web -o json").await)).unwrap();
    assert_eq!((&object["kind"], &object["metadata"]["name"]), (&json!("Helmfile"), &json!("web")));
    assert!(told(&desk.run("get -o yaml").await).contains("kind: List\n"));
    assert_eq!(
        told(&desk.run("get -o name").await),
        "helmfiles.apps.mumoshu.github.io/db\nhelmfiles.apps.mumoshu.github.io/web\n"
    );
    assert!(told(&desk.run("get -o wide").await).contains("SUSPENDED"));
    let all = told(&finished(&typed(desk.0.plane, desk.0.folder(), "get -A")).await);
    assert!(all.starts_with("NAMESPACE") && all.contains(&format!("\n{namespace} ")), "{all}");
    assert_eq!(
        refused(&desk.run("get wbe").await),
        format!("error: there is no Helmfile {namespace}/wbe; did you mean `web`?")
    );
}

#[tokio::test]
async fn a_kind_that_is_not_there_is_named_with_what_to_do() {
    let plane = ControlPlane::start(Tools::find().await.unwrap()).await.unwrap();
    for line in ["get", "get web", "reconcile web", "suspend --all"] {
        let finished = finished(&typed(&plane, plane.dir(), line)).await;
        let message = refused(&finished);
        assert!(
            message.contains("is the CustomResourceDefinition `helmfiles.apps.mumoshu.github.io` installed?"),
            "{message}"
        );
        assert!(message.contains("generate crd | kubectl apply"), "{message}");
    }
}

#[tokio::test]
async fn reconcile_asks_and_waits_for_the_answer_to_its_own_question() {
    let desk = Desk::new("reconcile").await;
    let title = format!("Helmfile {}/web", desk.0.namespace);
    desk.make("web", json!({})).await;
    desk.status("web", "True", "applied one", json!({"lastHandledReconcileAt": "before"})).await;
    let operator = async {
        let value = desk.requested("web").await;
        desk.status("web", "Unknown", "delivering two", json!({})).await;
        desk.status("web", "Unknown", "waiting for health", json!({})).await;
        desk.status("web", "True", "applied two", json!({"lastHandledReconcileAt": value})).await;
    };
    let (finished, ()) = tokio::join!(desk.run("reconcile web --force --reset"), operator);
    assert_eq!(
        (stdout(&finished), finished.status),
        (format!("{title} is ready: applied two\n"), Status::Exited(0)),
        "{}",
        finished.stderr
    );
    // How many of the moments in between are seen is a matter of speed; the first one is always there.
    let lines: Vec<&str> = finished.stderr.lines().collect();
    let first = format!("{title}: waiting for the operator; so far: applied one");
    assert!(
        lines.contains(&first.as_str()) && lines.iter().all(|line| line.starts_with(&title)),
        "{lines:?}"
    );
    assert!(!lines.iter().any(|line| line.ends_with("applied two")), "that is the result: {lines:?}");

    let object = desk.0.api(&helmfile()).await.get("web").await.unwrap();
    let annotations = object.metadata.annotations.unwrap();
    let value = &annotations["reconcile.fluxcd.io/requestedAt"];
    assert_eq!(
        (&annotations["reconcile.fluxcd.io/forceAt"], &annotations["reconcile.fluxcd.io/resetAt"]),
        (value, value)
    );
    let managers: Vec<String> =
        object.metadata.managed_fields.unwrap().into_iter().filter_map(|entry| entry.manager).collect();
    assert!(managers.contains(&"helmfile-operator-cli".to_owned()), "{managers:?}");
}

#[tokio::test]
async fn reconcile_fails_with_what_the_object_says() {
    let desk = Desk::new("unready").await;
    let title = format!("Helmfile {}/web", desk.0.namespace);
    desk.make("web", json!({})).await;
    let operator = async {
        let value = desk.requested("web").await;
        desk.status("web", "False", "the chart is not there", json!({"lastHandledReconcileAt": value})).await;
    };
    let (finished, ()) = tokio::join!(desk.run("reconcile web -o json"), operator);
    let last = refused(&finished).lines().last().unwrap();
    assert_eq!(last, format!("error: {title} is not ready: the chart is not there"));
    let object: Value = serde_json::from_slice(&finished.stdout).unwrap();
    assert_eq!(object["status"]["conditions"][0]["message"], "the chart is not there");

    let unasked = desk.run("reconcile web --no-wait").await;
    assert_eq!(told(&unasked), format!("{title}: requested\n"));
    let late = desk.run("reconcile web --timeout 1s").await;
    let message = refused(&late).lines().last().unwrap();
    assert!(
        message.contains("was not done in time") && message.contains("so far: the chart is not there"),
        "{message}"
    );
    assert!(refused(&desk.run("reconcile wbe").await).ends_with("did you mean `web`?"));
}

#[tokio::test]
async fn nobody_has_to_wait_to_the_end() {
    let desk = Desk::new("interrupt").await;
    desk.make("web", json!({})).await;
    let log = desk.0.folder().join("log");
    let mut server = Server::start("reconcile", &desk.command("reconcile web"), log).unwrap();
    wait_until("the wait", SOON, async || {
        let log = server.log.text();
        if log.contains("waiting for the operator") { Ok(()) } else { Err(log) }
    })
    .await;
    let parent = i32::try_from(server.running.guard_pid().unwrap()).unwrap();
    let pid = processes::children(parent)[0];
    kill_process(Pid::from_raw(pid).unwrap(), Signal::INT).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(10), server.running.wait()).await.unwrap().unwrap();
    assert_eq!(ended, Status::Signaled(2), "a shell reads 130");
    assert!(server.log.text().trim_end().ends_with("the operator goes on"), "{}", server.log.text());
}

#[tokio::test]
async fn suspend_and_resume_change_the_spec_and_say_when_there_is_nothing_to_do() {
    let desk = Desk::new("suspend").await;
    let title = |name: &str| format!("Helmfile {}/{name}", desk.0.namespace);
    assert_eq!(
        desk.run("suspend --all").await.stderr,
        format!("No Helmfiles found in namespace {}", desk.0.namespace)
    );
    desk.make("web", json!({})).await;
    desk.make("db", json!({})).await;
    let suspended = async |name: &str| desk.0.get(&helmfile(), name).await["spec"]["suspend"] == true;

    assert!(refused(&desk.run("suspend web dv").await).ends_with("did you mean `db`?"));
    assert!(!suspended("web").await, "nothing is half done");
    assert_eq!(told(&desk.run("suspend web").await), format!("{} is suspended now\n", title("web")));
    assert_eq!(
        told(&desk.run("suspend --all").await),
        format!("{} is suspended now\n{} is suspended already\n", title("db"), title("web"))
    );
    assert!(suspended("web").await && suspended("db").await);
    let refusal = desk.run("reconcile web").await;
    assert!(
        refused(&refusal).contains("is suspended; `helmfile-operator resume web -n"),
        "{}",
        refusal.stderr
    );

    desk.status("web", "True", "suspended", json!({})).await;
    let operator = async {
        desk.0.until(&helmfile(), "web", "resumed", |object| object["spec"]["suspend"] != true).await;
        desk.status("web", "True", "applied", json!({})).await;
    };
    let (finished, ()) = tokio::join!(desk.run("resume web"), operator);
    assert_eq!(
        (stdout(&finished), finished.status),
        (format!("{} is ready: applied\n", title("web")), Status::Exited(0)),
        "{}",
        finished.stderr
    );
    assert_eq!(told(&desk.run("resume web").await), format!("{} is not suspended\n", title("web")));
    let list = told(&desk.run("resume --all --no-wait -o json").await);
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    assert!(!suspended("db").await);
}

#[tokio::test]
async fn one_that_is_late_says_nothing_of_the_others() {
    let desk = Desk::new("late").await;
    for name in ["web", "db"] {
        desk.make(name, json!({"suspend": true})).await;
    }
    let operator = async {
        desk.0.until(&helmfile(), "db", "resumed", |object| object["spec"]["suspend"] != true).await;
        desk.status("db", "True", "applied", json!({})).await;
    };
    let (finished, ()) = tokio::join!(desk.run("resume web db --timeout 5s -o json"), operator);
    let last = refused(&finished).lines().last().unwrap();
    let namespace = &desk.0.namespace;
    assert!(last.starts_with(&format!("error: Helmfile {namespace}/web was not done in time")), "{last}");
    assert!(!last.contains(&format!("{namespace}/db")), "{last}");
    let objects: Value = serde_json::from_slice(&finished.stdout).unwrap();
    assert_eq!(objects["items"].as_array().unwrap().len(), 2, "{objects:#}");
    assert_eq!(objects["items"][1]["status"]["conditions"][0]["message"], "applied");
}

#[tokio::test]
async fn all_who_could_not_be_asked_are_named() {
    let desk = Desk::new("unasked").await;
    desk.make("web", json!({})).await;
    let labels = json!({"app.kubernetes.io/name": "helmfile-applier", "app.kubernetes.io/instance": "web"});
    let spec = json!({"containers": [{"name": "a", "image": "a"}]});
    desk.0.apply(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "labels": labels}, "spec": spec})).await;
    for line in ["explain helmfile web", "logs web"] {
        let command = format!("{line} --operator-namespace {}", desk.0.namespace);
        let finished = desk.run(&command).await;
        let message = refused(&finished);
        assert!(
            message.contains("no pod of the applier in") && message.contains("web is Pending"),
            "{message}"
        );
        assert!(message.contains("found no pod of the operator"), "{message}");
    }
}

#[tokio::test]
async fn logs_show_what_helmfile_printed() {
    let stage = Deliveries::new(shared().await, "logs", &ONE_RELEASE).await;
    let mut operator = stage.start(&[]).await;
    stage.apply("h", json!({"source": stage.source("")})).await;
    stage.ready("h", "True", "1 release").await;
    let admin = operator.admin().await;
    let run = async |line: &str| {
        let command = typed(stage.scene.plane, stage.scene.folder(), line);
        finished(&command.args(["--admin", &admin, "-n", &stage.scene.namespace])).await
    };
    // The status is there a moment before the run is over and remembered.
    let log = wait_until("the log of the pass", SOON, async || {
        let log = stdout(&run("logs h").await);
        if log.is_empty() { Err(log) } else { Ok(log) }
    })
    .await;
    assert!(log.starts_with("# ") && log.contains("Upgrading release=one"), "{log}");
    let passes: Value = serde_json::from_slice(&run("logs h --last 5 -o json").await.stdout).unwrap();
    assert_eq!(passes.as_array().unwrap().len(), 1, "{passes:#}");
    assert_eq!(
        refused(&run("logs absent").await),
        format!("error: the operator knows no Helmfile {}/absent", stage.scene.namespace)
    );
}
