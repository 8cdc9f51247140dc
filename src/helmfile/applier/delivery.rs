//! The part of a pass that touches the cluster: from a revision to what helmfile made of it.

use std::{collections::BTreeSet, fs};

use futures::{StreamExt as _, stream};

use super::{
    book::Book,
    equipment::Applier,
    error::PassError,
    inventory::{self, Whole},
    observer::Observer,
    outcome::{self, Failure, Outcome},
    prepare::Delivery,
    prune::{self, Prune},
    recover::{Left, recover},
    session::{Heard, Mode, Renders, in_place},
    stage::{Run, Stage, owner},
};
use crate::{
    cluster::client::Connection,
    helmfile::{
        api::{
            HelmfileSpec, Inventory, PendingPrune,
            names::{self, annotation, reason},
        },
        helm::{amend, cluster::Cluster, release::ReleaseStatus},
        ledger::{Record, ReleaseId, store::Place},
        volatile,
    },
    process::{Finished, SessionError},
    yaml,
};

/// What a run of helmfile came to.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The releases that were installed, upgraded or removed.
    pub changed: Vec<String>,
    /// The releases, as much of them as a status holds.
    pub inventory: Inventory,
    /// All of them.
    pub whole: Whole,
    /// What waits for a yes.
    pub pending: Option<PendingPrune>,
    /// Why helmfile has to run again though nothing changes.
    pub refresh_reason: Option<String>,
}

/// What has become of a release that is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removed {
    /// It is uninstalled.
    Now,
    /// It was not there any more.
    Before,
    /// It is not proven to be ours.
    Stays,
}

/// What has become of the releases that helm was permitted to change.
#[derive(Debug, Default)]
struct Ended {
    /// They have a revision that helm has made for us, whatever has become of it.
    ours: BTreeSet<ReleaseId>,
    /// They are not there any more.
    gone: BTreeSet<ReleaseId>,
    /// They are as helmfile wanted them.
    done: Vec<ReleaseId>,
}

/// A run that failed, and what it had changed by then.
#[derive(Debug)]
pub(crate) struct Broken {
    /// Why.
    pub error: PassError,
    /// The releases that were installed, upgraded or removed.
    pub changed: Vec<String>,
    /// The releases as they are now, if the run has touched any.
    pub inventory: Option<Inventory>,
}

impl<E: Into<PassError>> From<E> for Broken {
    fn from(error: E) -> Self {
        Self { error: error.into(), changed: Vec::new(), inventory: None }
    }
}

impl Delivery<'_> {
    /// The inventory that the record has, when no file of this machine has it.
    pub(crate) async fn remembered(&self, connection: &Connection) -> Result<Whole, PassError> {
        let ledger = self.applier.ledger(self.subject, self.spec, self.link).await?;
        let Applier { identity, clock, .. } = self.applier;
        let record = Book::open(ledger, owner(self), identity, clock.now()).await?.record().await;
        let cluster = Cluster::new(connection.client.clone());
        let wanted = inventory::wanted(&Heard::default(), &record);
        let taken = inventory::take(&cluster, wanted, &record, None).await;
        if let Some(unread) = taken.unread.into_iter().next() {
            return Err(PassError::Helmfile(Failure { reason: reason::FAILED, message: unread }));
        }
        taken.whole.write(&self.applier.folder(self.subject).join("inventory.json"));
        Ok(taken.whole)
    }

    /// Runs helmfile, and then removes what has left it.
    pub(crate) async fn run(&self, observer: &mut Observer) -> Result<Ran, Broken> {
        let stage = Stage::set(self, observer).await?;
        let ran = Box::pin(stage.while_claimed(stage.deliver(observer))).await;
        stage.leave().await;
        ran
    }
}

