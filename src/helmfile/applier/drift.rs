//! Whether the objects of the releases are as these say, and what is remembered of that.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;

use super::inventory::{Release, Whole, shown};
use crate::{
    clock,
    cluster::client::Connection,
    contract::{Trigger, WatchOn, WatchRequest},
    helmfile::{
        api::{
            ConditionStatus, DriftMode, DriftSpec, DriftStatus, DriftedObject, HelmfileStatus, get,
            names::DRIFTED,
        },
        drift::{self, Finding, State},
        helm::{cluster::Cluster, release::ReleaseStatus},
    },
    object::ObjectRef,
};

/// What a look has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// The objects that were looked at, as the inventory shows them; `None` for all.
    pub looked_at: Option<BTreeSet<String>>,
    /// Those that are not as their releases say.
    pub drifted: Vec<DriftedObject>,
    /// Why it could not be told of others.
    pub unknown: Vec<String>,
}

/// Looks at all objects, or at those that `touched` names.
pub(crate) async fn look(
    connection: &Connection,
    whole: &Whole,
    spec: &DriftSpec,
    touched: Option<&[Trigger]>,
    now: Timestamp,
) -> Found {
    let cluster = Cluster::new(connection.client.clone());
    let mut found = Found { looked_at: touched.map(|_| BTreeSet::new()), ..Found::default() };
    let wants = |object: &ObjectRef| touched.is_none_or(|touched| touched.iter().any(|by| is_by(by, object)));
    for release in &whole.0 {
        let is_deployed = release.status == ReleaseStatus::Deployed.as_str();
        if !is_deployed || !release.objects.iter().any(wants) {
            continue;
        }
        match check(&cluster, release, spec, &wants).await {
            Ok(findings) => findings.into_iter().for_each(|finding| found.note(release, finding, now)),
            Err(error) => found.unknown.push(error),
        }
    }
    found
}

async fn check(
    cluster: &Cluster,
    release: &Release,
    spec: &DriftSpec,
    wants: &impl Fn(&ObjectRef) -> bool,
) -> Result<Vec<Finding>, String> {
    let id = &release.id;
    let history = cluster.history(&id.namespace, &id.name).await.map_err(|error| error.to_string())?;
    // Between a change of the release and the next delivery its objects are neither the old nor the new ones.
    let Some(newest) = history.first().filter(|newest| newest.status == ReleaseStatus::Deployed) else {
        return Ok(Vec::new());
    };
    let content = cluster.get(newest).await.map_err(|error| error.to_string())?;
    Ok(drift::check(cluster, id, &content.manifest, &spec.ignore, wants).await)
}

/// Whether a trigger names an object; it does not tell its group.
fn is_by(by: &Trigger, object: &ObjectRef) -> bool {
    by.kind.as_ref() == Some(&object.gvk.kind)
        && by.name.as_ref() == Some(&object.name)
        // Objects of kinds without namespaces have that of their release here.
        && (by.namespace.is_none() || by.namespace == object.namespace)
}

/// How many fields of an object are named.
const FIELDS: usize = 10;
/// How many objects are named.
const OBJECTS: usize = 20;

impl Found {
    fn note(&mut self, release: &Release, finding: Finding, now: Timestamp) {
        let object = shown(&finding.object);
        if let Some(looked_at) = &mut self.looked_at {
            looked_at.insert(object.clone());
        }
        let drifted = DriftedObject {
            object,
            release: release.id.to_string(),
            gone: finding.state == State::Gone,
            fields: Vec::new(),
            writers: Vec::new(),
            since: now,
        };
        match finding.state {
            State::Same => {}
            State::Unknown(why) => self.unknown.push(format!("{}: {why}", drifted.object)),
            State::Gone => self.drifted.push(drifted),
            State::Drifted(fields) => {
                let writers: BTreeSet<String> =
                    fields.iter().filter_map(|field| field.writer.clone()).collect();
                self.drifted.push(DriftedObject {
                    since: fields.iter().filter_map(|field| field.at).min().unwrap_or(now),
                    writers: writers.into_iter().collect(),
                    fields: fields.into_iter().map(|field| field.path).take(FIELDS).collect(),
                    ..drifted
                });
            }
        }
    }

