//! A stage for tests of Helmfile objects: a namespace, a repository, an operator that delivers.

use std::path::PathBuf;

use helmfile_operator::{
    helmfile::api::{self, HelmfileStatus},
    object::Gvk,
};
use serde_json::{Value, json};

use super::{
    control_plane::ControlPlane,
    git::{Repository, fixture},
    operator::Operator,
    scene::{SOON, Scene, config_map, find},
    wait::wait_until,
};

/// The kind `Helmfile`.
pub fn helmfile() -> Gvk {
    Gvk::new("apps.mumoshu.github.io", "v1alpha1", "Helmfile")
}

/// A stage.
pub struct Deliveries<'a> {
    pub scene: Scene<'a>,
    pub repository: Repository,
}

impl<'a> Deliveries<'a> {
    /// A new namespace and a repository with these files.
    pub async fn new(plane: &'a ControlPlane, name: &str, files: &[(&str, &str)]) -> Self {
        Self { scene: Scene::new(plane, name).await, repository: Repository::new(files) }
    }

    /// A new namespace and a repository with the files of a fixture.
    pub async fn of_fixture(plane: &'a ControlPlane, name: &str) -> Self {
        let files = fixture("helmfiles/four");
        let files: Vec<(&str, &str)> =
            files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        Self::new(plane, name, &files).await
    }

    /// An operator that delivers the Helmfiles of this namespace itself.
    pub async fn start(&self, env: &[(&str, &str)]) -> Operator {
        let args = ["run", "-f", "builtin:applier", "-n", &self.scene.namespace];
        let cache = self.cache();
        let cache = [("HELMFILE_OPERATOR_CACHE_DIR", cache.to_str().unwrap())];
        let mut operator = Operator::start(self.scene.plane, &args, &[&cache, env].concat());
        operator.wait_for_log("watching").await;
        operator
    }

    /// Where its operators keep sources and workspaces.
    pub fn cache(&self) -> PathBuf {
        self.scene.folder().join("cache")
    }

    /// The locator of the repository's main branch, with something before the `?`.
    pub fn source(&self, inside: &str) -> String {
        format!("git::{}{inside}?ref=main", self.repository.url())
    }

    /// Makes a Helmfile, or changes it.
    pub async fn apply(&self, name: &str, spec: Value) -> Value {
        self.scene
            .apply(json!({"apiVersion": "apps.mumoshu.github.io/v1alpha1", "kind": "Helmfile",
                          "metadata": {"name": name}, "spec": spec}))
            .await
    }

    /// Waits until Ready has this status and its message contains `words`; checks the whole status by the rules of
    /// kstatus and Flux.
    pub async fn ready(&self, name: &str, status: &str, words: &str) -> Value {
        let what = format!("Ready={status} with `{words}`");
        let object = self
            .scene
            .until(&helmfile(), name, &what, |object| {
                let ready = find(object, "Ready");
                ready["status"] == status
                    && ready["message"].as_str().is_some_and(|text| text.contains(words))
            })
            .await;
        let typed: HelmfileStatus = serde_json::from_value(object["status"].clone()).unwrap();
        let generation = object["metadata"]["generation"].as_i64().unwrap();
        assert_eq!(api::check(&typed, generation), Vec::<&str>::new(), "{:#}", object["status"]);
        let message = find(&object, "Ready")["message"].as_str().unwrap();
        assert_eq!(message.lines().count(), 1, "{message}");
        object
    }

    /// The revisions of all releases in the namespace as Helm has them: `web.v1 deployed`.
    pub async fn revisions(&self) -> Vec<String> {
        let args = ["get", "secrets", "-n", &self.scene.namespace, "-l", "owner=helm", "-o", "json"];
        let secrets: Value = serde_json::from_str(&self.scene.plane.kubectl(&args).await).unwrap();
        let mut revisions: Vec<String> = secrets["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|secret| {
                let label = |name: &str| secret["metadata"]["labels"][name].as_str().unwrap();
                format!("{}.v{} {}", label("name"), label("version"), label("status"))
            })
            .collect();
        revisions.sort_unstable();
        revisions
    }

    /// Waits until Helm has these revisions.
    pub async fn until_revision(&self, revision: &str) {
        wait_until(revision, SOON, async || {
            let revisions = self.revisions().await;
            if revisions.iter().any(|one| one == revision) { Ok(()) } else { Err(format!("{revisions:?}")) }
        })
        .await;
    }

    /// The record of a Helmfile's releases, as the ConfigMap beside it has it.
    pub async fn record(&self, name: &str) -> Value {
        let map = self.scene.get(&config_map(), &format!("{name}.helmfile")).await;
        serde_json::from_str(map["data"]["record.json"].as_str().unwrap_or("null")).unwrap()
    }

    /// Waits until a commit is applied.
    pub async fn applied(&self, name: &str, commit: &str) -> Value {
        self.scene
            .until(&helmfile(), name, &format!("{commit} applied"), |object| {
                find(object, "Ready")["status"] == "True"
                    && object["status"]["lastAppliedRevision"]
                        .as_str()
                        .is_some_and(|text| text.ends_with(commit))
            })
            .await;
        self.ready(name, "True", "applied").await
    }
}

/// A small chart with one ConfigMap, and a helmfile with one release of it.
pub const ONE_RELEASE: [(&str, &str); 3] = [
    ("helmfile.yaml", "releases:\n- {name: one, chart: ./chart}\n"),
    ("chart/Chart.yaml", "{apiVersion: v2, name: chart, version: 1.0.0}\n"),
    (
        "chart/templates/map.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}}\ndata: {a: {{ .Values.a | default \"1\" | quote }}}\n",
    ),
];
