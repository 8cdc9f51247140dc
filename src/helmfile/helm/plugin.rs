//! `helm diff upgrade`: what an upgrade would change, compared with what was last delivered.
//!
//! A deliberate difference from upstream's plugin: the comparison is with the last *deployed* revision, and a newest
//! revision that is not deployed counts as a change. After a failed upgrade the stored manifest is the new one, so that a
//! comparison with it would call a failed delivery delivered.

use std::{collections::BTreeSet, fmt, path::PathBuf, time::Duration};

use kube::Client;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::{
    release::{self, Release, ReleaseError, ReleaseMeta, ReleaseStatus},
    render::{self, Helm, RenderError, Request, Traits},
};
use crate::{
    cluster::describe,
    helmfile::diff::{self, Object, View},
};

/// What the caller asks for; see [`super::flags`].
#[derive(Clone, Default, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct UpgradeArgs {
    /// Name of the release.
    pub release: String,
    /// The chart: a path, `repository/name` or a URL.
    pub chart: String,
    /// Namespace of the release; that of the kubeconfig's context when absent.
    pub namespace: Option<String>,
    /// Context of the kubeconfig.
    pub kube_context: Option<String>,
    /// A kubeconfig file.
    pub kubeconfig: Option<PathBuf>,
    /// Whether a release that was never deployed is fine.
    pub allow_unreleased: bool,
    /// Whether the exit status tells of changes.
    pub detailed_exitcode: bool,
    /// Whether colours are wanted; `None` leaves it to the terminal.
    pub color: Option<bool>,
    /// How changes are shown.
    pub view: View,
    /// Whether hooks are left out.
    pub no_hooks: bool,
    /// Whether test hooks are compared.
    pub tests: bool,
    /// What becomes of the values of the deployed release.
    pub old_values: OldValues,
    /// Where to render, when the caller knows.
    pub dry_run: Option<DryRun>,
    /// Whether objects are not to be checked against the cluster's API.
    pub disable_validation: bool,
    /// Whether the caller gives the Kubernetes version.
    pub given_kube_version: bool,
    /// Whether the caller gives the API versions.
    pub given_api_versions: bool,
    /// Flags for `helm template`, each one word.
    pub template: Vec<String>,
    /// Those of them that give values, as flag and value.
    pub values: Vec<(&'static str, String)>,
}

impl fmt::Debug for UpgradeArgs {
    /// Without what was given by `--set` and `--password`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpgradeArgs")
            .field("release", &self.release)
            .field("chart", &self.chart)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// What becomes of the values of the deployed release. The order is that in which the flags win over each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OldValues {
    /// They are taken when no others are given, as `helm upgrade` does.
    #[default]
    WhenNoneGiven,
    /// They stay below the given ones, above the new chart's.
    ResetThenReuse,
    /// The same, and the old chart's values with them.
    Reuse,
    /// They are forgotten.
    Forget,
}

/// Where templates are rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DryRun {
    /// With the cluster's help: `lookup` works.
    Server,
    /// Without a cluster.
    Client,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Whether an upgrade would change, or complete, anything.
    pub changed: bool,
    /// For people to read. Empty when nothing has changed.
    pub text: String,
}

