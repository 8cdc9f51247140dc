//! One pass over one Helmfile.

use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{
    answer::{Answer, Stopped, Verdict},
    decide::{self, Cause, Decision, Facts, Idle, Wish},
    delivery::{Broken, was_stopped},
    depends,
    drift::{self, Comparison, Found, Scope},
    equipment::Applier,
    error::PassError,
    inputs,
    inventory::Whole,
    link::Link,
    look::look,
    observer::Observer,
    outcome::{Failure, Scrub},
    prepare::Delivery,
    status::{self, Delivered, Health, Moment, Turn},
    subject::Subject,
    workspace::Workspace,
};
use crate::{
    clock,
    cluster::client::Connection,
    helmfile::api::{
        DriftMode, HelmfileSpec, HelmfileStatus, get,
        names::{DRIFTED, READY, annotation},
        short_revision,
    },
};

/// The files that say when the objects were last looked at, and when all of them were last compared with their releases.
const LOOKED: &str = "looked";
const COMPARED: &str = "compared";
/// When to look again at what another applier delivers.
const HELD_AGAIN: Duration = Duration::from_secs(5);

impl Applier {
    /// Looks at the source, and delivers it when there is a reason to; or, when the object is being deleted, does what its
    /// policy says.
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
        let mut answer = self.one_pass(subject, observer, stop).await?;
        let looks = |spec: &HelmfileSpec| {
            // Nobody here can watch another cluster.
            spec.drift.mode != DriftMode::Off && spec.kube_config.is_none() && !spec.suspend
        };
        if subject.spec.as_ref().is_ok_and(looks) && !subject.deleting {
            let kept = Whole::read(&self.folder(subject).join("inventory.json"));
            let kept = kept.filter(|kept| kept.is(answer.status.inventory.as_ref()));
            answer.watches.extend(kept.iter().flat_map(drift::watches));
        }
        Ok(answer)
    }

    async fn one_pass(
        &self,
        subject: &Subject,
        observer: &mut Observer,
        stop: &CancellationToken,
    ) -> Result<Answer, Stopped> {
        let link = Link::new(&self.target);
        let spec = match &subject.spec {
            _ if subject.deleting => {
                let answer = Box::pin(self.farewell(subject, &link, observer, stop)).await?;
                if answer.again.is_none()
                    && let Err(error) = Workspace::forget(&self.cache, &subject.key)
                {
                    let why = PassError::from(error).failure(&Scrub::default()).message;
                    observer.line(&format!("the downloads of this Helmfile stay in the cache: {why}"));
                }
                return Ok(answer);
            }
            Ok(spec) if spec.suspend => return Ok(self.suspended(subject, spec)),
            Ok(spec) => spec,
            Err(unreadable) => {
                return Ok(self.failed_early(subject, &PassError::Spec(unreadable.why.clone()), observer));
            }
        };
        // Boxed, since what they hold on their way is large.
        let delivery = match Box::pin(self.prepare(subject, spec, &link, stop)).await {
            Ok(delivery) => delivery,
            Err(_) if stop.is_cancelled() => return Err(Stopped),
            Err(error) => return Ok(self.failed_early(subject, &error, observer)),
        };
        match decide::decide(&self.facts(&delivery)) {
            Decision::Apply(cause) => Box::pin(self.deliver(&delivery, cause, observer)).await,
            Decision::Look => Ok(self.look(&delivery, false, observer).await),
            Decision::LookAtTouched => Ok(self.look(&delivery, true, observer).await),
            Decision::Wait { until, why } => {
                let (turn, verdict) = match why {
                    Idle::UpToDate => (Turn::UpToDate, Verdict::UpToDate),
                    Idle::BackingOff => (Turn::BackingOff, Verdict::BackingOff),
                };
                let again = clock::since(until, self.clock.now());
                Ok(self.answer(subject, &heard(subject, &subject.status), &turn, Some(again), verdict))
            }
        }
    }

    fn facts<'a>(&self, delivery: &'a Delivery<'_>) -> Facts<'a> {
        let Delivery { subject, spec, .. } = delivery;
        let pending = subject.status.pending_prune.as_ref().map(|pending| pending.id.as_str());
        let approved = subject.annotation(annotation::APPROVE_PRUNE);
        Facts {
            status: &subject.status,
            generation: subject.generation,
            revision: &delivery.revision,
            inputs: &delivery.digest,
            interval: spec.interval.0,
            refresh: spec.refresh_interval.0,
            retry: spec.retry,
            wait: spec.wait,
            drift: spec.drift.mode != DriftMode::Off,
            touched: !subject.touched.is_empty(),
            last_look: self.last_look(subject, spec),
            wish: Wish {
                pass: subject.wish(annotation::REQUESTED_AT).is_some(),
                force: subject.wish(annotation::FORCE_AT).is_some(),
                prune: pending.is_some() && pending == approved,
            },
            now: self.clock.now(),
        }
    }

    pub(super) fn moment(&self, subject: &Subject) -> Moment {
        Moment { generation: subject.generation, now: self.clock.now() }
    }

    /// The status after a last step, and what goes with it.
    pub(super) fn answer(
        &self,
        subject: &Subject,
        before: &HelmfileStatus,
        turn: &Turn<'_>,
        again: Option<Duration>,
        verdict: Verdict,
    ) -> Answer {
        let status = status::next(before, turn, self.moment(subject));
        Answer::new(subject, status, again, verdict)
    }

    fn suspended(&self, subject: &Subject, spec: &HelmfileSpec) -> Answer {
        // Nothing is asked, so the question is whether the spec is still the one that was delivered.
        let delivered = subject.status.last_applied_spec == Some(inputs::spec_digest(spec));
        self.answer(subject, &subject.status, &Turn::Suspended { delivered }, None, Verdict::Suspended)
    }

    /// A failure before there is anything to deliver.
    fn failed_early(&self, subject: &Subject, error: &PassError, observer: &mut Observer) -> Answer {
        let (failure, permanent) = (error.failure(&Scrub::default()), error.is_permanent());
        observer.failure(&failure.message);
        let turn = Turn::Failed { failure, permanent, source: error.is_source(), started: None };
        let mut answer = self.answer(subject, &heard(subject, &subject.status), &turn, None, Verdict::Failed);
        answer.again = (!permanent).then(|| subject.retry().pause(answer.status.failures));
        answer
    }

    /// Looks how the objects are; only at those that somebody has touched, if that is the reason and enough.
    async fn look(&self, delivery: &Delivery<'_>, touched: bool, observer: &mut Observer) -> Answer {
        let Delivery { subject, spec, .. } = delivery;
        let before = heard(subject, &subject.status);
        let scope = self.drift_scope(delivery);
        let few = touched && scope != Scope::All;
        let (connection, whole) = match self.objects(delivery).await {
            Ok(found) => found,
            // What was delivered is no less so because nobody can tell what has become of it since.
            Err(error) if few || !spec.wait => {
                let health = (!few).then_some(Health::Good);
                let unknown = vec![error.failure(&delivery.scrub()).message];
                let turn = Turn::Looked(health, Some(Found { unknown, ..Found::default() }));
                return self.answer(subject, &before, &turn, Some(spec.interval.0), Verdict::UpToDate);
            }
            Err(error) => return self.failed_early(subject, &error, observer),
        };
        let health = match (few, spec.wait) {
            (true, _) => None,
            (false, true) => {
                Some(look(&connection, &whole, spec.timeout.0, &delivery.scrub(), observer).await)
            }
            (false, false) => Some(Health::Good),
        };
        let now = self.clock.now();
        let found = match scope {
            Scope::Nothing => None,
            Scope::Touched => {
                Some(drift::look(&connection, &whole, &spec.drift, Some(&subject.touched), now).await)
            }
            Scope::All => Some(drift::look(&connection, &whole, &spec.drift, None, now).await),
        };
        if !few && spec.wait {
            self.note_time(subject, LOOKED);
        }
        if scope == Scope::All {
            self.note_time(subject, COMPARED);
        }
        let turn = Turn::Looked(health, found);
        let mut answer = self.answer(subject, &before, &turn, None, Verdict::UpToDate);
        answer.again = Some(self.again(spec, &answer.status));
        answer
    }

    /// Whose drift is asked for. Not of all objects each time somebody waits for their health: that is often.
    fn drift_scope(&self, delivery: &Delivery<'_>) -> Scope {
        let Delivery { subject, spec, .. } = delivery;
        let facts = self.facts(delivery);
        Comparison {
            mode: spec.drift.mode,
            status: &subject.status,
            last: self.time(subject, COMPARED),
            refresh: facts.refresh,
            wanted: facts.wish.pass,
            touched: facts.touched,
            now: facts.now,
        }
        .scope()
    }

    /// The objects of the releases, and the cluster that they are in.
    async fn objects(&self, delivery: &Delivery<'_>) -> Result<(Connection, Whole), PassError> {
        let Delivery { subject, link, inputs, .. } = delivery;
        let connection = link.releases(inputs.kubeconfig.as_ref()).await?;
        let kept = Whole::read(&self.folder(subject).join("inventory.json"));
        let whole = match kept.filter(|kept| kept.is(subject.status.inventory.as_ref())) {
            Some(whole) => whole,
            None => delivery.remembered(&connection).await?,
        };
        Ok((connection, whole))
    }

    /// Another Helmfile has to be Ready first. What is delivered is no less so when it is only to be looked at again.
    async fn blocked(
        &self,
        delivery: &Delivery<'_>,
        cause: Cause,
        failure: Failure,
        observer: &mut Observer,
    ) -> Answer {
        let Delivery { subject, spec, .. } = delivery;
        observer.line(&failure.message);
        let mut answer = match cause {
            Cause::Refresh if spec.wait => self.look(delivery, false, observer).await,
            Cause::Refresh => {
                let before = heard(subject, &subject.status);
                self.answer(subject, &before, &Turn::UpToDate, None, Verdict::BackingOff)
            }
            _ => {
                let before = heard(subject, &subject.status);
                self.answer(subject, &before, &Turn::Blocked(failure), None, Verdict::BackingOff)
            }
        };
        let again = depends::AGAIN.min(spec.interval.0);
        answer.again = Some(answer.again.map_or(again, |soon| soon.min(again)));
        answer
    }

    async fn deliver(
        &self,
        delivery: &Delivery<'_>,
        cause: Cause,
        observer: &mut Observer,
    ) -> Result<Answer, Stopped> {
        let Delivery { subject, spec, .. } = delivery;
        if let Some(failure) = depends::unmet(delivery).await {
            return Ok(self.blocked(delivery, cause, failure, observer).await);
        }
        let attempt = delivery.attempt();
        let before = handled(subject, &subject.status);
        let started = status::next(&before, &Turn::Started(attempt, cause), self.moment(subject));
        let what = delivery
            .order
            .locator
            .as_ref()
            .map_or_else(|| "the inline helmfile".to_owned(), ToString::to_string);
        observer.line(&format!("delivering {} of {what}: {cause}", short_revision(attempt.revision)));
        if cause != Cause::Refresh {
            observer.publish(&started).await;
            // A delivery that is killed in the middle must not look like the one before it.
            if let Err(error) = self.remember(subject, &started).await {
                return Ok(self.failed_early(subject, &error, observer));
            }
        }
        let mut answer = match Box::pin(delivery.run(observer)).await {
            Ok(ran) => {
                let verdict = if ran.changed.is_empty() { Verdict::Unchanged } else { Verdict::Changed };
                let health = self.health(delivery, &ran.whole, observer).await;
                let delivered = Delivered {
                    changed: ran.changed,
                    inventory: ran.inventory,
                    refresh_reason: ran.refresh_reason,
                    pending_prune: ran.pending,
                    health,
                };
                let turn = Turn::Delivered(attempt, Box::new(delivered));
                self.answer(subject, &started, &turn, None, verdict)
            }
            Err(Broken { error, .. }) if delivery.stop.is_cancelled() || was_stopped(&error) => {
                return Err(Stopped);
            }
            Err(Broken { error, .. }) if error.is_elsewhere(subject) => {
                return Ok(elsewhere(subject, &error, observer));
            }
            Err(Broken { error, changed, inventory }) => {
                let failure = error.failure(&delivery.scrub());
                observer.failure(&failure.message);
                let (permanent, source) = (error.is_permanent(), error.is_source());
                let turn = Turn::Failed { failure, permanent, source, started: Some((attempt, changed)) };
                let inventory = inventory.or_else(|| started.inventory.clone());
                let started = HelmfileStatus { inventory, ..started };
                self.answer(subject, &started, &turn, None, Verdict::Failed)
            }
        };
        if answer.verdict != Verdict::Failed
            && let Some(ready) = get(&answer.status.conditions, READY)
        {
            observer.line(&ready.message);
        }
        answer.again = Some(self.again(spec, &answer.status));
        Ok(answer)
    }

    async fn health(&self, delivery: &Delivery<'_>, whole: &Whole, observer: &mut Observer) -> Health {
        if !delivery.spec.wait {
            return Health::Good;
        }
        let connection = match delivery.link.releases(delivery.inputs.kubeconfig.as_ref()).await {
            Ok(connection) => connection,
            Err(error) => {
                let why = PassError::from(error).failure(&delivery.scrub()).message;
                let sentence = format!("how the objects are is not known: {why}");
                return Health::Waiting(sentence, delivery.spec.timeout.0);
            }
        };
        let health = look(&connection, whole, delivery.spec.timeout.0, &delivery.scrub(), observer).await;
        self.note_time(delivery.subject, LOOKED);
        health
    }

    /// When to look again after a pass that did something. After a failure another revision of the source, which may be the
    /// fix, is not kept waiting.
    fn again(&self, spec: &HelmfileSpec, status: &HelmfileStatus) -> Duration {
        let pause = match status.unhealthy_since {
            _ if status.failures > 0 => spec.retry.pause(status.failures),
            Some(since) => decide::look_again(clock::since(self.clock.now(), since)),
            None => Duration::MAX,
        };
        pause.min(spec.interval.0).max(Duration::from_secs(1))
    }

    /// When all was last done that a look does for this spec; `None` when something of it never was.
    fn last_look(&self, subject: &Subject, spec: &HelmfileSpec) -> Option<Timestamp> {
        let wanted = [(spec.wait, LOOKED), (spec.drift.mode != DriftMode::Off, COMPARED)];
        let times =
            wanted.into_iter().filter(|(wanted, _)| *wanted).map(|(_, what)| self.time(subject, what));
        times.collect::<Option<Vec<_>>>()?.into_iter().min()
    }

    /// When something was last done. Nobody else has to know, so that it is in no status.
    fn time(&self, subject: &Subject, what: &str) -> Option<Timestamp> {
        let text = std::fs::read_to_string(self.folder(subject).join(what)).ok()?;
        text.trim().parse().ok()
    }

    fn note_time(&self, subject: &Subject, what: &str) {
        let file = self.folder(subject).join(what);
        if let Err(error) = std::fs::write(&file, self.clock.now().to_string()) {
            tracing::warn!(file = %file.display(), %error, "failed to note when the objects were looked at");
        }
    }
}

