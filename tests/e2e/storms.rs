//! Much at once, again and again, and all sorts of ends: nothing is lost, nothing is done twice, nothing runs hot.

use std::{collections::BTreeMap, time::Duration};

use futures::StreamExt as _;
use helmfile_operator::object;
use kube::api::{DynamicObject, ListParams, PostParams};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    control_plane::{ControlPlane, shared},
    http::get,
    operator::Operator,
    scene::{SOON, Scene, config_map, hello},
    tools::Tools,
    wait::wait_until,
};

/// How long hundreds of objects may take on a busy machine.
const LONG: Duration = Duration::from_mins(3);

/// Makes Hellos with these names, many at once.
async fn make_all(scene: &Scene<'_>, names: impl Iterator<Item = String>) {
    let api = scene.api(&hello()).await;
    let make = |name: String| {
        let api = &api;
        async move {
            let object = json!({"apiVersion": "test.example.com/v1", "kind": "Hello", "metadata": {"name": name}, "spec": {}});
            let object: DynamicObject = serde_json::from_value(object).unwrap();
            api.create(&PostParams::default(), &object).await.unwrap();
        }
    };
    futures::stream::iter(names).map(make).buffer_unordered(20).collect::<()>().await;
}

/// The `ConfigMaps` in the namespace that a Hello owns, by its name.
async fn children(scene: &Scene<'_>) -> BTreeMap<String, Vec<Value>> {
    let mut found: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for object in scene.api(&config_map()).await.list(&ListParams::default()).await.unwrap() {
        let object = serde_json::to_value(object).unwrap();
        if let Some(owner) = object["metadata"]["ownerReferences"][0]["name"].as_str() {
            found.entry(owner.to_owned()).or_default().push(object.clone());
        }
    }
    found
}

/// Sum of the operator's runs so far.
async fn runs(admin: &str) -> u64 {
    let (_, text) = get(admin, "/metrics").await;
    let lines = text.lines().filter(|line| line.starts_with("helmfile_operator_runs_total{"));
    lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
}

#[tokio::test]
async fn a_thousand_objects_at_once_are_each_handled_once() {
    const MANY: usize = 1000;
    let scene = Scene::new(shared().await, "thousand").await;
    scene.register_hello().await;
    let mut operator = scene.start(
        "
- group: test.example.com
  version: v1
  kind: Hello
  dependents: [{version: v1, kind: ConfigMap}]
  reconciler:
    template:
      inline: |
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: {{object.metadata.name}} }
        ---
        status: {ok: true}
",
    );
    operator.wait_for_log("watching").await;
    make_all(&scene, (0..MANY).map(|number| format!("h{number}"))).await;
    let api = scene.api(&hello()).await;
    wait_until("all to be handled", LONG, async || {
        let list = api.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
        let done = list.items.iter().filter(|object| object.data["status"]["ok"] == true).count();
        if done == MANY { Ok(()) } else { Err(format!("{done}")) }
    })
    .await;
    assert_eq!(children(&scene).await.len(), MANY);
    // What is made last and is done shows that nothing of the others waits.
    scene.hello("last", json!({})).await;
    scene.until(&hello(), "last", "handled", |object| object["status"]["ok"] == true).await;
    let admin = operator.admin().await;
    let all = u64::try_from(MANY).unwrap() + 1;
    let idle = wait_until("the last run to be counted", SOON, async || {
        let count = runs(&admin).await;
        if count >= all { Ok(count) } else { Err(format!("{count}")) }
    })
    .await;
    assert_eq!(idle, all, "each once, since nobody else has touched them");
}

/// Seconds since 1970 of each line of a file.
fn times(scene: &Scene<'_>, file: &str) -> Vec<f64> {
    scene.read(file).lines().filter_map(|line| line.parse().ok()).collect()
}

