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
    /// Only at times that nobody knows before; a clause that says which.
    When(&'static str),
}

/// Where a right is needed, if the kind has namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reach {
    /// In the namespaces that the entry chooses, as far as the operator works there.
    Entry,
    /// Wherever the operator works.
    Operator,
}

/// One right.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Right {
    /// The kind.
    pub gvk: Gvk,
    /// Of its objects.
    pub part: Part,
    /// What is done.
    pub verb: Verb,
    /// Where.
    pub reach: Reach,
    /// Whether it is used in any case.
    pub need: Need,
}

const EDITS: Need = Need::When("a reply edits the object");
const DELETES: Need = Need::When("a reply deletes the object");
const STATES: Need = Need::When("a reply has a status");
const WHOLE_LIST: Need = Need::When("the kind's conditions are one list for all who write them");
const FAILS: Need = Need::When("its handler fails");
const HOLDS: Need = Need::When("an object meets the `when` of its finalizer");

/// What hears of all changes.
const FOLLOW: [Verb; 2] = [Verb::List, Verb::Watch];

/// The rights that an entry needs, each once, in a fixed order. Kinds that replies ask to watch are not among them.
pub fn rights(entry: &Entry) -> Vec<Right> {
    let mut needs = Needs::default();
    needs.add(&entry.gvk, Part::Main, &FOLLOW, Reach::Entry, Need::Always);
    for dependent in &entry.dependents {
        // One watch for all entries.
        needs.add(&dependent.gvk, Part::Main, &FOLLOW, Reach::Operator, Need::Always);
    }
    let follows = entry.wakes.on.contains(&TriggerType::ReferenceChanged);
    for reference in &entry.references {
        if follows {
            needs.add(&reference.gvk, Part::Main, &FOLLOW, Reach::Operator, Need::Always);
        } else {
            needs.add(&reference.gvk, Part::Main, &[Verb::Get], Reach::Entry, Need::Always);
        }
    }
    if entry.select.namespace_labels.is_some() {
        needs.add(&Gvk::new("", "v1", "Namespace"), Part::Main, &FOLLOW, Reach::Operator, Need::Always);
    }
    let events = Gvk::new("events.k8s.io", "v1", "Event");
    let tells = if entry.observes() { FAILS } else { Need::Always };
    needs.add(&events, Part::Main, &[Verb::Create, Verb::Patch], Reach::Entry, tells);
    if !entry.observes() {
        needs.writes(entry);
    }
    let right = |((gvk, part, verb), (need, reach))| Right { gvk, part, verb, reach, need };
    needs.0.into_iter().map(right).collect()
}