/// Why there is no comparison.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// There is no such release, and that is not fine.
    #[error(
        "release `{namespace}/{release}` has never been deployed; use --allow-unreleased to see all of it as new"
    )]
    NotReleased {
        /// Its namespace.
        namespace: String,
        /// Its name.
        release: String,
    },
    /// The release could not be read.
    #[error(transparent)]
    Release(#[from] ReleaseError),
    /// The cluster did not say what it serves.
    #[error("failed to ask the cluster for its version and APIs: {}", describe(.0))]
    Discovery(Box<kube::Error>),
    /// The cluster took too long.
    #[error("the cluster did not answer within {}", crate::duration::GoDuration(*.0))]
    TimedOut(Duration),
    /// The chart could not be rendered.
    #[error(transparent)]
    Render(#[from] RenderError),
}

/// How long the cluster may take for each of our questions.
const ANSWER_WITHIN: Duration = Duration::from_mins(1);

/// Compares a release with what its chart renders to now. `namespace` is used when the arguments name none.
///
/// # Errors
/// When the cluster does not answer, the release is not there, or the chart can't be rendered.
pub async fn upgrade(
    args: &UpgradeArgs,
    namespace: &str,
    helm: &Helm,
    client: &Client,
    stop: &CancellationToken,
) -> Result<Outcome, PluginError> {
    let namespace = args.namespace.as_deref().unwrap_or(namespace);
    let (state, traits) =
        tokio::join!(in_time(State::read(client, namespace, &args.release)), traits(args, helm));
    let state = state??;
    if state.is_new() && !args.allow_unreleased {
        return Err(PluginError::NotReleased {
            namespace: namespace.to_owned(),
            release: args.release.clone(),
        });
    }
    let job = Job { args, namespace, state: &state, traits: traits.as_ref(), helm, client };
    let rendered = job.render(stop).await?;
    let new = filtered(diff::objects(&rendered, namespace), args);
    let old = state.deployed.as_ref().map(|release| filtered(stored(release), args)).unwrap_or_default();
    let changes = diff::compare(old, new);
    let note = state.note(namespace, &args.release);
    let due = note.is_some() || !changes.is_empty();
    let text = note.map(|note| note + "\n\n").unwrap_or_default() + &diff::print(&changes, &args.view);
    Ok(Outcome { changed: due, text })
}

async fn in_time<T>(question: impl Future<Output = T>) -> Result<T, PluginError> {
    tokio::time::timeout(ANSWER_WITHIN, question).await.map_err(|_| PluginError::TimedOut(ANSWER_WITHIN))
}

/// What the cluster has of the release.
#[derive(Debug)]
struct State {
    newest: Option<ReleaseMeta>,
    deployed: Option<Release>,
    /// The newest revision, when none is deployed.
    other: Option<Release>,
}

impl State {
    async fn read(client: &Client, namespace: &str, name: &str) -> Result<Self, ReleaseError> {
        let history = release::history(client, namespace, name).await?;
        let mut state = Self { newest: history.first().cloned(), deployed: None, other: None };
        if let Some(meta) = history.iter().find(|meta| meta.status == ReleaseStatus::Deployed) {
            state.deployed = Some(release::get(client, meta).await?);
        } else if let Some(meta) = history.first().filter(|_| !state.is_new()) {
            state.other = Some(release::get(client, meta).await?);
        }
        Ok(state)
    }

    /// Whether Helm would install rather than upgrade.
    fn is_new(&self) -> bool {
        self.newest.as_ref().is_none_or(|newest| newest.status == ReleaseStatus::Uninstalled)
    }

    /// The revision whose values Helm would reuse.
    fn values_of(&self) -> Option<&Release> {
        self.deployed.as_ref().or(self.other.as_ref())
    }

    /// What there is to say besides the differences; an upgrade is due whatever they are.
    fn note(&self, namespace: &str, name: &str) -> Option<String> {
        let release = format!("release {namespace}/{name}");
        let Some(newest) = self.newest.as_ref().filter(|_| !self.is_new()) else {
            return Some(format!("{release} is new"));
        };
        let compared = match &self.deployed {
            Some(deployed) if deployed.revision == newest.revision => return None,
            Some(deployed) => format!("compared with revision {}, the last deployed one", deployed.revision),
            None => "no revision is deployed, so that all objects count as added".to_owned(),
        };
        Some(format!(
            "{release}: the newest revision {} is {}, not deployed; {compared}",
            newest.revision, newest.status
        ))
    }
}

/// What the chart and the values can ask of the cluster; `None` when that can't be told.
async fn traits(args: &UpgradeArgs, helm: &Helm) -> Option<Traits> {
    if args.template.iter().any(|flag| flag.starts_with("--repo=")) {
        return None;
    }
    let chart = helm.folder.join(&args.chart);
    let mut inline = Traits::default();
    let mut files = Vec::new();
    for (flag, value) in &args.values {
        inline.add(value);
        match *flag {
            "values" => files.extend(value.split(',').map(|file| helm.folder.join(file.trim()))),
            // key=path,key=path
            "set-file" => files
                .extend(value.split(',').filter_map(|pair| Some(helm.folder.join(pair.split_once('=')?.1)))),
            _ => {}
        }
    }
    let looked = tokio::task::spawn_blocking(move || render::look_at(&chart, &files)).await.ok().flatten();
    looked.map(|traits| traits.and(inline))
}

/// A rendering to be done.
struct Job<'a> {
    args: &'a UpgradeArgs,
    namespace: &'a str,
    state: &'a State,
    traits: Option<&'a Traits>,
    helm: &'a Helm,
    client: &'a Client,
}

