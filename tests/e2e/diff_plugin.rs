//! Helm's `diff` plugin: what the real helm and the real helmfile make of it.

use std::{fs, path::Path, time::Duration};

use helmfile_operator::{
    helmfile::helm::{lay::lay, release},
    process::{Command, Status},
};
use tokio_util::sync::CancellationToken;

use crate::support::{
    control_plane::{ControlPlane, shared},
    tools::{executable, guard},
};

const CHANGED: Status = Status::Exited(2);
const SAME: Status = Status::Exited(0);
const FAILED: Status = Status::Exited(1);

/// A helm with our plugin, working in a namespace of its own on a chart of its own.
struct Helm {
    plane: &'static ControlPlane,
    namespace: String,
    home: tempfile::TempDir,
}

/// What a program has said.
#[derive(Debug)]
struct Said {
    status: Status,
    out: String,
    err: String,
}

impl Helm {
    async fn new() -> Self {
        let plane = shared().await;
        let helm =
            Self { plane, namespace: plane.namespace("diff").await, home: tempfile::tempdir().unwrap() };
        lay(&helm.home.path().join("plugins"), &executable().unwrap()).unwrap();
        helm.write("chart/Chart.yaml", "apiVersion: v2\nname: chart\nversion: 0.1.0\n");
        helm
    }

