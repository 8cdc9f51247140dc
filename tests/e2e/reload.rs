//! A config, a hook or a template that changes is taken over while the operator runs, and by nothing more than that.

use std::{fs, os::unix::fs::symlink};

use helmfile_operator::object::Gvk;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    control_plane::shared,
    http::get,
    operator::Operator,
    scene::{HELLO_CRD, SOON, Scene, config_map, hello},
    wait::wait_until,
};

/// Two entries for one kind, each with a hook that notes whom it ran for.
fn two(b: &str) -> String {
    format!(
        "
- {{name: a, group: test.example.com, version: v1, kind: Hello, reconciler: {{exec: {{command: ./a.sh}}}}}}
- {{name: b, group: test.example.com, version: v1, kind: Hello, {b}reconciler: {{exec: {{command: ./b.sh}}}}}}
"
    )
}

fn noting(file: &str) -> String {
    format!("echo \"$OBJECT_NAME\" >> {file}")
}

/// Waits until a metric of the operator has this value, written as in the text.
async fn until_metric(operator: &mut Operator, line: &str) {
    let admin = operator.admin().await;
    wait_until(line, SOON, async || {
        let (_, text) = get(&admin, "/metrics").await;
        let is_it = text.lines().any(|found| found == line);
        if is_it { Ok(()) } else { Err(text) }
    })
    .await;
}

#[tokio::test]
async fn only_an_entry_that_differs_starts_again() {
    let scene = Scene::new(shared().await, "reload").await;
    scene.hook("a.sh", &noting("a-runs"));
    scene.hook("b.sh", &noting("b-runs"));
    let mut operator = scene.start(&two(""));
    scene.hello("h", json!({})).await;
    scene.until_file("a-runs", 1).await;
    scene.until_file("b-runs", 1).await;
    for (runs, change) in [(2, "values: {x: 1}, "), (3, "values: {x: 2}, "), (4, "concurrency: 2, ")] {
        scene.configure(&two(change));
        scene.until_file("b-runs", runs).await;
    }
    // The order and the words of a file are no difference; what comes next shows that it was read.
    let log = operator.log().matches("comes to its end").count();
    assert_eq!(log, 3, "each change has ended one controller");
    scene.configure(&format!("# words\n{}", two("concurrency: 2, ")));
    scene.hook("b.sh", &noting("b-again"));
    scene.until_file("b-again", 1).await;
    scene.hello("last", json!({})).await;
    scene.until_file("a-runs", 2).await;
    scene.until_file("b-again", 2).await;
    assert_eq!(scene.read("a-runs"), "h\nlast\n", "nothing has changed for it");
    assert_eq!((scene.lines("b-runs"), scene.lines("b-again")), (4, 2));
    assert!(operator.stop().await.success());
}

#[tokio::test]
async fn values_templates_and_hooks_are_taken_over_as_their_files_change() {
    let scene = Scene::new(shared().await, "reload-files").await;
    let template = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: t}\ndata: {text: 'one {{values.x}}'}\n";
    let entries = |x: &str| {
        format!(
            "
- name: template
  group: test.example.com
  version: v1
  kind: Hello
  values: {{x: {x}}}
  dependents: [{{version: v1, kind: ConfigMap}}]
  reconciler: {{template: {{file: t.hbs}}}}
- {{name: hook, group: test.example.com, version: v1, kind: Hello, reconciler: {{exec: {{command: ./hook.sh}}}}}}
"
        )
    };
    scene.write("t.hbs", template, 0o644);
    scene.hook("hook.sh", "echo 'status: {by: one}'");
    let _operator = scene.start(&entries("a"));
    scene.hello("h", json!({})).await;
    let says = async |text: &str| {
        scene.until(&config_map(), "t", text, |object| object["data"]["text"] == text).await;
    };
    says("one a").await;
    scene.configure(&entries("b"));
    says("one b").await;
    scene.write("t.hbs", &template.replace("one", "two"), 0o644);
    says("two b").await;
    scene.until(&hello(), "h", "the first hook", |object| object["status"]["by"] == "one").await;
    scene.hook("hook.sh", "echo 'status: {by: two}'");
    scene.until(&hello(), "h", "the second hook", |object| object["status"]["by"] == "two").await;
    // In place, as some editors write.
    fs::write(scene.folder().join("t.hbs"), template.replace("one", "three")).unwrap();
    says("three b").await;
}

