use std::{
    fs,
    sync::{Arc, Mutex},
};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::{
    clock::Clock,
    cluster::client::Target,
    environment::Environment,
    helmfile::{
        api::{DriftMode, HelmfileStatus, Inventory, get, is_true, names},
        fetch::Fetcher,
    },
    process::Guard,
};

/// An applier without any program, in a folder that has the source `app`.
struct Scene {
    folder: tempfile::TempDir,
    applier: Applier,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("app")).unwrap();
        fs::write(folder.path().join("app/helmfile.yaml"), "releases: []\n").unwrap();
        let guard = Guard::new("/nonexistent");
        let fetcher = Fetcher {
            cache: folder.path().join("cache/sources"),
            guard: guard.clone(),
            env: Environment::new(),
            ssh: None,
            timeout: Duration::from_secs(10),
        };
        let applier = Applier {
            target: Target { kubeconfig: Some(folder.path().join("kubeconfig")), context: None },
            fetcher,
            guard,
            cache: folder.path().join("cache"),
            identity: "test".into(),
            helm_processes: 1,
            env: [("PATH".into(), folder.path().join("bin").into())].into(),
            clock: Clock::Fixed(Timestamp::from_second(100_000).unwrap()),
        };
        Self { folder, applier, lines: Arc::default() }
    }

    fn subject(&self, spec: &Value, status: &HelmfileStatus) -> Subject {
        let object = json!({
            "metadata": {"name": "web", "namespace": "shop", "generation": 1}, "spec": spec, "status": status
        });
        let mut subject = Subject::of(&object, self.folder.path().to_owned());
        if let Ok(spec) = &mut subject.spec {
            spec.drift.mode = DriftMode::Off;
        }
        // As after an earlier pass: nothing of this needs a cluster.
        let own = self.applier.folder(&subject);
        fs::create_dir_all(&own).unwrap();
        fs::write(own.join("key"), [7; 32]).unwrap();
        fs::write(own.join("looked"), self.applier.clock.now().to_string()).unwrap();
        subject
    }

    async fn pass(&self, subject: &Subject) -> Result<Answer, Stopped> {
        let lines = Arc::clone(&self.lines);
        let mut observer = Observer::new(None, move |_, line| lines.lock().unwrap().push(line.to_owned()));
        self.applier.pass(subject, &mut observer, &CancellationToken::new()).await
    }

    /// A status as it is after the delivery of what `spec` asks for now.
    async fn delivered(&self, spec: &Value) -> HelmfileStatus {
        let subject = self.subject(spec, &HelmfileStatus::default());
        let (stop, link) = (CancellationToken::new(), Link::new(&self.applier.target));
        let spec = subject.spec.as_ref().unwrap();
        let delivery = self.applier.prepare(&subject, spec, &link, &stop).await.unwrap();
        let delivered = Delivered {
            changed: Vec::new(),
            inventory: Inventory::default(),
            refresh_reason: None,
            pending_prune: None,
            health: Health::Good,
        };
        let turn = Turn::Delivered(delivery.attempt(), Box::new(delivered));
        let started = Turn::Started(delivery.attempt(), Cause::First);
        let moment = self.applier.moment(&subject);
        status::next(&status::next(&subject.status, &started, moment), &turn, moment)
    }
}

fn ready(answer: &Answer) -> (&str, &str) {
    let ready = get(&answer.status.conditions, READY).unwrap();
    (&ready.reason, &ready.message)
}

#[tokio::test]
async fn nothing_is_started_when_nothing_changed() {
    let scene = Scene::new();
    let status = scene.delivered(&json!({"source": "./app"})).await;
    let answer = scene.pass(&scene.subject(&json!({"source": "./app"}), &status)).await.unwrap();
    assert_eq!((answer.verdict, answer.status_changed), (Verdict::UpToDate, false));
    assert_eq!(answer.reply(), json!({"watches": [], "requeueAfter": "1m"}));
    assert!(scene.lines.lock().unwrap().is_empty());
    // What does not reach helmfile does not count; what does, does.
    let same =
        scene.pass(&scene.subject(&json!({"source": "./app", "interval": "30s"}), &status)).await.unwrap();
    assert_eq!((same.verdict, same.again), (Verdict::UpToDate, Some(Duration::from_secs(30))));
    let other =
        scene.pass(&scene.subject(&json!({"source": "./app", "values": {"a": 1}}), &status)).await.unwrap();
    assert_eq!(other.verdict, Verdict::Failed, "it was tried, but there is no helmfile on PATH");
    fs::write(scene.folder.path().join("app/new.yaml"), "").unwrap();
    let newer = scene.pass(&scene.subject(&json!({"source": "./app"}), &status)).await.unwrap();
    assert_eq!(newer.verdict, Verdict::Failed);
}

