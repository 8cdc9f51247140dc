//! The releases of a Helmfile and their objects, as Helm's records say.

use std::{collections::BTreeSet, fs, path::Path};

use futures::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};

use super::session::Heard;
use crate::{
    atomic,
    helmfile::{
        api::{Inventory, InventoryRelease},
        diff,
        helm::{
            cluster::Cluster,
            release::{ReleaseError, ReleaseMeta, ReleaseStatus},
        },
        ledger::{Record, ReleaseId},
    },
    object::{Gvk, ObjectRef},
};

/// All releases with all their objects: more than a status holds. It is kept in a file beside the downloads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Whole(pub(crate) Vec<Release>);

/// One release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Release {
    /// Which.
    #[serde(flatten)]
    pub id: ReleaseId,
    /// The chart as `name-version`.
    pub chart: String,
    /// Helm's revision number.
    pub revision: u32,
    /// Helm's word for its state.
    pub status: String,
    /// UID of the Secret of that revision.
    pub secret: String,
    /// Whether it was there before us and has not been upgraded by us.
    #[serde(default)]
    pub adopted: bool,
    /// Its objects without the hooks. Those without a namespace of their own have the release's, also where their kind has
    /// none.
    pub objects: Vec<ObjectRef>,
}

impl Whole {
    /// Reads what an earlier run has kept.
    pub(crate) fn read(file: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(file).ok()?).ok()
    }

    /// Keeps it. When that fails, Helm's records are read again.
    pub(crate) fn write(&self, file: &Path) {
        let text = serde_json::to_vec(self).map_err(std::io::Error::from);
        if let Err(error) = text.and_then(|text| atomic::write(file, &text)) {
            tracing::warn!(file = %file.display(), %error, "failed to keep the inventory");
        }
    }

    /// Whether it is the one that a status shows: another machine may have delivered since this one was kept.
    pub(crate) fn is(&self, shown: Option<&Inventory>) -> bool {
        let (own, _) = self.shown().bounded();
        shown.is_some_and(|shown| (shown.count, &shown.releases) == (own.count, &own.releases))
    }

    /// All objects of releases that helm has delivered. Those of a release that failed are not looked at: some may not even
    /// have been made.
    pub(crate) fn objects(&self) -> Vec<ObjectRef> {
        let deployed = self.0.iter().filter(|release| release.status == ReleaseStatus::Deployed.as_str());
        deployed.flat_map(|release| release.objects.iter().cloned()).collect()
    }

    fn of(&self, id: &ReleaseId) -> Option<&Release> {
        self.0.iter().find(|release| release.id == *id)
    }

    /// The same for people.
    pub(crate) fn shown(&self) -> Inventory {
        let release = |release: &Release| InventoryRelease {
            namespace: release.id.namespace.clone(),
            name: release.id.name.clone(),
            chart: release.chart.clone(),
            revision: Some(release.revision),
            status: Some(release.status.clone()),
            adopted: release.adopted,
            objects: release.objects.iter().map(shown).collect(),
        };
        Inventory::whole(self.0.iter().map(release).collect())
    }
}

/// An object as a status shows it: `Deployment.apps shop/web`.
pub(crate) fn shown(object: &ObjectRef) -> String {
    let kind = match object.gvk.group.as_str() {
        "" => object.gvk.kind.clone(),
        group => format!("{}.{group}", object.gvk.kind),
    };
    format!("{kind} {}", object.key())
}

/// Which releases there are to be: those that this run has spoken of, and those of the record that it has not, as a selector
/// or another environment leaves releases out that stay.
pub(crate) fn wanted(heard: &Heard, record: &Record) -> BTreeSet<ReleaseId> {
    let spoken_of = heard.releases.iter().filter(|(_, seen)| !seen.uninstalled).map(|(id, _)| id.clone());
    let others =
        record.releases.iter().map(|owned| &owned.id).filter(|id| !heard.releases.contains_key(id)).cloned();
    spoken_of.chain(others).collect()
}

/// How many records are read at once.
const AT_ONCE: usize = 8;

/// What was found.
pub(crate) struct Taken {
    /// The inventory. Of a release whose record could not be read it has what it had before, if anything.
    pub whole: Whole,
    /// Records that could not be read, and why. A delivery that went well has not failed because of it.
    pub unread: Vec<String>,
}

/// Helm's records of these releases; those that are not there are left out. What an earlier inventory has of the same revision
/// is not read again.
pub(crate) async fn take(
    cluster: &Cluster,
    wanted: BTreeSet<ReleaseId>,
    record: &Record,
    earlier: Option<&Whole>,
) -> Taken {
    let reads: Vec<_> = wanted.into_iter().map(|id| read(cluster, id, earlier)).collect();
    let read: Vec<_> = stream::iter(reads).buffered(AT_ONCE).collect().await;
    let mut releases = Vec::new();
    let mut unread = Vec::new();
    for (id, result) in read {
        match result {
            Ok(Some(mut release)) => {
                release.adopted = record.owned(&id).is_some_and(|owned| owned.adopted);
                releases.push(release);
            }
            Ok(None) => {}
            Err(error) => {
                unread.push(format!("failed to read Helm's record of release `{id}`: {error}"));
                releases.extend(earlier.and_then(|earlier| earlier.of(&id)).cloned());
            }
        }
    }
    Taken { whole: Whole(releases), unread }
}

