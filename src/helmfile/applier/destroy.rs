//! Removing all releases, as the object is being deleted and its policy says so.

use super::{
    delivery::Removed,
    error::PassError,
    observer::Observer,
    outcome::Failure,
    prepare::Delivery,
    recover::{Left, recover},
    session::Mode,
    stage::{Run, Stage},
};
use crate::helmfile::{
    api::names::{self, reason},
    ledger::{ReleaseId, secret, store::Place},
};

/// What is left when all that is proven to be ours is gone.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Gone {
    /// How many releases were uninstalled.
    pub uninstalled: usize,
    /// Releases that stay: they were there before, and we have never upgraded them.
    pub left: Vec<ReleaseId>,
}

impl Gone {
    /// In a sentence.
    pub(crate) fn sentence(&self) -> String {
        let gone = match self.uninstalled {
            0 => "there was no release to uninstall".to_owned(),
            1 => "uninstalled 1 release".to_owned(),
            several => format!("uninstalled {several} releases"),
        };
        match self.left.as_slice() {
            [] => gone,
            [first, rest @ ..] => {
                let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
                format!(
                    "{gone}; `{first}`{more} stays: it was there before, and was never upgraded from here"
                )
            }
        }
    }
}

impl Delivery<'_> {
    /// Destroys in the order that the helmfile needs; then what the record still has.
    pub(crate) async fn destroy(&self, observer: &mut Observer) -> Result<Gone, PassError> {
        let stage = Stage::set(self, observer).await?;
        let destroyed = Box::pin(stage.while_claimed(stage.destroy(observer))).await;
        match destroyed {
            Ok(gone) => {
                self.forget(&stage).await?;
                stage.vanish().await?;
                Ok(gone)
            }
            Err(error) => {
                stage.leave().await;
                Err(error)
            }
        }
    }

    /// Removes what we keep beside the object.
    async fn forget(&self, stage: &Stage<'_>) -> Result<(), PassError> {
        let Self { subject, spec, link, .. } = self;
        stage.book.remove().await?;
        let place = |what: &'static str| super::prepare::place(subject, spec, link, what);
        secret::remove(&place(names::KEY).await?).await?;
        let overflow: Place = place(names::INVENTORY).await?;
        overflow.remove().await?;
        Ok(())
    }
}

impl Stage<'_> {
    async fn destroy(&self, observer: &mut Observer) -> Result<Gone, PassError> {
        recover(&self.book, &self.cluster, Left::ByOthers(self.last_of_others()), observer).await?;
        let before = self.book.record().await;
        let mut gone = Gone::default();
        if !self.delivery.bare {
            let Run { finished, heard } = self.run(Mode::Destroy, observer).await;
            let finished = finished?;
            if let Some(objection) = heard.objection {
                return Err(PassError::Refused(objection));
            }
            if !finished.status.success() {
                observer.line(&format!(
                    "helmfile destroy ended with {}; uninstalling what the record has, one by one",
                    finished.status
                ));
            }
        }
        self.book.change(|record| record.run = None).await?;
        // What the helmfile does not name any more, or could not remove: the last one first.
        for owned in before.releases.iter().rev() {
            let ended =
                if owned.adopted { Ok(Removed::Stays) } else { self.uninstall(&owned.id, observer).await };
            match ended {
                Ok(Removed::Stays) => gone.left.push(owned.id.clone()),
                Ok(Removed::Now | Removed::Before) => gone.uninstalled += 1,
                Err(PassError::Helmfile(failure)) => {
                    return Err(PassError::Helmfile(Failure { reason: reason::DESTROY_FAILED, ..failure }));
                }
                Err(other) => return Err(other),
            }
        }
        Ok(gone)
    }
}