#[tokio::test]
async fn a_config_map_that_is_mounted_is_read_again_when_the_kubelet_swaps_it() {
    let scene = Scene::new(shared().await, "reload-mounted").await;
    let mount = scene.folder().join("mounted");
    let publish = |version: &str| {
        let data = mount.join(format!("..{version}"));
        fs::create_dir_all(&data).unwrap();
        let entry =
            "- {group: test.example.com, version: v1, kind: Hello, reconciler: {template: {file: t.hbs}}}";
        fs::write(data.join("config.yaml"), format!("crds: [crd.yaml]\nresources:\n{entry}\n")).unwrap();
        fs::write(data.join("crd.yaml"), HELLO_CRD).unwrap();
        fs::write(data.join("t.hbs"), format!("status: {{version: '{version}'}}")).unwrap();
        symlink(format!("..{version}"), mount.join("..data_tmp")).unwrap();
        fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    };
    publish("1");
    for file in ["config.yaml", "crd.yaml", "t.hbs"] {
        symlink(format!("..data/{file}"), mount.join(file)).unwrap();
    }
    let config = mount.join("config.yaml");
    let args = ["run", "-f", config.to_str().unwrap(), "-n", &scene.namespace];
    let _operator = Operator::start(scene.plane, &args, &[]);
    scene.hello("h", json!({})).await;
    for version in ["1", "2", "3"] {
        if version != "1" {
            publish(version);
            // The kubelet removes the old one right after.
            let before = version.parse::<u32>().unwrap() - 1;
            fs::remove_dir_all(mount.join(format!("..{before}"))).unwrap();
        }
        scene.until(&hello(), "h", version, |object| object["status"]["version"] == version).await;
    }
}

#[tokio::test]
async fn a_hangup_reads_the_config_again_and_starts_nothing_that_has_not_changed() {
    let scene = Scene::new(shared().await, "reload-hangup").await;
    scene.hook("a.sh", &noting("a-runs"));
    scene.hook("b.sh", &noting("b-runs"));
    let mut operator = scene.start(&two(""));
    scene.hello("h", json!({})).await;
    scene.until_file("a-runs", 1).await;
    scene.until_file("b-runs", 1).await;
    // Once because what is watched may have changed before it was.
    until_metric(&mut operator, "helmfile_operator_config_reloads_total{result=\"ok\"} 1").await;
    operator.signal(Signal::HUP).await;
    operator.wait_for_log("as SIGHUP asks").await;
    until_metric(&mut operator, "helmfile_operator_config_reloads_total{result=\"ok\"} 2").await;
    scene.hello("last", json!({})).await;
    scene.until_file("a-runs", 2).await;
    scene.until_file("b-runs", 2).await;
    assert_eq!(
        (scene.read("a-runs"), scene.read("b-runs")),
        ("h\nlast\n".to_owned(), "h\nlast\n".to_owned())
    );
}

#[tokio::test]
async fn a_config_that_is_garbage_is_told_of_everywhere_while_the_last_good_one_goes_on() {
    let scene = Scene::new(shared().await, "reload-garbage").await;
    scene.hook("a.sh", &noting("a-runs"));
    scene.hook("b.sh", &noting("b-runs"));
    let config = scene.configure(&two(""));
    let args = ["run", "-f", config.to_str().unwrap(), "-n", &scene.namespace];
    let env = [("POD_NAME", "operator-0"), ("POD_NAMESPACE", scene.namespace.as_str())];
    let mut operator = Operator::start(scene.plane, &args, &env);
    scene.hello("h", json!({})).await;
    scene.until_file("a-runs", 1).await;
    let admin = operator.admin().await;
    let ready = async |check: &(dyn Fn(&str) -> bool + Sync)| {
        wait_until("readiness", SOON, async || {
            let (status, text) = get(&admin, "/readyz?verbose").await;
            assert_eq!(status, 200, "it goes on: {text}");
            if check(&text) { Ok(text) } else { Err(text) }
        })
        .await
    };
    let noted = |text: &str| text.contains("[!] config: ");
    for (number, (garbage, problem)) in
        [("- {group: test.example.com, version: v1, knd: Hello}\n", "`knd`"), ("{{{ not yaml", "config.yaml")]
            .into_iter()
            .enumerate()
    {
        scene.configure(garbage);
        let refused = format!("helmfile_operator_config_reloads_total{{result=\"refused\"}} {}", number + 1);
        until_metric(&mut operator, &refused).await;
        let text = ready(&noted).await;
        assert!(text.contains("the last good one goes on"), "{text}");
        operator.wait_for_log("the new config is not used, the last good one goes on").await;
        let told = wait_until("an Event", SOON, async || {
            let events = scene.events("operator-0").await;
            let found = events.iter().find(|event| event.to_string().contains(problem)).cloned();
            found.ok_or_else(|| format!("{events:?}"))
        })
        .await;
        assert_eq!((&told["reason"], &told["type"]), (&json!("ConfigRefused"), &json!("Warning")), "{told}");
        assert_eq!(told["regarding"]["kind"], "Pod");
        scene.hello(&format!("meanwhile-{number}"), json!({})).await;
        scene.until_file("a-runs", 2 + number).await;
    }
    scene.hook("a.sh", &noting("a-again"));
    scene.configure(&two(""));
    scene.until_file("a-again", 3).await;
    ready(&|text| !noted(text)).await;
}

