//! Every name that Helmfiles use in the cluster and in the environment of their programs.

/// The API version of Helmfiles.
pub const API_VERSION: &str = "apps.mumoshu.github.io/v1alpha1";
/// Their kind.
pub const KIND: &str = "Helmfile";

/// What the objects beside a Helmfile are called after.
pub const RECORD: &str = "helmfile";
/// The same, for the key of its digests.
pub const KEY: &str = "helmfile";
/// The same, for its Lease.
pub const LEASE: &str = "helmfile";
/// The same, for an inventory that does not fit into the status.
pub const INVENTORY: &str = "helmfile-inventory";

/// The name of an object beside a Helmfile: `NAME.WHAT`, cut and told apart by a digest where that is too long.
pub fn companion(name: &str, what: &str) -> String {
    const LONGEST: usize = 253;
    if name.len() + what.len() < LONGEST {
        return format!("{name}.{what}");
    }
    let digest: String = crate::digest::sha256_hex(name.as_bytes()).chars().take(10).collect();
    let cut: String = name.chars().take(200).collect();
    format!("{}-{digest}.{what}", cut.trim_end_matches(['.', '-']))
}

/// The condition that says whether the cluster has what the helmfile says.
pub const READY: &str = "Ready";
/// The condition of a delivery under way.
pub const RECONCILING: &str = "Reconciling";
/// The condition of a spec that can't ever be delivered.
pub const STALLED: &str = "Stalled";
/// Conditions that are there only while something is abnormal.
pub const ABNORMAL: [&str; 2] = [RECONCILING, STALLED];
/// The condition that says whether the source could be read.
pub const SOURCE_READY: &str = "SourceReady";
/// The condition that says whether helmfile has made the cluster what the helmfile says, healthy or not.
pub const APPLIED: &str = "Applied";
/// The condition that says whether somebody else has changed objects of the releases.
pub const DRIFTED: &str = "Drifted";
/// The condition of changes that wait for a yes.
pub const PLAN_PENDING: &str = "PlanPending";
/// The condition that says that the releases are gone, so that the object may go.
pub const DESTROYED: &str = "Destroyed";
/// All conditions of the applier. Others on the same object are somebody else's.
pub const CONDITIONS: [&str; 8] =
    [READY, RECONCILING, STALLED, SOURCE_READY, APPLIED, DRIFTED, PLAN_PENDING, DESTROYED];

/// Annotations of a Helmfile.
pub mod annotation {
    /// A new value asks for a pass at once, whatever waits.
    pub const REQUESTED_AT: &str = "reconcile.fluxcd.io/requestedAt";
    /// The same value as [`REQUESTED_AT`] asks for a full run of helmfile, though nothing has changed.
    pub const FORCE_AT: &str = "reconcile.fluxcd.io/forceAt";
    /// The same value as [`REQUESTED_AT`] forgets the failures so far.
    pub const RESET_AT: &str = "reconcile.fluxcd.io/resetAt";
    /// The id of a pending prune: says yes to it.
    pub const APPROVE_PRUNE: &str = "apps.mumoshu.github.io/approve-prune";
    /// Releases, as `namespace/name,…`, that somebody else's helm has left locked and that may be unlocked.
    pub const UNLOCK: &str = "apps.mumoshu.github.io/unlock-releases";
    /// `true`: the object may go though its releases could not be destroyed.
    pub const GIVE_UP: &str = "apps.mumoshu.github.io/give-up-destroy";
    /// On an object of a release, name and value: nobody is to look whether it is as its release says. Flux's counts too.
    pub const DRIFT_DISABLED: [(&str, &str); 2] = [
        ("apps.mumoshu.github.io/drift-detection", "disabled"),
        ("helm.toolkit.fluxcd.io/driftDetection", "disabled"),
    ];
}