/// The rights that a config needs besides those of its entries: to register its CRDs.
pub fn registration(config: &Config) -> Vec<Right> {
    let gvk = Gvk::new("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let verbs = [Verb::Get, Verb::Create, Verb::Patch].into_iter();
    let right =
        |verb| Right { gvk: gvk.clone(), part: Part::Main, verb, reach: Reach::Operator, need: Need::Always };
    verbs.filter(|_| !config.crds.is_empty()).map(right).collect()
}

/// Each right, how much it is needed and where; the greatest need and reach count, and of several reasons the first.
#[derive(Default)]
struct Needs(BTreeMap<(Gvk, Part, Verb), (Need, Reach)>);

impl Needs {
    fn add(&mut self, gvk: &Gvk, part: Part, verbs: &[Verb], reach: Reach, need: Need) {
        for verb in verbs {
            let known = self.0.entry((gvk.clone(), part, *verb)).or_insert((need, reach));
            let need = if need == Need::Always { need } else { known.0 };
            *known = (need, reach.max(known.1));
        }
    }

    fn writes(&mut self, entry: &Entry) {
        for dependent in &entry.dependents {
            // One that exists already is looked at, and an apply that creates needs both verbs.
            let verbs = [Verb::Get, Verb::Create, Verb::Patch, Verb::Delete];
            // Without an owner reference they may be anywhere.
            let reach = if dependent.orphan { Reach::Operator } else { Reach::Entry };
            self.add(&dependent.gvk, Part::Main, &verbs, reach, Need::Always);
            if !dependent.orphan {
                // Owner references block the owner's deletion; some clusters let only those do that who have this.
                self.own(entry, Part::Finalizers, &[Verb::Update], Need::Always);
            }
        }
        if let Some(finalizer) = &entry.finalizer {
            let need = if finalizer.when.is_some() { HOLDS } else { Need::Always };
            self.own(entry, Part::Main, &[Verb::Get, Verb::Patch], need);
        }
        if entry.condition.is_some() {
            self.own(entry, Part::Status, &[Verb::Patch], Need::Always);
        }
        self.own(entry, Part::Main, &[Verb::Patch], EDITS);
        self.own(entry, Part::Main, &[Verb::Delete], DELETES);
        self.own(entry, Part::Status, &[Verb::Patch], STATES);
        self.own(entry, Part::Main, &[Verb::Get], WHOLE_LIST);
    }

    fn own(&mut self, entry: &Entry, part: Part, verbs: &[Verb], need: Need) {
        self.add(&entry.gvk, part, verbs, Reach::Entry, need);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::config::{Library, Source, Surroundings, load};

    fn read(entry: &str) -> std::sync::Arc<Entry> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.yaml");
        let text = format!("resources:\n- {{group: g.io, version: v1, kind: A, {entry}}}\n");
        std::fs::write(&file, text).unwrap();
        let loaded = load(&[Source::File(file)], &Library::default(), &Surroundings::default()).unwrap();
        std::sync::Arc::clone(&loaded.config.entries[0])
    }

    /// The rights of the one entry of a config, as `verb[,verb] Kind[/part]`, those that are not always needed in parentheses.
    fn needed(entry: &str) -> Vec<String> {
        let rights = rights(&read(entry));
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
                vec!["list,watch A", "(get A)", "(patch,delete A)", "(patch A/status)", events],
            ),
            (
                format!("{EXEC}, condition: Ready, dependents: [{{version: v1, kind: Pod}}]"),
                vec![
                    "get,list,watch,create,patch,delete Pod",
                    events,
                    "list,watch A",
                    "(get A)", "(patch,delete A)",
                    "patch A/status",
                    "update A/finalizers",
                ],
            ),
            (
                format!("{EXEC}, finalizer: {{exec: {{command: x}}}}, dependents: [{{version: v1, kind: Pod, orphan: true}}]"),
                vec![
                    "get,list,watch,create,patch,delete Pod",
                    events,
                    "get,list,watch,patch A",
                    "(delete A)",
                    "(patch A/status)",
                ],
            ),
            (
                format!("{EXEC}, finalizer: {{exec: {{command: x}}, when: has(object.spec)}}"),
                vec!["(get A)", "list,watch A", "(patch,delete A)", "(patch A/status)", events],
            ),
            (
                format!("{EXEC}, references: [{{version: v1, kind: Secret, nameFieldPath: .spec.s}}], namespaceSelector: a=b"),
                vec![
                    "list,watch Namespace",
                    "get Secret",
                    events,
                    "list,watch A",
                    "(get A)", "(patch,delete A)",
                    "(patch A/status)",
                ],
            ),
            (
                "reconciler: {exec: {command: x}, observe: true}, on: [Created, ReferenceChanged], dependents: [{version: v1, kind: Pod}], \
                 references: [{version: v1, kind: Secret, nameFieldPath: .spec.s}]"
                    .to_owned(),
                vec!["list,watch Pod", "list,watch Secret", "list,watch A", "(create,patch Event)"],
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
    fn a_finalizer_that_not_all_objects_get_is_the_reason_that_is_named() {
        let finalizer = "finalizer: {exec: {command: x}, when: has(object.spec)}";
        let rights = rights(&read(&format!("reconciler: {{exec: {{command: x}}}}, {finalizer}")));
        let patch =
            |right: &&Right| right.gvk.kind == "A" && right.part == Part::Main && right.verb == Verb::Patch;
        assert_eq!(rights.iter().find(patch).unwrap().need, HOLDS);
    }

    #[test]
    fn what_one_watch_shows_to_all_is_needed_wherever_the_operator_works() {
        const EXEC: &str = "reconciler: {exec: {command: x}}, namespaces: [a]";
        let reach = |entry: &str| -> Vec<String> {
            let rights = rights(&read(entry));
            let wide = rights.iter().filter(|right| right.reach == Reach::Operator);
            wide.map(|right| format!("{} {}", right.verb.name(), right.gvk.kind)).collect()
        };
        let dependent =
            |orphan| format!("{EXEC}, dependents: [{{version: v1, kind: Pod, orphan: {orphan}}}]");
        assert_eq!(reach(EXEC), Vec::<String>::new());
        assert_eq!(reach(&dependent(false)), ["list Pod", "watch Pod"]);
        assert_eq!(
            reach(&dependent(true)),
            ["get Pod", "list Pod", "watch Pod", "create Pod", "patch Pod", "delete Pod"]
        );
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
