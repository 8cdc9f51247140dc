//! How the objects of the releases are.

use std::time::Duration;

use super::{inventory::Whole, observer::Observer, outcome::Scrub, status::Health};
use crate::{
    cluster::{client::Connection, discovery::Discovery},
    helmfile::health::{self, Report},
};

/// How long a look may take in all; what is not seen by then is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

/// Looks once. `patience` is how long they may take to get healthy; `scrub` is for the logs of their pods.
pub(crate) async fn look(
    connection: &Connection,
    whole: &Whole,
    patience: Duration,
    scrub: &Scrub,
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
    tell_logs(&report, scrub, observer);
    match report.sentence() {
        _ if report.is_healthy() => Health::Good,
        Some(sentence) if report.failed.is_empty() => Health::Waiting(sentence, patience),
        Some(sentence) => Health::Bad(sentence),
        None => Health::Good,
    }
}

/// Passes on what the pods that have failed have logged last. What they log can be what they were given.
fn tell_logs(report: &Report, scrub: &Scrub, observer: &mut Observer) {
    for finding in &report.failed {
        if let Some(log) = &finding.log {
            observer.line(&format!("the end of the log of {finding}:"));
            log.lines().for_each(|line| observer.tool(&scrub.clean(line)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::{
        helmfile::health::Finding,
        object::{Gvk, ObjectRef},
    };

    #[test]
    fn secrets_in_the_logs_of_pods_are_taken_out() {
        let gvk = Gvk::new("apps", "v1", "Deployment");
        let object = ObjectRef { gvk, namespace: Some("n".into()), name: "web".into() };
        let finding = Finding {
            object,
            what: "no".into(),
            cause: None,
            log: Some("starting\nwrong password hunter2hunter2 for db".into()),
        };
        let report = Report { failed: vec![finding], ..Report::default() };
        let lines = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&lines);
        let mut observer = Observer::new(None, move |_, line| heard.lock().unwrap().push(line.to_owned()));
        tell_logs(&report, &Scrub::default().and_secrets(&["hunter2hunter2".into()]), &mut observer);
        let lines = lines.lock().unwrap();
        assert_eq!(lines[1..], ["starting", "wrong password *** for db"]);
    }
}
