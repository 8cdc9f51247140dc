//! Whether a release may be touched.

use super::{
    answer::{Mode, Session},
    heard::Objection,
};
use crate::helmfile::{
    api::names::reason,
    helm::{
        amend::{is_pending, mark_failed},
        release::{ReleaseMeta, ReleaseStatus},
    },
    ledger::ReleaseId,
};

impl Session<'_> {
    /// Whether helm may install or upgrade a release, called like this; with the flags that make it ours. It is in the record
    /// then.
    pub(super) async fn may_upgrade(
        &self,
        id: &ReleaseId,
        args: &[String],
    ) -> Result<Vec<String>, Objection> {
        if self.setting.mode != Mode::Apply {
            return Err(self.objection(&Objection {
                reason: reason::FAILED,
                message: format!("release `{id}` is not upgraded by a run that is not there for that"),
                permanent: false,
            }));
        }
        let newest = self.newest(id).await?;
        if let Some(newest) = &newest {
            self.refuse_claimed(id, newest).await?;
            self.refuse_locked(id, newest).await?;
        }
        self.record(id).await?;
        let is_first = newest.is_none_or(|newest| newest.status == ReleaseStatus::Failed)
            && self.heard().release(id).deployed.is_none();
        self.heard().release(id).upgraded = true;
        let labels = self.setting.book.labels().into_iter();
        let force = (is_first && takes_over(args)).then(|| "--force-conflicts".to_owned());
        Ok(labels.map(|(name, value)| format!("--labels={name}={value}")).chain(force).collect())
    }

    /// Whether helm may uninstall a release; `false` when it is to be left alone.
    pub(super) async fn may_uninstall(&self, id: &ReleaseId) -> Result<bool, Objection> {
        if self.setting.mode == Mode::Look {
            return Err(self.objection(&Objection {
                reason: reason::FAILED,
                message: format!("release `{id}` is not uninstalled by a run that is not there for that"),
                permanent: false,
            }));
        }
        let newest = self.newest(id).await?;
        if self.setting.mode == Mode::Destroy {
            // What is not proven to be ours stays (RULES 15).
            let proven = match &newest {
                Some(newest) => self.setting.book.proves(id, newest).await,
                None => true,
            };
            if !proven {
                self.heard().left.push(id.clone());
                return Ok(false);
            }
        } else if let Some(newest) = &newest {
            self.refuse_claimed(id, newest).await?;
            self.refuse_locked(id, newest).await?;
        }
        self.record(id).await?;
        self.heard().release(id).uninstalled = true;
        Ok(true)
    }

    /// Writes down that a release will be touched, and with it all those that will be as far as is known: mostly that is all
    /// of them, and one write.
    async fn record(&self, id: &ReleaseId) -> Result<(), Objection> {
        let next: Vec<ReleaseId> = {
            let heard = self.heard();
            let differ = heard.releases.iter().filter(|(_, seen)| seen.differs == Some(true));
            differ.map(|(id, _)| id).filter(|other| *other != id).chain([id]).cloned().collect()
        };
        let recorded = self.setting.book.touch(id, &next).await;
        recorded.map_err(|error| {
            let reason = if error.is_forbidden() { reason::FORBIDDEN } else { reason::ENVIRONMENT_FAILED };
            self.objection(&Objection { reason, message: error.to_string(), permanent: false })
        })
    }

    /// The newest revision as it is now.
    async fn newest(&self, id: &ReleaseId) -> Result<Option<ReleaseMeta>, Objection> {
        self.setting.cluster.forget_release(&id.namespace, &id.name);
        let history = self.setting.cluster.history(&id.namespace, &id.name).await;
        let history = history.map_err(|error| self.objection(&Objection::unread(&error)))?;
        Ok(history.into_iter().next())
    }

    /// Refuses a release that another Helmfile has.
    pub(super) async fn refuse_claimed(&self, id: &ReleaseId, newest: &ReleaseMeta) -> Result<(), Objection> {
        match self.setting.book.claimed_by_another(id, newest, self.setting.cluster.client()).await {
            None => Ok(()),
            Some(objection) => Err(self.objection(&objection)),
        }
    }

    /// Refuses a release that another helm may be working at; one that may be unlocked is (RULES 24).
    async fn refuse_locked(&self, id: &ReleaseId, newest: &ReleaseMeta) -> Result<(), Objection> {
        if !is_pending(newest.status) {
            return Ok(());
        }
        if self.setting.unlock.contains(id) {
            let unlocked =
                mark_failed(self.setting.cluster.client(), newest, "unlocked by an annotation").await;
            return unlocked.map_err(|error| {
                self.objection(&Objection {
                    reason: reason::RELEASE_LOCKED,
                    message: error.to_string(),
                    permanent: false,
                })
            });
        }
        let doing = match newest.status {
            ReleaseStatus::PendingInstall => "installed",
            ReleaseStatus::PendingRollback => "rolled back",
            _ => "upgraded",
        };
        Err(self.objection(&Objection {
            reason: reason::RELEASE_LOCKED,
            message: format!(
                "release `{id}` is being {doing} by somebody else (revision {} is {}); if that helm is no more, annotate the \
                 Helmfile with {}={id}",
                newest.revision,
                newest.status,
                crate::helmfile::api::names::annotation::UNLOCK
            ),
            permanent: false,
        }))
    }

    /// Notes why the run can't go on, and gives it back.
    pub(super) fn objection(&self, objection: &Objection) -> Objection {
        self.heard().object(objection);
        objection.clone()
    }
}

/// Whether a call of helm is to take over objects that are there, applied by the API server: their fields belong to whoever
/// has made them, and without force that is a conflict.
fn takes_over(args: &[String]) -> bool {
    let has = |start: &str| args.iter().any(|word| word.starts_with(start));
    has("--take-ownership") && !has("--force") && !has("--server-side")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_takeover_by_the_api_server_is_by_force() {
        let takes = |line: &str| takes_over(&line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert!(takes("upgrade --install a b --take-ownership"));
        for line in [
            "upgrade --install a b",
            "upgrade --install a b --take-ownership --server-side=false",
            "upgrade --install a b --take-ownership --force-replace",
        ] {
            assert!(!takes(line), "{line}");
        }
    }
}
