//! The releases of a helmfile: which there are, as helmfile says, and how they are, as Helm's records say.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::helmfile::{
    api::{Inventory, InventoryRelease},
    helm::release::{self, ReleaseError, ReleaseMeta},
};

/// A release as `helmfile list --output json` shows it.
#[derive(Debug, Deserialize)]
struct Listed {
    name: String,
    #[serde(default)]
    namespace: String,
    enabled: bool,
    installed: bool,
    #[serde(default)]
    chart: String,
    #[serde(default)]
    version: String,
}

/// Reads helmfile's list: all releases that are meant to be installed. `namespace` is that of releases without one.
///
/// # Errors
/// When it is not the list that we know.
pub(crate) fn read(json: &[u8], namespace: &str) -> Result<Vec<InventoryRelease>, serde_json::Error> {
    let listed: Option<Vec<Listed>> = serde_json::from_slice(json)?;
    let wanted = listed.into_iter().flatten().filter(|release| release.enabled && release.installed);
    let release = |listed: Listed| InventoryRelease {
        namespace: if listed.namespace.is_empty() { namespace.to_owned() } else { listed.namespace },
        name: listed.name,
        chart: [listed.chart, listed.version].join(" ").trim_end().to_owned(),
        revision: None,
        status: None,
    };
    Ok(wanted.map(release).collect())
}

/// Lays Helm's records over the releases.
pub(crate) fn complete(mut releases: Vec<InventoryRelease>, records: &[ReleaseMeta]) -> Inventory {
    for release in &mut releases {
        let record = records
            .iter()
            .find(|record| record.namespace == release.namespace && record.name == release.name);
        release.revision = record.map(|record| record.revision);
        release.status = record.map(|record| record.status.to_string());
    }
    Inventory::of(releases)
}

/// Helm's records of all namespaces with releases. Those that cannot be read are told to `on_error` and left out: a
/// delivery that went well has not failed because of it.
pub(crate) async fn records(
    client: &kube::Client,
    releases: &[InventoryRelease],
    mut on_error: impl FnMut(&str, ReleaseError),
) -> Vec<ReleaseMeta> {
    let namespaces: BTreeSet<&str> = releases.iter().map(|release| release.namespace.as_str()).collect();
    let mut records = Vec::new();
    for namespace in namespaces {
        match release::list(client, namespace).await {
            Ok(found) => records.extend(found),
            Err(error) => on_error(namespace, error),
        }
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helmfile::helm::release::ReleaseStatus;

    const LIST: &str = r#"[
        {"name":"web","namespace":"ns1","enabled":true,"installed":true,"labels":"chart:web","chart":"./charts/web","version":""},
        {"name":"db","namespace":"","enabled":true,"installed":true,"labels":"","chart":"bitnami/postgresql","version":"15.0.0"},
        {"name":"old","namespace":"ns1","enabled":true,"installed":false,"labels":"","chart":"x","version":""},
        {"name":"off","namespace":"ns1","enabled":false,"installed":true,"labels":"","chart":"x","version":""}]"#;

    #[test]
    fn only_what_is_meant_to_be_there_is_listed() {
        let releases = read(LIST.as_bytes(), "home").unwrap();
        let shown: Vec<_> =
            releases.iter().map(|r| format!("{}/{} {}", r.namespace, r.name, r.chart)).collect();
        assert_eq!(shown, ["ns1/web ./charts/web", "home/db bitnami/postgresql 15.0.0"]);
        assert_eq!(read(b"null", "home").unwrap(), []);
        assert!(read(b"oops", "home").is_err());
    }

    #[test]
    fn records_are_matched_by_namespace_and_name() {
        let record = |namespace: &str, name: &str, revision: u32, status: ReleaseStatus| ReleaseMeta {
            name: name.into(),
            namespace: namespace.into(),
            revision,
            status,
            uid: String::new(),
            modified: None,
            labels: std::collections::BTreeMap::default(),
        };
        let records = [
            record("ns1", "db", 9, ReleaseStatus::Failed),
            record("home", "db", 3, ReleaseStatus::Failed),
            record("ns1", "web", 1, ReleaseStatus::Deployed),
        ];
        let inventory = complete(read(LIST.as_bytes(), "home").unwrap(), &records);
        let shown: Vec<_> =
            inventory.releases.iter().map(|r| (r.name.as_str(), r.revision, r.status.as_deref())).collect();
        assert_eq!(shown, [("db", Some(3), Some("failed")), ("web", Some(1), Some("deployed"))]);
        let unread = complete(read(LIST.as_bytes(), "home").unwrap(), &[]);
        assert_eq!((unread.count, unread.releases[0].revision), (2, None));
    }
}
