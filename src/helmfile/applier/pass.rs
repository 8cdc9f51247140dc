//! One pass over one Helmfile.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::{
    answer::{Answer, Stopped, Verdict},
    command,
    decide::{self, Cause, Decision, Facts, Idle},
    delivery::{Delivery, Order},
    equipment::Applier,
    error::PassError,
    inputs,
    observer::Observer,
    outcome::Scrub,
    source_files,
    status::{self, Moment, Turn},
    subject::Subject,
    values,
};
use crate::{
    clock::{self},
    digest,
    helmfile::{
        api::{DEFAULT_SOURCE, HelmfileSpec, get, names::READY},
        fetch::Locator,
    },
};

impl Applier {
    /// Looks at the source, and delivers it when there is a reason to.
    ///
    /// Failures are told in the status; they are no errors here.
    ///
    /// # Errors
    /// When `stop` was cancelled. Helmfile has ended then.
    pub async fn pass(
        &self,
        subject: &Subject,
        observer: &mut Observer,
        stop: &CancellationToken,
    ) -> Result<Answer, Stopped> {
        let spec = match &subject.spec {
            Ok(spec) if spec.suspend => return Ok(self.suspended(subject, spec)),
            Ok(spec) => spec,
            Err(text) => return Ok(self.failed_early(subject, &PassError::Spec(text.clone()), observer)),
        };
        let delivery = match self.prepare(subject, spec, stop).await {
            Ok(delivery) => delivery,
            Err(_) if stop.is_cancelled() => return Err(Stopped),
            Err(error) => return Ok(self.failed_early(subject, &error, observer)),
        };
        let now = self.clock.now();
        let facts = Facts {
            status: &subject.status,
            generation: subject.generation,
            revision: delivery.revision.as_str(),
            inputs: &delivery.inputs,
            interval: spec.interval.0,
            refresh: spec.refresh_interval.0,
            now,
        };
        let (until, why) = match decide::decide(&facts) {
            Decision::Apply(cause) => return self.deliver(&delivery, cause, observer).await,
            Decision::Wait { until, why } => (until, why),
        };
        let (turn, verdict) = match why {
            Idle::UpToDate => (Turn::UpToDate, Verdict::UpToDate),
            Idle::BackingOff => (Turn::BackingOff, Verdict::BackingOff),
        };
        let status = status::next(&subject.status, &turn, self.moment(subject));
        Ok(Answer::new(subject, status, Some(clock::since(until, now)), verdict))
    }

    fn moment(&self, subject: &Subject) -> Moment {
        Moment { generation: subject.generation, now: self.clock.now() }
    }

    fn suspended(&self, subject: &Subject, spec: &HelmfileSpec) -> Answer {
        // The source is not asked, so the question is whether the spec is still the one that was delivered.
        let applied = subject.status.last_applied_revision.as_deref().unwrap_or_default();
        let inputs = inputs::digest(spec, applied, &digests(&subject.values_files));
        let delivered = subject.status.last_applied_inputs == Some(inputs);
        let status = status::next(&subject.status, &Turn::Suspended { delivered }, self.moment(subject));
        Answer::new(subject, status, None, Verdict::Suspended)
    }

    /// Checks all that can be checked without a cluster and a copy of the source, and asks the source for its revision.
    async fn prepare<'a>(
        &'a self,
        subject: &'a Subject,
        spec: &'a HelmfileSpec,
        stop: &'a CancellationToken,
    ) -> Result<Delivery<'a>, PassError> {
        let source = spec.source.as_deref().unwrap_or(DEFAULT_SOURCE);
        let locator = Locator::parse(source, spec.version.as_deref(), &subject.base)?;
        command::check_envvars(&spec.envvars)?;
        let helmfile = source_files::name_of_helmfile(spec.file.as_deref(), locator.file())?;
        let layers = values::layers(spec, &subject.values_files)?;
        let fetcher = self.fetcher_for(spec);
        let revision = fetcher.resolve(&locator, stop).await?;
        let inputs = inputs::digest(spec, revision.as_str(), &digests(&subject.values_files));
        Ok(Delivery {
            applier: self,
            subject,
            spec,
            order: Order { locator, helmfile, layers },
            revision,
            inputs,
            stop,
        })
    }

    /// A failure before there is anything to deliver.
    fn failed_early(&self, subject: &Subject, error: &PassError, observer: &mut Observer) -> Answer {
        let (failure, permanent) = (error.failure(&Scrub::default()), error.is_permanent());
        observer.failure(&failure.message);
        let turn = Turn::Failed { failure, permanent, started: false };
        let status = status::next(&subject.status, &turn, self.moment(subject));
        let again = (!permanent).then(|| decide::backoff(status.failures));
        Answer::new(subject, status, again, Verdict::Failed)
    }

    async fn deliver(
        &self,
        delivery: &Delivery<'_>,
        cause: Cause,
        observer: &mut Observer,
    ) -> Result<Answer, Stopped> {
        let Delivery { subject, spec, .. } = delivery;
        let attempt = delivery.attempt();
        let started = status::next(&subject.status, &Turn::Started(attempt, cause), self.moment(subject));
        observer.line(&format!(
            "delivering {} of {}: {cause}",
            status::short(attempt.revision),
            delivery.order.locator
        ));
        if cause != Cause::Refresh {
            observer.publish(&started).await;
        }
        let (turn, verdict) = match delivery.run(observer).await {
            Ok(ran) => {
                let verdict = if ran.changed { Verdict::Changed } else { Verdict::Unchanged };
                (Turn::Delivered { attempt, changed: ran.changed, inventory: ran.inventory }, verdict)
            }
            Err(_) if delivery.stop.is_cancelled() => return Err(Stopped),
            Err(error) => {
                let failure = error.failure(&Scrub::default());
                observer.failure(&failure.message);
                (Turn::Failed { failure, permanent: error.is_permanent(), started: true }, Verdict::Failed)
            }
        };
        let status = status::next(&started, &turn, self.moment(subject));
        if verdict != Verdict::Failed
            && let Some(ready) = get(&status.conditions, READY)
        {
            observer.line(&ready.message);
        }
        // After a failure another revision of the source, which may be the fix, is not kept waiting.
        let retry = (verdict == Verdict::Failed).then(|| decide::backoff(status.failures));
        let again = retry.unwrap_or(Duration::MAX).min(spec.interval.0);
        Ok(Answer::new(subject, status, Some(again), verdict))
    }
}

/// Digests of files of this machine. One that can't be read counts as empty here, and is told when it is needed.
fn digests(files: &[PathBuf]) -> Vec<String> {
    let digest = |file: &PathBuf| digest::sha256_hex(&fs::read::<&Path>(file).unwrap_or_default());
    files.iter().map(digest).collect()
}

#[cfg(test)]
#[path = "pass_tests.rs"]
mod tests;