#[tokio::test]
async fn a_missing_program_is_said_clearly_and_tried_again() {
    let scene = Scene::new();
    let subject = scene.subject(&json!({"source": "./app"}), &HelmfileStatus::default());
    let answer = scene.pass(&subject).await.unwrap();
    let words = "`helmfile` is not on PATH; the applier needs helmfile and helm there";
    assert_eq!(ready(&answer), ("ProgramNotFound", words));
    assert_eq!((answer.again, answer.status.failures), (Some(Duration::from_secs(5)), 1));
    assert_eq!(answer.events.len(), 1);
    let lines = scene.lines.lock().unwrap();
    assert!(
        lines[0].starts_with("delivering sha256:") && lines[0].ends_with("/app: first delivery"),
        "{lines:?}"
    );
    assert_eq!(lines[1], words);
}

#[tokio::test]
async fn what_can_never_work_is_stalled_and_not_tried_again() {
    let scene = Scene::new();
    for (spec, reason, words) in [
        (
            json!({"source": "./app", "interval": "soon"}),
            "InvalidSpec",
            "the spec cannot be read: `soon` is not a duration",
        ),
        (json!({"source": "gopher::x"}), "URLInvalid", ""),
        (
            json!({"source": "./app", "envvars": {"PATH": "x"}}),
            "EnvironmentVariableRefused",
            "envvars and env may not set `PATH`",
        ),
        (json!({"source": "./app", "file": "../x"}), "InvalidSpec", "`../x` in file leads out of the source"),
        (
            json!({"source": "./app", "valuesFiles": ["/etc/passwd"]}),
            "InvalidSpec",
            "`/etc/passwd` in valuesFiles",
        ),
    ] {
        let answer = scene.pass(&scene.subject(&spec, &HelmfileStatus::default())).await.unwrap();
        assert_eq!(ready(&answer).0, reason, "{spec}");
        assert!(ready(&answer).1.starts_with(words), "{:?}", ready(&answer));
        assert!(is_true(&answer.status.conditions, names::STALLED));
        assert_eq!(answer.again, None);
    }
}

#[tokio::test]
async fn a_source_that_is_away_is_asked_again_less_and_less_often() {
    let scene = Scene::new();
    let delivered = scene.delivered(&json!({"source": "./app"})).await;
    fs::rename(scene.folder.path().join("app"), scene.folder.path().join("away")).unwrap();
    let first = scene.pass(&scene.subject(&json!({"source": "./app"}), &delivered)).await.unwrap();
    assert_eq!((ready(&first).0, first.again), ("PathNotFound", Some(Duration::from_secs(5))));
    let second = scene.pass(&scene.subject(&json!({"source": "./app"}), &first.status)).await.unwrap();
    assert_eq!(second.again, Some(Duration::from_secs(10)));
    assert_eq!(second.events, []);
    fs::rename(scene.folder.path().join("away"), scene.folder.path().join("app")).unwrap();
    let back = scene.pass(&scene.subject(&json!({"source": "./app"}), &second.status)).await.unwrap();
    assert_eq!((back.verdict, ready(&back).0), (Verdict::UpToDate, "ReconciliationSucceeded"));
    assert_eq!(back.status.failures, 0);
}

#[tokio::test]
async fn a_suspended_object_is_left_alone() {
    let scene = Scene::new();
    let status = scene.delivered(&json!({"source": "./app"})).await;
    fs::remove_dir_all(scene.folder.path().join("app")).unwrap();
    let asleep =
        scene.pass(&scene.subject(&json!({"source": "./app", "suspend": true}), &status)).await.unwrap();
    assert_eq!((asleep.verdict, asleep.again), (Verdict::Suspended, None));
    assert!(is_true(&asleep.status.conditions, READY));
    let changed = json!({"source": "./app", "suspend": true, "environment": "prod"});
    let changed = scene.pass(&scene.subject(&changed, &asleep.status)).await.unwrap();
    assert!(!is_true(&changed.status.conditions, READY));
}

#[tokio::test]
async fn a_stopped_pass_says_nothing() {
    let scene = Scene::new();
    let subject = scene.subject(&json!({"source": "./app"}), &HelmfileStatus::default());
    let stop = CancellationToken::new();
    stop.cancel();
    let mut observer = Observer::new(None, |_, _| {});
    assert_eq!(scene.applier.pass(&subject, &mut observer, &stop).await, Err(Stopped));
}