/// That one says how it goes, and a word of ours could come after its last one.
pub(super) fn elsewhere(subject: &Subject, error: &PassError, observer: &mut Observer) -> Answer {
    observer.line(&error.to_string());
    let again = subject.spec.as_ref().map_or(HELD_AGAIN, |spec| HELD_AGAIN.min(spec.interval.0));
    Answer::new(subject, subject.status.clone(), Some(again), Verdict::BackingOff)
}

impl Delivery<'_> {
    /// What is taken out of texts: the secrets among the inputs.
    pub(super) fn scrub(&self) -> Scrub {
        Scrub::default().and_secrets(&self.inputs.secrets)
    }
}

/// The status before a pass, in which what people have asked for by annotations is said to be heard. A forced run is not
/// had by that.
fn heard(subject: &Subject, status: &HelmfileStatus) -> HelmfileStatus {
    let mut status = status.clone();
    if subject.wish(annotation::RESET_AT).is_some() {
        status.failures = 0;
    }
    if subject.spec.as_ref().is_ok_and(|spec| spec.drift.mode == DriftMode::Off) {
        status.drift = None;
        status.conditions.retain(|condition| condition.kind_of != DRIFTED);
    }
    for (name, field) in [
        (annotation::REQUESTED_AT, &mut status.last_handled_reconcile_at),
        (annotation::RESET_AT, &mut status.last_handled_reset_at),
    ] {
        if let Some(value) = subject.wish(name) {
            *field = Some(value.to_owned());
        }
    }
    status
}

/// The same before a run of helmfile.
fn handled(subject: &Subject, status: &HelmfileStatus) -> HelmfileStatus {
    let mut status = heard(subject, status);
    if let Some(value) = subject.wish(annotation::FORCE_AT) {
        status.last_handled_force_at = Some(value.to_owned());
    }
    status
}

#[cfg(test)]
#[path = "pass_tests.rs"]
mod tests;
