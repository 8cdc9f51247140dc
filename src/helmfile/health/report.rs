//! What was found, and what to say of it.

use std::fmt;

use super::words::count;
use crate::object::ObjectRef;

/// An object that is not current, or that could not be looked at.
#[derive(Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which object.
    pub object: ObjectRef,
    /// What it says of itself, or why it could not be looked at: one short sentence.
    pub what: String,
    /// What is wrong with its pods, where that is known.
    pub cause: Option<String>,
    /// The last lines of the log of the container that `cause` names: at most 5 lines and 500 bytes. They can hold
    /// secrets, so no sentence has them.
    pub log: Option<String>,
}

impl Finding {
    /// A finding without a cause.
    pub(super) fn new(object: ObjectRef, what: String) -> Self {
        Self { object, what, cause: None, log: None }
    }

    /// Writes it with `link` between its name and what it says, and the cause in brackets.
    fn tell(&self, f: &mut impl fmt::Write, link: &str) -> fmt::Result {
        write!(f, "{} `{}`{link}{}", self.object.gvk.kind, self.object.key(), self.what)?;
        self.cause.iter().try_for_each(|cause| write!(f, " ({cause})"))
    }
}

/// ``Deployment `ns/web`: 1 of 3 replicas are ready``, with the cause in brackets behind it.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tell(f, ": ")
    }
}

/// Everything but the log, of which only the length is shown.
impl fmt::Debug for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let log = self.log.as_ref().map(|log| format!("{} bytes", log.len()));
        f.debug_struct("Finding")
            .field("object", &self.object)
            .field("what", &self.what)
            .field("cause", &self.cause)
            .field("log", &log)
            .finish()
    }
}

/// How the objects are. Each list is in the order in which the objects were given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Not current yet, or perhaps never: in progress, being deleted, gone, not readable for now.
    pub waiting: Vec<Finding>,
    /// They say that they do not work.
    pub failed: Vec<Finding>,
    /// They count as current: we may not look at them, or they may rightly be gone.
    pub unseen: Vec<Finding>,
    /// How many objects were asked for. Those of kinds that are always current are not.
    pub looked: usize,
}

impl Report {
    /// Whether all objects are current, as far as we may look.
    pub fn is_healthy(&self) -> bool {
        self.waiting.is_empty() && self.failed.is_empty()
    }

    /// What has failed and what is waited for, for a condition; nothing when all is well.
    pub fn sentence(&self) -> Option<String> {
        let failed = one_of(&self.failed, "", " has failed: ");
        let waiting = one_of(&self.waiting, "waiting for ", ": ");
        let said: Vec<String> = failed.into_iter().chain(waiting).collect();
        (!said.is_empty()).then(|| said.join("; "))
    }

    /// What was not looked at, and why; nothing when all was.
    pub fn unseen_sentence(&self) -> Option<String> {
        let first = self.unseen.first()?;
        let were = if self.unseen.len() == 1 { "was" } else { "were" };
        let objects = count(self.unseen.len(), "object");
        Some(format!("{objects} {were} not looked at, first {first}"))
    }
}

/// The finding that says most, the first with a cause or else the first, and how many others there are.
fn one_of(findings: &[Finding], before: &str, link: &str) -> Option<String> {
    let shown = findings.iter().find(|finding| finding.cause.is_some()).or(findings.first())?;
    let mut said = before.to_owned();
    shown.tell(&mut said, link).ok()?;
    if findings.len() > 1 {
        said = format!("{said}, and {}", count(findings.len() - 1, "more object"));
    }
    Some(said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Gvk;

    fn finding(name: &str, what: &str) -> Finding {
        let gvk = Gvk::new("apps", "v1", "Deployment");
        Finding::new(ObjectRef { gvk, namespace: Some("ns".into()), name: name.into() }, what.into())
    }

    fn with_cause(name: &str, what: &str, cause: &str) -> Finding {
        Finding { cause: Some(cause.into()), log: Some("password=hunter2".into()), ..finding(name, what) }
    }

    #[test]
    fn a_sentence_shows_one_finding_of_each_sort_and_counts_the_others() {
        let web = || finding("web", "1 of 3 replicas are ready");
        let crash =
            || with_cause("api", "0 of 1 replicas are ready", "container `app` of pod `api-1` ended: exit 1");
        let late = || finding("db", "it has made no progress for 600 s");
        for (failed, waiting, said) in [
            (vec![], vec![], None),
            (vec![], vec![web()], Some("waiting for Deployment `ns/web`: 1 of 3 replicas are ready")),
            (
                vec![],
                vec![web(), late(), late()],
                Some("waiting for Deployment `ns/web`: 1 of 3 replicas are ready, and 2 more objects"),
            ),
            (
                vec![],
                vec![web(), crash()],
                Some(
                    "waiting for Deployment `ns/api`: 0 of 1 replicas are ready \
                     (container `app` of pod `api-1` ended: exit 1), and 1 more object",
                ),
            ),
            (
                vec![late(), late()],
                vec![web()],
                Some(
                    "Deployment `ns/db` has failed: it has made no progress for 600 s, and 1 more object; \
                     waiting for Deployment `ns/web`: 1 of 3 replicas are ready",
                ),
            ),
        ] {
            let report = Report { waiting, failed, ..Report::default() };
            assert_eq!(report.sentence().as_deref(), said);
            assert_eq!(report.is_healthy(), said.is_none());
        }
    }

    #[test]
    fn what_is_unseen_is_said_and_does_no_harm() {
        let mut report =
            Report { unseen: vec![finding("a", "deployments is forbidden")], ..Report::default() };
        let said = "1 object was not looked at, first Deployment `ns/a`: deployments is forbidden";
        assert_eq!(report.unseen_sentence().as_deref(), Some(said));
        report.unseen.push(finding("b", "no"));
        assert!(report.unseen_sentence().unwrap().starts_with("2 objects were not looked at, first "));
        assert!(report.is_healthy() && report.sentence().is_none());
        assert_eq!(Report::default().unseen_sentence(), None);
    }

    #[test]
    fn log_lines_are_in_no_text() {
        let finding = with_cause("web", "0 of 1 replicas are ready", "cause");
        let report = Report { failed: vec![finding.clone()], ..Report::default() };
        let all = format!("{finding} {finding:?} {report:?} {:?}", report.sentence());
        assert!(all.contains("16 bytes") && !all.contains("hunter2"), "{all}");
    }
}