    /// One whose chart has one template.
    async fn with(template: &str) -> Self {
        let helm = Self::new().await;
        helm.write("chart/templates/all.yaml", template);
        helm
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.home.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    async fn run(&self, program: &str, args: &[&str], kubeconfig: &Path) -> Said {
        let tools = self.plane.tools();
        let command = Command {
            timeout: Some(Duration::from_mins(2)),
            ..Command::new(tools.path(program), self.home.path())
        };
        let command = command
            .args(args)
            .envs(tools.environment(self.home.path()))
            .envs([("KUBECONFIG", kubeconfig), ("HELM_PLUGINS", &self.home.path().join("plugins"))])
            .envs([("HELMFILE_UPGRADE_NOTICE_DISABLED", "1")]);
        let finished = command.run(&guard(), &CancellationToken::new(), &mut |_| {}).await.unwrap();
        Said {
            status: finished.status,
            out: String::from_utf8(finished.stdout).unwrap(),
            err: finished.stderr,
        }
    }

    async fn helm(&self, args: &[&str]) -> Said {
        let args = [&["--namespace", &self.namespace], args].concat();
        self.run("helm", &args, self.plane.kubeconfig()).await
    }

    /// Installs or upgrades the release `web`.
    async fn deliver(&self, flags: &[&str]) {
        let said = self.helm(&[&["upgrade", "--install", "web", "chart"], flags].concat()).await;
        assert_eq!(said.status, SAME, "{said:?}");
    }

    /// Compares it as helmfile does.
    async fn diff(&self, flags: &[&str]) -> Said {
        let words = [
            "diff",
            "upgrade",
            "--allow-unreleased",
            "web",
            "chart",
            "--detailed-exitcode",
            "--reset-values",
        ];
        self.helm(&[&words, flags].concat()).await
    }

    async fn helmfile(&self, args: &[&str]) -> Said {
        let words = ["--namespace", &self.namespace, "--no-color"];
        self.run("helmfile", &[&words, args].concat(), self.plane.kubeconfig()).await
    }
}

impl Said {
    fn is(self, status: Status) -> String {
        assert_eq!(self.status, status, "{self:?}");
        self.out
    }
}

const CONFIG_MAP: &str = "apiVersion: v1
kind: ConfigMap
metadata: {name: web}
data: {message: {{ .Values.message | default \"hello\" | quote }}}
";

#[tokio::test]
async fn a_new_release_is_added_as_a_whole() {
    let helm = Helm::with(CONFIG_MAP).await;
    let namespace = &helm.namespace;
    assert_eq!(
        helm.diff(&[]).await.is(CHANGED),
        format!(
            "release {namespace}/web is new\n\n{namespace}, web, ConfigMap (v1) has been added:\n\
             + apiVersion: v1\n+ kind: ConfigMap\n+ metadata:\n+   name: web\n+ data:\n+   message: hello\n\n"
        )
    );
    let unasked = helm.helm(&["diff", "upgrade", "web", "chart"]).await;
    assert!(unasked.err.contains("has never been deployed; use --allow-unreleased"), "{unasked:?}");
    assert_eq!(unasked.is(FAILED), "");
}

#[tokio::test]
async fn an_unchanged_release_says_nothing() {
    let helm = Helm::with(CONFIG_MAP).await;
    helm.deliver(&[]).await;
    assert_eq!(helm.diff(&[]).await.is(SAME), "");
    // Other text, same objects.
    helm.write(
        "chart/templates/all.yaml",
        "# new\nkind: ConfigMap\napiVersion: v1\nmetadata:\n    name:   web\ndata:\n  message: 'hello'\n",
    );
    assert_eq!(helm.diff(&["--kube-context", "test"]).await.is(SAME), "");
}

#[tokio::test]
async fn changed_and_removed_objects_are_shown() {
    let other =
        "{{ if .Values.other }}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\n{{ end }}";
    let helm = Helm::with(&format!("{CONFIG_MAP}{other}")).await;
    helm.deliver(&["--set", "other=true"]).await;
    let namespace = &helm.namespace;
    let expected = format!(
        "{namespace}, other, ConfigMap (v1) has been removed:\n\
         - apiVersion: v1\n- kind: ConfigMap\n- metadata:\n-   name: other\n\n\
         {namespace}, web, ConfigMap (v1) has changed:\n...\n  data:\n-   message: hello\n+   message: bye\n\n"
    );
    assert_eq!(helm.diff(&["--set", "message=bye", "--context", "1"]).await.is(CHANGED), expected);
    // Without --detailed-exitcode the text is all.
    let plain = helm.helm(&["diff", "upgrade", "web", "chart", "--set", "message=bye", "--context=1"]).await;
    assert_eq!(plain.is(SAME), expected);
}

#[tokio::test]
async fn the_values_of_a_secret_are_nowhere_in_the_output() {
    let helm = Helm::with(
        "apiVersion: v1\nkind: Secret\nmetadata: {name: web}\ndata: {a: {{ .Values.a | b64enc }}}\nstringData: {b: {{ .Values.b }}}\n",
    )
    .await;
    helm.deliver(&["--set", "a=oldsecret,b=hunter2"]).await;
    let flags = ["--set", "a=newersecret,b=hunter2", "--context", "0"];
    let shown = helm.diff(&flags).await;
    for secret in ["oldsecret", "newersecret", "hunter2", "b2xkc2VjcmV0", "bmV3ZXJzZWNyZXQ"] {
        assert!(!shown.out.contains(secret) && !shown.err.contains(secret), "{shown:?}");
    }
    let namespace = &helm.namespace;
    assert_eq!(
        shown.is(CHANGED),
        format!(
            "{namespace}, web, Secret (v1) has changed:\n...\n\
             -   a: REDACTED # (9 bytes)\n+   a: REDACTED # (11 bytes, changed)\n...\n\n"
        )
    );
    assert_eq!(helm.diff(&[&flags[..], &["--suppress-secrets"]].concat()).await.is(CHANGED), "");
    let revealed = helm.diff(&[&flags[..], &["--show-secrets"]].concat()).await.is(CHANGED);
    assert!(revealed.contains("bmV3ZXJzZWNyZXQ"), "{revealed}");
}

#[tokio::test]
async fn a_failed_delivery_does_not_look_delivered() {
    let helm = Helm::with(CONFIG_MAP).await;
    helm.deliver(&[]).await;
    let patch = r#"{"data": {"message": "drift"}}"#;
    helm.plane
        .kubectl(&["patch", "configmap", "web", "--namespace", &helm.namespace, "--patch", patch])
        .await;
    let conflict = helm.helm(&["upgrade", "web", "chart", "--set", "message=two"]).await;
    assert!(conflict.err.contains("conflict"), "{conflict:?}");
    let note = format!(
        "release {}/web: the newest revision 2 is failed, not deployed; compared with revision 1, the last deployed one\n\n",
        helm.namespace
    );
    let again = helm.diff(&["--set", "message=two"]).await.is(CHANGED);
    assert!(again.starts_with(&note) && again.contains("\n+   message: two\n"), "{again}");
    // Even what is deployed has to be delivered again: nobody knows what the failed upgrade has left.
    assert_eq!(helm.diff(&[]).await.is(CHANGED), note);

    let client = helm.plane.client().await;
    let histories = release::histories(&client, &helm.namespace).await.unwrap();
    let found: Vec<_> = histories["web"].iter().map(|meta| (meta.revision, meta.status)).collect();
    assert_eq!(found, [(2, release::ReleaseStatus::Failed), (1, release::ReleaseStatus::Deployed)]);
    assert_eq!(histories.len(), 1);
    let deployed = release::get(&client, &histories["web"][1]).await.unwrap();
    assert_eq!((deployed.revision, deployed.chart.as_str()), (1, "chart-0.1.0"));
}

#[tokio::test]
async fn every_mistake_exits_with_one() {
    let helm = Helm::with(CONFIG_MAP).await;
    helm.deliver(&[]).await;
    for (args, message) in [
        (
            &["diff", "upgrade", "web", "./nowhere", "--detailed-exitcode"][..],
            "failed to render chart `./nowhere`",
        ),
        (
            &["diff", "upgrade", "web", "chart", "--set", "a=b", "--set-file", "a=nowhere"],
            "failed to render chart `chart`",
        ),
        (&["diff", "upgrade", "web", "chart", "--detailed-exit-code"], "did you mean `--detailed-exitcode`?"),
        (&["diff", "upgrade", "web"], "needs a release and a chart"),
        (
            &["diff", "upgrade", "web", "chart", "--output", "dyff"],
            "output format `dyff` is not supported; there are `diff`, `simple`, `json`, `structured`",
        ),
        (&["diff", "upgrade", "web", "chart", "--kube-context", "nowhere"], "nowhere"),
        (&["diff", "upgrade", "web", "chart", "--kube-token", "t"], "HELM_KUBETOKEN is not supported"),
        (&["diff", "rollback", "web", "1"], "there is no `helm diff rollback` here"),
        (&["diff"], "the command is `helm diff upgrade"),
    ] {
        let said = helm.helm(args).await;
        assert!(said.err.contains(message), "{args:?}: {said:?}");
        assert_eq!(said.is(FAILED), "");
    }
    assert_eq!(helm.helm(&["diff", "version"]).await.is(SAME), "3.15.11\n");
}

#[tokio::test]
async fn an_unreachable_cluster_is_an_error_and_no_change() {
    let helm = Helm::with(CONFIG_MAP).await;
    let kubeconfig = helm.home.path().join("elsewhere.yaml");
    // Nothing listens on the port for TCP's multiplexer.
    let text = fs::read_to_string(helm.plane.kubeconfig())
        .unwrap()
        .replace(&helm.plane.url(), "https://127.0.0.1:1");
    fs::write(&kubeconfig, text).unwrap();
    let args = ["diff", "upgrade", "--allow-unreleased", "web", "chart", "--detailed-exitcode"];
    let said = helm.run("helm", &args, &kubeconfig).await;
    assert!(said.err.contains("failed to list the Helm releases in namespace `default`"), "{said:?}");
    assert_eq!(said.is(FAILED), "");
}

#[tokio::test]
async fn templates_see_the_cluster_that_the_upgrade_will_see() {
    let asks = |expression: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: web}}\ndata: {{answer: {{{{ {expression} | quote }}}}}}\n"
        )
    };
    for (expression, answer) in [
        (r#".Capabilities.APIVersions.Has "apps/v1/Deployment""#, "true"),
        (r#".Capabilities.APIVersions.Has "apps/v1/Scale""#, "true"),
        // Helm's own list has this one, the cluster has not.
        (r#".Capabilities.APIVersions.Has "policy/v1beta1""#, "false"),
        (r#"(lookup "v1" "Namespace" "" "default").metadata.name"#, "default"),
        (".Capabilities.KubeVersion.Version", "v1."),
        (".Release.IsUpgrade", "true"),
    ] {
        let helm = Helm::with(&asks(expression)).await;
        helm.deliver(&[]).await;
        helm.deliver(&[]).await;
        let answered = helm.helm(&["get", "manifest", "web"]).await.is(SAME);
        assert!(answered.contains(&format!("answer: \"{answer}")), "{expression}: {answered}");
        assert_eq!(helm.diff(&[]).await.is(SAME), "", "{expression}");
    }
}

#[tokio::test]
async fn a_kind_that_is_not_there_yet_does_not_stop_a_new_release() {
    // Rendering on the server, which `lookup` asks for, fails as long as the chart's own CRD is not there.
    let helm = Helm::with(
        "{{ $_ := lookup \"v1\" \"Namespace\" \"\" \"default\" }}\napiVersion: diff.example.org/v1\nkind: Unheard\nmetadata: {name: web}\n",
    )
    .await;
    let out = helm.diff(&[]).await.is(CHANGED);
    assert!(out.contains(", web, Unheard (diff.example.org) has been added:\n"), "{out}");
}

#[tokio::test]
async fn hooks_are_compared_and_tests_are_not() {
    let hook = |event: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {event}, annotations: {{helm.sh/hook: {event}}}}}\n\
             data: {{text: {{{{ index .Values \"{event}\" | default \"same\" }}}}}}\n---\n"
        )
    };
    let helm = Helm::with(&(hook("pre-upgrade") + &hook("test"))).await;
    helm.deliver(&[]).await;
    assert_eq!(helm.diff(&[]).await.is(SAME), "");
    let out = helm.diff(&["--set", "pre-upgrade=other"]).await.is(CHANGED);
    assert!(out.contains(", pre-upgrade, ConfigMap (v1) has changed:\n"), "{out}");
    assert_eq!(helm.diff(&["--set", "pre-upgrade=other", "--no-hooks"]).await.is(SAME), "");
    assert_eq!(helm.diff(&["--set", "test=other"]).await.is(SAME), "");
    let out = helm.diff(&["--set", "test=other", "--include-tests"]).await.is(CHANGED);
    assert!(out.contains(", test, ConfigMap (v1) has changed:\n"), "{out}");
}

#[tokio::test]
async fn values_of_the_deployed_release_are_reused_on_request() {
    let helm = Helm::with(CONFIG_MAP).await;
    helm.deliver(&["--set", "message=mine"]).await;
    let plain = ["diff", "upgrade", "web", "chart", "--detailed-exitcode"];
    for (flags, status) in [
        // As `helm upgrade`: without any values the old ones stay.
        (&[][..], SAME),
        (&["--set", "other=1"], CHANGED),
        (&["--set", "other=1", "--reuse-values"], SAME),
        (&["--set", "other=1", "--reset-then-reuse-values"], SAME),
        (&["--reset-values"], CHANGED),
    ] {
        let said = helm.helm(&[&plain, flags].concat()).await;
        assert_eq!(said.status, status, "{flags:?}: {said:?}");
    }
}

#[tokio::test]
async fn helmfile_applies_what_has_changed_and_then_nothing() {
    let helm = Helm::with(CONFIG_MAP).await;
    let helmfile = |message: &str| {
        format!(
            "releases:\n- name: web\n  chart: ./chart\n  values: [{{message: {message}}}]\n\
             - name: patched\n  chart: ./chart\n  strategicMergePatches:\n  - apiVersion: v1\n    kind: ConfigMap\n    \
             metadata: {{name: patched}}\n    data: {{more: x}}\n"
        )
    };
    helm.write("chart/templates/all.yaml", &CONFIG_MAP.replace("name: web", "name: {{ .Release.Name }}"));
    helm.write("helmfile.yaml", &helmfile("one"));
    let apply = ["apply", "--detailed-exitcode", "--context", "1", "--suppress-secrets"];
    let first = helm.helmfile(&apply).await.is(CHANGED);
    assert!(first.contains(", patched, ConfigMap (v1) has been added:\n"), "{first}");
    assert!(!helm.helmfile(&apply).await.is(SAME).contains("has changed"));
    helm.write("helmfile.yaml", &helmfile("two"));
    let third = helm.helmfile(&apply).await.is(CHANGED);
    let namespace = &helm.namespace;
    let expected = format!(
        "{namespace}, web, ConfigMap (v1) has changed:\n...\n  data:\n-   message: one\n+   message: two\n\n"
    );
    assert!(third.contains(&expected) && !third.contains(", patched, ConfigMap"), "{third}");
    let data = ["get", "configmap", "web", "--namespace", namespace, "--output", "jsonpath={.data.message}"];
    assert_eq!(helm.plane.kubectl(&data).await, "two");
}

/// A ConfigMap, a Deployment and a custom resource.
const THREE: &str = "apiVersion: v1
kind: ConfigMap
metadata: {name: web}
data:
  message: {{ .Values.message | default \"hello\" }}
{{- if not .Values.less }}
  more: x
{{- end }}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: {{ .Values.app | default \"web\" }}}}
  template:
    metadata: {labels: {app: {{ .Values.app | default \"web\" }}}}
    spec: {containers: [{name: web, image: example.org/web, ports: [{containerPort: 80}]}]}
---
apiVersion: diff.example.org/v1
kind: Widget
metadata: {name: web}
spec: {size: 1, parts: [{name: a, count: 1}]}
";

const WIDGET: &str = "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.diff.example.org}
spec:
  group: diff.example.org
  names: {kind: Widget, plural: widgets}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, x-kubernetes-preserve-unknown-fields: true}}}}
";

impl Helm {
    /// One whose chart has these three.
    async fn with_three() -> Self {
        let helm = Self::with(THREE).await;
        helm.plane.kubectl_with(&["apply", "--server-side", "--filename", "-"], WIDGET).await;
        helm.plane
            .kubectl(&[
                "wait",
                "--for=condition=established",
                "crd/widgets.diff.example.org",
                "--timeout=60s",
            ])
            .await;
        helm
    }

    async fn kubectl(&self, args: &[&str]) -> String {
        self.plane.kubectl(&[&["--namespace", &self.namespace], args].concat()).await
    }

    /// Edits all three behind Helm's back.
    async fn drift(&self) {
        let patch = r#"{"data": {"message": "edited", "extra": "stays"}}"#;
        self.kubectl(&["patch", "configmap", "web", "--patch", patch]).await;
        self.kubectl(&["scale", "deployment", "web", "--replicas=5"]).await;
        let patch = r#"{"spec": {"size": 7}}"#;
        self.kubectl(&["patch", "widget", "web", "--type=merge", "--patch", patch]).await;
    }

    async fn live(&self, flags: &[&str]) -> Said {
        self.diff(&[&["--three-way-merge"], flags].concat()).await
    }

    /// The versions of those that no controller writes.
    async fn versions(&self) -> String {
        let paths = "jsonpath={.items[*].metadata.resourceVersion}";
        self.kubectl(&["get", "configmap/web", "widget/web", "--output", paths]).await
    }
}

#[tokio::test]
async fn edits_of_live_objects_are_found_on_request() {
    let helm = Helm::with_three().await;
    helm.deliver(&[]).await;
    assert_eq!(helm.live(&[]).await.is(SAME), "");
    helm.drift().await;
    assert_eq!(helm.diff(&[]).await.is(SAME), "");
    let before = helm.versions().await;
    let namespace = &helm.namespace;
    let shown = helm.live(&["--context", "0"]).await.is(CHANGED);
    assert_eq!(
        shown,
        format!(
            "{namespace}, web, ConfigMap (v1) has changed:\n...\n-   message: edited\n+   message: hello\n...\n\n\
             {namespace}, web, Deployment (apps) has changed:\n...\n-   replicas: 5\n+   replicas: 2\n...\n\n\
             {namespace}, web, Widget (diff.example.org) has changed:\n...\n-   size: 7\n+   size: 1\n\n"
        )
    );
    let all = helm.live(&[]).await.is(CHANGED);
    for word in ["managedFields", "uid:", "resourceVersion", "creationTimestamp", "generation:", "status:"] {
        assert!(!all.contains(word), "{word}: {all}");
    }
    // What somebody has added stays, and nothing has been written.
    assert!(all.contains("\n    extra: stays\n"), "{all}");
    assert_eq!(helm.versions().await, before);

    helm.deliver(&["--force-conflicts"]).await;
    assert_eq!(helm.live(&[]).await.is(SAME), "");
    helm.kubectl(&["delete", "configmap/web", "widget/web"]).await;
    let shown = helm.live(&[]).await.is(CHANGED);
    assert!(shown.contains(", web, ConfigMap (v1) has been added:\n"), "{shown}");
    assert!(shown.contains(", web, Widget (diff.example.org) has been added:\n"), "{shown}");
    assert!(!shown.contains("Deployment"), "{shown}");
}

#[tokio::test]
async fn a_release_of_client_side_writes_is_compared_with_live_objects_too() {
    let helm = Helm::with_three().await;
    helm.deliver(&["--server-side=false"]).await;
    assert_eq!(helm.live(&[]).await.is(SAME), "");
    // What the chart does not have any more goes, though no apply has ever owned it.
    let namespace = &helm.namespace;
    assert_eq!(
        helm.live(&["--context", "0", "--set", "less=true"]).await.is(CHANGED),
        format!("{namespace}, web, ConfigMap (v1) has changed:\n...\n-   more: x\n\n")
    );
    helm.drift().await;
    let shown = helm.live(&["--context", "0"]).await.is(CHANGED);
    for line in ["+   message: hello\n", "+   replicas: 2\n", "+   size: 1\n"] {
        assert!(shown.contains(line), "{shown}");
    }
}

#[tokio::test]
async fn what_the_api_server_refuses_to_try_is_compared_with_the_deployed_revision() {
    let helm = Helm::with_three().await;
    helm.deliver(&[]).await;
    // The selector of a Deployment can't be changed.
    let said = helm.live(&["--set", "app=other", "--context", "0"]).await.is(CHANGED);
    let note = format!(
        "Deployment {}/web is compared with the last deployed revision, since the API server did not try the upgrade: ",
        helm.namespace
    );
    assert!(said.starts_with(&note) && said.contains("immutable"), "{said}");
    assert!(said.contains("-       app: web\n+       app: other\n"), "{said}");
    assert!(!said.contains("ConfigMap"), "{said}");
}

#[tokio::test]
async fn secrets_stay_hidden_when_live_objects_are_compared() {
    let helm = Helm::with(
        "apiVersion: v1\nkind: Secret\nmetadata: {name: web}\nstringData: {b: {{ .Values.b | default \"hunter2\" }}}\n---\n\
         apiVersion: v1\nkind: Pod\nmetadata: {name: setup, annotations: {helm.sh/hook: test}}\nspec: {containers: [{name: a, image: b}]}\n",
    )
    .await;
    helm.deliver(&[]).await;
    assert_eq!(helm.live(&["--include-tests"]).await.is(SAME), "");
    let patch = r#"{"stringData": {"b": "edited-secret"}}"#;
    helm.kubectl(&["patch", "secret", "web", "--patch", patch]).await;
    let namespace = &helm.namespace;
    assert_eq!(
        helm.live(&["--context", "0"]).await.is(CHANGED),
        format!(
            "{namespace}, web, Secret (v1) has changed:\n...\n\
             -   b: REDACTED # (13 bytes)\n+   b: REDACTED # (7 bytes, changed)\n...\n\n"
        )
    );
    // The API server quotes what it can't take.
    let wrong = helm.live(&["--set", "b=98765"]).await;
    assert!(!wrong.out.contains("98765") && !wrong.err.contains("98765"), "{wrong:?}");
    let decoded = helm.live(&["--context", "0", "--show-secrets-decoded"]).await.is(CHANGED);
    assert!(decoded.contains("-   b: edited-secret\n+   b: hunter2\n"), "{decoded}");
}

#[tokio::test]
async fn programs_get_json_from_helm_and_from_helmfile() {
    let helm = Helm::with(CONFIG_MAP).await;
    helm.deliver(&[]).await;
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let unchanged = helm.diff(&["--output", "json"]).await.is(SAME);
    assert_eq!(json(&unchanged), serde_json::json!([]));
    let entry = serde_json::json!([{"api": "v1", "kind": "ConfigMap", "namespace": helm.namespace, "name": "web", "change": "MODIFY"}]);
    let changed = helm.diff(&["--output", "json", "--set", "message=bye"]).await.is(CHANGED);
    assert_eq!(json(&changed), entry);

    helm.write("helmfile.yaml", "releases:\n- name: web\n  chart: ./chart\n  values: [{message: bye}]\n");
    let diff = ["diff", "--detailed-exitcode", "--output"];
    let structured = helm.helmfile(&[&diff[..], &["structured"]].concat()).await.is(CHANGED);
    let start = structured.find("[\n").unwrap();
    let parsed = json(structured.split_at(start).1);
    assert_eq!(
        parsed[0]["changes"],
        serde_json::json!([{"path": "data", "field": "message", "change": "replace", "oldValue": "hello", "newValue": "bye"}])
    );
    // helmfile hands on what it does not know itself.
    helm.kubectl(&["patch", "configmap", "web", "--patch", r#"{"data": {"message": "edited"}}"#]).await;
    let args = [&diff[..], &["diff", "--context", "0", "--diff-args", "--three-way-merge"]].concat();
    let live = helm.helmfile(&args).await.is(CHANGED);
    assert!(live.contains("-   message: edited\n+   message: bye\n"), "{live}");
}

#[tokio::test]
async fn who_may_not_patch_is_told_so() {
    let helm = Helm::with(CONFIG_MAP).await;
    helm.deliver(&[]).await;
    helm.kubectl(&["create", "role", "reader", "--verb=get,list", "--resource=secrets,configmaps"]).await;
    let subject = format!("--serviceaccount={}:default", helm.namespace);
    helm.kubectl(&["create", "rolebinding", "reader", "--role=reader", &subject]).await;
    let text = fs::read_to_string(helm.plane.kubeconfig()).unwrap();
    let mut kubeconfig = helmfile_operator::yaml::documents(&text).unwrap().remove(0);
    kubeconfig["users"][0]["user"]["as"] = format!("system:serviceaccount:{}:default", helm.namespace).into();
    let reader = helm.home.path().join("reader.yaml");
    fs::write(&reader, kubeconfig.to_string()).unwrap();
    let diff = async |flags: &[&str]| {
        let words =
            ["--namespace", &helm.namespace, "diff", "upgrade", "web", "chart", "--detailed-exitcode"];
        helm.run("helm", &[&words, flags].concat(), &reader).await
    };
    assert_eq!(diff(&[]).await.is(SAME), "");
    let refused = diff(&["--three-way-merge"]).await;
    let message = format!(
        "failed to try an upgrade of ConfigMap {}/web (a dry run, which needs the right to patch it): ",
        helm.namespace
    );
    assert!(refused.err.contains(&message) && refused.err.contains("is forbidden"), "{refused:?}");
    assert_eq!(refused.is(FAILED), "");
}
