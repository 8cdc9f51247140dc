//! `helm list` of one release, as a table: what helmfile asks after each upgrade, to tell the chart's version, and before it
//! removes a release.

use super::answer::Session;
use crate::helmfile::{
    helm::release::{Release, ReleaseMeta, ReleaseStatus},
    ledger::ReleaseId,
};

const HEADER: [&str; 7] = ["NAME", "NAMESPACE", "REVISION", "UPDATED", "STATUS", "CHART", "APP VERSION"];

impl Session<'_> {
    /// The table with the newest revision of the release, unless it is uninstalled.
    pub(super) async fn find(&self, id: &ReleaseId) -> Result<String, String> {
        let cluster = self.setting.cluster;
        let history = cluster.history(&id.namespace, &id.name).await.map_err(|error| error.to_string())?;
        let Some(newest) = history.into_iter().next().filter(is_listed) else { return Ok(table(None)) };
        let release = cluster.get(&newest).await.map_err(|error| error.to_string())?;
        Ok(table(Some((&newest, &release))))
    }
}

/// As `--uninstalling --deployed --failed --pending` say.
fn is_listed(meta: &ReleaseMeta) -> bool {
    !matches!(meta.status, ReleaseStatus::Uninstalled | ReleaseStatus::Superseded | ReleaseStatus::Unknown)
}

fn table(found: Option<(&ReleaseMeta, &Release)>) -> String {
    let header = HEADER.map(str::to_owned);
    let row = found.map(|(meta, release)| {
        let updated = meta.modified.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
        [
            meta.name.clone(),
            meta.namespace.clone(),
            meta.revision.to_string(),
            updated.map(|at| at.to_string()).unwrap_or_default(),
            meta.status.to_string(),
            release.chart.clone(),
            release.app_version.clone().unwrap_or_default(),
        ]
    });
    let rows: Vec<[String; 7]> = std::iter::once(header).chain(row).collect();
    let widths: Vec<usize> = (0..7)
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default())
        .collect();
    let line = |row: &[String; 7]| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}", width = *width)).collect();
        cells.join("\t") + "\n"
    };
    rows.iter().map(line).collect()
}
