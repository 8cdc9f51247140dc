//! Whether the objects of the releases are as these say, and what is remembered of that.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::inventory::{Release, Whole, shown};
use crate::{
    cluster::client::Connection,
    contract::{Trigger, WatchOn, WatchRequest},
    helmfile::{
        api::{DriftSpec, DriftStatus, DriftedObject},
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

/// Whether a look at some objects is enough: what is known of the others is all in the status.
pub(crate) fn is_all_named(before: Option<&DriftStatus>) -> bool {
    before.is_none_or(|before| usize::try_from(before.count).is_ok_and(|count| count == before.objects.len()))
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
        helmfile::{drift::Field, ledger::ReleaseId},
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
        assert!(!is_all_named(Some(&status)) && is_all_named(None));
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
