//! Whose a run is, and the record of what it touches.

use std::{
    collections::{BTreeMap, HashMap},
    sync::PoisonError,
};

use jiff::Timestamp;
use kube::{
    Api, Client,
    api::{ListParams, PartialObjectMeta},
};
use serde_json::json;
use tokio::sync::Mutex;

use super::session::Objection;
use crate::{
    cluster::in_time,
    digest,
    helmfile::{
        api::{
            Helmfile,
            names::{label, reason},
        },
        helm::release::ReleaseMeta,
        ledger::{Ledger, LedgerError, Record, ReleaseId, RunMark, Seen},
    },
};

/// The Helmfile whose releases they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    /// Its UID; where there is no object, the one that its record was given when it was begun, empty until that is read.
    pub uid: String,
    /// Its namespace; empty where there is no object.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// The longest value of a label.
const LABEL: usize = 63;
/// A name in a label that is as long as this may be the beginning of a longer one.
const CUT: usize = LABEL - 10;

impl Owner {
    /// The labels that a release of ours has.
    pub(crate) fn labels(&self) -> BTreeMap<String, String> {
        let fit = |text: &str| {
            let cut: String = text.chars().take(LABEL).collect();
            cut.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
        };
        [(label::UID, &self.uid), (label::NAMESPACE, &self.namespace), (label::NAME, &self.name)]
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name.to_owned(), fit(value)))
            .collect()
    }
}

/// The record as it is, and what was seen of it where it is kept.
struct Page {
    record: Record,
    seen: Seen,
}

/// The record of a Helmfile while somebody acts on it.
pub(crate) struct Book {
    ledger: Ledger,
    owner: Option<Owner>,
    /// The cluster that the Helmfiles are in, when the releases are in another one.
    home: Option<Client>,
    me: String,
    since: Timestamp,
    page: Mutex<Page>,
    /// Whether the Helmfile that a label names is there, by its labels.
    others: std::sync::Mutex<HashMap<Vec<String>, bool>>,
}

impl Book {
    /// Opens the record. Without an owner nothing is labelled, and nothing is anybody's.
    ///
    /// # Errors
    /// When it can't be read.
    pub(crate) async fn open(
        ledger: Ledger,
        owner: Option<Owner>,
        me: &str,
        since: Timestamp,
    ) -> Result<Self, LedgerError> {
        let (kept, seen) = ledger.load().await?;
        let fresh = || digest::of_json(&json!([me, since, ledger.to_string()])).chars().take(32).collect();
        let owner = owner.map(|owner| match &kept {
            _ if !owner.uid.is_empty() => owner,
            Some(kept) => Owner { uid: kept.uid.clone(), ..owner },
            None => Owner { uid: fresh(), ..owner },
        });
        let uid = owner.as_ref().map(|owner| owner.uid.as_str()).unwrap_or_default();
        // An object that was restored from a backup, or made anew, has another UID, and what the one before it owned is not
        // proven to be its own.
        let record = kept.filter(|kept| kept.uid == uid).unwrap_or_else(|| Record::new(uid));
        Ok(Self {
            ledger,
            owner,
            home: None,
            me: me.to_owned(),
            since,
            page: Mutex::new(Page { record, seen }),
            others: std::sync::Mutex::default(),
        })
    }

    /// Says that the Helmfiles are in another cluster than the releases.
    #[must_use]
    pub(crate) fn with_home(self, home: Client) -> Self {
        Self { home: Some(home), ..self }
    }

    /// The record as it is.
    pub(crate) async fn record(&self) -> Record {
        self.page.lock().await.record.clone()
    }

    /// Changes the record, and keeps it if that made a difference.
    ///
    /// # Errors
    /// When it can't be kept, or somebody else has written it.
    pub(crate) async fn change(&self, change: impl FnOnce(&mut Record) + Send) -> Result<(), LedgerError> {
        let mut page = self.page.lock().await;
        let mut next = page.record.clone();
        change(&mut next);
        if next != page.record {
            self.ledger.save(&next, &mut page.seen).await?;
            page.record = next;
        }
        Ok(())
    }

    /// Notes that a release may be touched from now on, and `next` with it.
    ///
    /// # Errors
    /// When that can't be kept: then nothing may be touched.
    pub(crate) async fn touch(&self, id: &ReleaseId, next: &[ReleaseId]) -> Result<(), LedgerError> {
        self.change(|record| {
            let mark = RunMark { holder: self.me.clone(), since: self.since, releases: Vec::new() };
            let run = record.run.get_or_insert(mark);
            if !run.releases.contains(id) {
                let new: Vec<_> = next.iter().filter(|id| !run.releases.contains(id)).cloned().collect();
                run.releases.extend(new);
            }
        })
        .await
    }

    /// Removes the record.
    ///
    /// # Errors
    /// When it can't be removed.
    pub(crate) async fn remove(&self) -> Result<(), LedgerError> {
        self.ledger.remove().await
    }

    /// The labels that a release of ours has.
    pub(crate) fn labels(&self) -> BTreeMap<String, String> {
        self.owner.as_ref().map(Owner::labels).unwrap_or_default()
    }

    /// Whether a revision is labelled as ours.
    pub(crate) fn is_labelled(&self, meta: &ReleaseMeta) -> bool {
        self.owner.as_ref().is_some_and(|owner| meta.labels.get(label::UID) == Some(&owner.uid))
    }

    /// Whether a release is proven to be ours, and to have been delivered by us: the record and the label agree (RULES 15).
    pub(crate) async fn proves(&self, id: &ReleaseId, newest: &ReleaseMeta) -> bool {
        let page = self.page.lock().await;
        self.is_labelled(newest) && page.record.owned(id).is_some_and(|owned| !owned.adopted)
    }

