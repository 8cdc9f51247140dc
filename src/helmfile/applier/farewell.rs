//! The pass over a Helmfile that is being deleted.

use tokio_util::sync::CancellationToken;

use super::{
    answer::{Answer, Stopped, Verdict},
    delivery::was_stopped,
    equipment::Applier,
    error::PassError,
    link::Link,
    observer::Observer,
    outcome::Scrub,
    pass::elsewhere,
    status::{self, Turn},
    subject::Subject,
};
use crate::{
    contract::{Event, EventType},
    helmfile::api::{
        ConditionStatus, DeletionPolicy, HelmfileSpec, Inventory, get,
        names::{self, annotation, reason},
    },
};

impl Applier {
    /// Removes the releases when the policy says so, once; else nothing.
    pub(super) async fn farewell(
        &self,
        subject: &Subject,
        link: &Link<'_>,
        observer: &mut Observer,
        stop: &CancellationToken,
    ) -> Result<Answer, Stopped> {
        let unchanged = || Answer::new(subject, subject.status.clone(), None, Verdict::UpToDate);
        if subject.deletion_policy() != DeletionPolicy::Destroy {
            return Ok(unchanged());
        }
        let destroyed = get(&subject.status.conditions, names::DESTROYED);
        if destroyed.is_some_and(|condition| {
            condition.status == ConditionStatus::True && condition.observed_generation == subject.generation
        }) {
            return Ok(unchanged());
        }
        if subject.annotation(annotation::GIVE_UP) == Some("true") {
            return Ok(given_up(subject, "the annotation says so"));
        }
        let spec = match &subject.spec {
            Ok(spec) => spec,
            Err(unreadable) => {
                return Ok(self.not_destroyed(subject, &PassError::Spec(unreadable.why.clone()), observer));
            }
        };
        let message = "uninstalling the releases, as the Helmfile is being deleted".to_owned();
        let destroying = status::next(&subject.status, &Turn::Destroying(message), self.moment(subject));
        observer.publish(&destroying).await;
        match Box::pin(self.destroy(subject, spec, link, observer, stop)).await {
            Ok(sentence) => {
                observer.line(&sentence);
                Ok(self.answer(subject, &destroying, &Turn::Destroyed(sentence), None, Verdict::Changed))
            }
            Err(error) if stop.is_cancelled() || was_stopped(&error) => Err(Stopped),
            Err(error) if is_namespace_going(&error) => Ok(given_up(
                subject,
                "the namespace is being deleted, and nothing can be created in it any more",
            )),
            Err(error) if error.is_elsewhere(subject) => Ok(elsewhere(subject, &error, observer)),
            Err(error) => Ok(self.not_destroyed(subject, &error, observer)),
        }
    }

    /// The object stays, and says why and how it can go.
    fn not_destroyed(&self, subject: &Subject, error: &PassError, observer: &mut Observer) -> Answer {
        let mut failure = error.failure(&Scrub::default());
        observer.failure(&failure.message);
        failure.reason = reason::DESTROY_FAILED;
        failure.message = format!(
            "{}; the object stays until this succeeds, or is annotated {}=true",
            failure.message,
            annotation::GIVE_UP
        );
        // Tried again in any case: an answer without that would let the object go.
        let permanent = matches!(error, PassError::Spec(_));
        let turn = Turn::Failed { failure, permanent, source: false, started: None };
        let mut answer = self.answer(subject, &subject.status, &turn, None, Verdict::Failed);
        answer.again = Some(subject.retry().pause(answer.status.failures));
        answer
    }

    async fn destroy(
        &self,
        subject: &Subject,
        spec: &HelmfileSpec,
        link: &Link<'_>,
        observer: &mut Observer,
        stop: &CancellationToken,
    ) -> Result<String, PassError> {
        let missing = match Box::pin(self.prepare(subject, spec, link, stop)).await {
            Ok(delivery) => match Box::pin(delivery.destroy(observer)).await {
                // The source says where it is, and not what is in it. Nothing was touched yet.
                Err(error) if error.is_content() && !stop.is_cancelled() => {
                    error.failure(&delivery.scrub()).message
                }
                other => return Ok(other?.sentence()),
            },
            Err(error) if stop.is_cancelled() => return Err(error),
            Err(error) => error.failure(&Scrub::default()).message,
        };
        observer.line(&format!("the helmfile can't be had ({missing}); uninstalling what the record has"));
        let delivery = self.prepare_bare(subject, spec, link, stop).await?;
        Ok(Box::pin(delivery.destroy(observer)).await?.sentence())
    }
}

/// Lets the object go though releases are left.
fn given_up(subject: &Subject, why: &str) -> Answer {
    let left = Inventory::left(subject.status.inventory.as_ref());
    let message = format!("the releases were not destroyed, as {why}; {left}");
    let mut answer = Answer::new(subject, subject.status.clone(), None, Verdict::Failed);
    answer.events =
        vec![Event { kind_of: EventType::Warning, reason: reason::DESTROY_FAILED.to_owned(), message }];
    answer
}

fn is_namespace_going(error: &PassError) -> bool {
    let forbidden = error.reason() == reason::FORBIDDEN;
    forbidden && error.to_string().contains("because it is being terminated")
}

#[cfg(test)]
#[path = "farewell_tests.rs"]
mod tests;
