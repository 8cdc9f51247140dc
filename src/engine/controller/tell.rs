//! Saying on the object how its run ended: an Event for a failure, and the condition that the config asks for.

use serde_json::{Value, json};

use super::{
    context::{Controller, ObjectState},
    error::RunError,
    status::StatusWrite,
    trace::Trace,
};
use crate::{
    cluster::events::Notice,
    contract::{Event, EventType},
    object::{self, Key},
};

/// The longest message of a condition, in characters.
const MESSAGE_LIMIT: usize = 1024;

/// A run that has ended, as far as people are told of it.
pub(super) struct Told<'a> {
    pub(super) controller: &'a Controller,
    /// The object, as the handler was given it.
    pub(super) object: &'a Value,
    /// Whether there is nobody left to carry a condition.
    pub(super) gone: bool,
    /// Why it failed, if it did: a word, and a sentence without secrets.
    pub(super) error: Option<(&'a str, &'a str)>,
}

impl Told<'_> {
    /// Tells of a failure, or that it is over. Returns what was written.
    pub(super) async fn tell(&self, state: &mut ObjectState) -> Vec<Trace> {
        let (shared, entry) = (&self.controller.shared, &self.controller.entry);
        if let Some((reason, message)) = self.error {
            let (reason, message) = (reason.to_owned(), message.to_owned());
            shared.events.publish(self.object, &Notice { warning: true, reason, message }).await;
        }
        let (Some(condition), false) = (&entry.condition, self.gone) else { return Vec::new() };
        let current = self.error.map_or((true, String::new()), |(_, message)| (false, message.to_owned()));
        // Metadata alone does not show what was told before.
        let failed_before = entry.metadata_only || standing(self.object, condition) == Some("False");
        let is_news = match &state.told {
            Some(told) => *told != current,
            // Success is worth a write only where failure was told.
            None => self.error.is_some() || failed_before,
        };
        if !is_news {
            return Vec::new();
        }
        match self.write(&self.condition(condition, &current.1)).await {
            Ok(traces) => {
                state.told = Some(current);
                traces
            }
            // The object went away while it was being handled: nobody is left to be told.
            Err(RunError::Execute(error)) if error.is_gone() => Vec::new(),
            Err(error) => {
                let object = Key::of(self.object).of_kind(&entry.gvk);
                tracing::warn!(%object, "failed to write the condition `{condition}`: {error}");
                Vec::new()
            }
        }
    }

    fn condition(&self, name: &str, message: &str) -> Value {
        json!({"conditions": [{
            "type": name, "status": if self.error.is_some() { "False" } else { "True" },
            "reason": self.error.map_or("Succeeded", |(reason, _)| reason),
            "message": message.chars().take(MESSAGE_LIMIT).collect::<String>(),
            "lastTransitionTime": self.controller.shared.clock.now().to_string(),
            "observedGeneration": object::generation(self.object).unwrap_or_default(),
        }]})
    }

    async fn write(&self, status: &Value) -> Result<Vec<Trace>, RunError> {
        let controller = self.controller;
        let kind = controller.shared.discovery.resolve(&controller.entry.gvk).await?;
        let manager = controller.entry.engine_manager();
        let write = StatusWrite { object: self.object, kind: &kind, status, manager: &manager, said: &[] };
        Ok(write.write(controller).await?)
    }
}

/// An Event of the contract as one of the cluster.
pub(super) fn notice(event: &Event) -> Notice {
    Notice {
        warning: event.kind_of == EventType::Warning,
        reason: event.reason.clone(),
        message: event.message.clone(),
    }
}

/// The status of a condition as the object has it.
fn standing<'o>(object: &'o Value, condition: &str) -> Option<&'o str> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    conditions.iter().find(|found| found["type"] == condition)?["status"].as_str()
}
