//! What is rendered, and what need not be (RULES 9): never less than can have changed.

use helmfile_operator::process::Command;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::{
    control_plane::shared,
    helmfiles::{Deliveries, ONE_RELEASE, helmfile},
    operator::Operator,
    scene::{config_map, find},
    shims::Shims,
    tools::guard,
};

/// A Helmfile with one release, whose renderings are counted.
struct Counted {
    stage: Deliveries<'static>,
    _operator: Operator,
    passes: u32,
}

impl Counted {
    /// Delivered, and rendered once more without a difference: what can be remembered is remembered then.
    async fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let stage = Deliveries::new(shared().await, name, &ONE_RELEASE).await;
        stage.repository.commit(files);
        let shims = Shims::new(&stage.scene);
        shims.watch(&stage.scene, "helm", "none");
        let operator = stage.start(&[("PATH", &shims.path())]).await;
        stage.apply("h", json!({"source": stage.source(""), "interval": "1h"})).await;
        stage.ready("h", "True", "1 release").await;
        let mut counted = Self { stage, _operator: operator, passes: 0 };
        counted.renders().await;
        counted
    }

    /// How often helm renders in one pass that somebody asks for.
    async fn renders(&mut self) -> usize {
        let count = || {
            let calls = self.stage.scene.read("helm.calls");
            calls.lines().filter(|call| call.starts_with("template ")).count()
        };
        let before = count();
        self.passes += 1;
        let wish = format!("pass {}", self.passes);
        let names = ["reconcile.fluxcd.io/requestedAt", "reconcile.fluxcd.io/forceAt"];
        let annotations: serde_json::Map<String, Value> =
            names.iter().map(|name| ((*name).to_owned(), json!(wish))).collect();
        let patch = json!({"metadata": {"annotations": annotations}});
        self.stage.scene.patch(&helmfile(), "h", patch).await;
        let is_done = |object: &Value| {
            object["status"]["lastHandledForceAt"] == *wish && find(object, "Ready")["status"] == "True"
        };
        self.stage.scene.until(&helmfile(), "h", &wish, is_done).await;
        count() - before
    }

    fn commit(&self, files: &[(&str, &str)]) {
        self.stage.repository.commit(files);
    }

    /// What the release has put into its ConfigMap.
    async fn data(&self) -> Value {
        self.stage.scene.get(&config_map(), "one").await["data"]["a"].clone()
    }

    async fn helm(&self, args: &[&str]) {
        let plane = self.stage.scene.plane;
        let command = Command::new(plane.tools().path("helm"), self.stage.repository.path())
            .args(args)
            .args(["-n", &self.stage.scene.namespace])
            .envs(plane.tools().environment(self.stage.scene.folder()))
            .envs([("KUBECONFIG", plane.kubeconfig())]);
        let finished = command.run(&guard(), &CancellationToken::new(), &mut |_| {}).await.unwrap();
        assert!(finished.status.success(), "{}", finished.stderr);
    }
}

#[tokio::test]
async fn what_is_as_it_was_is_not_rendered_again_and_every_change_is() {
    let values = ("helmfile.yaml", "releases:\n- {name: one, chart: ./chart, values: [values.yaml]}\n");
    let mut counted = Counted::new("renders", &[values, ("values.yaml", "a: one\n")]).await;
    assert_eq!(counted.renders().await, 0, "a second pass without any change");
    assert_eq!(counted.renders().await, 0);

    counted.commit(&[("values.yaml", "a: two\n")]);
    assert!(counted.renders().await > 0, "the content of a values file");
    assert_eq!(counted.data().await, "two");
    counted.renders().await;
    assert_eq!(counted.renders().await, 0);

    let set =
        "releases:\n- {name: one, chart: ./chart, values: [values.yaml], set: [{name: a, value: three}]}\n";
    counted.commit(&[("helmfile.yaml", set)]);
    assert!(counted.renders().await > 0, "a value that is set");
    assert_eq!(counted.data().await, "three");
    counted.renders().await;

    let file = "releases:\n- {name: one, chart: ./chart, set: [{name: a, file: set.txt}]}\n";
    counted.commit(&[("helmfile.yaml", file), ("set.txt", "four")]);
    assert!(counted.renders().await > 0);
    counted.renders().await;
    assert_eq!(counted.renders().await, 0);
    counted.commit(&[("set.txt", "five")]);
    assert!(counted.renders().await > 0, "the content of a file that is set");
    assert_eq!(counted.data().await, "five");
}

