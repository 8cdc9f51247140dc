//! The ownership record of a Helmfile. Pure.
//!
//! Together with the labels on Helm's own Secrets it is the proof that prune and Destroy need (RULES 15); a status is none,
//! since backups drop it.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A release, wherever Helm is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReleaseId {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl ReleaseId {
    /// The release `name` in `namespace`.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ReleaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl FromStr for ReleaseId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (namespace, name) = text.trim().split_once('/').ok_or(())?;
        Ok(Self::new(namespace, name))
    }
}

/// A release that is ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owned {
    /// Which.
    #[serde(flatten)]
    pub id: ReleaseId,
    /// It was there before, and we have not upgraded it yet: it is not pruned.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopted: bool,
}

/// A run that has begun. One that is still there when nobody runs was killed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunMark {
    /// Who runs.
    pub holder: String,
    /// Since when.
    pub since: Timestamp,
    /// Which releases it may touch.
    pub releases: Vec<ReleaseId>,
}

/// What is known of the releases of one Helmfile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The Helmfile's UID; a record with another one is somebody else's.
    pub uid: String,
    /// Digest of source, file and environment of the last delivery that may have decided what was left out of the helmfile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// How many times somebody has said yes to a prune that was held back: a yes counts once.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub prunes: u32,
    /// The releases, in the order in which they were first delivered.
    #[serde(default)]
    pub releases: Vec<Owned>,
    /// A run that has not said that it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunMark>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Record {
    /// The record of a Helmfile that has none yet.
    pub fn new(uid: &str) -> Self {
        Self { uid: uid.to_owned(), ..Self::default() }
    }

    /// The release, if it is ours.
    pub fn owned(&self, id: &ReleaseId) -> Option<&Owned> {
        self.releases.iter().find(|owned| owned.id == *id)
    }

    /// Notes a release. One that we have upgraded once stays more than adopted.
    pub fn own(&mut self, id: &ReleaseId, adopted: bool) {
        match self.releases.iter_mut().find(|owned| owned.id == *id) {
            Some(owned) => owned.adopted &= adopted,
            None => self.releases.push(Owned { id: id.clone(), adopted }),
        }
    }

    /// Forgets a release that is gone.
    pub fn forget(&mut self, id: &ReleaseId) {
        self.releases.retain(|owned| owned.id != *id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_upgraded_once_is_ours() {
        let id = ReleaseId::new("shop", "web");
        let mut record = Record::new("u1");
        record.own(&id, true);
        assert!(record.owned(&id).unwrap().adopted);
        record.own(&id, false);
        record.own(&id, true);
        assert!(!record.owned(&id).unwrap().adopted);
        record.own(&ReleaseId::new("shop", "db"), false);
        assert_eq!(
            record.releases.iter().map(|owned| owned.id.to_string()).collect::<Vec<_>>(),
            ["shop/web", "shop/db"]
        );
        record.forget(&id);
        assert_eq!(record.owned(&id), None);
    }

    #[test]
    fn its_text_can_be_read_again() {
        let mut record = Record::new("u1");
        record.own(&ReleaseId::new("shop", "web"), true);
        let since = Timestamp::from_second(1).unwrap();
        record.run =
            Some(RunMark { holder: "h".into(), since, releases: vec![ReleaseId::new("shop", "web")] });
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
        assert_eq!("shop/web".parse(), Ok(ReleaseId::new("shop", "web")));
        assert_eq!("web".parse::<ReleaseId>(), Err(()));
    }
}