impl Stage<'_> {
    async fn deliver(&self, observer: &mut Observer) -> Result<Ran, Broken> {
        recover(&self.book, &self.cluster, Left::ByOthers(self.last_of_others()), observer).await?;
        let refresh_reason = self.refresh_reason().await;
        let run = self.run(Mode::Apply, observer).await;
        self.tidy(&run, observer).await;
        let Run { finished, heard } = run;
        let ended = match finished {
            Ok(finished) => self.conclude(&finished, &heard, refresh_reason, observer).await,
            Err(error) if self.is_over() => return Err(error.into()),
            Err(error) => {
                let (changed, _) = self.settled(&heard).await;
                Err(Broken { error, changed, inventory: None })
            }
        };
        match ended {
            Err(broken) if heard.touched().next().is_some() || !broken.changed.is_empty() => {
                Err(Broken { inventory: self.left_behind(observer).await, ..broken })
            }
            other => other,
        }
    }

    /// Whether nothing may be touched or said any more.
    fn is_over(&self) -> bool {
        self.is_lost() || self.delivery.stop.is_cancelled()
    }

    /// Writes down whose the releases are, and gives those that were changed; those that may have been when that can't be told.
    async fn settled(&self, heard: &Heard) -> (Vec<String>, Result<(), PassError>) {
        match self.settle(heard).await {
            Ok(done) => (done.iter().map(ToString::to_string).collect(), Ok(())),
            Err(error) => (heard.touched().map(ToString::to_string).collect(), Err(error)),
        }
    }

    /// From what helmfile has done to what there is.
    async fn conclude(
        &self,
        finished: &Finished,
        heard: &Heard,
        refresh_reason: Option<String>,
        observer: &mut Observer,
    ) -> Result<Ran, Broken> {
        let outcome = outcome::read(finished.status, &finished.stderr, &self.scrub);
        let (mut changed, settled) = self.settled(heard).await;
        let broken = |error| Broken { error, changed: changed.clone(), inventory: None };
        if let Some(objection) = &heard.objection {
            return Err(broken(PassError::Refused(objection.clone())));
        }
        match outcome {
            Outcome::Applied | Outcome::Unchanged => {}
            Outcome::NothingSelected => nothing_selected(self.delivery.spec).map_err(broken)?,
            Outcome::Failed(failure) => return Err(broken(PassError::Helmfile(failure))),
        }
        settled.map_err(broken)?;
        let mut pruned = Vec::new();
        let pending = self.prune(heard, &mut pruned, observer).await;
        changed.extend(pruned.iter().map(ToString::to_string));
        let pending = match pending {
            Ok(pending) => pending,
            Err(error) => return Err(Broken { error, changed, inventory: None }),
        };
        let whole = self.take_inventory(heard, observer).await;
        self.note_renders(heard, &whole);
        let inventory = self.shown(&whole, observer).await;
        Ok(Ran { changed, inventory, whole, pending, refresh_reason })
    }

    /// Ends a run that did not end well as the next one would: as soon as this one is no more, somebody else's helm may lock
    /// what it held. What can't be done now is left to the next run.
    async fn tidy(&self, run: &Run, observer: &mut Observer) {
        let leave_it = match &run.finished {
            Ok(Finished { status, stderr, .. }) => {
                !matches!(outcome::read(*status, stderr, &self.scrub), Outcome::Failed(_))
            }
            Err(_) => self.is_lost(),
        };
        if leave_it {
            return;
        }
        let permitted = run.heard.touched().cloned().collect();
        if let Err(error) = recover(&self.book, &self.cluster, Left::ByUs(&permitted), observer).await {
            observer.line(&format!("what the run has left is for the next one: {error}"));
        }
    }

    /// What helmfile takes from elsewhere (RULES 10).
    async fn refresh_reason(&self) -> Option<String> {
        let (root, file) = self.source();
        let (file, known): (_, BTreeSet<String>) =
            (file.to_owned(), self.known_env().map(str::to_owned).collect());
        let values = self.values().to_vec();
        let looked = tokio::task::spawn_blocking(move || {
            let mut reasons = volatile::look(&root, &file, &known);
            // As helmfile gets them: decrypted, and from wherever they are.
            for file in &values {
                let documents = fs::read_to_string(file).ok().and_then(|text| yaml::documents(&text).ok());
                for values in documents.into_iter().flatten() {
                    reasons.extend(volatile::in_values("the values of the spec", &values, &known));
                }
            }
            reasons
        });
        match looked.await {
            Ok(reasons) if reasons.is_empty() => None,
            Ok(reasons) => Some(self.scrub.clean(&volatile::sentence(&reasons))),
            Err(_) => Some("the source could not be looked through".to_owned()),
        }
    }

    /// Writes down whose the releases are. What is as it should be, and was there before, is ours from now on without an
    /// upgrade. Gives the releases that were changed as helmfile wanted it.
    async fn settle(&self, heard: &Heard) -> Result<Vec<ReleaseId>, PassError> {
        self.label_what_is_right(heard).await?;
        let ended = self.ended(heard).await?;
        let origin = self.delivery.origin();
        let settled = self.book.change(|record| {
            for (id, seen) in &heard.releases {
                if ended.gone.contains(id) {
                    record.forget(id);
                } else if ended.ours.contains(id) {
                    record.own(id, false);
                } else if seen.differs == Some(false) && !seen.uninstalled {
                    record.own(id, true);
                }
            }
            record.run = None;
            record.origin.get_or_insert(origin);
        });
        settled.await?;
        Ok(ended.done)
    }

    /// Labels releases that are as they should be, and were there before.
    async fn label_what_is_right(&self, heard: &Heard) -> Result<(), PassError> {
        let labels = self.book.labels();
        if labels.is_empty() {
            return Ok(());
        }
        let unchanged = heard.releases.values().filter(|seen| seen.differs == Some(false) && !seen.upgraded);
        for deployed in unchanged.filter_map(|seen| seen.deployed.as_ref()) {
            if !self.book.is_labelled(deployed) {
                let labelled = amend::label(self.cluster.client(), deployed, &labels).await;
                labelled.map_err(|error| self.failed(&error.to_string()))?;
            }
        }
        Ok(())
    }

    /// What helm has made of the releases that it was permitted to change: that it failed is told to helmfile only.
    async fn ended(&self, heard: &Heard) -> Result<Ended, PassError> {
        const AT_ONCE: usize = 8;
        let touched = heard.releases.iter().filter(|(_, seen)| seen.is_touched());
        let reads: Vec<_> = touched
            .map(|(id, seen)| async move {
                self.cluster.forget_release(&id.namespace, &id.name);
                (id, seen, self.cluster.history(&id.namespace, &id.name).await)
            })
            .collect();
        let read: Vec<_> = stream::iter(reads).buffered(AT_ONCE).collect().await;
        let mut ended = Ended::default();
        for (id, seen, history) in read {
            let history = history.map_err(|error| self.failed(&error.to_string()))?;
            let newest = history.first().filter(|newest| newest.status != ReleaseStatus::Uninstalled);
            let Some(newest) = newest else {
                ended.gone.insert(id.clone());
                ended.done.extend(seen.uninstalled.then(|| id.clone()));
                continue;
            };
            let is_new = seen.deployed.as_ref().is_none_or(|deployed| deployed.revision < newest.revision);
            if seen.upgraded && is_new {
                if self.book.is_labelled(newest) {
                    ended.ours.insert(id.clone());
                }
                ended.done.extend((newest.status == ReleaseStatus::Deployed).then(|| id.clone()));
            }
        }
        Ok(ended)
    }

    fn failed(&self, message: &str) -> PassError {
        PassError::Helmfile(Failure::new(reason::FAILED, message, &self.scrub))
    }

    /// Uninstalls what has left the helmfile, if the spec says so and the proof is there. Gives what waits; what is gone is
    /// added to `gone`, also when another one could not be uninstalled.
    async fn prune(
        &self,
        heard: &Heard,
        gone: &mut Vec<ReleaseId>,
        observer: &mut Observer,
    ) -> Result<Option<PendingPrune>, PassError> {
        let record = self.book.record().await;
        let origin = self.delivery.origin();
        let unheard =
            record.releases.iter().any(|owned| !owned.adopted && !heard.releases.contains_key(&owned.id));
        let mut plan = Prune::default();
        if self.delivery.spec.prune && unheard {
            let approved = self.delivery.subject.annotation(annotation::APPROVE_PRUNE);
            plan = prune::plan(&record, &self.listed(observer).await?, &origin, approved);
        }
        for id in &plan.go {
            if self.uninstall(id, observer).await? == Removed::Now {
                gone.push(id.clone());
            }
        }
        // While nothing is pruned, what is missing has not been judged.
        let judged = plan.held.is_none() && (self.delivery.spec.prune || !unheard);
        let change = |record: &mut Record| {
            record.origin = if judged { Some(origin) } else { record.origin.take() };
            record.prunes += u32::from(plan.approved);
        };
        self.book.change(change).await?;
        Ok(plan.held)
    }

    /// All releases in the file, whatever is selected: what is not there has left.
    async fn listed(&self, observer: &mut Observer) -> Result<BTreeSet<ReleaseId>, PassError> {
        let failed = |why: &str| {
            let message = format!("nothing is pruned, as helmfile could not list its releases: {why}");
            PassError::Helmfile(Failure::new(reason::PRUNE_FAILED, &message, &self.scrub))
        };
        let listed = self.run(Mode::Look, observer).await.finished?;
        match outcome::read(listed.status, &listed.stderr, &self.scrub) {
            Outcome::Applied | Outcome::Unchanged => {}
            // That is how helmfile lists a file without releases.
            Outcome::NothingSelected => return Ok(BTreeSet::new()),
            Outcome::Failed(failure) => return Err(failed(&failure.message)),
        }
        prune::read(&listed.stdout, &self.namespace).map_err(|error| failed(&error.to_string()))
    }

    /// Uninstalls a release, if it is proven to be ours.
    pub(crate) async fn uninstall(
        &self,
        id: &ReleaseId,
        observer: &mut Observer,
    ) -> Result<Removed, PassError> {
        let failed = |why: &str| {
            let message = format!("release `{id}` could not be uninstalled: {why}");
            PassError::Helmfile(Failure::new(reason::PRUNE_FAILED, &message, &self.scrub))
        };
        self.cluster.forget_release(&id.namespace, &id.name);
        let history = self.cluster.history(&id.namespace, &id.name).await;
        let history = history.map_err(|error| failed(&error.to_string()))?;
        let Some(newest) = history.first() else {
            self.book.change(|record| record.forget(id)).await?;
            return Ok(Removed::Before);
        };
        if !self.book.proves(id, newest).await {
            observer.line(&format!("release `{id}` stays: it is not proven to be ours"));
            self.book.change(|record| record.forget(id)).await?;
            return Ok(Removed::Stays);
        }
        observer.line(&format!("uninstalling release `{id}`"));
        self.book.touch(id, std::slice::from_ref(id)).await?;
        let words = ["uninstall", &id.name, "--namespace", &id.namespace, "--wait"].map(str::to_owned);
        let ended = self.helm(words.into(), observer).await?;
        if !ended.status.success() {
            return Err(failed(ended.stderr.trim().trim_start_matches("Error: ")));
        }
        self.cluster.forget_release(&id.namespace, &id.name);
        self.book
            .change(|record| {
                record.forget(id);
                record.run = None;
            })
            .await?;
        Ok(Removed::Now)
    }

    /// What has just been upgraded is what was rendered for it: the next run need not look.
    fn note_renders(&self, heard: &Heard, whole: &Whole) {
        let mut renders = Renders::read(&self.renders());
        for release in whole.0.iter().filter(|release| release.status == ReleaseStatus::Deployed.as_str()) {
            let seen = heard.releases.get(&release.id).filter(|seen| seen.upgraded);
            if let Some(what) = seen.and_then(|seen| seen.what.as_ref()) {
                renders.note(&release.id, Some(in_place(what, &release.secret, release.revision)));
            }
        }
        renders.write(&self.renders());
    }

    async fn take_inventory(&self, heard: &Heard, observer: &mut Observer) -> Whole {
        let record = self.book.record().await;
        let earlier = Whole::read(&self.inventory());
        let wanted = inventory::wanted(heard, &record);
        let taken = inventory::take(&self.cluster, wanted, &record, earlier.as_ref()).await;
        taken.unread.iter().for_each(|line| observer.line(line));
        // One that is not whole is not kept: the next look reads Helm's records.
        if taken.unread.is_empty() && earlier.as_ref() != Some(&taken.whole) {
            taken.whole.write(&self.inventory());
        } else if !taken.unread.is_empty() {
            let _as_good_as_gone = fs::remove_file(self.inventory());
        }
        taken.whole
    }

    /// What there is of ours after a run that failed in the middle; `None` when that can't be told.
    async fn left_behind(&self, observer: &mut Observer) -> Option<Inventory> {
        let record = self.book.record().await;
        let wanted = inventory::wanted(&Heard::default(), &record);
        let earlier = Whole::read(&self.inventory());
        let taken = inventory::take(&self.cluster, wanted, &record, earlier.as_ref()).await;
        if !taken.unread.is_empty() {
            return None;
        }
        taken.whole.write(&self.inventory());
        Some(self.shown(&taken.whole, observer).await)
    }

    /// As much of the inventory as a status holds; all of it is in a ConfigMap then.
    async fn shown(&self, whole: &Whole, observer: &mut Observer) -> Inventory {
        let shown = whole.shown();
        let (mut bounded, cut) = shown.bounded();
        let before = self.delivery.subject.status.inventory.as_ref();
        if !cut
            && before.is_some_and(|before| before.overflow.is_some())
            && let Some(place) = self.overflow().await
            && let Err(error) = place.remove().await
        {
            observer.line(&format!("failed to remove an inventory that is not needed any more: {error}"));
        }
        if cut && let Some(place) = self.overflow().await {
            let text = serde_json::to_string(&shown).unwrap_or_default();
            match place.write_text("inventory.json", &text).await {
                Ok(()) => bounded.overflow = Some(place.name),
                Err(error) => observer.line(&format!("failed to keep the whole inventory: {error}")),
            }
        }
        bounded
    }

    async fn overflow(&self) -> Option<Place> {
        let super::subject::Memory::Object { .. } = self.delivery.subject.memory else { return None };
        let Delivery { subject, spec, link, .. } = self.delivery;
        super::prepare::place(subject, spec, link, names::INVENTORY).await.ok()
    }
}

