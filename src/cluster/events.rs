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
use serde_json::{Value, json};

use crate::object::{self, Key, ObjectRef};

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

    /// Publishes an Event about an object. Where its namespace takes nothing new any more, what is said of an object that is
    /// being deleted with it is said of the namespace. Best effort: trouble is logged, never returned, since no delivery
    /// should fail for want of an Event.
    pub async fn publish(&self, object: &Value, notice: &Notice) {
        let uid = object::uid(object).unwrap_or_default().to_owned();
        if !self.is_news((uid, notice.clone())) {
            return;
        }
        let mut result = self.send(&reference(object), notice).await;
        if let (Err(error), true) = (&result, object::is_terminating(object))
            && takes_nothing_new(error)
        {
            let (namespace, notice) = of_namespace(object, notice);
            result = self.send(&namespace, &notice).await;
        }
        if let Err(error) = result {
            let error = super::describe(&error);
            tracing::debug!(reason = notice.reason, error, "failed to publish an event");
        }
    }

    async fn send(&self, regarding: &Value, notice: &Notice) -> Result<(), kube::Error> {
        let regarding = serde_json::from_value(regarding.clone()).map_err(kube::Error::SerdeError)?;
        let published = KubeEvent {
            type_: if notice.warning { KubeEventType::Warning } else { KubeEventType::Normal },
            reason: notice.reason.clone(),
            note: Some(notice.message.chars().take(NOTE_LIMIT).collect()),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        // A recorder of its own each time: one that is kept merges Events with different texts into the first.
        let recorder = Recorder::new(self.client.clone(), self.reporter.clone());
        super::in_time(recorder.publish(&published, &regarding)).await
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
    json!({
        "apiVersion": at("/apiVersion"), "kind": at("/kind"), "name": at("/metadata/name"),
        "namespace": at("/metadata/namespace"), "uid": at("/metadata/uid"),
        "resourceVersion": at("/metadata/resourceVersion"),
    })
}

/// Whether it was refused because the namespace is being terminated.
fn takes_nothing_new(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    status.code == 403 && causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}

/// What is said of an object, as it is said of its namespace.
fn of_namespace(object: &Value, notice: &Notice) -> (Value, Notice) {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "name": object::namespace(object).unwrap_or_default()});
    let name = ObjectRef::of(object).map_or_else(|| Key::of(object).to_string(), |name| name.to_string());
    (namespace, Notice { message: format!("{name}: {}", notice.message), ..notice.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_namespace_on_its_way_out_is_spoken_of_instead() {
        let refused = |code: u16, cause: &str| {
            let status =
                json!({"status": "Failure", "code": code, "details": {"causes": [{"reason": cause}]}});
            kube::Error::Api(Box::new(serde_json::from_value(status).unwrap()))
        };
        assert!(takes_nothing_new(&refused(403, "NamespaceTerminating")));
        assert!(!takes_nothing_new(&refused(403, "Quota")));
        assert!(!takes_nothing_new(&refused(404, "NamespaceTerminating")));
    }

    #[test]
    fn a_namespace_is_told_which_object_it_was() {
        let object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "n", "name": "p"}});
        let notice = Notice { warning: true, reason: "Left".into(), message: "text".into() };
        let (regarding, notice) = of_namespace(&object, &notice);
        assert_eq!(regarding, json!({"apiVersion": "v1", "kind": "Namespace", "name": "n"}));
        assert_eq!((notice.warning, notice.message.as_str()), (true, "Pod n/p: text"));
    }
}