impl Job<'_> {
    async fn render(&self, stop: &CancellationToken) -> Result<String, PluginError> {
        let means = in_time(self.means(self.args.dry_run)).await??;
        let failed = match self.render_by(&means, stop).await {
            // The kinds of a new release may come with a release that is delivered just before it, or with the chart
            // itself. The cluster refuses what it does not know yet; that is for the upgrade to say, if it still is so.
            Err(error @ RenderError::Failed { .. })
                if means.server && self.state.is_new() && self.args.dry_run.is_none() =>
            {
                error
            }
            other => return Ok(other?),
        };
        let means = in_time(self.means(Some(DryRun::Client))).await??;
        self.render_by(&means, stop).await.map_err(|_| failed.into())
    }

    /// Decides where to render, and asks the cluster what the chart can want to know. That is handed over even when the
    /// cluster renders: Helm 3 goes to it for `lookup` alone.
    async fn means(&self, wanted: Option<DryRun>) -> Result<Means, PluginError> {
        let failed = |error: kube::Error| PluginError::Discovery(Box::new(error));
        let asks = !self.args.given_api_versions && self.traits.is_none_or(|traits| traits.api_versions);
        let versions =
            if asks { render::api_versions(self.client).await.map_err(failed)? } else { BTreeSet::new() };
        let server = match (wanted, self.traits) {
            (Some(wanted), _) => wanted == DryRun::Server,
            (None, None) => true,
            (None, Some(traits)) if asks => traits.need_server(&versions),
            (None, Some(traits)) => traits.lookup,
        };
        let mut flags = render::api_version_flags(&versions);
        if !self.args.given_kube_version {
            let version = render::kube_version(self.client).await.map_err(failed)?;
            flags.push(format!("--kube-version={version}"));
        }
        Ok(Means { server, flags })
    }

    async fn render_by(&self, means: &Means, stop: &CancellationToken) -> Result<String, RenderError> {
        let Self { args, namespace, state, helm, .. } = self;
        let mut flags = means.flags.clone();
        let mut add = |condition: bool, flag: &str| flags.extend(condition.then(|| flag.to_owned()));
        add(!state.is_new(), "--is-upgrade");
        add(args.no_hooks, "--no-hooks");
        add(means.server, "--dry-run=server");
        add(means.server && args.disable_validation, "--disable-openapi-validation");
        flags.extend(args.template.iter().cloned());
        let values = old_values(args, state.values_of());
        let request =
            Request { release: &args.release, namespace, chart: &args.chart, flags, values: values.as_ref() };
        render::template(helm, &request, stop).await
    }
}

/// How to render, and what the cluster has said for it.
struct Means {
    server: bool,
    flags: Vec<String>,
}

/// The values of the deployed release that go below the given ones.
fn old_values(args: &UpgradeArgs, release: Option<&Release>) -> Option<Map<String, Value>> {
    let release = release?;
    let values = match args.old_values {
        OldValues::Forget => return None,
        OldValues::WhenNoneGiven if !args.values.is_empty() => return None,
        OldValues::WhenNoneGiven | OldValues::ResetThenReuse => release.config.clone(),
        OldValues::Reuse => over(release.config.clone(), &release.chart_values),
    };
    (!values.is_empty()).then_some(values)
}

/// Lays values over others, map by map. A null stays: it is what removes a default of the chart.
fn over(mut upper: Map<String, Value>, lower: &Map<String, Value>) -> Map<String, Value> {
    for (key, below) in lower {
        match (upper.remove(key), below) {
            (None, below) => upper.insert(key.clone(), below.clone()),
            (Some(Value::Object(above)), Value::Object(below)) => {
                upper.insert(key.clone(), Value::Object(over(above, below)))
            }
            (Some(above), _) => upper.insert(key.clone(), above),
        };
    }
    upper
}

fn stored(release: &Release) -> Vec<Object> {
    let texts = std::iter::once(&release.manifest).chain(&release.hooks);
    texts.flat_map(|text| diff::objects(text, &release.namespace)).collect()
}