#[tokio::test]
async fn two_entries_that_fight_over_a_field_are_slowed_down_and_the_field_is_named() {
    let scene = Scene::new(shared().await, "fight").await;
    for side in ["left", "right"] {
        let edit = format!("date +%s.%N >> {side}-runs; sed 's/\"side\":\"[a-z]*\"/\"side\":\"{side}\"/'");
        scene.hook(&format!("{side}.sh"), &edit);
    }
    let entry = |side: &str| {
        format!(
            "- {{name: {side}, group: test.example.com, version: v1, kind: Hello, reconciler: {{exec: {{command: ./{side}.sh}}}}}}\n"
        )
    };
    let _operator = scene.start(&format!("{}{}", entry("left"), entry("right")));
    scene.hello("h", json!({"side": "none"})).await;
    let told = scene.event("h", "HotLoop").await;
    let note = told["note"].as_str().unwrap();
    let field = format!("spec.side of Hello {}/h does not hold", scene.namespace);
    assert!(note.starts_with(&field) && note.contains("resting for 10s"), "{note}");
    assert_eq!(told["type"], "Warning");
    // It goes on after the pause, and had hardly run in the meantime.
    let pauses = wait_until("a run after the pause", LONG, async || {
        let both = [times(&scene, "left-runs"), times(&scene, "right-runs")];
        let longest = |times: &Vec<f64>| times.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
        let pauses = both.iter().map(longest).fold(0.0, f64::max);
        if pauses >= 9.0 { Ok((pauses, both)) } else { Err(format!("{both:?}")) }
    })
    .await;
    let (pause, both) = pauses;
    assert!(both.iter().map(Vec::len).sum::<usize>() < 60, "{pause}: {both:?}");
}

#[tokio::test]
async fn somebody_who_reverts_a_field_each_time_slows_its_object_and_no_other() {
    let scene = Scene::new(shared().await, "revert").await;
    scene.hook(
        "hook.sh",
        "date +%s.%N >> $OBJECT_NAME-runs
echo \"dependents: {configmap.v1: [{apiVersion: v1, kind: ConfigMap, metadata: {name: $OBJECT_NAME}, data: {text: ours}}]}\"",
    );
    let _operator = scene.start_hello();
    scene.hello("h", json!({})).await;
    let revert = async {
        loop {
            scene.until(&config_map(), "h", "ours", |object| object["data"]["text"] == "ours").await;
            scene.patch(&config_map(), "h", json!({"data": {"text": "theirs"}})).await;
        }
    };
    let told = async {
        let told = scene.event("h", "HotLoop").await;
        let note = told["note"].as_str().unwrap().to_owned();
        assert!(
            note.starts_with(&format!("data.text of ConfigMap {}/h does not hold", scene.namespace)),
            "{note}"
        );
        // Another object is handled as fast as ever, while that one rests.
        let before = times(&scene, "h-runs").len();
        scene.hello("other", json!({})).await;
        scene.until(&config_map(), "other", "made", Value::is_object).await;
        assert_eq!(times(&scene, "h-runs").len(), before, "it rests");
        scene.until_file("h-runs", before + 1).await;
        let all = times(&scene, "h-runs");
        let pause = all[before] - all[before - 1];
        assert!((9.0..30.0).contains(&pause), "{pause}: {all:?}");
    };
    tokio::select! {
        () = revert => {}
        () = told => {}
    }
}

#[tokio::test]
async fn a_handler_that_flips_its_own_field_for_ever_backs_off() {
    let scene = Scene::new(shared().await, "flip").await;
    scene.hook(
        "hook.sh",
        r#"date +%s.%N >> runs
sed 's/"flag":true/"flag":TEMP/; s/"flag":false/"flag":true/; s/"flag":TEMP/"flag":false/; s/}$/,"requeue":true}/'"#,
    );
    let _operator = scene.start_hello();
    scene.hello("h", json!({"flag": true})).await;
    scene.until_file("runs", 5).await;
    let times = times(&scene, "runs");
    let gaps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.windows(2).all(|pair| pair[1] > pair[0] * 1.3) && gaps[0] > 0.7, "{gaps:?}");
    scene.hello("last", json!({"flag": false})).await;
    scene.until(&hello(), "last", "flipped", |object| object["spec"]["flag"] == true).await;
}

/// Makes a `ConfigMap` named after the object, with its `spec.text`.
const COPIES: &str = r#"text=$(sed -n 's/.*"spec":{"text":"\([^"]*\)".*/\1/p'); echo "$OBJECT_NAME $text" >> runs
echo "dependents: {configmap.v1: [{apiVersion: v1, kind: ConfigMap, metadata: {name: $OBJECT_NAME}, data: {text: $text}}]}"
echo "status: {said: $text}""#;

