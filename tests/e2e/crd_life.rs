//! Kinds that go, come back as something else, or may not be used: waited for, named, and taken up again, while the rest
//! goes on.

use helmfile_operator::object::Gvk;
use serde_json::{Value, json};

use crate::{
    install::as_account,
    support::{
        control_plane::{ControlPlane, shared},
        http::get,
        operator::Operator,
        scene::{HELLO_CRD, SOON, Scene, config_map, hello},
        wait::wait_until,
    },
};

/// A kind that a test may do with as it likes.
struct Kind(Gvk);

impl Kind {
    fn new(name: &str) -> Self {
        Self(Gvk::new("test.example.com", "v1", name))
    }

    fn crd(&self) -> String {
        let name = &self.0.kind;
        HELLO_CRD.replace("Hello", name).replace("hello", &name.to_lowercase())
    }

    fn crd_without_status(&self) -> String {
        let crd = self.crd();
        assert!(crd.contains("subresources: {status: {}}"));
        crd.replace("subresources: {status: {}}", "")
    }

    fn entry(&self) -> String {
        format!(
            "- {{group: test.example.com, version: v1, kind: {}, reconciler: {{exec: {{command: ./it.sh}}}}}}\n",
            self.0.kind
        )
    }

    fn manifest(&self, name: &str, n: u32) -> Value {
        json!({"apiVersion": "test.example.com/v1", "kind": self.0.kind, "metadata": {"name": name}, "spec": {"n": n}})
    }

    async fn register(&self, plane: &ControlPlane, crd: &str) {
        plane.kubectl_with(&["apply", "-f", "-"], crd).await;
        let name = format!("crd/{}s.test.example.com", self.0.kind.to_lowercase());
        plane.kubectl(&["wait", "--for=condition=Established", &name, "--timeout=60s"]).await;
    }

    async fn remove(&self, plane: &ControlPlane) {
        let name = format!("crd/{}s.test.example.com", self.0.kind.to_lowercase());
        plane.kubectl(&["delete", &name, "--wait", "--timeout=60s"]).await;
    }

    /// Makes an object as soon as the API server takes it; a kind that was just registered is not served everywhere at once.
    async fn make(&self, scene: &Scene<'_>, name: &str, n: u32) {
        wait_until("the kind to be served", SOON, async || scene.try_apply(self.manifest(name, n)).await)
            .await;
    }

    async fn until_seen(&self, scene: &Scene<'_>, name: &str, n: u32) {
        scene.until(&self.0, name, "handled", |object| object["status"]["seen"] == n).await;
    }
}

/// Says in the status which `spec.n` it has seen.
const SEES: &str = r#"sed -n 's/.*"spec":{"n":\([0-9]*\)}.*/status: {seen: \1}/p'"#;

const HELLO: &str =
    "- {group: test.example.com, version: v1, kind: Hello, reconciler: {exec: {command: ./it.sh}}}\n";

