//! What a chart and its values can ask of a cluster, as far as their bytes tell.

use std::collections::BTreeSet;

/// What a chart and its values can ask of a cluster, as far as their bytes tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traits {
    /// They can read objects.
    pub lookup: bool,
    /// They can ask for API versions.
    pub api_versions: bool,
    /// They can tell an installation from an upgrade, or the number of the revision.
    pub revision: bool,
    /// Versions of Kubernetes' own API groups that they name.
    pub named: BTreeSet<String>,
}

impl Traits {
    /// Adds what a text can ask for.
    pub fn add(&mut self, text: &str) {
        self.lookup |= text.contains("lookup");
        self.api_versions |= text.contains("APIVersions");
        self.revision |= ["IsInstall", "IsUpgrade", "Revision"].iter().any(|name| text.contains(name));
        for group in BUILT_IN {
            let versions = text.match_indices(group).filter_map(|(at, _)| {
                let rest = text.split_at(at + group.len()).1.strip_prefix('/')?;
                let version: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
                let number = version.strip_prefix('v')?;
                number.starts_with(|c: char| c.is_ascii_digit()).then(|| format!("{group}/{version}"))
            });
            self.named.extend(versions);
        }
    }

    /// Whether the cluster must render: to read objects, or because the chart names an old version that the cluster has
    /// given up. Helm's own list, to which `--api-versions` only adds, still has those.
    pub fn need_server(&self, served: &BTreeSet<String>) -> bool {
        let given_up = || self.named.iter().any(|version| !served.contains(version));
        self.lookup || (self.api_versions && (served.is_empty() || given_up()))
    }
}

/// The groups of Helm's own list that have, or had, more than one version.
const BUILT_IN: [&str; 22] = [
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apps",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "extensions",
    "flowcontrol.apiserver.k8s.io",
    "imagepolicy.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
    "storagemigration.k8s.io",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn traits(text: &str) -> Traits {
        let mut traits = Traits::default();
        traits.add(text);
        traits
    }

    #[test]
    fn decides_where_to_render() {
        let served =
            BTreeSet::from(["policy/v1".to_owned(), "batch/v1".to_owned(), "batch/v1/Job".to_owned()]);
        for (text, server) in [
            ("kind: ConfigMap", false),
            ("{{ (lookup \"v1\" \"Secret\" \"n\" \"a\").data }}", true),
            ("{{ if .Capabilities.APIVersions.Has \"monitoring.coreos.com/v1\" }}", false),
            ("{{ if .Capabilities.APIVersions.Has \"batch/v1/Job\" }}", false),
            ("{{ if .Capabilities.APIVersions.Has \"policy/v1beta1\" }}", true),
            // Names it, but does not ask for it.
            ("apiVersion: policy/v1beta1", false),
        ] {
            assert_eq!(traits(text).need_server(&served), server, "{text}");
        }
        // An API server that can't say what it serves renders whatever asks.
        assert!(traits("{{ .Capabilities.APIVersions }}").need_server(&BTreeSet::new()));
        assert!(!traits("a: b").need_server(&BTreeSet::new()));
    }
}
