//! What goes into a rendering: flags, files, values of the deployed release, and what the cluster says of itself.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::{
    chart::{self, Looked},
    cluster::Cluster,
    flags::{DryRun, OldValues, UpgradeArgs},
    plugin::{PluginError, in_time},
    release::Release,
    render::{self, Helm, RenderError, Request},
    state::State,
    traits::Traits,
};

/// Looks at the chart of a command and at all its values. `None` when they can't all be looked at: something of it is no
/// local file or folder, or may be fetched from elsewhere. Relative paths start at helm's folder.
pub async fn look(args: &UpgradeArgs, helm: &Helm) -> Option<Looked> {
    let mut files = files(args, &helm.folder)?.into_iter();
    let (path, values): (PathBuf, Vec<PathBuf>) = (files.next()?, files.collect());
    // The names of files are made up for each run; what is in them counts, and is read.
    let inline = args.values.iter().filter(|(flag, _)| !matches!(*flag, "values" | "set-file"));
    let inline: Vec<String> = inline.map(|(flag, value)| format!("--{flag}={value}")).collect();
    tokio::task::spawn_blocking(move || chart::look(&path, &values, &inline)).await.ok().flatten()
}

/// The chart, files of values and files of `--set-file`, in the order of the flags.
fn files(args: &UpgradeArgs, folder: &Path) -> Option<Vec<PathBuf>> {
    let fetches = |flag: &String| flag.starts_with("--repo=") || flag == "--dependency-update=true";
    if args.template.iter().any(fetches) {
        return None;
    }
    let named = args.values.iter().flat_map(|(flag, value)| named_files(flag, value));
    let all = std::iter::once(args.chart.as_str()).chain(named).map(|file| folder.join(file));
    all.map(|file| file.exists().then_some(file)).collect()
}

/// The files that a flag names.
fn named_files<'a>(flag: &str, value: &'a str) -> Vec<&'a str> {
    match flag {
        "values" => value.split(',').map(str::trim).collect(),
        // key=path,key=path
        "set-file" => value.split(',').filter_map(|pair| Some(pair.split_once('=')?.1)).collect(),
        _ => Vec::new(),
    }
}

/// Everything but what [`look`] looks at and the deployed revision that decides what a release renders to, in a stable
/// order, for a digest. Paths of those files are left out: helmfile invents new ones each time. With `--dry-run=server`
/// among them the cluster is read while it renders, and with a post-renderer a program decides: no digest covers these.
///
/// # Errors
/// When the cluster does not answer.
pub async fn render_inputs(
    args: &UpgradeArgs,
    namespace: &str,
    state: &State,
    traits: &Traits,
    helm: &Helm,
    cluster: &Cluster,
) -> Result<Vec<String>, PluginError> {
    let job = Job { args, namespace, state, base: None, traits: Some(traits), helm, cluster };
    let flags = job.flags(&job.means(args.dry_run).await?);
    let mut inputs = vec![
        format!("--namespace={namespace}"),
        format!("--release={}", args.release),
        format!("--old-values={:?}", args.old_values),
        format!("--include-tests={}", args.tests),
    ];
    inputs.extend(flags.iter().map(|flag| without_files(flag)));
    Ok(inputs)
}

/// A flag as it is, but for the files that it names.
fn without_files(flag: &str) -> String {
    match flag.split_once('=') {
        Some(("--values", files)) => format!("--values={}", files.split(',').count()),
        Some(("--set-file", pairs)) => {
            let keys: Vec<_> =
                pairs.split(',').map(|pair| pair.split_once('=').map_or(pair, |(key, _)| key)).collect();
            format!("--set-file={}", keys.join(","))
        }
        _ => flag.to_owned(),
    }
}

/// A rendering to be done.
pub(super) struct Job<'a> {
    pub(super) args: &'a UpgradeArgs,
    pub(super) namespace: &'a str,
    pub(super) state: &'a State,
    /// The revision whose values may be reused.
    pub(super) base: Option<&'a Release>,
    /// What the chart and the values can ask of the cluster; `None` when that can't be told.
    pub(super) traits: Option<&'a Traits>,
    pub(super) helm: &'a Helm,
    pub(super) cluster: &'a Cluster,
}

impl Job<'_> {
    pub(super) async fn render(&self, stop: &CancellationToken) -> Result<String, PluginError> {
        let means = self.means(self.args.dry_run).await?;
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
        let means = self.means(Some(DryRun::Client)).await?;
        self.render_by(&means, stop).await.map_err(|_| failed.into())
    }

    /// Decides where to render, and asks the cluster what the chart can want to know. That is handed over even when the
    /// cluster renders: Helm 3 goes to it for `lookup` alone.
    async fn means(&self, wanted: Option<DryRun>) -> Result<Means, PluginError> {
        let failed = |error: kube::Error| PluginError::Discovery(Box::new(error));
        let asks = !self.args.given_api_versions && self.traits.is_none_or(|traits| traits.api_versions);
        let versions = if asks {
            in_time(self.cluster.api_versions()).await?.map_err(failed)?
        } else {
            Arc::<BTreeSet<String>>::default()
        };
        let server = match (wanted, self.traits) {
            (Some(wanted), _) => wanted == DryRun::Server,
            (None, None) => true,
            (None, Some(traits)) if asks => traits.need_server(&versions),
            (None, Some(traits)) => traits.lookup,
        };
        let mut flags = render::api_version_flags(&versions);
        if !self.args.given_kube_version {
            let version = in_time(self.cluster.kube_version()).await?.map_err(failed)?;
            flags.push(format!("--kube-version={version}"));
        }
        Ok(Means { server, flags })
    }

    fn flags(&self, means: &Means) -> Vec<String> {
        let Self { args, state, .. } = self;
        let mut flags = means.flags.clone();
        let mut add = |condition: bool, flag: &str| flags.extend(condition.then(|| flag.to_owned()));
        add(!state.is_new(), "--is-upgrade");
        add(args.no_hooks, "--no-hooks");
        add(means.server, "--dry-run=server");
        add(means.server && args.disable_validation, "--disable-openapi-validation");
        flags.extend(args.template.iter().cloned());
        flags
    }

    async fn render_by(&self, means: &Means, stop: &CancellationToken) -> Result<String, RenderError> {
        let Self { args, namespace, base, helm, .. } = self;
        let values = old_values(args, *base);
        let request = Request {
            release: &args.release,
            namespace,
            chart: &args.chart,
            flags: self.flags(means),
            values: values.as_ref(),
        };
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

#[cfg(test)]
#[path = "inputs_tests.rs"]
mod tests;