/// Labels of the Secrets in which Helm keeps the revisions of a release: whose it is.
pub mod label {
    /// The UID of the Helmfile.
    pub const UID: &str = "apps.mumoshu.github.io/helmfile-uid";
    /// Its namespace.
    pub const NAMESPACE: &str = "apps.mumoshu.github.io/helmfile-namespace";
    /// Its name, cut to 63 characters.
    pub const NAME: &str = "apps.mumoshu.github.io/helmfile-name";
}

/// Reasons of conditions and Events, beside those of the sources ([`fetch`](crate::helmfile::fetch)).
pub mod reason {
    /// The cluster has what the helmfile says.
    pub const SUCCEEDED: &str = "ReconciliationSucceeded";
    /// A delivery is under way.
    pub const PROGRESSING: &str = "Progressing";
    /// All objects are as their releases say.
    pub const NO_DRIFT: &str = "NoDrift";
    /// Somebody else has changed or removed objects of the releases.
    pub const DRIFT_DETECTED: &str = "DriftDetected";
    /// Whether somebody has can't be told.
    pub const DRIFT_UNKNOWN: &str = "DriftUnknown";
    /// The spec says to do nothing.
    pub const SUSPENDED: &str = "Suspended";
    /// The spec cannot be read or contradicts itself.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// The spec's `envvars` hold a name that is refused.
    pub const ENVIRONMENT_REFUSED: &str = "EnvironmentVariableRefused";
    /// A helmfile, or a file that it names, is not where it should be.
    pub const FILE_NOT_FOUND: &str = "FileNotFound";
    /// A program is missing.
    pub const PROGRAM_NOT_FOUND: &str = "ProgramNotFound";
    /// The machine, not the helmfile, is at fault.
    pub const ENVIRONMENT_FAILED: &str = "EnvironmentFailed";
    /// There is no cluster, or it did not answer.
    pub const CLUSTER_UNREACHABLE: &str = "ClusterUnreachable";
    /// Somebody else delivers the same Helmfile on this machine.
    pub const BUSY: &str = "AnotherDeliveryRunning";
    /// The helmfile is malformed or its templates fail.
    pub const HELMFILE_INVALID: &str = "HelmfileInvalid";
    /// A chart or a repository could not be had.
    pub const CHART_UNAVAILABLE: &str = "ChartUnavailable";
    /// A value that the helmfile takes from elsewhere (`ref+…`) could not be had.
    pub const VALUE_UNAVAILABLE: &str = "ValueUnavailable";
    /// A release cannot be rendered.
    pub const RENDER_FAILED: &str = "RenderFailed";
    /// Helm could not install or upgrade a release.
    pub const UPGRADE_FAILED: &str = "UpgradeFailed";
    /// Helm could not remove a release.
    pub const UNINSTALL_FAILED: &str = "UninstallFailed";
    /// Fields of a release's objects belong to somebody else.
    pub const CONFLICT: &str = "Conflict";
    /// Another helm, or one that was killed, holds the release.
    pub const RELEASE_LOCKED: &str = "ReleaseLocked";
    /// The service account lacks a right.
    pub const FORBIDDEN: &str = "Forbidden";
    /// A hook of the helmfile failed.
    pub const HOOK_FAILED: &str = "HookFailed";
    /// No release has the labels of the selector.
    pub const NOTHING_SELECTED: &str = "NothingSelected";
    /// The run took longer than the spec's `timeout`.
    pub const TIMED_OUT: &str = "TimedOut";
    /// A ConfigMap, Secret or a key of them is not there.
    pub const INPUT_NOT_FOUND: &str = "InputNotFound";
    /// What an input holds makes no sense.
    pub const INPUT_INVALID: &str = "InputInvalid";
    /// A Helmfile that must be Ready first is not.
    pub const DEPENDENCY_NOT_READY: &str = "DependencyNotReady";
    /// A release belongs to another Helmfile.
    pub const RELEASE_CLAIMED: &str = "ReleaseClaimed";
    /// All is delivered, and objects are not healthy yet.
    pub const WAITING_FOR_HEALTH: &str = "WaitingForHealth";
    /// All is delivered, and objects did not get healthy in time, or never will.
    pub const HEALTH_CHECK_FAILED: &str = "HealthCheckFailed";
    /// Releases that have left the helmfile could not be uninstalled.
    pub const PRUNE_FAILED: &str = "PruneFailed";
    /// Releases that have left the helmfile wait for a yes.
    pub const PRUNE_NEEDS_APPROVAL: &str = "PruneNeedsApproval";
    /// The releases are being uninstalled, since the object is being deleted.
    pub const DESTROYING: &str = "Destroying";
    /// All releases are uninstalled.
    pub const DESTROYED: &str = "Destroyed";
    /// Releases could not be uninstalled.
    pub const DESTROY_FAILED: &str = "DestroyFailed";
    /// Another applier holds the Lease of this Helmfile.
    pub const HELD_ELSEWHERE: &str = "HeldByAnotherApplier";
    /// Anything else that went wrong in a run.
    pub const FAILED: &str = "ReconciliationFailed";
}

