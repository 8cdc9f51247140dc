//! Which releases have left the helmfile, and whether they may go (RULES 15). Pure.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::json;

use crate::{
    digest,
    helmfile::{
        api::PendingPrune,
        ledger::{Record, ReleaseId},
    },
};

/// A release as `helmfile list --output json` shows it. One that is disabled, or not to be installed, is still in the file.
#[derive(Debug, Deserialize)]
struct Listed {
    name: String,
    #[serde(default)]
    namespace: String,
}

/// Reads helmfile's list of all releases in the file. `namespace` is that of releases without one.
///
/// # Errors
/// When it is not the list that we know.
pub(crate) fn read(json: &[u8], namespace: &str) -> Result<BTreeSet<ReleaseId>, serde_json::Error> {
    let listed: Option<Vec<Listed>> = serde_json::from_slice(json)?;
    let id = |listed: Listed| {
        let namespace = if listed.namespace.is_empty() { namespace.to_owned() } else { listed.namespace };
        ReleaseId::new(namespace, listed.name)
    };
    Ok(listed.into_iter().flatten().map(id).collect())
}

/// What becomes of the releases that have left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Prune {
    /// To be uninstalled, in this order.
    pub go: Vec<ReleaseId>,
    /// Held back until somebody says yes.
    pub held: Option<PendingPrune>,
    /// Somebody has said yes.
    pub approved: bool,
}

/// The most names in a status.
const NAMED: usize = 50;

/// Decides. `listed` is all that is in the file, whatever is selected; `origin` is the digest of where the file comes from;
/// `approved` the id that somebody has said yes to.
pub(crate) fn plan(
    record: &Record,
    listed: &BTreeSet<ReleaseId>,
    origin: &str,
    approved: Option<&str>,
) -> Prune {
    let ours: Vec<&ReleaseId> =
        record.releases.iter().filter(|owned| !owned.adopted).map(|owned| &owned.id).collect();
    let mut gone: Vec<ReleaseId> =
        ours.iter().filter(|id| !listed.contains(id)).map(|id| (*id).clone()).collect();
    if gone.is_empty() {
        return Prune::default();
    }
    // What was delivered last may need what was delivered before it.
    gone.reverse();
    let reason = if record.origin.as_deref().is_some_and(|known| known != origin) {
        "the source, the file or the environment is another one now".to_owned()
    } else if gone.len() * 2 > ours.len() {
        format!("they are more than half of its releases ({} of {})", gone.len(), ours.len())
    } else {
        return Prune { go: gone, held: None, approved: false };
    };
    let names: Vec<String> = gone.iter().map(ToString::to_string).collect();
    // A yes to one change of place is none to another, and none to the same change at another time.
    let question = digest::of_json(&json!([names, origin, record.prunes]));
    let id: String = question.chars().take(12).collect();
    if approved == Some(&id) {
        return Prune { go: gone, held: None, approved: true };
    }
    Prune {
        go: Vec::new(),
        approved: false,
        held: Some(PendingPrune { id, reason, releases: names.into_iter().take(NAMED).collect() }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ids(names: &[&str]) -> BTreeSet<ReleaseId> {
        names.iter().map(|name| ReleaseId::new("n", *name)).collect()
    }

    fn record(ours: &[&str], adopted: &[&str]) -> Record {
        let mut record = Record { origin: Some("o".into()), ..Record::new("u") };
        for name in ours {
            record.own(&ReleaseId::new("n", *name), false);
        }
        for name in adopted {
            record.own(&ReleaseId::new("n", *name), true);
        }
        record
    }

    fn going(prune: &Prune) -> Vec<&str> {
        prune.go.iter().map(|id| id.name.as_str()).collect()
    }

    #[test]
    fn what_left_goes_the_last_one_first() {
        let record = record(&["a", "b", "c", "d"], &["was-there"]);
        assert_eq!(plan(&record, &ids(&["a", "b", "c", "d", "new"]), "o", None), Prune::default());
        assert_eq!(going(&plan(&record, &ids(&["a", "c"]), "o", None)), ["d", "b"]);
        assert_eq!(going(&plan(&record, &ids(&["a", "b", "c"]), "o", None)), ["d"]);
    }

    #[test]
    fn what_looks_like_a_mistake_waits() {
        let all = record(&["a", "b", "c", "d"], &[]);
        for (listed, origin, why) in [
            (ids(&["a"]), "o", "they are more than half of its releases (3 of 4)"),
            (ids(&[]), "o", "they are more than half of its releases (4 of 4)"),
            (ids(&["a", "b", "c"]), "other", "the source, the file or the environment is another one now"),
        ] {
            let prune = plan(&all, &listed, origin, None);
            let held = prune.held.clone().unwrap();
            assert_eq!((prune.go.len(), held.reason.as_str()), (0, why));
            assert_eq!(plan(&all, &listed, origin, Some("other")), prune, "another yes is no yes");
            let approved = plan(&all, &listed, origin, Some(&held.id));
            assert_eq!((approved.go.len(), approved.held), (4 - listed.len(), None));
            let later = Record { prunes: 1, ..all.clone() };
            assert!(plan(&later, &listed, origin, Some(&held.id)).held.is_some(), "a yes counts once");
        }
        // The first record of all knows no origin.
        let first = Record { origin: None, ..record(&["a", "b", "c"], &[]) };
        assert_eq!(going(&plan(&first, &ids(&["a", "b"]), "o", None)), ["c"]);
    }

    #[test]
    fn disabled_releases_are_in_the_file() {
        let json = br#"[{"name":"web","namespace":"ns1","enabled":false,"installed":true},{"name":"db","namespace":"","enabled":true,"installed":false}]"#;
        let listed: Vec<_> = read(json, "home").unwrap().into_iter().map(|id| id.to_string()).collect();
        assert_eq!(listed, ["home/db", "ns1/web"]);
        assert_eq!(read(b"null", "home").unwrap().len(), 0);
        assert!(read(b"oops", "home").is_err());
    }

    proptest! {
        #[test]
        fn nothing_but_what_is_ours_and_left_ever_goes(
            ours in prop::collection::btree_set("[a-e]", 0..5), adopted in prop::collection::btree_set("[f-h]", 0..3),
            listed in prop::collection::btree_set("[a-j]", 0..8), same in any::<bool>(), approve in any::<bool>(),
        ) {
            fn refs(names: &BTreeSet<String>) -> Vec<&str> {
                names.iter().map(String::as_str).collect()
            }
            let record = record(&refs(&ours), &refs(&adopted));
            let listed = ids(&refs(&listed));
            let origin = if same { "o" } else { "p" };
            let first = plan(&record, &listed, origin, None);
            let yes = first.held.as_ref().map(|held| held.id.clone()).filter(|_| approve);
            let prune = plan(&record, &listed, origin, yes.as_deref());
            for id in &prune.go {
                prop_assert!(ours.contains(&id.name) && !listed.contains(id));
            }
            if yes.is_none() {
                prop_assert!(prune.go.len() * 2 <= ours.len() && (same || prune.go.is_empty()));
            }
        }
    }
}
