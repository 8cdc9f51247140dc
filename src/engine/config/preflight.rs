//! Would a config work in this cluster? Are its kinds served, and may we do to them what it needs?

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use futures::{StreamExt as _, TryStreamExt as _};
use serde_json::Value;

use super::{
    model::{Config, Crd, Entry},
    rights::{Need, Part, Reach, Right, registration, rights},
};
use crate::{
    cluster::{
        access::{self, AccessError, Act},
        discovery::{Discovery, DiscoveryError, Served},
    },
    engine::query::NamespacePatterns,
    object::Gvk,
};

/// Something that does not work as things are, or might not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    /// A kind that is not there.
    NotServed {
        /// The kind.
        gvk: Gvk,
        /// The entries that need it.
        entries: BTreeSet<String>,
        /// Where kinds of this name are served.
        elsewhere: Vec<Gvk>,
    },
    /// Something that we may not do.
    Forbidden {
        /// To what: `configmaps`, `deployments.apps`, `hellos.example.com/status`.
        resource: String,
        /// Where; none is everywhere.
        namespace: Option<String>,
        /// The entries that need it; none when it is for the CRDs.
        entries: BTreeSet<String>,
        /// When it is not needed in any case: when it is.
        only_when: Option<String>,
        /// What.
        verbs: Vec<String>,
    },
}

impl Finding {
    /// Whether the config does not work, rather than may not.
    pub fn is_problem(&self) -> bool {
        !matches!(self, Self::Forbidden { only_when: Some(_), .. })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotServed { gvk, entries, elsewhere } => {
                write!(f, "the API server does not serve {gvk}, which {} needs", named(entries))?;
                let served: Vec<String> = elsewhere.iter().map(ToString::to_string).collect();
                match served.as_slice() {
                    [] => f.write_str("; is its CustomResourceDefinition installed?"),
                    served => write!(f, "; did you mean {}?", served.join(" or ")),
                }
            }
            Self::Forbidden { resource, namespace, entries, only_when, verbs } => {
                write!(f, "may not {} `{resource}`", verbs.join(", "))?;
                match namespace {
                    Some(namespace) => write!(f, " in namespace `{namespace}`")?,
                    None => f.write_str(" in the whole cluster")?,
                }
                match only_when {
                    Some(when) => write!(f, ", which {} needs only {when}", named(entries)),
                    None => write!(f, ", which {} needs", named(entries)),
                }
            }
        }
    }
}