/// A selector or an environment that selects nothing is probably a typing mistake; a helmfile without releases is not.
fn nothing_selected(spec: &HelmfileSpec) -> Result<(), PassError> {
    let selector = (!spec.selector.is_empty()).then(|| format!("selector `{}`", spec.selector.join("`, `")));
    let environment = spec.environment.as_ref().map(|name| format!("environment `{name}`"));
    let by: Vec<String> = selector.into_iter().chain(environment).collect();
    if by.is_empty() {
        return Ok(());
    }
    let message = format!("no release of the helmfile is selected by {}", by.join(" and "));
    Err(PassError::Helmfile(Failure { reason: reason::NOTHING_SELECTED, message }))
}

/// Whether a run ended because it was told to.
pub(crate) const fn was_stopped(error: &PassError) -> bool {
    matches!(error, PassError::Run(SessionError::Stopped))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_empty_helmfile_is_fine_and_an_empty_selection_is_not() {
        let told = |spec: serde_json::Value| {
            nothing_selected(&serde_json::from_value(spec).unwrap()).map_err(|error| error.to_string())
        };
        assert_eq!(told(json!({})), Ok(()));
        assert_eq!(
            told(json!({"selector": ["tier=front", "a=b"], "environment": "prod"})).unwrap_err(),
            "no release of the helmfile is selected by selector `tier=front`, `a=b` and environment `prod`"
        );
    }
}
