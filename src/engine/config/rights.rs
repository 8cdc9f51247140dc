//! Which rights at the API server a config needs: exactly what the engine does with each kind.

use std::collections::BTreeMap;

use super::model::{Config, Entry};
use crate::{contract::TriggerType, object::Gvk};

/// What is done to a resource, in the words of RBAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verb {
    /// Read one.
    Get,
    /// Read all.
    List,
    /// Hear of changes.
    Watch,
    /// Make one.
    Create,
    /// Change one, which is also how one is applied.
    Patch,
    /// Replace one.
    Update,
    /// Delete one.
    Delete,
}

impl Verb {
    /// As a role spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Patch => "patch",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// Which part of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// All but what has a path of its own.
    Main,
    /// Its status.
    Status,
    /// Its finalizers: who may write them may also make others wait for the object.
    Finalizers,
}

impl Part {
    /// The subresource, if it is one.
    pub const fn subresource(self) -> Option<&'static str> {
        match self {
            Self::Main => None,
            Self::Status => Some("status"),
            Self::Finalizers => Some("finalizers"),
        }
    }
}

/// Whether it shows in the config that a right is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Need {
    /// The engine uses it in any case.
    Always,
    /// Only when a handler's reply asks for it, which nobody knows before.
    Reply(&'static str),
}

/// One right. Where the kind has namespaces, it is needed in those that the entry works in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Right {
    /// The kind.
    pub gvk: Gvk,
    /// Of its objects.
    pub part: Part,
    /// What is done.
    pub verb: Verb,
    /// Whether it is used in any case.
    pub need: Need,
}

/// The rights that an entry needs, each once, in a fixed order. Kinds that replies ask to watch are not among them.
pub fn rights(entry: &Entry) -> Vec<Right> {
    let mut needs = Needs::default();
    needs.add(&entry.gvk, Part::Main, &[Verb::List, Verb::Watch], Need::Always);
    for dependent in &entry.dependents {
        needs.add(&dependent.gvk, Part::Main, &[Verb::List, Verb::Watch], Need::Always);
    }
    let follows = entry.wakes.on.contains(&TriggerType::ReferenceChanged);
    for reference in &entry.references {
        needs.add(&reference.gvk, Part::Main, &[Verb::Get], Need::Always);
        if follows {
            needs.add(&reference.gvk, Part::Main, &[Verb::List, Verb::Watch], Need::Always);
        }
    }
    if entry.select.namespace_labels.is_some() {
        needs.add(&Gvk::new("", "v1", "Namespace"), Part::Main, &[Verb::List, Verb::Watch], Need::Always);
    }
    if !entry.observes() {
        needs.writes(entry);
    }
    needs.0.into_iter().map(|((gvk, part, verb), need)| Right { gvk, part, verb, need }).collect()
}

