//! What there is of a release, as far as the labels of its Secrets tell.

use super::{
    cluster::Cluster,
    plugin::{PluginError, in_time},
    release::{Release, ReleaseMeta, ReleaseStatus},
};

/// What the cluster has of a release. Only metadata: nothing of its content has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The newest revision, whatever its status.
    pub newest: Option<ReleaseMeta>,
    /// The last deployed revision.
    pub deployed: Option<ReleaseMeta>,
}

impl State {
    /// Asks the cluster.
    ///
    /// # Errors
    /// When the API server does not answer or refuses.
    pub async fn read(cluster: &Cluster, namespace: &str, name: &str) -> Result<Self, PluginError> {
        let history = in_time(cluster.history(namespace, name)).await??;
        let deployed = history.iter().find(|meta| meta.status == ReleaseStatus::Deployed).cloned();
        Ok(Self { newest: history.into_iter().next(), deployed })
    }

    /// Whether Helm would install rather than upgrade.
    pub fn is_new(&self) -> bool {
        self.newest.as_ref().is_none_or(|newest| newest.status == ReleaseStatus::Uninstalled)
    }

    /// What there is to say besides the differences; an upgrade is due whatever they are.
    pub fn note(&self, namespace: &str, name: &str) -> Option<String> {
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

    /// The revision whose values Helm would reuse, with its content: the deployed one, or the newest where none is.
    pub(super) async fn base(&self, cluster: &Cluster) -> Result<Option<Release>, PluginError> {
        match self.deployed.as_ref().or(self.newest.as_ref().filter(|_| !self.is_new())) {
            Some(meta) => Ok(Some(in_time(cluster.get(meta)).await??)),
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn meta(revision: u32, status: ReleaseStatus) -> ReleaseMeta {
        ReleaseMeta {
            name: "web".into(),
            namespace: "team".into(),
            revision,
            status,
            uid: String::new(),
            modified: None,
            labels: BTreeMap::new(),
        }
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
                deployed: deployed.map(|revision| meta(revision, Deployed)),
            };
            assert_eq!(state.note("team", "web").as_deref(), note);
        }
    }
}