async fn until_text(scene: &Scene<'_>, name: &str, text: &str) -> Value {
    let child = scene.until(&config_map(), name, text, |object| object["data"]["text"] == text).await;
    scene.until(&hello(), name, text, |object| object["status"]["said"] == text).await;
    child
}

#[tokio::test]
async fn what_happened_while_a_watch_was_too_old_to_go_on_is_not_missed() {
    let plane = ControlPlane::start(Tools::find().await.unwrap()).await.unwrap();
    let scene = Scene::new(&plane, "expired").await;
    scene.hook("hook.sh", COPIES);
    let mut operator = scene.start_hello();
    for name in ["changed", "child-gone", "gone", "same"] {
        scene.hello(name, json!({"text": "one"})).await;
        until_text(&scene, name, "one").await;
    }
    // The operator sleeps while much happens, and the API server forgets the past.
    operator.signal(Signal::STOP).await;
    scene.hello("changed", json!({"text": "two"})).await;
    scene.hello("new", json!({"text": "one"})).await;
    scene.delete(&config_map(), "child-gone").await;
    scene.delete(&hello(), "gone").await;
    scene.until(&config_map(), "gone", "gone with its owner", Value::is_null).await;
    plane.stop_api_server().await;
    plane.start_api_server().await.unwrap();
    operator.signal(Signal::CONT).await;
    operator.wait_for_log("too old resource version").await;
    until_text(&scene, "changed", "two").await;
    until_text(&scene, "new", "one").await;
    until_text(&scene, "child-gone", "one").await;
    scene.hello("last", json!({"text": "one"})).await;
    until_text(&scene, "last", "one").await;
    let runs = scene.read("runs");
    assert_eq!(
        runs.lines().filter(|run| *run == "same one").count(),
        1,
        "nothing has happened to it: {runs}"
    );
    scene.until(&config_map(), "gone", "not left behind for an owner that is gone", Value::is_null).await;
    assert!(operator.stop().await.success());
}

#[tokio::test]
async fn work_goes_on_after_an_end_of_etcd() {
    let plane = ControlPlane::start(Tools::find().await.unwrap()).await.unwrap();
    let scene = Scene::new(&plane, "etcd").await;
    scene.hook(
        "hook.sh",
        &format!("touch began-$OBJECT_NAME; while [ $OBJECT_NAME = caught ] && [ ! -e go ]; do sleep 0.05; done\n{COPIES}"),
    );
    let mut operator = scene.start_hello();
    scene.hello("steady", json!({"text": "one"})).await;
    let before = until_text(&scene, "steady", "one").await;
    scene.hello("caught", json!({"text": "one"})).await;
    wait_until("the handler to run", SOON, async || {
        if scene.folder().join("began-caught").exists() { Ok(()) } else { Err(operator.log()) }
    })
    .await;
    plane.stop_etcd().await;
    scene.write("go", "", 0o644);
    // Its reply comes now, and can't be written: the API server does not say no, it does not answer.
    operator.wait_for_log("failed to create ConfigMap").await;
    plane.start_etcd().await.unwrap();
    until_text(&scene, "caught", "one").await;
    scene.hello("steady", json!({"text": "two"})).await;
    let after = until_text(&scene, "steady", "two").await;
    assert_eq!(object::uid(&after), object::uid(&before), "nothing was made anew");
    assert!(operator.stop().await.success());
}

