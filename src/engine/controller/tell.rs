//! Saying on the object how its run ended: an Event for a failure, and the condition that the config asks for.

use serde_json::{Value, json};

use super::{
    attempt::{Attempt, Phase, RunError},
    context::ObjectState,
    status::StatusWrite,
};
use crate::{
    cluster::events::Notice,
    contract::{Event, EventType},
    object,
};

/// The longest message of a condition, in characters.
const MESSAGE_LIMIT: usize = 1024;

/// Tells of a failure, by reason and message, or that it is over.
pub(super) async fn tell(attempt: &mut Attempt<'_>, state: &mut ObjectState, failure: Option<(&str, &str)>) {
    let controller = attempt.controller;
    let shared = &controller.shared;
    let object = attempt.phase.object();
    if let Some((reason, message)) = failure {
        let (reason, message) = (reason.to_owned(), message.to_owned());
        shared.events.publish(object, &Notice { warning: true, reason, message }).await;
    }
    let (Some(condition), false) = (&controller.entry.condition, matches!(attempt.phase, Phase::Gone(_)))
    else {
        return;
    };
    let current = failure.map_or((true, String::new()), |(_, message)| (false, message.to_owned()));
    let failed_before = standing(object, condition) == Some("False");
    let is_news = match &state.told {
        Some(told) => *told != current,
        // Success is worth a write only where failure was told.
        None => failure.is_some() || failed_before,
    };
    if !is_news {
        return;
    }
    let reason = failure.map_or("Succeeded", |(reason, _)| reason);
    let status = json!({"conditions": [{
        "type": condition, "status": if failure.is_some() { "False" } else { "True" },
        "reason": reason, "message": current.1.chars().take(MESSAGE_LIMIT).collect::<String>(),
        "lastTransitionTime": shared.clock.now().to_string(),
        "observedGeneration": object::generation(object).unwrap_or_default(),
    }]});
    match write(attempt, &status).await {
        Ok(()) => state.told = Some(current),
        // The object went away while it was being handled: nobody is left to be told.
        Err(RunError::Execute(error)) if error.is_gone() => {}
        Err(error) => {
            let object = attempt.turn.key.of_kind(&controller.entry.gvk);
            tracing::warn!(%object, "failed to write the condition `{condition}`: {error}");
        }
    }
}

async fn write(attempt: &mut Attempt<'_>, status: &Value) -> Result<(), RunError> {
    let controller = attempt.controller;
    let kind = controller.shared.discovery.resolve(&controller.entry.gvk).await?;
    let manager = controller.entry.engine_manager();
    let write =
        StatusWrite { object: attempt.phase.object(), kind: &kind, status, manager: &manager, said: &[] };
    let traces = write.write(controller).await?;
    attempt.traces.extend(traces);
    Ok(())
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