    /// What is known from now on, with what was known before of objects that were not looked at.
    pub(crate) fn after(&self, before: Option<&DriftStatus>) -> Option<DriftStatus> {
        let before = before.map(|before| before.objects.as_slice()).unwrap_or_default();
        let stays = |object: &&DriftedObject| {
            self.looked_at.as_ref().is_some_and(|looked_at| !looked_at.contains(&object.object))
        };
        let since = |object: &DriftedObject| {
            let same = before.iter().find(|old| old.object == object.object);
            let since = same.map_or(object.since, |old| old.since.min(object.since));
            DriftedObject { since, ..object.clone() }
        };
        let mut objects: Vec<DriftedObject> =
            before.iter().filter(stays).cloned().chain(self.drifted.iter().map(since)).collect();
        objects.sort_by(|a, b| a.object.cmp(&b.object));
        let count = u32::try_from(objects.len()).unwrap_or(u32::MAX);
        objects.truncate(OBJECTS);
        (count > 0).then_some(DriftStatus { count, objects })
    }
}

/// Which objects are compared with their releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// None.
    Nothing,
    /// Those that somebody has touched.
    Touched,
    /// All.
    All,
}

/// What that depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Comparison<'a> {
    /// What is to be done about drift.
    pub mode: DriftMode,
    /// What is known.
    pub status: &'a HelmfileStatus,
    /// When all objects were last compared.
    pub last: Option<Timestamp>,
    /// How often they are.
    pub refresh: Duration,
    /// Whether somebody asks for it.
    pub wanted: bool,
    /// Whether somebody may have touched an object.
    pub touched: bool,
    /// The time.
    pub now: Timestamp,
}

impl Comparison<'_> {
    /// Decides.
    pub(crate) fn scope(&self) -> Scope {
        if self.mode == DriftMode::Off {
            return Scope::Nothing;
        }
        // Where not all that has drifted is named, or something can't be told, a part can't be set right.
        let condition = get(&self.status.conditions, DRIFTED);
        let is_told = condition.is_some_and(|condition| condition.status != ConditionStatus::Unknown);
        let drift = self.status.drift.as_ref();
        let is_named = drift
            .is_none_or(|drift| usize::try_from(drift.count).is_ok_and(|count| count == drift.objects.len()));
        // A moment in the future is a clock that was wrong.
        let is_fresh =
            self.last.is_some_and(|last| last <= self.now && clock::since(self.now, last) < self.refresh);
        match (is_fresh && !self.wanted && condition.is_some(), self.touched) {
            (false, _) => Scope::All,
            (true, true) if !(is_told && is_named) => Scope::All,
            (true, true) => Scope::Touched,
            (true, false) => Scope::Nothing,
        }
    }
}

/// The most objects whose changes are waited for; others are seen at the next full look.
const WATCHED: usize = 900;