#[tokio::test]
async fn a_run_for_an_object_that_was_replaced_meanwhile_says_nothing_of_the_new_one() {
    let scene = Scene::new(shared().await, "replaced-meanwhile").await;
    scene.hook(
        "hook.sh",
        &format!("input=$(cat); case $input in *'\"text\":\"old\"'*) touch began; while [ ! -e go ]; do sleep 0.05; done; echo 'status: {{said: old}}'; exit;; esac
printf %s \"$input\" | {{ {COPIES}
}}"),
    );
    let _operator = scene.start_hello();
    scene.hello("h", json!({"text": "old"})).await;
    wait_until("the handler to run", SOON, async || {
        if scene.folder().join("began").exists() { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    scene.delete(&hello(), "h").await;
    let new = scene.hello("h", json!({"text": "new"})).await;
    // Somebody who looks at every version of the new one.
    let api = scene.api(&hello()).await;
    let params = kube::api::WatchParams::default().fields("metadata.name=h");
    let version = new["metadata"]["resourceVersion"].as_str().unwrap();
    let mut versions = Box::pin(api.watch(&params, version).await.unwrap());
    scene.write("go", "", 0o644);
    let first = wait_until("the new one's first status", SOON, async || match versions.next().await {
        Some(Ok(kube::core::WatchEvent::Modified(object))) if object.data["status"]["said"].is_string() => {
            Ok(object.data["status"]["said"].clone())
        }
        other => Err(format!("{other:?}")),
    })
    .await;
    assert_eq!(first, "new");
    let child = until_text(&scene, "h", "new").await;
    assert_eq!(child["metadata"]["ownerReferences"][0]["uid"], new["metadata"]["uid"]);
}

#[tokio::test]
async fn a_child_that_came_after_the_handler_was_given_the_others_is_not_deleted() {
    let scene = Scene::new(shared().await, "late-child").await;
    scene.hook(
        "hook.sh",
        r#"cat > given.json; echo "$TRIGGER" >> runs
if [ $(wc -l < runs) = 1 ]; then
  touch began; while [ ! -e go ]; do sleep 0.05; done
  echo '{"dependents": {"configmap.v1": []}, "status": {"step": 1}}'
else
  echo 'status: {step: 2}'
fi"#,
    );
    let _operator = scene.start_hello();
    let parent = scene.hello("h", json!({})).await;
    wait_until("the handler to run", SOON, async || {
        if scene.folder().join("began").exists() { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    let owner = json!([{"apiVersion": "test.example.com/v1", "kind": "Hello", "name": "h", "uid": parent["metadata"]["uid"]}]);
    let child = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "late", "ownerReferences": owner}});
    let made = scene.apply(child).await;
    scene.write("go", "", 0o644);
    // The run that follows is given it: so the operator had it in its cache when the reply of the first came in.
    scene.until(&hello(), "h", "the second run", |object| object["status"]["step"] == 2).await;
    let given: Value = serde_json::from_str(&scene.read("given.json")).unwrap();
    assert_eq!(given["dependents"]["configmap.v1"][0]["metadata"]["name"], "late");
    assert_eq!(object::uid(&scene.get(&config_map(), "late").await), object::uid(&made));
}

#[tokio::test]
async fn an_operator_that_is_killed_in_the_middle_is_followed_by_one_that_does_the_rest_and_nothing_twice() {
    const MANY: usize = 200;
    let scene = Scene::new(shared().await, "killed").await;
    scene.register_hello().await;
    // A child of a random name, unless there is one.
    scene.hook(
        "hook.sh",
        r#"input=$(cat); echo "$OBJECT_NAME" >> runs
case $input in *'"configmap.v1":[]'*) echo "dependents: {configmap.v1: [{apiVersion: v1, kind: ConfigMap, metadata: {name: $OBJECT_NAME-$$}}]}";; esac
echo 'status: {ok: true}'"#,
    );
    let entry = "
- group: test.example.com
  version: v1
  kind: Hello
  dependents: [{version: v1, kind: ConfigMap}]
  concurrency: 8
  reconciler: {exec: {command: ./hook.sh}}
";
    // A list of children that takes longer to read than that of their owners.
    for number in 0..50 {
        let name = format!("ballast-{number}");
        let ballast = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"x": "x".repeat(200_000)}});
        scene.apply(ballast).await;
    }
    make_all(&scene, (0..MANY).map(|number| format!("h{number}"))).await;
    for part in 1..=3 {
        let mut operator: Operator = scene.start(entry);
        let enough = part * MANY / 4;
        wait_until("a part to be done", LONG, async || {
            let done = children(&scene).await.len();
            if done >= enough { Ok(()) } else { Err(format!("{done} of {enough}")) }
        })
        .await;
        operator.kill().await;
        assert!(children(&scene).await.len() < MANY, "killed too late to prove anything");
    }
    let _operator = scene.start(entry);
    let api = scene.api(&hello()).await;
    wait_until("all to be handled", LONG, async || {
        let list = api.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
        let done = list.items.iter().filter(|object| object.data["status"]["ok"] == true).count();
        if done == MANY { Ok(()) } else { Err(format!("{done}")) }
    })
    .await;
    let children = children(&scene).await;
    assert_eq!(children.len(), MANY);
    let twice: Vec<_> = children.iter().filter(|(_, list)| list.len() != 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
}
