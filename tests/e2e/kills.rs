//! Operators that are killed in the middle of a delivery (RULES 24): the next one converges, applies nothing twice in vain,
//! and touches no release that somebody else's helm is working at.

use std::{fs, time::Duration};

use helmfile_operator::process::Command;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{
    control_plane::shared,
    helmfiles::{Deliveries, ONE_RELEASE, helmfile},
    operator::Operator,
    processes,
    scene::{SOON, find},
    server::Server,
    shims::Shims,
    wait::wait_until,
};

/// A job that never ends: there is no node.
const ENDLESS: (&str, &str) = (
    "chart/templates/job.yaml",
    "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: {{ .Release.Name }}\n  annotations: {helm.sh/hook: \"pre-install,pre-upgrade\"}\n\
     spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: example.com/a}]}}}\n",
);

/// Kills the operator, and waits until nothing of the delivery runs any more.
async fn kill(stage: &Deliveries<'_>, operator: &mut Operator) {
    operator.kill().await;
    let cache = stage.cache().display().to_string();
    wait_until("the end of all programs of the delivery", SOON, async || {
        let left = processes::naming(&cache);
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
}

/// Kills the operator and all its programs at once, as when the machine stops: nobody is left who could tell helm to end.
async fn kill_at_once(operator: &mut Operator) {
    let all = processes::below(operator.pid().await);
    for signal in [Signal::STOP, Signal::KILL] {
        for pid in all.iter().rev() {
            // One that has just ended is fine.
            let _ended = kill_process(Pid::from_raw(*pid).unwrap(), signal);
        }
    }
    operator.ended().await;
}

/// Waits until the commit is applied, and then for the record: the release is ours, and no run is under way.
async fn converged(stage: &Deliveries<'_>, commit: &str, releases: &[&str]) {
    stage.applied("h", commit).await;
    let record = stage.record("h").await;
    let owned: Vec<&str> =
        record["releases"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(owned, releases, "{record}");
    let adopted = record["releases"].as_array().unwrap().iter().any(|one| one["adopted"] == true);
    assert!(!adopted && record["run"].is_null(), "{record}");
    let inventory = stage.scene.get(&helmfile(), "h").await["status"]["inventory"]["releases"].clone();
    let is_deployed = |one: &Value| one["status"] == "deployed";
    assert!(inventory.as_array().unwrap().iter().all(is_deployed), "{inventory}");
}

/// Lets a program that waits for the file `go` be begun, and says in `at` that it has.
fn gate(stage: &Deliveries<'_>) -> String {
    let folder = stage.scene.folder().display();
    format!("echo $$ >> {folder}/at; while [ ! -e {folder}/go ]; do sleep 0.05; done")
}

#[tokio::test]
async fn killed_before_the_first_upgrade() {
    let stage = Deliveries::new(shared().await, "killed-before", &ONE_RELEASE).await;
    let hook = json!([{"events": ["presync"], "command": "sh", "args": ["-c", gate(&stage)]}]);
    let file = format!("releases: {}\n", json!([{"name": "one", "chart": "./chart", "hooks": hook}]));
    let commit = stage.repository.commit(&[("helmfile.yaml", &file)]);
    let mut operator = stage.start(&[]).await;
    stage.apply("h", json!({"source": stage.source("")})).await;
    stage.scene.until_file("at", 1).await;
    kill(&stage, &mut operator).await;
    assert_eq!(stage.revisions().await, Vec::<String>::new());
    stage.scene.write("go", "", 0o644);
    let _operator = stage.start(&[]).await;
    converged(&stage, &commit, &["one"]).await;
    assert_eq!(stage.revisions().await, ["one.v1 deployed"]);
}

#[tokio::test]
async fn killed_during_an_upgrade() {
    let stage = Deliveries::new(shared().await, "killed-during", &ONE_RELEASE).await;
    stage.repository.commit(&[ENDLESS]);
    let shims = Shims::new(&stage.scene);
    // The job is not waited for as long as this file is there.
    let go = stage.scene.folder().join("go");
    shims.add(
        &stage.scene,
        "helm",
        &format!(
            "[ \"$1\" = upgrade ] && [ -e {} ] && set -- \"$@\" --no-hooks\nexec REAL \"$@\"",
            go.display()
        ),
    );
    let mut operator = stage.start(&[("PATH", &shims.path())]).await;
    stage.apply("h", json!({"source": stage.source(""), "interval": "1s"})).await;
    stage.until_revision("one.v1 pending-install").await;
    kill_at_once(&mut operator).await;
    assert_eq!(stage.revisions().await, ["one.v1 pending-install"]);
    let record = stage.record("h").await;
    assert_eq!(
        record["run"]["releases"][0]["name"], "one",
        "it was in the record before helm began: {record}"
    );

    fs::write(&go, "").unwrap();
    let commit = stage.repository.head();
    let mut operator = stage.start(&[("PATH", &shims.path())]).await;
    converged(&stage, &commit, &["one"]).await;
    // Helm supersedes what has failed.
    assert_eq!(stage.revisions().await, ["one.v1 superseded", "one.v2 deployed"]);

    // The same for a release that is there.
    fs::remove_file(&go).unwrap();
    let file = "releases:\n- {name: one, chart: ./chart, values: [{a: two}]}\n";
    let commit = stage.repository.commit(&[("helmfile.yaml", file)]);
    stage.until_revision("one.v3 pending-upgrade").await;
    kill_at_once(&mut operator).await;
    fs::write(&go, "").unwrap();
    let _operator = stage.start(&[("PATH", &shims.path())]).await;
    converged(&stage, &commit, &["one"]).await;
    let revisions = stage.revisions().await;
    assert_eq!(revisions, ["one.v1 superseded", "one.v2 superseded", "one.v3 failed", "one.v4 deployed"]);
}

#[tokio::test]
async fn killed_after_helmfile_has_ended_and_before_the_status() {
    let stage = Deliveries::new(shared().await, "killed-after", &ONE_RELEASE).await;
    let commit = stage.repository.head();
    let shims = Shims::new(&stage.scene);
    shims.add(&stage.scene, "helmfile", &format!("REAL \"$@\"\ncode=$?\n{}\nexit $code", gate(&stage)));
    let mut operator = stage.start(&[("PATH", &shims.path())]).await;
    stage.apply("h", json!({"source": stage.source("")})).await;
    stage.scene.until_file("at", 1).await;
    kill(&stage, &mut operator).await;
    assert_eq!(stage.revisions().await, ["one.v1 deployed"]);
    stage.ready("h", "Unknown", "first delivery").await;

    stage.scene.write("go", "", 0o644);
    let _operator = stage.start(&[("PATH", &shims.path())]).await;
    converged(&stage, &commit, &["one"]).await;
    assert_eq!(stage.revisions().await, ["one.v1 deployed"], "nothing is applied twice in vain");
}

/// A helm of somebody else that is killed while it installs the release `one`.
async fn foreign(stage: &Deliveries<'_>) {
    let chart = stage.scene.folder().join("theirs");
    fs::create_dir_all(chart.join("templates")).unwrap();
    for (path, text) in [ONE_RELEASE[1], ENDLESS] {
        fs::write(chart.join(path.strip_prefix("chart/").unwrap()), text).unwrap();
    }
    let plane = stage.scene.plane;
    let namespace = stage.scene.namespace.as_str();
    let command = Command::new(plane.tools().path("helm"), stage.scene.folder())
        .args(["upgrade", "--install", "one", chart.to_str().unwrap(), "-n", namespace])
        .envs(plane.tools().environment(&stage.scene.folder().join("home")))
        .envs([("KUBECONFIG", plane.kubeconfig())]);
    let _helm = Server::start("helm", &command, stage.scene.folder().join("theirs.log")).unwrap();
    stage.until_revision("one.v1 pending-install").await;
    // The helm itself, not the guard that names it, too.
    let chart = chart.display().to_string();
    for pid in processes::naming(&chart) {
        let is_helm = fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "helm");
        if is_helm {
            kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
        }
    }
    processes::wait_until_gone("their helm", &processes::naming(&chart), SOON).await;
}

#[tokio::test]
async fn a_release_that_somebody_else_holds_is_left_alone_until_an_annotation_unlocks_it() {
    let stage = Deliveries::new(shared().await, "foreign", &ONE_RELEASE).await;
    let namespace = stage.scene.namespace.clone();
    foreign(&stage).await;
    let secrets = helmfile_operator::object::Gvk::new("", "v1", "Secret");
    let before = stage.scene.get(&secrets, "sh.helm.release.v1.one.v1").await;
    let _operator = stage.start(&[]).await;
    stage
        .apply("h", json!({"source": stage.source(""), "interval": "1s", "retry": {"maxDelay": "1s"}}))
        .await;
    let object = stage.ready("h", "False", "one").await;
    let ready = find(&object, "Ready");
    assert_eq!(ready["reason"], "ReleaseLocked", "{ready}");
    let message = ready["message"].as_str().unwrap();
    let unlock = format!("apps.mumoshu.github.io/unlock-releases={namespace}/one");
    assert!(message.contains("revision 1") && message.contains(&unlock), "{message}");
    // Tried again, and still nobody touches it.
    stage
        .scene
        .until(&helmfile(), "h", "a second failure", |object| {
            object["status"]["failures"].as_i64().is_some_and(|failures| failures >= 2)
        })
        .await;
    assert_eq!(stage.scene.get(&secrets, "sh.helm.release.v1.one.v1").await, before);

    let annotations = json!({"apps.mumoshu.github.io/unlock-releases": format!("{namespace}/one")});
    stage.scene.patch(&helmfile(), "h", json!({"metadata": {"annotations": annotations}})).await;
    stage.ready("h", "True", "1 release").await;
    assert_eq!(stage.revisions().await, ["one.v1 superseded", "one.v2 deployed"]);
}

#[tokio::test]
async fn what_somebody_else_locks_after_a_run_of_ours_has_failed_is_not_taken_for_ours() {
    let stage = Deliveries::new(shared().await, "failed-then-foreign", &ONE_RELEASE).await;
    let shims = Shims::new(&stage.scene);
    // It takes the release on the record, and then hangs before helm has written anything.
    shims.add(&stage.scene, "helm", "[ \"$1\" = upgrade ] && exec sleep 1000\nexec REAL \"$@\"");
    let _operator = stage.start(&[("PATH", &shims.path())]).await;
    let spec = |suspend: bool| json!({"source": stage.source(""), "interval": "1h", "timeout": "3s", "suspend": suspend});
    stage.apply("h", spec(false)).await;
    stage.ready("h", "False", "took longer than the timeout of 3s").await;
    stage.apply("h", spec(true)).await;
    stage.ready("h", "False", "suspended").await;
    let record = stage.record("h").await;
    assert!(record["run"].is_null(), "a run that has ended is under way no more: {record}");
    foreign(&stage).await;
    stage.apply("h", spec(false)).await;
    let object = stage.ready("h", "False", "is being installed by somebody else").await;
    assert_eq!(find(&object, "Ready")["reason"], "ReleaseLocked");
    assert_eq!(stage.revisions().await, ["one.v1 pending-install"]);
}

#[tokio::test]
async fn what_somebody_else_locks_long_after_a_run_of_ours_was_killed_is_not_taken_for_ours() {
    let stage = Deliveries::new(shared().await, "killed-then-foreign", &ONE_RELEASE).await;
    let shims = Shims::new(&stage.scene);
    shims.add(
        &stage.scene,
        "helm",
        &format!("[ \"$1\" = upgrade ] && {{ {}; }}\nexec REAL \"$@\"", gate(&stage)),
    );
    let mut operator = stage.start(&[("PATH", &shims.path())]).await;
    stage.apply("h", json!({"source": stage.source(""), "interval": "1h"})).await;
    stage.scene.until_file("at", 1).await;
    kill(&stage, &mut operator).await;
    let record = stage.record("h").await;
    assert_eq!(
        record["run"]["releases"][0]["name"], "one",
        "it is on the record as of a run of ours: {record}"
    );
    foreign(&stage).await;
    // As if it were a minute later: helm notes when it locks.
    let later = begun(&record) + 60;
    let namespace = stage.scene.namespace.as_str();
    let label = format!("modifiedAt={later}");
    let args = ["label", "secret", "-n", namespace, "sh.helm.release.v1.one.v1", "--overwrite", &label];
    stage.scene.plane.kubectl(&args).await;

    stage.scene.write("go", "", 0o644);
    let _operator = stage.start(&[("PATH", &shims.path())]).await;
    let object = stage.ready("h", "False", "is being installed by somebody else").await;
    assert_eq!(find(&object, "Ready")["reason"], "ReleaseLocked");
    assert_eq!(stage.revisions().await, ["one.v1 pending-install"]);
}

#[tokio::test]
async fn what_somebody_else_locks_while_a_run_of_ours_goes_on_is_not_taken_for_ours() {
    let stage = Deliveries::new(shared().await, "foreign-beside", &ONE_RELEASE).await;
    let hook = json!([{"events": ["postsync"], "command": "sh", "args": ["-c", gate(&stage)]}]);
    let releases = json!([
        {"name": "before", "chart": "./chart", "hooks": hook},
        {"name": "one", "chart": "./chart", "needs": ["before"]},
    ]);
    stage.repository.commit(&[("helmfile.yaml", &format!("releases: {releases}\n"))]);
    let _operator = stage.start(&[]).await;
    stage.apply("h", json!({"source": stage.source(""), "interval": "1h"})).await;
    stage.scene.until_file("at", 1).await;
    foreign(&stage).await;
    stage.scene.write("go", "", 0o644);
    let object = stage.ready("h", "False", "is being installed by somebody else").await;
    assert_eq!(find(&object, "Ready")["reason"], "ReleaseLocked");
    assert_eq!(stage.revisions().await, ["before.v1 deployed", "one.v1 pending-install"]);
}

/// When the run that is on the record began, in seconds since 1970.
fn begun(record: &Value) -> i64 {
    record["run"]["since"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second()
}

/// Twenty operators that are killed at random moments. `SOAK_SEED` repeats an earlier run.
#[tokio::test]
#[ignore = "takes minutes; `make soak` runs it"]
async fn soak_killed_at_random_moments() {
    const ROUNDS: u64 = 20;
    let seed = std::env::vars().find(|(name, _)| name == "SOAK_SEED").and_then(|(_, seed)| seed.parse().ok());
    let mut random: u64 = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("SOAK_SEED={random}");
    let stage = Deliveries::new(shared().await, "soak", &ONE_RELEASE).await;
    // Enough objects for an upgrade to take a while.
    stage.repository.commit(&[(
        "chart/templates/many.yaml",
        "{{ range until 20 }}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ $.Release.Name }}-{{ . }}}\n\
         data: {a: {{ $.Values.a | quote }}}\n{{ end }}\n",
    )]);
    let names = ["a", "b", "c", "d"];
    let file = |round: u64| {
        let releases: Vec<Value> = names
            .iter()
            .zip([&[][..], &["a"], &["a"], &["b", "c"]])
            .map(|(name, needs)| json!({"name": name, "chart": "./chart", "needs": needs, "values": [{"a": round.to_string()}]}))
            .collect();
        format!("helmDefaults: {{historyMax: 0}}\nreleases: {}\n", json!(releases))
    };
    let mut interrupted = [0; 4];
    for round in 1..=ROUNDS {
        // xorshift: any generator does.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let delay = Duration::from_millis(500 + random % 4000);
        println!("round {round}: killed after {delay:?}");
        let commit = stage.repository.commit(&[("helmfile.yaml", &file(round))]);
        let mut operator = stage.start(&[]).await;
        stage.apply("h", json!({"source": stage.source(""), "interval": "1s", "wait": false})).await;
        tokio::time::sleep(delay).await;
        if round % 2 == 0 {
            kill(&stage, &mut operator).await;
        } else {
            kill_at_once(&mut operator).await;
        }
        // Helm was killed in the middle of these, or was told to end in time to say so.
        let left = stage.revisions().await;
        let mut operator = stage.start(&[]).await;
        converged(&stage, &commit, &names).await;
        let revisions = stage.revisions().await;
        assert!(!revisions.iter().any(|one| one.contains("pending")), "{revisions:?}");
        for (name, interrupted) in names.iter().zip(&mut interrupted) {
            let of = |all: &[String]| -> Vec<String> {
                all.iter().filter(|one| one.starts_with(&format!("{name}.v"))).cloned().collect()
            };
            let (its, left) = (of(&revisions).len(), of(&left));
            let newest = format!("{name}.v{} ", left.len());
            let newest = left.iter().find(|one| one.starts_with(&newest)).map_or("", String::as_str);
            *interrupted += usize::from(newest.ends_with("failed") || newest.contains("pending"));
            let expected = usize::try_from(round).unwrap() + *interrupted;
            assert_eq!(its, expected, "{name} is upgraded in vain: {revisions:?}");
        }
        kill(&stage, &mut operator).await;
    }
    println!("helm was killed in the middle of {} upgrades", interrupted.iter().sum::<usize>());
}