/// Set for helmfile: the digest of the revision, for a Git source the commit's.
pub const ENV_REVISION: &str = "HELMFILE_OPERATOR_REVISION";
/// Set for helmfile: the branch or tag of the revision, where there is one.
pub const ENV_BRANCH: &str = "HELMFILE_OPERATOR_BRANCH";
/// Set for helmfile: the Helmfile's name.
pub const ENV_NAME: &str = "HELMFILE_OPERATOR_NAME";
/// Set for helmfile: the Helmfile's namespace.
pub const ENV_NAMESPACE: &str = "HELMFILE_OPERATOR_NAMESPACE";

/// Variables that a Helmfile may not set, since the applier's promises hang on them: which programs run, in which
/// folders, against which cluster, and that no secret is printed. A `*` at the end stands for any ending.
const REFUSED: &[&str] = &[
    // Which programs run, and what they load.
    "PATH",
    "LD_*",
    "SHELL",
    "BASH_ENV",
    "ENV",
    "IFS",
    // Where they keep files.
    "HOME",
    "TMPDIR",
    "XDG_*",
    // Which cluster, as whom.
    "KUBECONFIG",
    "KUBERNETES_*",
    // What is ours.
    "HELMFILE_OPERATOR_*",
    "HOOK_PROGRESS",
    // Helm: homes, cluster, storage, output. HELM_DIFF_* would change what counts as a change.
    "HELM_BIN",
    "HELM_CACHE_HOME",
    "HELM_CONFIG_HOME",
    "HELM_DATA_HOME",
    "HELM_CONTENT_CACHE",
    "HELM_REGISTRY_CONFIG",
    "HELM_REPOSITORY_CACHE",
    "HELM_REPOSITORY_CONFIG",
    "HELM_PLUGINS",
    "HELM_PLUGIN_*",
    "HELM_NO_PLUGINS",
    "HELM_KUBE*",
    "HELM_NAMESPACE",
    "HELM_DRIVER*",
    "HELM_DEBUG",
    "HELM_DIFF_*",
    // Helmfile: what the spec says elsewhere, homes, programs, output, questions.
    "HELMFILE_ENVIRONMENT",
    "HELMFILE_FILE_PATH",
    "HELMFILE_NAMESPACE",
    "HELMFILE_KUBE_CONTEXT",
    "HELMFILE_CACHE_HOME",
    "HELMFILE_TEMPDIR",
    "HELMFILE_HELM_BINARY",
    "HELMFILE_KUSTOMIZE_BINARY",
    "HELMFILE_DEBUG",
    "HELMFILE_LOG_LEVEL",
    "HELMFILE_QUIET",
    "HELMFILE_INTERACTIVE",
    "HELMFILE_DISABLE_RUNNER_UNIQUE_ID",
    "CHARTIFY_*",
    "KUSTOMIZE_*",
    // Git: programs, configuration, credentials, traces that print them.
    "GIT_ALLOW_PROTOCOL",
    "GIT_ASKPASS",
    "GIT_CONFIG*",
    "GIT_CURL_VERBOSE",
    "GIT_DIR",
    "GIT_EDITOR",
    "GIT_EXEC_PATH",
    "GIT_EXTERNAL_DIFF",
    "GIT_PAGER",
    "GIT_PROXY_COMMAND",
    "GIT_SEQUENCE_EDITOR",
    "GIT_SSH*",
    "GIT_TEMPLATE_DIR",
    "GIT_TERMINAL_PROMPT",
    "GIT_TRACE*",
    "GIT_WORK_TREE",
    "SSH_ASKPASS*",
];

