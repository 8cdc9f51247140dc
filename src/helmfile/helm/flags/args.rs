//! What the command line comes to.

use std::{fmt, path::PathBuf};

use crate::helmfile::diff::View;

/// What the caller of the plugin asks for.
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
    /// Whether the comparison is with the live objects rather than with the deployed revision.
    pub three_way: bool,
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

impl UpgradeArgs {
    /// Whether a program changes the manifests after rendering.
    pub fn has_post_renderer(&self) -> bool {
        self.template.iter().any(|flag| flag.starts_with("--post-renderer="))
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_values() {
        let args = UpgradeArgs { template: vec!["--set=password=hunter2".into()], ..UpgradeArgs::default() };
        assert!(!format!("{args:?}").contains("hunter2"));
    }
}