async fn read(
    cluster: &Cluster,
    id: ReleaseId,
    earlier: Option<&Whole>,
) -> (ReleaseId, Result<Option<Release>, ReleaseError>) {
    let history = match cluster.history(&id.namespace, &id.name).await {
        Ok(history) => history,
        Err(error) => return (id, Err(error)),
    };
    let Some(newest) = history.first().filter(|newest| newest.status != ReleaseStatus::Uninstalled) else {
        return (id, Ok(None));
    };
    let known = earlier.and_then(|earlier| earlier.of(&id));
    if let Some(known) = known.filter(|known| is_same(known, newest)) {
        return (id, Ok(Some(known.clone())));
    }
    let release = cluster.get(newest).await.map(|content| Release {
        chart: content.chart,
        revision: newest.revision,
        status: newest.status.to_string(),
        secret: newest.uid.clone(),
        adopted: false,
        objects: objects(&content.manifest, &id.namespace),
        id: id.clone(),
    });
    (id, release.map(Some))
}

fn is_same(known: &Release, newest: &ReleaseMeta) -> bool {
    !newest.uid.is_empty() && known.secret == newest.uid && known.status == newest.status.as_str()
}

fn objects(manifest: &str, namespace: &str) -> Vec<ObjectRef> {
    let all = diff::objects(manifest, namespace).into_iter();
    all.filter(|object| object.hook.is_none() && !object.api_version.is_empty())
        .map(|object| ObjectRef {
            gvk: Gvk::from_api_version(&object.api_version, &object.id.kind),
            namespace: Some(object.id.namespace),
            name: object.id.name,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(name: &str, status: ReleaseStatus) -> Release {
        Release {
            id: ReleaseId::new("shop", name),
            chart: "web-1.0.0".into(),
            revision: 3,
            status: status.to_string(),
            secret: "u".into(),
            adopted: false,
            objects: objects(
                "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: \
                 {name: b, namespace: other}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: t, annotations: {helm.sh/hook: test}}\n",
                "shop",
            ),
        }
    }

    #[test]
    fn hooks_are_no_objects_of_a_release() {
        let inventory = Whole(vec![release("web", ReleaseStatus::Deployed)]).shown();
        assert_eq!(inventory.releases[0].objects, ["ConfigMap shop/a", "Deployment.apps other/b"]);
        assert_eq!((inventory.count, inventory.objects), (1, 2));
    }

    #[test]
    fn what_failed_is_not_looked_at() {
        let whole =
            Whole(vec![release("web", ReleaseStatus::Deployed), release("db", ReleaseStatus::Failed)]);
        assert_eq!(whole.objects().len(), 2);
    }

    #[test]
    fn a_selector_leaves_releases_in_the_inventory() {
        let mut heard = Heard::default();
        heard.release(&ReleaseId::new("a", "kept")).differs = Some(false);
        heard.release(&ReleaseId::new("a", "removed")).uninstalled = true;
        let mut record = Record::new("u");
        for name in ["kept", "removed", "unselected"] {
            record.own(&ReleaseId::new("a", name), false);
        }
        let names: Vec<_> = wanted(&heard, &record).into_iter().map(|id| id.name).collect();
        assert_eq!(names, ["kept", "unselected"]);
    }

    #[test]
    fn a_record_that_was_read_is_not_read_again() {
        let known = release("web", ReleaseStatus::Deployed);
        let newest = |uid: &str, status: ReleaseStatus| ReleaseMeta {
            name: "web".into(),
            namespace: "shop".into(),
            revision: 3,
            status,
            uid: uid.into(),
            modified: None,
            labels: std::collections::BTreeMap::default(),
        };
        assert!(is_same(&known, &newest("u", ReleaseStatus::Deployed)));
        assert!(!is_same(&known, &newest("v", ReleaseStatus::Deployed)));
        assert!(!is_same(&known, &newest("u", ReleaseStatus::Superseded)));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("inventory.json");
        assert_eq!(Whole::read(&file), None);
        let whole = Whole(vec![known]);
        whole.write(&file);
        assert_eq!(Whole::read(&file).as_ref(), Some(&whole));
        let shown = whole.shown();
        assert!(whole.is(Some(&shown)) && !whole.is(None));
        let mut upgraded = whole.clone();
        upgraded.0[0].revision = 4;
        assert!(!upgraded.is(Some(&shown)), "another machine has delivered");
    }
}