/// The objects whose changes start a look.
pub(crate) fn watches(whole: &Whole) -> impl Iterator<Item = WatchRequest> {
    whole.objects().into_iter().take(WATCHED).map(|object| WatchRequest {
        api_version: object.gvk.api_version(),
        kind: object.gvk.kind,
        namespace: object.namespace,
        name: Some(object.name),
        label_selector: None,
        on: WatchOn::Spec,
        body: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        contract::TriggerType,
        helmfile::{api::Condition, drift::Field, ledger::ReleaseId},
        object::Gvk,
    };

    fn object(name: &str) -> ObjectRef {
        ObjectRef {
            gvk: Gvk::new("apps", "v1", "Deployment"),
            namespace: Some("shop".into()),
            name: name.into(),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn field(path: &str, writer: Option<&str>, second: Option<i64>) -> Field {
        Field {
            path: path.into(),
            live: None,
            wanted: None,
            writer: writer.map(Into::into),
            at: second.map(at),
        }
    }

    fn found(findings: Vec<(&str, State)>, whole: bool) -> Found {
        let release = Release {
            id: ReleaseId::new("shop", "web"),
            chart: String::new(),
            revision: 1,
            status: "deployed".into(),
            secret: String::new(),
            adopted: false,
            objects: Vec::new(),
        };
        let mut found = Found { looked_at: (!whole).then(BTreeSet::new), ..Found::default() };
        for (name, state) in findings {
            found.note(&release, Finding { object: object(name), state }, at(100));
        }
        found
    }

    #[test]
    fn fields_are_named_with_their_writers_and_since_when() {
        let fields = vec![
            field("/a", Some("kubectl"), Some(7)),
            field("/b", None, None),
            field("/c", Some("kubectl"), Some(5)),
        ];
        let status =
            found(vec![("web", State::Drifted(fields)), ("db", State::Same)], true).after(None).unwrap();
        assert_eq!((status.count, status.objects.len()), (1, 1));
        let one = &status.objects[0];
        assert_eq!((one.object.as_str(), one.release.as_str()), ("Deployment.apps shop/web", "shop/web"));
        assert_eq!((one.fields.len(), &one.writers, one.since), (3, &vec!["kubectl".to_owned()], at(5)));
        let many = (0..30).map(|n| field(&format!("/{n}"), None, None)).collect();
        assert_eq!(found(vec![("web", State::Drifted(many))], true).drifted[0].fields.len(), FIELDS);
    }

    #[test]
    fn a_look_at_a_few_changes_nothing_about_the_others() {
        let gone = |name| (name, State::Gone);
        let before = found(vec![gone("a"), gone("b")], true).after(None);
        let names = |status: Option<DriftStatus>| -> Vec<String> {
            status.into_iter().flat_map(|status| status.objects).map(|object| object.object).collect()
        };
        let few = found(vec![("a", State::Same), gone("c")], false).after(before.as_ref());
        assert_eq!(names(few), ["Deployment.apps shop/b", "Deployment.apps shop/c"]);
        assert_eq!(names(found(vec![gone("c")], true).after(before.as_ref())), ["Deployment.apps shop/c"]);
        assert_eq!(found(vec![("a", State::Same)], true).after(before.as_ref()), None);
        // It has been so since it was first seen.
        let earlier = DriftStatus {
            count: 1,
            objects: vec![DriftedObject { since: at(1), ..before.unwrap().objects.remove(0) }],
        };
        let again = found(vec![gone("a")], true).after(Some(&earlier)).unwrap();
        assert_eq!(again.objects[0].since, at(1));
    }

    #[test]
    fn a_status_names_a_few_and_counts_all() {
        let names: Vec<String> = (0..30).map(|n| format!("x{n:02}")).collect();
        let all = names.iter().map(|name| (name.as_str(), State::Gone)).collect();
        let status = found(all, true).after(None).unwrap();
        assert_eq!((status.count, status.objects.len()), (30, OBJECTS));
    }

    #[test]
    fn all_objects_are_compared_from_time_to_time_and_otherwise_those_that_were_touched() {
        let told = |holds| Condition::new(DRIFTED, holds, "R", "m", at(100));
        let status = |holds, drift| HelmfileStatus {
            conditions: vec![told(holds)],
            drift,
            ..HelmfileStatus::default()
        };
        let fine = status(ConditionStatus::False, None);
        let quiet = Comparison {
            mode: DriftMode::Warn,
            status: &fine,
            last: Some(at(100)),
            refresh: Duration::from_mins(10),
            wanted: false,
            touched: false,
            now: at(200),
        };
        assert_eq!(quiet.scope(), Scope::Nothing, "somebody waits for health");
        let touched = Comparison { touched: true, ..quiet };
        assert_eq!(touched.scope(), Scope::Touched);
        assert_eq!(Comparison { mode: DriftMode::Off, ..touched }.scope(), Scope::Nothing);
        let many = DriftStatus { count: 30, objects: Vec::new() };
        let cut = status(ConditionStatus::True, Some(many));
        let untold = status(ConditionStatus::Unknown, None);
        let fresh = HelmfileStatus::default();
        for all in [
            Comparison { now: at(700), ..quiet },
            Comparison { last: None, ..quiet },
            Comparison { last: Some(at(900)), ..quiet },
            Comparison { wanted: true, ..quiet },
            Comparison { status: &fresh, ..quiet },
            Comparison { status: &cut, ..touched },
            Comparison { status: &untold, ..touched },
        ] {
            assert_eq!(all.scope(), Scope::All, "{all:?}");
        }
        assert_eq!(Comparison { status: &untold, ..quiet }.scope(), Scope::Nothing);
    }

    #[test]
    fn triggers_name_objects_by_kind_namespace_and_name() {
        let by = Trigger::by(TriggerType::Watch, &object("web"));
        assert!(is_by(&by, &object("web")) && !is_by(&by, &object("db")));
        assert!(
            is_by(&Trigger { namespace: None, ..by.clone() }, &object("web")),
            "a kind without namespaces"
        );
        assert!(!is_by(&Trigger { namespace: Some("other".into()), ..by }, &object("web")));
    }
}
