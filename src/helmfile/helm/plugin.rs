//! `helm diff upgrade`: what an upgrade would change, compared with what was last delivered.
//!
//! A deliberate difference from upstream's plugin: the comparison is with the last *deployed* revision, and a newest
//! revision that is not deployed counts as a change. After a failed upgrade the stored manifest is the new one, so that a
//! comparison with it would call a failed delivery delivered.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{
    cluster::Cluster,
    inputs::Job,
    live::{Live, LiveError, Sides},
    release::{Release, ReleaseError},
    render::{Helm, RenderError},
};
pub use super::{
    flags::{DryRun, OldValues, UpgradeArgs},
    inputs::{look, render_inputs},
    state::State,
    traits::Traits,
};
use crate::{
    cluster::describe,
    helmfile::diff::{self, Object},
};

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Whether an upgrade would change, or complete, anything.
    pub changed: bool,
    /// In the form that was asked for. Of the forms for people, empty when nothing has changed and there are no notes.
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
    /// The live objects could not be compared.
    #[error(transparent)]
    Live(#[from] LiveError),
    /// We were told to stop.
    #[error("was stopped")]
    Stopped,
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
    cluster: &Cluster,
    stop: &CancellationToken,
) -> Result<Outcome, PluginError> {
    let namespace = args.namespace.as_deref().unwrap_or(namespace);
    let (state, looked) = tokio::join!(State::read(cluster, namespace, &args.release), look(args, helm));
    let traits = looked.map(|looked| looked.traits);
    compare(args, namespace, &state?, traits.as_ref(), helm, cluster, stop).await
}

/// The second half of [`upgrade`], for who has looked at the state and the chart already. `namespace` is the release's;
/// without `traits` the cluster renders.
///
/// # Errors
/// As [`upgrade`].
pub async fn compare(
    args: &UpgradeArgs,
    namespace: &str,
    state: &State,
    traits: Option<&Traits>,
    helm: &Helm,
    cluster: &Cluster,
    stop: &CancellationToken,
) -> Result<Outcome, PluginError> {
    if state.is_new() && !args.allow_unreleased {
        return Err(PluginError::NotReleased {
            namespace: namespace.to_owned(),
            release: args.release.clone(),
        });
    }
    let base = state.base(cluster).await?;
    let job = Job { args, namespace, state, base: base.as_ref(), traits, helm, cluster };
    let rendered = job.render(stop).await?;
    let new = filtered(diff::objects(&rendered, namespace), args);
    let deployed = base.as_ref().filter(|_| state.deployed.is_some());
    let old = deployed.map(|release| filtered(stored(release), args)).unwrap_or_default();
    let sides = if args.three_way {
        let live = Live { cluster, namespace, release: &args.release };
        stop.run_until_cancelled(live.sides(old, new)).await.ok_or(PluginError::Stopped)??
    } else {
        Sides { old, new, notes: Vec::new() }
    };
    Ok(outcome(args, namespace, state, sides))
}

fn outcome(args: &UpgradeArgs, namespace: &str, state: &State, sides: Sides) -> Outcome {
    let differences = diff::compare(sides.old, sides.new);
    let note = state.note(namespace, &args.release);
    let changed = note.is_some() || !differences.is_empty();
    let mut text = String::new();
    if !args.view.format.is_json() {
        text.extend(note.iter().chain(&sides.notes).flat_map(|note| [note.as_str(), "\n\n"]));
    }
    text.push_str(&diff::print(&differences, &args.view));
    Outcome { changed, text }
}

/// Ends a question to the cluster that gets no answer.
pub(super) async fn in_time<T>(question: impl Future<Output = T>) -> Result<T, PluginError> {
    tokio::time::timeout(ANSWER_WITHIN, question).await.map_err(|_| PluginError::TimedOut(ANSWER_WITHIN))
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
#[path = "plugin_tests.rs"]
mod tests;