#[tokio::test]
async fn a_run_that_has_begun_finishes_when_its_entry_or_its_hook_is_replaced() {
    let scene = Scene::new(shared().await, "reload-in-flight").await;
    let waits = |name: &str| {
        format!(
            r#"cat > /dev/null; touch {name}-began-$OBJECT_NAME; while [ ! -e {name}-go ]; do sleep 0.05; done
echo "dependents: {{configmap.v1: [{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}-$OBJECT_NAME}}}}]}}""#
        )
    };
    let entry = |values: &str| {
        format!(
            "
- group: test.example.com
  version: v1
  kind: Hello
  values: {values}
  dependents: [{{version: v1, kind: ConfigMap}}]
  reconciler: {{exec: {{command: ./hook.sh}}}}
"
        )
    };
    scene.hook("hook.sh", &waits("first"));
    let mut operator = scene.start(&entry("{x: 1}"));
    scene.hello("h", json!({})).await;
    wait_until("the first run", SOON, async || {
        if scene.folder().join("first-began-h").exists() { Ok(()) } else { Err(operator.log()) }
    })
    .await;
    // The hook is replaced while it runs: its object has to wait for that, and no other.
    scene.hook("hook.sh", &waits("second"));
    operator.wait_for_log("comes to its end").await;
    scene.hello("other", json!({})).await;
    wait_until("the run of another object", SOON, async || {
        if scene.folder().join("second-began-other").exists() { Ok(()) } else { Err(operator.log()) }
    })
    .await;
    assert!(!scene.folder().join("second-began-h").exists(), "one run of an object at a time");
    scene.write("first-go", "", 0o644);
    scene.until(&config_map(), "first-h", "the effect of the run that had begun", Value::is_object).await;
    wait_until("the second run", SOON, async || {
        if scene.folder().join("second-began-h").exists() { Ok(()) } else { Err(operator.log()) }
    })
    .await;
    // And its values.
    scene.hook("quick.sh", r#"sed 's/.*"values":{"x":\([0-9]*\)}.*/status: {x: \1}/'"#);
    scene.configure(&entry("{x: 2}").replace("./hook.sh", "./quick.sh"));
    wait_until("the second reload", SOON, async || {
        let log = operator.log();
        if log.matches("comes to its end").count() == 2 { Ok(()) } else { Err(log) }
    })
    .await;
    scene.write("second-go", "", 0o644);
    scene.until(&config_map(), "second-h", "the effect of the run that had begun", Value::is_object).await;
    scene.until(&hello(), "h", "the new values", |object| object["status"]["x"] == 2).await;
    assert!(operator.stop().await.success());
}

#[tokio::test]
async fn a_signal_ends_a_reload_that_waits_for_a_run() {
    let scene = Scene::new(shared().await, "reload-signal").await;
    scene.hook("a.sh", "touch began; while [ ! -e go ]; do sleep 0.05; done; echo 'status: {ok: true}'");
    scene.hook("b.sh", &noting("b-runs"));
    let mut operator = scene.start(&two(""));
    scene.hello("h", json!({})).await;
    wait_until("the run", SOON, async || {
        if scene.folder().join("began").exists() { Ok(()) } else { Err(operator.log()) }
    })
    .await;
    scene.hook("a.sh", "echo 'status: {ok: false}'");
    operator.wait_for_log("comes to its end").await;
    operator.signal(Signal::TERM).await;
    scene.write("go", "", 0o644);
    assert!(operator.ended().await.success());
    scene.until(&hello(), "h", "the effect of the run", |object| object["status"]["ok"] == true).await;
}

#[tokio::test]
async fn an_entry_comes_with_its_own_kind_and_goes_again() {
    let scene = Scene::new(shared().await, "reload-added").await;
    let late = Gvk::new("test.example.com", "v1", "Latecomer");
    scene.hook("a.sh", &noting("a-runs"));
    scene.hook("b.sh", &noting("b-runs"));
    scene.hook("late.sh", "echo \"$OBJECT_NAME\" >> late-runs; echo 'status: {ok: true}'");
    scene.write("late.yaml", &HELLO_CRD.replace("hello", "latecomer").replace("Hello", "Latecomer"), 0o644);
    let mut operator = scene.start(&two(""));
    scene.hello("h", json!({})).await;
    scene.until_file("a-runs", 1).await;
    let more = "- {group: test.example.com, version: v1, kind: Latecomer, reconciler: {exec: {command: ./late.sh}}}\n";
    let config = format!("crds: [crd.yaml, late.yaml]\nresources:{}{more}", two(""));
    scene.write("config.yaml", &config, 0o644);
    let crds = Gvk::new("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let is_established = |crd: &Value| crd.to_string().contains("\"Established\"");
    scene.until_in_cluster(&crds, "latecomers.test.example.com", "established", is_established).await;
    let make = async |name: &str| {
        let manifest =
            json!({"apiVersion": "test.example.com/v1", "kind": "Latecomer", "metadata": {"name": name}});
        scene.apply(manifest).await;
    };
    make("l").await;
    scene.until(&late, "l", "handled", |object| object["status"]["ok"] == true).await;
    scene.configure(&two(""));
    operator.wait_for_log("comes to its end").await;
    make("nobody").await;
    scene.hello("last", json!({})).await;
    scene.until_file("a-runs", 2).await;
    scene.until_file("b-runs", 2).await;
    assert_eq!((scene.read("a-runs"), scene.read("late-runs")), ("h\nlast\n".to_owned(), "l\n".to_owned()));
    assert!(operator.stop().await.success());
}