    /// Why a release may not be touched: it is another Helmfile's, and that one is there.
    pub(crate) async fn claimed_by_another(
        &self,
        id: &ReleaseId,
        newest: &ReleaseMeta,
        client: &Client,
    ) -> Option<Objection> {
        if self.is_labelled(newest) {
            return None;
        }
        let label = |name: &str| newest.labels.get(name).cloned().unwrap_or_default();
        let (uid, namespace, name) = (label(label::UID), label(label::NAMESPACE), label(label::NAME));
        if uid.is_empty() || name.is_empty() || !self.is_there(client, &uid, &namespace, &name).await {
            return None;
        }
        let whose = if namespace.is_empty() { name } else { format!("{namespace}/{name}") };
        Some(Objection {
            reason: reason::RELEASE_CLAIMED,
            message: format!(
                "release `{id}` belongs to Helmfile `{whose}`; leave it to one of the two (a selector, another name), or \
                 delete the other Helmfile first"
            ),
            permanent: true,
        })
    }

    /// Whether a Helmfile is there. When that can't be told, it is: taking a release away from somebody is worse than waiting.
    async fn is_there(&self, client: &Client, uid: &str, namespace: &str, name: &str) -> bool {
        let key = vec![uid.to_owned(), namespace.to_owned(), name.to_owned()];
        if let Some(known) = self.others.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return *known;
        }
        let mut there = false;
        // Both may deliver to that cluster: its own operator, and ours from here.
        for client in std::iter::once(client).chain(&self.home) {
            let api: Api<Helmfile> = Api::namespaced(client.clone(), namespace);
            let is_it = |found: &PartialObjectMeta<_>| found.metadata.uid.as_deref() == Some(uid);
            let found = if name.len() < CUT {
                in_time(api.get_metadata_opt(name)).await.map(|found| found.iter().any(is_it))
            } else {
                let all = in_time(api.list_metadata(&ListParams::default())).await;
                all.map(|all| all.items.iter().any(is_it))
            };
            there |= match found {
                Ok(found) => found,
                // A cluster that knows no Helmfiles at all has no object to say so, and no reason `NotFound`.
                Err(kube::Error::Api(status)) if status.code == 404 => false,
                Err(_) => true,
            };
        }
        self.others.lock().unwrap_or_else(PoisonError::into_inner).insert(key, there);
        there
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helmfile::helm::release::ReleaseStatus;

    fn meta(uid: &str) -> ReleaseMeta {
        ReleaseMeta {
            name: "web".into(),
            namespace: "shop".into(),
            revision: 1,
            status: ReleaseStatus::Deployed,
            uid: "s".into(),
            modified: None,
            labels: [(label::UID.to_owned(), uid.to_owned())].into(),
        }
    }

    fn owner() -> Owner {
        Owner {
            uid: "u1".into(),
            namespace: "team".into(),
            name: format!("{}.{}", "a".repeat(62), "b".repeat(9)),
        }
    }

    async fn book(ledger: Ledger) -> Book {
        Book::open(ledger, Some(owner()), "me", Timestamp::from_second(1).unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn proof_needs_record_and_label() {
        let book = book(Ledger::Nowhere).await;
        let id = ReleaseId::new("shop", "web");
        assert!(!book.proves(&id, &meta("u1")).await, "the label alone is no proof");
        book.change(|record| record.own(&id, true)).await.unwrap();
        assert!(!book.proves(&id, &meta("u1")).await, "what was adopted is not ours to remove");
        book.change(|record| record.own(&id, false)).await.unwrap();
        assert!(book.proves(&id, &meta("u1")).await);
        assert!(!book.proves(&id, &meta("u2")).await, "the record alone is no proof");
    }

    #[tokio::test]
    async fn what_will_be_touched_is_kept_before() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::Folder(folder.path().to_owned());
        let book = book(ledger.clone()).await;
        let (web, db) = (ReleaseId::new("shop", "web"), ReleaseId::new("shop", "db"));
        book.touch(&web, &[web.clone(), db.clone()]).await.unwrap();
        let kept = ledger.load().await.unwrap().0.unwrap().run.unwrap();
        assert_eq!((kept.holder.as_str(), kept.releases), ("me", vec![web, db]));
    }

    #[tokio::test]
    async fn a_record_without_an_object_keeps_the_uid_that_it_was_begun_with() {
        let folder = tempfile::tempdir().unwrap();
        let nobody = Owner { uid: String::new(), ..owner() };
        let since = Timestamp::from_second(1).unwrap();
        let open = async |owner: &Owner| {
            let ledger = Ledger::Folder(folder.path().to_owned());
            Book::open(ledger, Some(owner.clone()), "me", since).await.unwrap()
        };
        let id = ReleaseId::new("shop", "web");
        let first = open(&nobody).await;
        first.change(|record| record.own(&id, false)).await.unwrap();
        let again = open(&nobody).await;
        assert_eq!(again.labels(), first.labels());
        assert!(!again.labels()[label::UID].is_empty() && again.record().await.owned(&id).is_some());
        assert!(open(&owner()).await.record().await.releases.is_empty(), "another object's proves nothing");
    }

    #[test]
    fn labels_fit() {
        let labels = owner().labels();
        assert_eq!(labels[label::NAME], "a".repeat(62));
        assert_eq!((labels[label::UID].as_str(), labels[label::NAMESPACE].as_str()), ("u1", "team"));
    }
}
