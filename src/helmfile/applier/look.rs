//! How the objects of the releases are.

use std::time::Duration;

use super::{inventory::Whole, observer::Observer, status::Health};
use crate::{
    cluster::{client::Connection, discovery::Discovery},
    helmfile::health,
};

/// How long a look may take in all; what is not seen by then is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

/// Looks once. `patience` is how long they may take to get healthy.
pub(crate) async fn look(
    connection: &Connection,
    whole: &Whole,
    patience: Duration,
    observer: &mut Observer,
) -> Health {
    let discovery = Discovery::new(connection.client.clone());
    let objects = whole.objects();
    let Ok(report) = tokio::time::timeout(PATIENCE, health::look(&discovery, &objects)).await else {
        return Health::Waiting("waiting for the API server to show the objects".to_owned(), patience);
    };
    if let Some(sentence) = report.unseen_sentence() {
        observer.line(&sentence);
    }
    for finding in &report.failed {
        if let Some(log) = &finding.log {
            observer.line(&format!("the end of the log of {finding}:"));
            log.lines().for_each(|line| observer.tool(line));
        }
    }
    match report.sentence() {
        _ if report.is_healthy() => Health::Good,
        Some(sentence) if report.failed.is_empty() => Health::Waiting(sentence, patience),
        Some(sentence) => Health::Bad(sentence),
        None => Health::Good,
    }
}