#[tokio::test]
async fn a_changed_subchart_is_rendered_again() {
    let sub = |text: &str| {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: sub}}\ndata: {{a: {text}}}\n")
    };
    let mut counted = Counted::new(
        "subchart",
        &[
            ("chart/charts/sub/Chart.yaml", "{apiVersion: v2, name: sub, version: 1.0.0}\n"),
            ("chart/charts/sub/templates/map.yaml", &sub("one")),
        ],
    )
    .await;
    assert_eq!(counted.renders().await, 0);
    counted.commit(&[("chart/charts/sub/templates/map.yaml", &sub("two"))]);
    assert!(counted.renders().await > 0);
    assert_eq!(counted.stage.scene.get(&config_map(), "sub").await["data"]["a"], "two");
}

#[tokio::test]
async fn what_takes_more_than_its_inputs_is_rendered_each_time() {
    for (name, text) in [
        ("now", "{{ now | date \"2006\" | quote }}"),
        ("random", "{{ randAlphaNum 5 | len | quote }}"),
        (
            "lookup",
            "{{ (lookup \"v1\" \"ConfigMap\" .Release.Namespace \"kube-root-ca.crt\").metadata.name | default \"x\" | quote }}",
        ),
    ] {
        let map = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: one}}\ndata: {{a: {text}}}\n");
        let mut counted = Counted::new(name, &[("chart/templates/map.yaml", &map)]).await;
        assert!(counted.renders().await > 0, "{name}");
        assert!(counted.renders().await > 0, "{name}");
        assert_eq!(
            counted.stage.revisions().await,
            ["one.v1 deployed"],
            "{name}: it is the same all the same"
        );
    }
}

#[tokio::test]
async fn what_somebody_else_delivers_between_two_passes_is_noticed() {
    let mut counted = Counted::new("by-hand", &[]).await;
    assert_eq!((counted.renders().await, counted.data().await), (0, json!("1")));
    counted.helm(&["upgrade", "one", "chart", "--set", "a=theirs"]).await;
    assert_eq!(counted.data().await, "theirs");
    assert!(counted.renders().await > 0, "an upgrade by hand");
    assert_eq!(counted.data().await, "1");
    counted.renders().await;
    assert_eq!(counted.renders().await, 0);
    counted.helm(&["rollback", "one", "2"]).await;
    assert_eq!(counted.data().await, "theirs");
    assert!(counted.renders().await > 0, "a rollback");
    assert_eq!(counted.data().await, "1");
}

#[tokio::test]
async fn a_new_kind_is_noticed_by_a_chart_that_asks_for_it() {
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n\
               data: {a: {{ .Capabilities.APIVersions.Has \"renders.example.com/v1/Thing\" | quote }}}\n";
    let mut counted = Counted::new("kinds", &[("chart/templates/map.yaml", map)]).await;
    assert_eq!(counted.data().await, "false");
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.renders.example.com"},
        "spec": {
            "group": "renders.example.com", "scope": "Namespaced",
            "names": {"kind": "Thing", "plural": "things", "singular": "thing", "listKind": "ThingList"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                          "schema": {"openAPIV3Schema": {"type": "object"}}}],
        },
    });
    let plane = counted.stage.scene.plane;
    plane.kubectl_with(&["apply", "-f", "-"], &crd.to_string()).await;
    plane.kubectl(&["wait", "--for=condition=Established", "crd/things.renders.example.com"]).await;
    assert!(counted.renders().await > 0);
    assert_eq!(counted.data().await, "true");
}