#[tokio::test]
async fn an_object_with_releases_to_destroy_and_a_spec_that_is_none_stays_and_says_why() {
    let scene = Scene::new();
    let deleted = |spec: &Value, annotations: Value| Subject {
        deleting: true,
        annotations: serde_json::from_value(annotations).unwrap(),
        ..scene.subject(spec, &HelmfileStatus::default())
    };
    let spec = json!({"source": "./app", "interval": "soon", "deletionPolicy": "Destroy"});
    let answer = scene.pass(&deleted(&spec, json!({}))).await.unwrap();
    let words = "the spec cannot be read: `soon` is not a duration; write for example `1m30s`; the object stays until this \
                 succeeds, or is annotated apps.mumoshu.github.io/give-up-destroy=true";
    assert_eq!(ready(&answer), ("DestroyFailed", words));
    assert!(is_true(&answer.status.conditions, names::STALLED));
    assert_eq!(answer.again, Some(Duration::from_secs(5)), "without a next time the object would go");
    let given_up = scene.pass(&deleted(&spec, json!({annotation::GIVE_UP: "true"}))).await.unwrap();
    assert_eq!((given_up.again, given_up.events.len()), (None, 1));
    let orphan = json!({"source": "./app", "interval": "soon"});
    let orphan = scene.pass(&deleted(&orphan, json!({}))).await.unwrap();
    assert_eq!((orphan.again, orphan.status_changed), (None, false));
}

#[tokio::test]
async fn a_forced_run_is_only_had_by_a_run() {
    let scene = Scene::new();
    let status = scene.delivered(&json!({"source": "./app"})).await;
    let wishing = |status: &HelmfileStatus| {
        let annotations = [annotation::REQUESTED_AT, annotation::FORCE_AT, annotation::RESET_AT];
        let annotations = annotations.map(|name| (name.to_owned(), "1".to_owned())).into();
        Subject { annotations, ..scene.subject(&json!({"source": "./app"}), status) }
    };
    fs::rename(scene.folder.path().join("app"), scene.folder.path().join("away")).unwrap();
    let away = scene.pass(&wishing(&status)).await.unwrap();
    assert_eq!(ready(&away).0, "PathNotFound");
    let answer = |status: &HelmfileStatus| {
        [&status.last_handled_reconcile_at, &status.last_handled_reset_at, &status.last_handled_force_at]
            .map(Option::is_some)
    };
    assert_eq!(answer(&away.status), [true, true, false]);
    fs::rename(scene.folder.path().join("away"), scene.folder.path().join("app")).unwrap();
    let back = scene.pass(&wishing(&away.status)).await.unwrap();
    assert_eq!(ready(&back).0, "ProgramNotFound", "it was tried");
    assert_eq!(answer(&back.status), [true; 3]);
}

#[tokio::test]
async fn what_is_delivered_stays_ready_when_a_refresh_has_to_wait_for_another() {
    let scene = Scene::new();
    let spec = json!({"source": "./app", "wait": false, "dependsOn": [{"name": "db"}]});
    let mut status = scene.delivered(&spec).await;
    status.refresh_reason = Some("values from `ref+vault`".into());
    status.last_full_render = None;
    let refresh = scene.pass(&scene.subject(&spec, &status)).await.unwrap();
    assert_eq!((refresh.verdict, ready(&refresh).0), (Verdict::BackingOff, "ReconciliationSucceeded"));
    assert_eq!(refresh.again, Some(depends::AGAIN));
    assert!(!scene.lines.lock().unwrap().is_empty(), "it is said why nothing runs");
    // What is not delivered is not.
    let first = scene.pass(&scene.subject(&spec, &HelmfileStatus::default())).await.unwrap();
    assert_eq!((first.verdict, ready(&first).0), (Verdict::BackingOff, "DependencyNotReady"));
}

#[tokio::test]
async fn health_that_nobody_could_ask_for_is_not_known() {
    let scene = Scene::new();
    let subject = scene.subject(&json!({"source": "./app"}), &HelmfileStatus::default());
    let (stop, link) = (CancellationToken::new(), Link::new(&scene.applier.target));
    let spec = subject.spec.as_ref().unwrap();
    let delivery = scene.applier.prepare(&subject, spec, &link, &stop).await.unwrap();
    let mut observer = Observer::new(None, |_, _| {});
    match scene.applier.health(&delivery, &Whole::default(), &mut observer).await {
        Health::Waiting(sentence, _) => {
            assert!(sentence.starts_with("how the objects are is not known: "), "{sentence}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_was_downloaded_for_an_object_goes_with_it() {
    let scene = Scene::new();
    let subject =
        |spec: Value| Subject { deleting: true, ..scene.subject(&spec, &HelmfileStatus::default()) };
    let held = subject(json!({"interval": "soon", "deletionPolicy": "Destroy"}));
    scene.pass(&held).await.unwrap();
    assert!(scene.applier.folder(&held).exists(), "it is not over yet");
    let orphan = subject(json!({"source": "./app"}));
    scene.pass(&orphan).await.unwrap();
    assert!(!scene.applier.folder(&orphan).exists());
}
