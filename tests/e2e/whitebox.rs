//! What a running operator tells of itself: health, readiness, metrics, its inside, and `explain`.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use helmfile_operator::{object::Gvk, process::Command};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::{
    control_plane::shared,
    http::get,
    operator::Operator,
    scene::{HELLO_CRD, SOON, Scene, config_map, hello},
    tools::{executable, guard},
    wait::wait_until,
};

/// A CRD like that of `Hello` under another name.
fn crd(kind: &str) -> String {
    HELLO_CRD.replace("Hello", kind).replace("hello", &kind.to_lowercase())
}

/// Waits until what the operator has at `path` satisfies `check`, and returns it.
async fn until(operator: &mut Operator, path: &str, what: &str, check: impl Fn(u16, &str) -> bool) -> String {
    let admin = operator.admin().await;
    wait_until(&format!("{path}: {what}"), SOON, async || {
        let (status, text) = get(&admin, path).await;
        if check(status, &text) { Ok(text) } else { Err(format!("{status} {text}")) }
    })
    .await
}

#[tokio::test]
async fn it_is_ready_when_every_kind_is_there_and_alive_before() {
    let scene = Scene::new(shared().await, "readiness").await;
    let mut operator = scene.start(
        "
- {group: test.example.com, version: v1, kind: Hello, reconciler: {template: {inline: 'status: {ok: true}'}}}
- {group: test.example.com, version: v1, kind: Awaited, reconciler: {template: {inline: 'status: {ok: true}'}}}
",
    );
    until(&mut operator, "/readyz", "names what is missing", |status, text| {
        status == 503 && text.contains("Awaited") && text.contains("does not serve")
    })
    .await;
    // Hello was registered before; with its watch, only the other kind is missing.
    let text = until(&mut operator, "/readyz", "names nothing else", |_, text| !text.contains("Hello")).await;
    assert!(text.ends_with("not ready\n") && text.lines().count() == 2, "{text}");
    let admin = operator.admin().await;
    assert_eq!(get(&admin, "/healthz").await, (200, "ok\n".to_owned()));
    scene.plane.kubectl_with(&["apply", "-f", "-"], &crd("Awaited")).await;
    until(&mut operator, "/readyz", "ready", |status, text| status == 200 && text == "ready\n").await;
    let (_, text) = get(&admin, "/readyz?verbose").await;
    assert!(text.contains("[+] watch of") && text.contains("Awaited"), "{text}");
}

