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
    /// Whether helm may install or upgrade a release; with the flags that make it ours. It is in the record then.
    pub(super) async fn may_upgrade(&self, id: &ReleaseId) -> Result<Vec<String>, Objection> {
        if self.setting.mode != Mode::Apply {
            return Err(self.objection(&Objection {
                reason: reason::FAILED,
                message: format!("release `{id}` is not upgraded by a run that is not there for that"),
                permanent: false,
            }));
        }
        if let Some(newest) = self.newest(id).await? {
            self.refuse_claimed(id, &newest).await?;
            self.refuse_locked(id, &newest).await?;
        }
        self.record(id).await?;
        self.heard().release(id).upgraded = true;
        let labels = self.setting.book.labels();
        Ok(labels.into_iter().map(|(name, value)| format!("--labels={name}={value}")).collect())
    }

    /// Whether helm may uninstall a release; `false` when it is to be left alone.
    pub(super) async fn may_uninstall(&self, id: &ReleaseId) -> Result<bool, Objection> {
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
        let history = history.map_err(|error| {
            self.objection(&Objection {
                reason: reason::FAILED,
                message: error.to_string(),
                permanent: false,
            })
        })?;
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

    fn objection(&self, objection: &Objection) -> Objection {
        self.heard().object(objection);
        objection.clone()
    }
}
