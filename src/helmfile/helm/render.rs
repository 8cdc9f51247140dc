//! `helm template`, asked so that it says what `helm upgrade` would.
//!
//! Without a cluster, templates see other API versions than they will see in the upgrade, and `lookup` finds nothing:
//! the result would differ for ever from what is deployed. Asking the cluster costs four times as much. So a chart is
//! looked at first ([`super::traits`]), and gets what it can make use of.

use std::{collections::BTreeSet, fmt, path::PathBuf};

use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use crate::{
    environment::Environment,
    process::{Command, Guard, SessionError},
    redact,
};

/// The helm to run and the world it runs in.
#[derive(Clone)]
pub struct Helm {
    /// Full path of the program.
    pub program: PathBuf,
    /// Its whole environment: where its files and the cluster are.
    pub env: Environment,
    /// The folder that relative paths start from.
    pub folder: PathBuf,
    /// Runs it.
    pub guard: Guard,
}

impl fmt::Debug for Helm {
    /// Without the environment, which may hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Helm")
            .field("program", &self.program)
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// What is to be rendered.
pub struct Request<'a> {
    /// Name of the release.
    pub release: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// The chart, as helm takes it.
    pub chart: &'a str,
    /// Further flags for `helm template`.
    pub flags: Vec<String>,
    /// Values below all that the flags give.
    pub values: Option<&'a Map<String, Value>>,
}

/// Why nothing was rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// Helm did not run to its end.
    #[error("failed to run `helm template`")]
    Run(#[source] SessionError),
    /// Helm refused.
    #[error("failed to render chart `{chart}`: {said}")]
    Failed {
        /// The chart.
        chart: String,
        /// What helm said.
        said: String,
    },
    /// Helm printed something that is no text.
    #[error("`helm template` of chart `{0}` printed invalid UTF-8")]
    NotText(String),
}

/// Runs `helm template` and gives the manifests, hooks included.
///
/// # Errors
/// When helm fails.
pub async fn template(
    helm: &Helm,
    request: &Request<'_>,
    stop: &CancellationToken,
) -> Result<String, RenderError> {
    let mut args = vec!["template".to_owned(), format!("--namespace={}", request.namespace)];
    let mut command = Command::new(&helm.program, &helm.folder).envs(helm.env.clone());
    if let Some(values) = request.values {
        // By a pipe, since old values hold secrets that are in no file yet.
        args.push("--values=-".to_owned());
        command.input = Value::Object(values.clone()).to_string().into_bytes();
    }
    args.extend(request.flags.iter().cloned());
    args.extend(["--".to_owned(), request.release.to_owned(), request.chart.to_owned()]);
    let command = Command { stdout_limit: STDOUT_LIMIT, ..command.args(args) };
    let chart = redact::urls(request.chart);
    let finished = command.run(&helm.guard, stop, &mut |_| ()).await.map_err(RenderError::Run)?;
    if !finished.status.success() {
        let said = match complaint(&finished.stderr) {
            "" => finished.status.to_string(),
            said => redact::urls(said).into_owned(),
        };
        return Err(RenderError::Failed { chart: chart.into_owned(), said });
    }
    let text = String::from_utf8(finished.stdout).map_err(|_| RenderError::NotText(chart.into_owned()))?;
    Ok(manifests(&text).to_owned())
}

/// Helm's own error, without the warnings before it.
fn complaint(stderr: &str) -> &str {
    let own = stderr.strip_prefix("Error: ").or_else(|| Some(stderr.split_once("\nError: ")?.1));
    own.unwrap_or(stderr).trim()
}

/// Charts with dashboards and CRDs render to megabytes; a release can't hold more than this.
const STDOUT_LIMIT: usize = 256 << 20;

/// What helm has rendered begins with a line of dashes; before it is what it says about downloading the chart.
fn manifests(text: &str) -> &str {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line.trim_end() == "---" {
            return text.split_at(at).1;
        }
        at += line.len();
    }
    ""
}

/// API versions as flags for `helm template`; there can be more than fit into one argument.
pub fn api_version_flags(served: &BTreeSet<String>) -> Vec<String> {
    let all: Vec<&str> = served.iter().map(String::as_str).collect();
    all.chunks(200).map(|some| format!("--api-versions={}", some.join(","))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_helm_says_before_the_manifests_is_no_manifest() {
        assert_eq!(manifests("Pulled: a\nDigest: b\n---\nkind: A\n"), "---\nkind: A\n");
        assert_eq!(manifests("\n---\nkind: A\n"), "---\nkind: A\n");
        assert_eq!(manifests("\n"), "");
    }

    #[test]
    fn warnings_are_no_part_of_an_error() {
        assert_eq!(complaint("level=WARN msg=x\nError: one\n  two\n"), "one\n  two");
        assert_eq!(complaint("Error: one\n"), "one");
        assert_eq!(complaint("panic: x\n"), "panic: x");
    }

    #[test]
    fn api_versions_fit_into_arguments() {
        let flags = api_version_flags(&(0..450).map(|n| format!("g{n}/v1")).collect());
        assert_eq!(flags.len(), 3);
        assert_eq!(flags.iter().map(|flag| flag.split(',').count()).sum::<usize>(), 450);
    }
}
