//! Helm releases as a user sees them, and what a Helmfile remembers of its own.

use helmfile_operator::process::{Command, Finished};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    control_plane::ControlPlane,
    helmfiles::{Deliveries, ONE_RELEASE, helmfile},
    scene::{SOON, config_map, find},
    tools::guard,
    wait::wait_until,
};

impl ControlPlane {
    /// Runs helm as a user would, and returns what it printed.
    ///
    /// # Panics
    /// With its stderr, when it fails.
    pub async fn helm(&self, args: &[&str]) -> String {
        let finished = self.try_helm(args).await;
        assert!(finished.status.success(), "helm {args:?}: {}", finished.stderr);
        String::from_utf8(finished.stdout).unwrap()
    }

    /// The same, whatever it comes to.
    pub async fn try_helm(&self, args: &[&str]) -> Finished {
        let command = Command::new(self.tools().path("helm"), self.dir())
            .args(args)
            .envs(self.tools().environment(self.dir()))
            .envs([("KUBECONFIG", self.kubeconfig())]);
        command.run(&guard(), &CancellationToken::new(), &mut |_| {}).await.unwrap()
    }
}

/// A helmfile with releases of these names, each of the small chart.
pub fn helmfile_of(names: &[&str]) -> String {
    let release = |name: &&str| format!("- {{name: {name}, chart: ./chart}}\n");
    if names.is_empty() {
        return "releases: []\n".to_owned();
    }
    format!("releases:\n{}", names.iter().map(release).collect::<String>())
}

/// The files of a repository with such a helmfile.
pub async fn deliveries<'a>(plane: &'a ControlPlane, name: &str, helmfile: &str) -> Deliveries<'a> {
    Deliveries::new(plane, name, &[("helmfile.yaml", helmfile), ONE_RELEASE[1], ONE_RELEASE[2]]).await
}

impl Deliveries<'_> {
    /// A spec with this source, an eager interval, no wait for health, and more.
    pub fn spec(&self, more: &Value) -> Value {
        let mut spec = json!({"source": self.source(""), "interval": "1s", "wait": false});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    }

    /// Waits until the spec as it is now has been acted upon, with this status of Ready.
    pub async fn acted(&self, name: &str, status: &str) -> Value {
        let is_now = |object: &Value| {
            find(object, "Ready")["status"] == status
                && object["status"]["observedGeneration"] == object["metadata"]["generation"]
        };
        self.scene.until(&helmfile(), name, &format!("Ready={status} for the spec of now"), is_now).await;
        self.ready(name, status, "").await
    }

    /// Commits a helmfile.
    pub fn commit_helmfile(&self, text: &str) -> String {
        self.repository.commit(&[("helmfile.yaml", text)])
    }

    /// The names of all releases of the namespace, whatever their state, sorted.
    pub async fn releases(&self) -> Vec<String> {
        let args = ["list", "-n", &self.scene.namespace, "-q"];
        let listed = self.scene.plane.helm(&args).await;
        let mut names: Vec<String> = listed.lines().map(str::to_owned).collect();
        names.sort();
        names
    }

    /// Waits until there are these releases and no others.
    pub async fn until_releases(&self, names: &[&str]) {
        wait_until(&format!("releases {names:?}"), SOON, async || {
            let there = self.releases().await;
            if there == names { Ok(()) } else { Err(format!("{there:?}")) }
        })
        .await;
    }

    /// Installs a release as a user would, from the small chart in the repository.
    pub async fn install(&self, name: &str, more: &[&str]) {
        let chart = self.repository.path().join("chart");
        let args = ["install", name, chart.to_str().unwrap(), "-n", &self.scene.namespace];
        self.scene.plane.helm(&[&args, more].concat()).await;
    }

    /// The record of a Helmfile: names of its releases, and whether each is adopted.
    pub async fn owned(&self, name: &str) -> Vec<(String, bool)> {
        let found = self.scene.get(&config_map(), &format!("{name}.helmfile")).await;
        let text = found["data"]["record.json"].as_str().unwrap_or("{}");
        let record: Value = serde_json::from_str(text).unwrap();
        let owned = record["releases"].as_array().into_iter().flatten();
        let mut owned: Vec<_> =
            owned.map(|one| (one["name"].as_str().unwrap().to_owned(), one["adopted"] == true)).collect();
        owned.sort();
        owned
    }

    /// Helm's newest record of a release: revision, status, and the UID of the Helmfile that it is labelled with.
    pub async fn revision(&self, release: &str) -> (u64, String, String) {
        let selector = format!("owner=helm,name={release}");
        let args = [
            "get",
            "secrets",
            "-n",
            &self.scene.namespace,
            "-l",
            &selector,
            "-o",
            "jsonpath={.items[*].metadata.labels}",
        ];
        let text = self.scene.plane.kubectl(&args).await;
        let all = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
        let newest = all
            .map(|labels| {
                let labels = labels.unwrap();
                let label = |name: &str| labels[name].as_str().unwrap_or_default().to_owned();
                let revision: u64 = label("version").parse().unwrap();
                (revision, label("status"), label("apps.mumoshu.github.io/helmfile-uid"))
            })
            .max();
        newest.unwrap_or_default()
    }
}

/// The names in the inventory of a Helmfile.
pub fn inventory(object: &Value) -> Vec<&str> {
    let releases = object["status"]["inventory"]["releases"].as_array().into_iter().flatten();
    releases.map(|release| release["name"].as_str().unwrap()).collect()
}