/// Leaves out the hooks that nobody asked for.
fn filtered(mut objects: Vec<Object>, args: &UpgradeArgs) -> Vec<Object> {
    objects.retain(|object| (object.hook.is_none() || !args.no_hooks) && (args.tests || !object.is_test()));
    objects
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: &Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    fn release(revision: u32, status: ReleaseStatus) -> Release {
        Release {
            name: "web".into(),
            namespace: "team".into(),
            revision,
            status,
            chart: "nginx-1.0.0".into(),
            app_version: None,
            description: String::new(),
            manifest: String::new(),
            hooks: Vec::new(),
            config: map(&json!({"a": {"b": 2, "gone": null}})),
            chart_values: map(&json!({"a": {"b": 1, "c": 3, "gone": 4}, "d": 5})),
        }
    }

    fn meta(revision: u32, status: ReleaseStatus) -> ReleaseMeta {
        ReleaseMeta { name: "web".into(), namespace: "team".into(), revision, status }
    }

    #[test]
    fn what_is_not_deployed_is_said() {
        use ReleaseStatus::{Deployed, Failed, PendingUpgrade, Uninstalled};
        for (newest, deployed, note) in [
            (None, None, Some("release team/web is new")),
            (Some((4, Uninstalled)), None, Some("release team/web is new")),
            (Some((4, Deployed)), Some(4), None),
            (
                Some((4, Failed)),
                Some(3),
                Some(
                    "release team/web: the newest revision 4 is failed, not deployed; \
                     compared with revision 3, the last deployed one",
                ),
            ),
            (
                Some((1, PendingUpgrade)),
                None,
                Some(
                    "release team/web: the newest revision 1 is pending-upgrade, not deployed; \
                     no revision is deployed, so that all objects count as added",
                ),
            ),
        ] {
            let state = State {
                newest: newest.map(|(revision, status)| meta(revision, status)),
                deployed: deployed.map(|revision| release(revision, Deployed)),
                other: None,
            };
            assert_eq!(state.note("team", "web").as_deref(), note);
        }
    }

    #[test]
    fn old_values_are_taken_as_helm_takes_them() {
        let release = release(1, ReleaseStatus::Deployed);
        let config = json!({"a": {"b": 2, "gone": null}});
        let given = vec![("set", "x=1".to_owned())];
        for (old_values_are, values, expected) in [
            (OldValues::Forget, vec![], None),
            (OldValues::WhenNoneGiven, vec![], Some(config.clone())),
            (OldValues::WhenNoneGiven, given.clone(), None),
            (OldValues::ResetThenReuse, given.clone(), Some(config)),
            (OldValues::Reuse, given, Some(json!({"a": {"b": 2, "gone": null, "c": 3}, "d": 5}))),
        ] {
            let args = UpgradeArgs { old_values: old_values_are, values, ..UpgradeArgs::default() };
            assert_eq!(old_values(&args, Some(&release)).map(Value::Object), expected, "{old_values_are:?}");
        }
        assert_eq!(old_values(&UpgradeArgs::default(), None), None);
    }

    #[test]
    fn hooks_are_compared_as_asked() {
        let pod = |name: &str, hook: &str| {
            format!(
                "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, annotations: {{helm.sh/hook: {hook}}}}}\n"
            )
        };
        let release = Release {
            manifest: "---\napiVersion: v1\nkind: Pod\nmetadata: {name: plain}\n".into(),
            hooks: vec![pod("setup", "pre-install"), pod("check", "test")],
            ..release(1, ReleaseStatus::Deployed)
        };
        for (no_hooks, tests, expected) in [
            (false, false, &["plain", "setup"][..]),
            (false, true, &["plain", "setup", "check"]),
            (true, true, &["plain"]),
        ] {
            let args = UpgradeArgs { no_hooks, tests, ..UpgradeArgs::default() };
            let names: Vec<_> =
                filtered(stored(&release), &args).into_iter().map(|object| object.id.name).collect();
            assert_eq!(names, expected);
        }
    }

    #[test]
    fn debug_shows_no_values() {
        let args = UpgradeArgs { template: vec!["--set=password=hunter2".into()], ..UpgradeArgs::default() };
        assert!(!format!("{args:?}").contains("hunter2"));
    }
}