fn named(entries: &BTreeSet<String>) -> String {
    let names: Vec<String> = entries.iter().map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => "the registration of `crds`".to_owned(),
        [one] => format!("entry {one}"),
        several => format!("each of the entries {}", several.join(", ")),
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum PreflightError {
    /// Discovery failed.
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    /// No review.
    #[error(transparent)]
    Access(#[from] AccessError),
}

/// How many questions are asked at once.
const AT_ONCE: usize = 8;

/// Looks at all entries; `namespaces` are those that the operator is limited to, none means all.
///
/// # Errors
/// When the API server does not answer.
pub async fn look(
    config: &Config,
    discovery: &Discovery,
    namespaces: &[String],
) -> Result<Vec<Finding>, PreflightError> {
    let mut wanted = Wanted::default();
    let kinds = kinds(config, discovery).await?;
    for entry in &config.entries {
        for right in rights(entry) {
            match kinds.get(&right.gvk) {
                Some(Some(kind)) => {
                    wanted.add(entry, &right, kind, &places(entry, &kinds, &right, kind, namespaces));
                }
                _ => wanted.missing(&right.gvk, &entry.name),
            }
        }
    }
    let all_registered = kinds.values().flatten().all(|kind| kind.is_live);
    for right in registration(config) {
        if let Some(Some(kind)) = kinds.get(&right.gvk) {
            wanted.registration(&right, kind, all_registered);
        }
    }
    let mut found = Vec::new();
    for (gvk, entries) in wanted.kinds {
        // Helps only; what is wrong is known already.
        let elsewhere = discovery.elsewhere(&gvk).await.unwrap_or_default();
        found.push(Finding::NotServed { gvk, entries, elsewhere });
    }
    found.extend(forbidden(discovery, wanted.acts).await?);
    Ok(found)
}

/// A kind as far as rights go.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kind {
    group: String,
    plural: String,
    namespaced: bool,
    status: bool,
    /// Whether the API server serves it now, rather than once the config's CRDs are registered.
    is_live: bool,
}

impl Kind {
    fn of(served: &Served) -> Self {
        Self {
            group: served.resource.group.clone(),
            plural: served.resource.plural.clone(),
            namespaced: served.namespaced,
            status: served.status_subresource,
            is_live: true,
        }
    }

    /// As one of these CRDs will bring it.
    fn coming(gvk: &Gvk, crds: &[Crd]) -> Option<Self> {
        crds.iter().find_map(|crd| {
            let spec = crd.manifest.get("spec")?;
            let text = |pointer: &str| spec.pointer(pointer).and_then(Value::as_str);
            (text("/group")? == gvk.group && text("/names/kind")? == gvk.kind).then_some(())?;
            let versions = spec.get("versions")?.as_array()?;
            let version = versions.iter().find(|version| version["name"] == *gvk.version)?;
            (version["served"] == true).then(|| Self {
                group: gvk.group.clone(),
                plural: text("/names/plural").unwrap_or_default().to_owned(),
                namespaced: text("/scope") == Some("Namespaced"),
                status: version.pointer("/subresources/status").is_some(),
                is_live: false,
            })
        })
    }
}

type Kinds = BTreeMap<Gvk, Option<Kind>>;

async fn kinds(config: &Config, discovery: &Discovery) -> Result<Kinds, DiscoveryError> {
    let rights = config.entries.iter().flat_map(|entry| rights(entry)).chain(registration(config));
    let mut kinds: Kinds = rights.map(|right| (right.gvk, None)).collect();
    for (gvk, kind) in &mut kinds {
        *kind = match discovery.resolve(gvk).await {
            Ok(served) => Some(Kind::of(&served)),
            Err(DiscoveryError::NotServed(_)) => Kind::coming(gvk, &config.crds),
            Err(error) => return Err(error),
        };
    }
    Ok(kinds)
}

/// Where an entry does things to a kind; the operator is limited to `limits`, unless there are none.
fn places(
    entry: &Entry,
    kinds: &Kinds,
    right: &Right,
    kind: &Kind,
    limits: &[String],
) -> Vec<Option<String>> {
    let own = kinds.get(&entry.gvk).and_then(Option::as_ref);
    if !kind.namespaced {
        return vec![None];
    }
    if kind.group == "events.k8s.io" && own.is_some_and(|own| !own.namespaced) {
        // Where Events of objects without a namespace are.
        return vec![Some("default".to_owned())];
    }
    let chosen = entry.select.namespaces.as_ref().filter(|_| right.reach == Reach::Entry);
    let exact = chosen.and_then(NamespacePatterns::exact);
    match (limits, exact) {
        ([], None) => vec![None],
        ([], Some(exact)) => exact.into_iter().map(Some).collect(),
        (limits, _) => {
            let both = limits.iter().filter(|limit| chosen.is_none_or(|chosen| chosen.matches(limit)));
            both.cloned().map(Some).collect()
        }
    }
}

/// What has to be asked, each question once, and for whom.
#[derive(Default)]
struct Wanted {
    kinds: BTreeMap<Gvk, BTreeSet<String>>,
    /// With when it is needed, if not in any case.
    acts: BTreeMap<(Act, Option<String>), BTreeSet<String>>,
}

impl Wanted {
    fn missing(&mut self, gvk: &Gvk, entry: &str) {
        self.kinds.entry(gvk.clone()).or_default().insert(entry.to_owned());
    }

    fn add(&mut self, entry: &Entry, right: &Right, kind: &Kind, places: &[Option<String>]) {
        let when = match right.need {
            Need::Always => None,
            Need::When(when) => Some(format!("when {when}")),
        };
        for place in places {
            let entries = self.acts.entry((act(right, kind, place.clone()), when.clone())).or_default();
            entries.insert(entry.name.clone());
        }
    }

    fn registration(&mut self, right: &Right, kind: &Kind, all_registered: bool) {
        let when = all_registered.then(|| "to bring them up to date".to_owned());
        self.acts.entry((act(right, kind, None), when)).or_default();
    }
}

fn act(right: &Right, kind: &Kind, namespace: Option<String>) -> Act {
    // A status without a path of its own is written with the rest.
    let part = if right.part == Part::Status && !kind.status { Part::Main } else { right.part };
    Act {
        verb: right.verb.name().to_owned(),
        group: kind.group.clone(),
        resource: kind.plural.clone(),
        subresource: part.subresource().map(str::to_owned),
        namespace,
    }
}

/// Asks, and gathers what is refused: one finding for all verbs on one resource.
async fn forbidden(
    discovery: &Discovery,
    acts: BTreeMap<(Act, Option<String>), BTreeSet<String>>,
) -> Result<Vec<Finding>, AccessError> {
    let questions = futures::stream::iter(acts).map(async |((act, when), entries)| {
        let allowed = access::may(discovery.client(), &act).await?;
        Ok::<_, AccessError>((!allowed).then_some((act, when, entries)))
    });
    let refused: Vec<_> = questions.buffered(AT_ONCE).try_collect().await?;
    let mut verbs = BTreeMap::<_, Vec<String>>::new();
    for (act, when, entries) in refused.into_iter().flatten() {
        verbs.entry((resource(&act), act.namespace, when, entries)).or_default().push(act.verb);
    }
    let found = verbs.into_iter().map(|((resource, namespace, only_when, entries), verbs)| {
        Finding::Forbidden { resource, namespace, entries, only_when, verbs }
    });
    Ok(found.collect())
}

/// As `kubectl auth can-i` takes it.
fn resource(act: &Act) -> String {
    let mut text = act.resource.clone();
    if !act.group.is_empty() {
        text = format!("{text}.{}", act.group);
    }
    act.subresource.iter().fold(text, |text, below| format!("{text}/{below}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn names(list: &[&str]) -> BTreeSet<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_kind_of_the_configs_own_crds_is_coming_in_the_versions_they_serve() {
        let manifest = json!({"spec": {"group": "g.io", "names": {"kind": "A", "plural": "as"}, "scope": "Cluster",
            "versions": [{"name": "v1", "served": true, "subresources": {"status": {}}}, {"name": "v0", "served": false}]}});
        let crds = [Crd { source: "a".to_owned(), manifest }];
        let coming = |version: &str, kind: &str| Kind::coming(&Gvk::new("g.io", version, kind), &crds);
        let kind = coming("v1", "A").unwrap();
        assert_eq!(
            (kind.plural.as_str(), kind.namespaced, kind.status, kind.is_live),
            ("as", false, true, false)
        );
        for (version, name) in [("v0", "A"), ("v2", "A"), ("v1", "B")] {
            assert_eq!(coming(version, name), None, "{version} {name}");
        }
    }

    #[test]
    fn findings_say_what_where_and_for_whom() {
        let gvk = Gvk::new("g.io", "v2", "A");
        let missing = |elsewhere| Finding::NotServed { gvk: gvk.clone(), entries: names(&["x"]), elsewhere };
        let refused =
            |namespace: Option<&str>, entries: &[&str], only_when: Option<&str>| Finding::Forbidden {
                resource: "as.g.io/status".to_owned(),
                namespace: namespace.map(str::to_owned),
                entries: names(entries),
                only_when: only_when.map(str::to_owned),
                verbs: vec!["get".to_owned(), "patch".to_owned()],
            };
        for (finding, is_problem, text) in [
            (
                missing(Vec::new()),
                true,
                "the API server does not serve g.io/v2 A, which entry `x` needs; is its CustomResourceDefinition installed?",
            ),
            (
                missing(vec![Gvk::new("g.io", "v1", "A")]),
                true,
                "the API server does not serve g.io/v2 A, which entry `x` needs; did you mean g.io/v1 A?",
            ),
            (
                refused(Some("n"), &["x", "y"], None),
                true,
                "may not get, patch `as.g.io/status` in namespace `n`, which each of the entries `x`, `y` needs",
            ),
            (
                refused(None, &[], Some("to bring them up to date")),
                false,
                "may not get, patch `as.g.io/status` in the whole cluster, which the registration of `crds` needs only to bring them up to date",
            ),
        ] {
            assert_eq!((finding.to_string().as_str(), finding.is_problem()), (text, is_problem));
        }
    }
}