/// The entry of the deny-list that refuses a variable, as it is written there.
pub fn refuses(variable: &str) -> Option<&'static str> {
    REFUSED.iter().copied().find(|entry| entry_matches(entry, variable))
}

/// Variables that reach helmfile from the applier's own environment. Nothing else does.
const PASSED: &[&str] = &[
    "PATH",
    "LANG",
    "LC_*",
    "TZ",
    // The way out.
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    // Credentials of the pod, for `ref+…` values, chart repositories and kubeconfigs that call a program.
    "AWS_*",
    "AZURE_*",
    "CLOUDSDK_*",
    "GCP_*",
    "GCS_*",
    "GOOGLE_*",
    "SOPS_*",
    "VAULT_*",
    "HELM_SECRETS_*",
];

/// Whether a variable of the applier's own environment reaches helmfile.
pub fn passes(variable: &str) -> bool {
    PASSED.iter().any(|entry| entry_matches(entry, variable))
}

fn entry_matches(entry: &str, variable: &str) -> bool {
    match entry.strip_suffix('*') {
        Some(start) => variable.starts_with(start),
        None => variable == entry,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn companions_have_names_of_their_own() {
        assert_eq!(companion("web", RECORD), "web.helmfile");
        let long = |end: &str| companion(&format!("{}{end}", "a".repeat(250)), INVENTORY);
        assert!(long("b").len() <= 253 && long("b") != long("c"));
    }

    #[test]
    fn what_steers_the_programs_is_refused() {
        for (variable, entry) in [
            ("PATH", "PATH"),
            ("LD_PRELOAD", "LD_*"),
            ("HOME", "HOME"),
            ("KUBECONFIG", "KUBECONFIG"),
            ("KUBERNETES_SERVICE_HOST", "KUBERNETES_*"),
            ("HELM_DRIVER", "HELM_DRIVER*"),
            ("HELM_KUBETOKEN", "HELM_KUBE*"),
            ("HELMFILE_HELM_BINARY", "HELMFILE_HELM_BINARY"),
            ("HELMFILE_OPERATOR_REVISION", "HELMFILE_OPERATOR_*"),
            ("GIT_SSH_COMMAND", "GIT_SSH*"),
            ("GIT_CONFIG_COUNT", "GIT_CONFIG*"),
            ("XDG_CONFIG_HOME", "XDG_*"),
        ] {
            assert_eq!(refuses(variable), Some(entry), "{variable}");
        }
    }

    #[test]
    fn plain_names_are_fine() {
        for variable in [
            "GIT_COMMIT",
            "GIT_BRANCH",
            "PATHS",
            "MY_HOME",
            "IMAGE_TAG",
            "HELM_SECRETS_BACKEND",
            "HELMFILE_REPO_RETRIES",
            "HELM_BURST_LIMIT",
            "HTTPS_PROXY",
            "AWS_REGION",
            "KUBE_VERSION",
            "ENVIRONMENT",
        ] {
            assert_eq!(refuses(variable), None, "{variable}");
        }
    }

    #[test]
    fn nothing_of_the_operator_itself_passes() {
        for variable in
            ["HOME", "KUBECONFIG", "KUBERNETES_SERVICE_HOST", "HOOK_PROGRESS", "OBJECT_NAME", "POD_NAMESPACE"]
        {
            assert!(!passes(variable), "{variable}");
        }
        assert!(passes("PATH") && passes("AWS_WEB_IDENTITY_TOKEN_FILE") && passes("no_proxy"));
    }
}
