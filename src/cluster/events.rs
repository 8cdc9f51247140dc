//! Publishing Kubernetes Events: one per object, reason and message, counted when it repeats.

use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use kube::{
    Client,
    runtime::events::{Event as KubeEvent, EventType as KubeEventType, Recorder, Reporter},
};
use serde_json::Value;

/// What an Event says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Notice {
    /// Whether somebody should look: type Warning instead of Normal.
    pub warning: bool,
    /// One word in camel case.
    pub reason: String,
    /// One sentence.
    pub message: String,
}

/// Publishes Events in the name of this program.
pub struct Publisher {
    client: Client,
    reporter: Reporter,
    /// When each Event was last sent, so that one that repeats does not flood the API server.
    sent: Mutex<HashMap<(String, Notice), Instant>>,
}

/// An Event with the same object, reason and message is sent once in this time.
const QUIET: Duration = Duration::from_mins(5);
/// How many are remembered.
const REMEMBERED: usize = 4096;
/// The API server refuses longer notes.
const NOTE_LIMIT: usize = 1024;

impl Publisher {
    /// Publishes with this client; `instance` tells replicas apart.
    pub fn new(client: Client, instance: String) -> Self {
        let reporter = Reporter { controller: env!("CARGO_PKG_NAME").to_owned(), instance: Some(instance) };
        Self { client, reporter, sent: Mutex::default() }
    }

    /// Publishes an Event about an object. Best effort: trouble is logged, never returned, since no delivery should fail
    /// for want of an Event.
    pub async fn publish(&self, object: &Value, notice: &Notice) {
        let Ok(regarding) = serde_json::from_value(reference(object)) else { return };
        let uid = crate::object::uid(object).unwrap_or_default().to_owned();
        if !self.is_news((uid, notice.clone())) {
            return;
        }
        let published = KubeEvent {
            type_: if notice.warning { KubeEventType::Warning } else { KubeEventType::Normal },
            reason: notice.reason.clone(),
            note: Some(notice.message.chars().take(NOTE_LIMIT).collect()),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        // A recorder of its own each time: one that is kept merges Events with different texts into the first.
        let recorder = Recorder::new(self.client.clone(), self.reporter.clone());
        if let Err(error) = super::in_time(recorder.publish(&published, &regarding)).await {
            tracing::debug!(
                reason = notice.reason,
                error = super::describe(&error),
                "failed to publish an event"
            );
        }
    }

    fn is_news(&self, key: (String, Notice)) -> bool {
        let now = Instant::now();
        let mut sent = self.sent.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        sent.retain(|_, at| now.duration_since(*at) < QUIET);
        if sent.contains_key(&key) {
            return false;
        }
        if sent.len() < REMEMBERED {
            sent.insert(key, now);
        }
        true
    }
}

fn reference(object: &Value) -> Value {
    let at = |pointer: &str| object.pointer(pointer).cloned().unwrap_or_default();
    serde_json::json!({
        "apiVersion": at("/apiVersion"), "kind": at("/kind"), "name": at("/metadata/name"),
        "namespace": at("/metadata/namespace"), "uid": at("/metadata/uid"),
        "resourceVersion": at("/metadata/resourceVersion"),
    })
}