/// The rights that a config needs besides those of its entries: to register its CRDs.
pub fn registration(config: &Config) -> Vec<Right> {
    let gvk = Gvk::new("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let verbs = [Verb::Get, Verb::Create, Verb::Patch].into_iter();
    let right = |verb| Right { gvk: gvk.clone(), part: Part::Main, verb, need: Need::Always };
    verbs.filter(|_| !config.crds.is_empty()).map(right).collect()
}

/// Each right and how much it is needed; the greatest need counts.
#[derive(Default)]
struct Needs(BTreeMap<(Gvk, Part, Verb), Need>);

impl Needs {
    fn add(&mut self, gvk: &Gvk, part: Part, verbs: &[Verb], need: Need) {
        for verb in verbs {
            let known = self.0.entry((gvk.clone(), part, *verb)).or_insert(need);
            *known = need.min(*known);
        }
    }

    fn writes(&mut self, entry: &Entry) {
        for dependent in &entry.dependents {
            // The last look before a first apply is at the API server, and an apply that creates needs both verbs.
            let verbs = [Verb::Get, Verb::Create, Verb::Patch, Verb::Delete];
            self.add(&dependent.gvk, Part::Main, &verbs, Need::Always);
            if !dependent.orphan {
                // Owner references block the owner's deletion; some clusters let only those do that who have this.
                self.add(&entry.gvk, Part::Finalizers, &[Verb::Update], Need::Always);
            }
        }
        if entry.finalizer.is_some() {
            self.add(&entry.gvk, Part::Main, &[Verb::Patch], Need::Always);
        }
        if entry.condition.is_some() {
            self.add(&entry.gvk, Part::Status, &[Verb::Patch], Need::Always);
        }
        self.add(&entry.gvk, Part::Main, &[Verb::Patch], Need::Reply("edits the object"));
        self.add(&entry.gvk, Part::Main, &[Verb::Delete], Need::Reply("deletes the object"));
        self.add(&entry.gvk, Part::Status, &[Verb::Patch], Need::Reply("has a status"));
        let events = Gvk::new("events.k8s.io", "v1", "Event");
        self.add(&events, Part::Main, &[Verb::Create, Verb::Patch], Need::Always);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::config::{Library, Source, Surroundings, load};

    /// The rights of the one entry of a config, as `verb[,verb] Kind[/part]`, those that replies need in parentheses.
    fn needed(entry: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.yaml");
        std::fs::write(&file, format!("resources:\n- {{group: g.io, version: v1, kind: A, {entry}}}\n"))
            .unwrap();
        let loaded = load(&[Source::File(file)], &Library::default(), &Surroundings::default()).unwrap();
        let rights = rights(&loaded.config.entries[0]);
        let same = |one: &Right, other: &Right| {
            (&one.gvk, one.part) == (&other.gvk, other.part)
                && (one.need == Need::Always) == (other.need == Need::Always)
        };
        let line = |rights: &[Right]| {
            let verbs: Vec<&str> = rights.iter().map(|right| right.verb.name()).collect();
            let part = rights[0].part.subresource().map(|part| format!("/{part}")).unwrap_or_default();
            let line = format!("{} {}{part}", verbs.join(","), rights[0].gvk.kind);
            if rights[0].need == Need::Always { line } else { format!("({line})") }
        };
        rights.chunk_by(same).map(line).collect()
    }

    #[test]
    fn an_entry_needs_what_the_engine_does_for_it() {
        const EXEC: &str = "reconciler: {exec: {command: x}}";
        let events = "create,patch Event";
        for (entry, expected) in [
            (
                EXEC.to_owned(),
                vec!["list,watch A", "(patch,delete A)", "(patch A/status)", events],
            ),
            (
                format!("{EXEC}, condition: Ready, dependents: [{{version: v1, kind: Pod}}]"),
                vec![
                    "get,list,watch,create,patch,delete Pod",
                    events,
                    "list,watch A",
                    "(patch,delete A)",
                    "patch A/status",
                    "update A/finalizers",
                ],
            ),
            (
                format!("{EXEC}, finalizer: {{exec: {{command: x}}}}, dependents: [{{version: v1, kind: Pod, orphan: true}}]"),
                vec![
                    "get,list,watch,create,patch,delete Pod",
                    events,
                    "list,watch,patch A",
                    "(delete A)",
                    "(patch A/status)",
                ],
            ),
            (
                format!("{EXEC}, references: [{{version: v1, kind: Secret, nameFieldPath: .spec.s}}], namespaceSelector: a=b"),
                vec![
                    "list,watch Namespace",
                    "get Secret",
                    events,
                    "list,watch A",
                    "(patch,delete A)",
                    "(patch A/status)",
                ],
            ),
            (
                "reconciler: {exec: {command: x}, observe: true}, on: [Created, ReferenceChanged], dependents: [{version: v1, kind: Pod}], \
                 references: [{version: v1, kind: Secret, nameFieldPath: .spec.s}]"
                    .to_owned(),
                vec!["list,watch Pod", "get,list,watch Secret", "list,watch A"],
            ),
        ] {
            let mut expected = expected;
            let mut found = needed(&entry);
            expected.sort_unstable();
            found.sort_unstable();
            assert_eq!(found, expected, "{entry}");
        }
    }

    #[test]
    fn only_a_config_with_crds_registers_any() {
        let crd = super::super::Crd { source: "a".to_owned(), manifest: serde_json::Value::Null };
        assert_eq!(registration(&Config::default()), []);
        let verbs = registration(&Config { crds: vec![crd], ..Config::default() });
        assert_eq!(
            verbs.iter().map(|right| right.verb.name()).collect::<Vec<_>>(),
            ["get", "create", "patch"]
        );
    }
}