#[tokio::test]
async fn runs_are_counted_by_entry() {
    let scene = Scene::new(shared().await, "metrics").await;
    scene.hook("hook.sh", "cat > /dev/null; [ $OBJECT_NAME = well-named ] && echo 'status: {ok: true}'");
    let mut operator = scene.start_hello();
    // What is there at the start is no event.
    operator.wait_for_log("watching").await;
    scene.hello("well-named", json!({})).await;
    scene.until(&hello(), "well-named", "handled", |object| object["status"]["ok"] == true).await;
    scene.hello("badly-named", json!({})).await;
    scene.condition("badly-named", "Reconciled", "False").await;
    let entry = "entry=\"hello.test.example.com\"";
    let count = |text: &str, name: &str, more: &str| {
        let lines = text.lines().filter(|line| {
            line.starts_with(&format!("helmfile_operator_{name}{{"))
                && line.contains(entry)
                && line.contains(more)
        });
        lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum::<f64>()
    };
    let text = until(&mut operator, "/metrics", "both runs", |_, text| {
        count(text, "runs_total", "outcome=\"HookFailed\"") >= 1.0
    })
    .await;
    assert!(count(&text, "event_to_start_seconds_count", "") >= 2.0, "{text}");
    assert!(count(&text, "event_to_start_seconds_bucket", "le=\"+Inf\"") >= 2.0, "{text}");
    assert!(count(&text, "handler_seconds_count", "outcome=\"Changed\"") >= 1.0, "{text}");
    assert!(count(&text, "handler_seconds_count", "outcome=\"HookFailed\"") >= 1.0, "{text}");
    assert!(count(&text, "handler_seconds_sum", "outcome=\"HookFailed\"") > 0.0, "{text}");
    assert!(count(&text, "retries_total", "") >= 1.0, "{text}");
    assert!(!text.contains("-named"), "no names of objects: {text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
}

#[tokio::test]
async fn a_secret_is_never_told() {
    const VALUE: &str = "correct-horse-battery";
    let scene = Scene::new(shared().await, "secret").await;
    let encoded = BASE64_STANDARD.encode(VALUE);
    // Says it in all places that it has, encoded and not, and then fails.
    scene.hook(
        "hook.sh",
        &format!(
            r#"input=$(cat); echo "given $input" >&2
seen=$(printf '%s' "$input" | sed -n 's/.*"data":{{"password":"\([^"]*\)"}}.*/\1/p')
if [ -z "$seen" ]; then
  echo 'dependents: {{secret.v1: [{{apiVersion: v1, kind: Secret, metadata: {{name: s}}, stringData: {{password: {VALUE}}}}}]}}'
  exit
fi
plain=$(printf %s "$seen" | base64 -d); echo "password is $plain, or $seen" >&2
touch seen; [ -e go ] || {{ echo "status: {{leak: $plain}}"; exit; }}
echo "cannot log in with $plain" >&2; exit 1"#
        ),
    );
    let mut operator = scene.start(
        "
- group: test.example.com
  version: v1
  kind: Hello
  dependents: [{version: v1, kind: Secret}]
  condition: Reconciled
  reconciler: {exec: {command: ./hook.sh}}
",
    );
    scene.hello("h", json!({})).await;
    let secret = Gvk::new("", "v1", "Secret");
    scene.until(&secret, "s", "made", |object| object["data"]["password"] == encoded).await;
    let page = format!("/debug/whitebox/objects/Hello/{}/h", scene.namespace);
    let clean = |what: &str, text: &str| {
        assert!(!text.contains(VALUE) && !text.contains(&encoded), "{what} tells the secret: {text}");
    };
    let made = until(&mut operator, &page, "the first run", |_, text| text.contains("create")).await;
    clean("the page after the first run", &made);
    scene.touch(&hello(), "h").await;
    scene.until(&hello(), "h", "the second run", |object| object["status"]["leak"] == VALUE).await;
    let told = until(&mut operator, &page, "the second run", |_, text| text.contains("password is")).await;
    clean("the page after the second run", &told);
    scene.write("go", "", 0o644);
    scene.touch(&hello(), "h").await;
    let failed =
        until(&mut operator, &page, "the third run", |_, text| text.contains("cannot log in with")).await;
    clean("the page after the third run", &failed);
    let admin = operator.admin().await;
    for path in ["/debug/whitebox", "/metrics", "/readyz?verbose"] {
        clean(path, &get(&admin, path).await.1);
    }
    // Nor on the object, which more people may read than the Secret.
    let condition = scene.condition("h", "Reconciled", "False").await;
    assert!(condition["message"].as_str().unwrap().contains("cannot log in with"), "{condition}");
    clean("the condition", &condition.to_string());
    clean("the Event", &scene.event("h", "HookFailed").await.to_string());
    clean("explain", &explain(&scene, &admin, &["Hello", "h"]).await.1);
}

/// `explain` as a person types it: whether it succeeded, and all that it printed.
async fn explain(scene: &Scene<'_>, admin: &str, args: &[&str]) -> (bool, String) {
    let command = Command::new(executable().unwrap(), scene.folder())
        .args([&["explain"], args, &["-n", &scene.namespace, "--admin", admin]].concat())
        .envs(scene.plane.tools().environment(scene.folder()));
    let finished = command.run(&guard(), &CancellationToken::new(), &mut |_| {}).await.unwrap();
    let text = format!("{}{}", String::from_utf8(finished.stdout).unwrap(), finished.stderr);
    (finished.status.success(), text)
}

/// Waits until `explain` of a Hello begins with these words, each somewhere in the first line, and returns all of it.
async fn explained(scene: &Scene<'_>, admin: &str, args: &[&str], words: &[&str]) -> String {
    wait_until(&format!("explain {args:?}: {words:?}"), SOON, async || {
        let (good, text) = explain(scene, admin, args).await;
        let first = text.lines().next().unwrap_or_default();
        if good && words.iter().all(|word| first.contains(word)) { Ok(text) } else { Err(text) }
    })
    .await
}

#[tokio::test]
async fn explain_tells_why_a_handler_ran_or_did_not() {
    let scene = Scene::new(shared().await, "explain").await;
    scene.hook(
        "hook.sh",
        r#"cat > /dev/null; [ "$OBJECT_NAME" = bad ] && { echo "no such customer" >&2; exit 3; }
echo 'a word' >&2
echo "dependents: {configmap.v1: [{apiVersion: v1, kind: ConfigMap, metadata: {name: $OBJECT_NAME}}]}""#,
    );
    let mut operator = scene.start(
        "
- group: test.example.com
  version: v1
  kind: Hello
  labelSelector: managed=yes
  dependents: [{version: v1, kind: ConfigMap}]
  reconciler: {exec: {command: ./hook.sh}}
- group: test.example.com
  version: v1
  kind: Pending
  reconciler: {exec: {command: ./hook.sh}}
- {version: v1, kind: Secret, reconciler: {exec: {command: ./hook.sh}}}
",
    );
    scene.crd().await;
    let make = async |name: &str, managed: &str| {
        let metadata = json!({"name": name, "labels": {"managed": managed}});
        scene
            .apply(json!({"apiVersion": "test.example.com/v1", "kind": "Hello", "metadata": metadata}))
            .await;
    };
    make("good", "yes").await;
    make("bad", "yes").await;
    make("other", "no").await;
    let admin = operator.admin().await;

    let text =
        explained(&scene, &admin, &["Hello", "good"], &["last ran", "wrote 1 object", "waits for changes"])
            .await;
    for part in ["Given:", "Answered:", "Wrote:", &format!("ConfigMap {}/good", scene.namespace), "a word"] {
        assert!(text.contains(part), "expected `{part}` in:\n{text}");
    }
    let words = ["failed", "no such customer", "(HookFailed)", "runs again"];
    let text = explained(&scene, &admin, &["hello", "bad"], &words).await;
    assert!(text.contains("Answered: nothing usable") && text.contains("Retry:"), "{text}");
    let words = ["has not run because its labels do not match the selector `managed=yes`"];
    explained(&scene, &admin, &["hello.test.example.com", "other"], &words).await;
    explained(&scene, &admin, &["Pending", "p"], &["not known yet", "does not serve", "Pending"]).await;
    scene.delete(&hello(), "good").await;
    explained(&scene, &admin, &["Hello", "good"], &["Hello", "good is gone"]).await;
    scene.until(&config_map(), "good", "gone", Value::is_null).await;

    explained(&scene, &admin, &["secret", "never"], &["is not there, and no run of it is remembered"]).await;

    let (good, text) = explain(&scene, &admin, &["Helo", "good"]).await;
    assert!(!good && text.contains("no entry handles `Helo`; did you mean `Hello`?"), "{text}");
    operator.stop().await;
    let (good, text) = explain(&scene, &admin, &["Hello", "good"]).await;
    assert!(!good && text.contains(admin.strip_prefix("http://").unwrap()), "{text}");
}