/// Processor time of a process so far, in hundredths of a second.
fn effort(pid: i32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[tokio::test]
async fn a_kind_that_is_deleted_is_waited_for_and_taken_up_again_as_it_is_then() {
    let scene = Scene::new(shared().await, "crd-life").await;
    let kind = Kind::new("Fleeting");
    scene.hook("it.sh", SEES);
    kind.register(scene.plane, &kind.crd_without_status()).await;
    let mut operator = scene.start(&format!("{HELLO}{}", kind.entry()));
    kind.make(&scene, "f", 1).await;
    kind.until_seen(&scene, "f", 1).await;
    scene.hello("h", json!({"n": 1})).await;
    scene.until(&hello(), "h", "handled", |object| object["status"]["seen"] == 1).await;

    let cluster_wide = kind.crd().replace("scope: Namespaced", "scope: Cluster");
    let forms = [kind.crd(), kind.crd_without_status(), cluster_wide];
    for (number, form) in forms.iter().enumerate() {
        let n = u32::try_from(number).unwrap() + 2;
        kind.remove(scene.plane).await;
        wait_until("the operator to notice", SOON, async || {
            let log = operator.log();
            let count = log.matches("does not serve test.example.com/v1 Fleeting").count();
            if count > number { Ok(()) } else { Err(log) }
        })
        .await;
        let (pid, log) = (operator.pid().await, operator.log().lines().count());
        let before = effort(pid);
        // The others don't notice.
        scene.hello("h", json!({ "n": n })).await;
        scene.until(&hello(), "h", "handled", |object| object["status"]["seen"] == n).await;
        kind.register(scene.plane, form).await;
        if form.contains("scope: Cluster") {
            let api = scene.cluster_api(&kind.0).await;
            let object = serde_json::from_value(kind.manifest("f", n)).unwrap();
            wait_until("the kind to be served", SOON, async || {
                api.create(&kube::api::PostParams::default(), &object)
                    .await
                    .map_err(|error| error.to_string())
            })
            .await;
            scene.until_in_cluster(&kind.0, "f", "handled", |object| object["status"]["seen"] == n).await;
        } else {
            kind.make(&scene, "f", n).await;
            kind.until_seen(&scene, "f", n).await;
        }
        // Nothing spins in the meantime: neither the processor nor the log.
        assert!(effort(pid) - before < 100, "a second of work, or more");
        let told = operator.log().lines().count() - log;
        assert!(told < 30, "{told} lines: {}", operator.log());
    }
    kind.remove(scene.plane).await;
    assert!(operator.stop().await.success());
}

#[tokio::test]
async fn a_status_lands_whether_the_kind_has_it_apart_or_not_and_when_that_changes() {
    let scene = Scene::new(shared().await, "crd-status").await;
    let kind = Kind::new("Unsplit");
    scene.hook("it.sh", SEES);
    kind.register(scene.plane, &kind.crd_without_status()).await;
    let _operator = scene.start(&kind.entry());
    kind.make(&scene, "u", 1).await;
    kind.until_seen(&scene, "u", 1).await;
    // It gets a status of its own while it is watched, and loses it again.
    kind.register(scene.plane, &kind.crd()).await;
    kind.make(&scene, "u", 2).await;
    kind.until_seen(&scene, "u", 2).await;
    kind.register(scene.plane, &kind.crd_without_status()).await;
    kind.make(&scene, "u", 3).await;
    kind.until_seen(&scene, "u", 3).await;
    kind.remove(scene.plane).await;
}

/// An account of this namespace that may watch Hellos and say what it thinks of them, and no more.
async fn limited(scene: &Scene<'_>) -> String {
    scene.register_hello().await;
    let (plane, namespace) = (scene.plane, scene.namespace.as_str());
    plane.kubectl(&["create", "serviceaccount", "limited", "-n", namespace]).await;
    grant(scene, "base", "get,list,watch", "hellos.test.example.com").await;
    grant(scene, "status", "patch", "hellos.test.example.com/status").await;
    grant(scene, "events", "create,patch", "events.events.k8s.io").await;
    as_account(plane, namespace, "limited").await
}

/// Grants it something more in its namespace.
async fn grant(scene: &Scene<'_>, role: &str, verbs: &str, resource: &str) {
    let namespace = scene.namespace.as_str();
    let (verbs, resource) = (format!("--verb={verbs}"), format!("--resource={resource}"));
    scene.plane.kubectl(&["create", "role", role, &verbs, &resource, "-n", namespace]).await;
    let (role_flag, subject) = (format!("--role={role}"), format!("--serviceaccount={namespace}:limited"));
    scene.plane.kubectl(&["create", "rolebinding", role, &role_flag, &subject, "-n", namespace]).await;
}

async fn until_readyz(operator: &mut Operator, what: &str, check: impl Fn(u16, &str) -> bool) {
    let admin = operator.admin().await;
    wait_until(&format!("readiness: {what}"), SOON, async || {
        let (status, text) = get(&admin, "/readyz").await;
        if check(status, &text) { Ok(()) } else { Err(format!("{status} {text}")) }
    })
    .await;
}

/// Waits until the condition says in one sentence that this is forbidden, and what `explain`-worthy words it names.
async fn until_forbidden(scene: &Scene<'_>, words: &[&str]) {
    let all = |object: &Value| {
        let condition = crate::support::scene::find(object, "Reconciled");
        let message = condition["message"].as_str().unwrap_or_default();
        condition["reason"] == "Forbidden"
            && message.lines().count() == 1
            && message.contains(&scene.namespace)
            && words.iter().all(|word| message.contains(word))
    };
    scene.until(&hello(), "h", &format!("forbidden: {words:?}"), all).await;
}

#[tokio::test]
async fn what_is_forbidden_is_named_by_verb_resource_and_namespace_until_it_is_granted() {
    let scene = Scene::new(shared().await, "forbidden").await;
    let kubeconfig = limited(&scene).await;
    scene.hook(
        "hook.sh",
        "cat > /dev/null; echo 'dependents: {configmap.v1: [{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}]}'",
    );
    let entry = "
- group: test.example.com
  version: v1
  kind: Hello
  dependents: [{version: v1, kind: ConfigMap}]
  condition: Reconciled
  reconciler: {exec: {command: ./hook.sh}}
";
    let mut operator = scene.start_as(entry, std::path::Path::new(&kubeconfig));
    scene.hello("h", json!({})).await;
    let words = ["list", "configmaps", &scene.namespace];
    until_readyz(&mut operator, "a watch is forbidden", |status, text| {
        status == 503
            && text.lines().any(|line| {
                line.starts_with("[-]")
                    && line.contains("orbidden")
                    && words.iter().all(|word| line.contains(word))
            })
    })
    .await;
    let log = operator.log();
    let named =
        |line: &&str| line.contains("watch interrupted") && words.iter().all(|word| line.contains(word));
    assert_eq!(log.lines().filter(named).count(), 1, "said once: {log}");

    grant(&scene, "look", "get,list,watch", "configmaps").await;
    until_readyz(&mut operator, "ready", |status, _| status == 200).await;
    until_forbidden(&scene, &["create", "configmaps"]).await;
    grant(&scene, "make", "create", "configmaps").await;
    scene.until(&config_map(), "c", "made", Value::is_object).await;
    scene.condition("h", "Reconciled", "True").await;
    assert!(operator.stop().await.success());
}

#[tokio::test]
async fn a_finalizer_that_may_not_be_put_on_is_named_and_nothing_is_done_before_it_is_there() {
    let scene = Scene::new(shared().await, "forbidden-finalizer").await;
    let kubeconfig = limited(&scene).await;
    scene.hook("hook.sh", "echo run >> runs");
    let entry = "
- group: test.example.com
  version: v1
  kind: Hello
  condition: Reconciled
  reconciler: {exec: {command: ./hook.sh}}
  finalizer: {exec: {command: ./hook.sh}}
";
    let _operator = scene.start_as(entry, std::path::Path::new(&kubeconfig));
    scene.hello("h", json!({})).await;
    until_forbidden(&scene, &["patch", "hellos"]).await;
    assert_eq!(scene.lines("runs"), 0, "nothing that a finalizer would have to undo");
    grant(&scene, "hold", "patch", "hellos.test.example.com").await;
    scene.condition("h", "Reconciled", "True").await;
    let object = scene.get(&hello(), "h").await;
    assert_eq!(object["metadata"]["finalizers"], json!(["hello-controller.test.example.com"]));
    scene.delete(&hello(), "h").await;
    scene.until(&hello(), "h", "gone", Value::is_null).await;
}
