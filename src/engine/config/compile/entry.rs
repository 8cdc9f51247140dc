//! One entry of `resources[]`.

use serde_json::{Map, Value, json};

use super::file::Compiler;
use crate::{
    contract::TriggerType,
    digest,
    engine::{
        config::{
            model::{Dependent, Entry, Finalizer, Reconciler, Reference, Selection, Wakes},
            raw::{RawDependent, RawEntry, RawExec, RawFinalizer, RawReconciler, RawReference},
            tree::Path,
        },
        query::{Condition, JsonPath, LabelSelector, NamespacePatterns, Schedule},
    },
    object::Gvk,
    suggest,
};

const DEFAULT_CONCURRENCY: u16 = 4;

impl Compiler<'_> {
    pub(super) fn entry(&mut self, raw: &RawEntry, at: &Path) -> Option<Entry> {
        self.not_empty(&raw.version, &at.key("version"));
        self.not_empty(&raw.kind, &at.key("kind"));
        let gvk = Gvk::new(&raw.group, &raw.version, &raw.kind);
        let name = raw.name.clone().unwrap_or_else(|| default_name(&gvk));
        self.name(&name, &at.key("name"));
        let mut values = self.unit.raw.values.clone();
        for layer in [&raw.values, self.set] {
            lay_over(&mut values, layer);
        }
        let errors = self.error_count();
        let dependents = self.dependents(&raw.dependents, &gvk, &at.key("dependents"));
        let references = self.references(&raw.references, &at.key("references"));
        let reconciler = raw.reconciler.as_ref().map(|raw| self.reconciler(raw, &at.key("reconciler")));
        let finalizer = raw.finalizer.as_ref().map(|raw| self.finalizer(raw, &at.key("finalizer")));
        let resync_period = self.duration(raw.resync_period.as_deref(), &at.key("resyncPeriod"));
        let entry = Entry {
            digest: self.entry_digest(raw, &values),
            select: self.selection(raw, at),
            wakes: self.wakes(raw, at),
            metadata_only: raw.metadata_only,
            dependents,
            references,
            reconciler: reconciler.flatten(),
            finalizer: finalizer.flatten(),
            resync_period: resync_period.filter(|period| !period.is_zero()),
            values,
            metrics: self.metrics(raw, &at.key("metrics")),
            concurrency: raw.concurrency.unwrap_or(DEFAULT_CONCURRENCY).into(),
            condition: raw.condition.clone(),
            name,
            gvk,
        };
        self.served(raw, at);
        self.consistent(&entry, raw, at);
        (self.error_count() == errors).then_some(entry)
    }

    /// What is understood but not served: said, so that nobody waits for it.
    fn served(&mut self, raw: &RawEntry, at: &Path) {
        let later = [
            ("validator", raw.validator.is_some()),
            ("mutator", raw.mutator.is_some()),
            ("injector", raw.injector.is_some()),
        ];
        let mut later: Vec<&str> =
            later.into_iter().filter(|(_, given)| *given).map(|(field, _)| field).collect();
        for field in &later {
            self.warning(&at.key(field), format!("this version does not serve `{field}`; it has no effect"));
        }
        if raw.reconciler.is_none() && raw.finalizer.is_none() && later.pop().is_none() {
            self.error(at, "the entry does nothing: it needs a `reconciler` or a `finalizer`".to_owned());
        }
    }

    /// What is well-formed by itself but makes no sense together.
    fn consistent(&mut self, entry: &Entry, raw: &RawEntry, at: &Path) {
        let observes = entry.observes();
        let refused = [
            ("finalizer", raw.finalizer.is_some(), "an observer writes nothing, so it can have no finalizer"),
            ("condition", raw.condition.is_some(), "an observer writes nothing, so it can keep no condition"),
        ];
        for (field, _, why) in refused.iter().filter(|(_, given, _)| observes && *given) {
            self.error(&at.key(field), (*why).to_owned());
        }
        let names_references = entry.wakes.on.contains(&TriggerType::ReferenceChanged);
        if names_references && entry.references.is_empty() {
            let message = "`on` has ReferenceChanged, but the entry has no `references`";
            self.error(&at.key("on"), message.to_owned());
        }
        if entry.metadata_only && !entry.references.is_empty() {
            let message = "`references` are named by fields, but with `metadataOnly` there are none";
            self.error(&at.key("metadataOnly"), message.to_owned());
        }
    }

    /// An entry's name is part of a field manager, which the API server limits to 128 characters.
    fn name(&mut self, name: &str, at: &Path) {
        let good = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if name.is_empty() || name.len() > 90 || !name.chars().all(good) {
            self.error(at, format!("the name `{name}` must be 1 to 90 letters, digits, `-`, `.` or `_`"));
        }
    }

    fn selection(&mut self, raw: &RawEntry, at: &Path) -> Selection {
        let patterns = (!raw.namespaces.is_empty()).then(|| NamespacePatterns::compile(&raw.namespaces));
        let namespaces = self.good(patterns.transpose(), &at.key("namespaces")).flatten();
        let labels = raw.label_selector.as_deref().map(LabelSelector::parse).transpose();
        let labels = self.good(labels, &at.key("labelSelector")).flatten();
        let namespace_labels = raw.namespace_selector.as_deref().map(LabelSelector::parse).transpose();
        Selection {
            labels: labels.map(|labels| labels.to_string()),
            fields: raw.field_selector.clone(),
            namespaces,
            namespace_labels: self.good(namespace_labels, &at.key("namespaceSelector")).flatten(),
        }
    }

    fn wakes(&mut self, raw: &RawEntry, at: &Path) -> Wakes {
        let when = raw.when.as_deref().map(Condition::compile).transpose();
        let schedule = raw.schedule.as_deref().map(Schedule::parse).transpose();
        let mut on = Vec::new();
        for (index, name) in raw.on.iter().flatten().enumerate() {
            match self.chosen(name) {
                Ok(kind) => on.push(kind),
                Err(problem) => self.error(&at.key("on").index(index), problem),
            }
        }
        if raw.on.is_none() {
            on = TriggerType::CHOICES
                .into_iter()
                .filter(|kind| *kind != TriggerType::ReferenceChanged)
                .collect();
        }
        Wakes {
            on,
            when: self.good(when, &at.key("when")).flatten(),
            schedule: self.good(schedule, &at.key("schedule")).flatten(),
        }
    }

    #[expect(clippy::unused_self, reason = "reads as one of the others")]
    fn chosen(&self, name: &str) -> Result<TriggerType, String> {
        let choices = TriggerType::CHOICES.map(TriggerType::name);
        let known = serde_json::from_value::<TriggerType>(name.into());
        match known {
            Ok(kind) if TriggerType::CHOICES.contains(&kind) => Ok(kind),
            Ok(_) => {
                Err(format!("`{name}` is not chosen by `on`: it runs the handler whenever it is asked for"))
            }
            Err(_) => {
                let meant = suggest::closest(name, choices).map_or_else(
                    || format!("there are {}", choices.join(", ")),
                    |meant| format!("did you mean `{meant}`?"),
                );
                Err(format!("there is no event `{name}`; {meant}"))
            }
        }
    }

    fn dependents(&mut self, raw: &[RawDependent], owner: &Gvk, at: &Path) -> Vec<Dependent> {
        let mut kinds: Vec<Dependent> = Vec::new();
        for (index, kind) in raw.iter().enumerate() {
            let here = at.index(index);
            self.not_empty(&kind.version, &here.key("version"));
            self.not_empty(&kind.kind, &here.key("kind"));
            let gvk = Gvk::new(&kind.group, &kind.version, &kind.kind);
            if kinds.iter().any(|known| known.gvk.same_kind(&gvk)) {
                self.error(&here, format!("the dependent kind {gvk} is listed twice"));
            } else if owner.same_kind(&gvk) {
                self.error(&here, format!("{gvk} cannot be a dependent of itself"));
            } else {
                kinds.push(Dependent { gvk, orphan: kind.orphan });
            }
        }
        kinds
    }

    fn references(&mut self, raw: &[RawReference], at: &Path) -> Vec<Reference> {
        let mut references = Vec::new();
        for (index, reference) in raw.iter().enumerate() {
            let here = at.index(index);
            self.not_empty(&reference.version, &here.key("version"));
            self.not_empty(&reference.kind, &here.key("kind"));
            let path = JsonPath::compile(&reference.name_field_path);
            if let Some(names) = self.good(path, &here.key("nameFieldPath")) {
                let gvk = Gvk::new(&reference.group, &reference.version, &reference.kind);
                references.push(Reference { gvk, names });
            }
        }
        references
    }

    fn reconciler(&mut self, raw: &RawReconciler, at: &Path) -> Option<Reconciler> {
        let requeue_after = self.duration(raw.requeue_after.as_deref(), &at.key("requeueAfter"));
        let handler = self.handler(raw.into(), at)?;
        Some(Reconciler {
            handler,
            requeue_after: requeue_after.filter(|delay| !delay.is_zero()),
            observe: raw.observe,
        })
    }

    fn finalizer(&mut self, raw: &RawFinalizer, at: &Path) -> Option<Finalizer> {
        let when = raw.when.as_deref().map(Condition::compile).transpose();
        let when = self.good(when, &at.key("when")).flatten();
        Some(Finalizer { handler: self.handler(raw.into(), at)?, when })
    }

    /// Changes when anything does that the entry's behaviour depends on: what is written, values, templates, hooks.
    fn entry_digest(&self, raw: &RawEntry, values: &Map<String, Value>) -> String {
        let unit = self.unit;
        let templates: Vec<_> = raw.templates().map(|file| unit.files.get(file)).collect();
        let words = raw.handlers().filter_map(|handler| handler.exec).flat_map(RawExec::words);
        let hooks: Vec<_> = words.map(|word| unit.hooks.get(word)).collect();
        digest::of_json(&json!([raw, values, unit.folder, templates, hooks]))
    }
}

fn default_name(gvk: &Gvk) -> String {
    let name = if gvk.group.is_empty() { gvk.kind.clone() } else { format!("{}.{}", gvk.kind, gvk.group) };
    name.to_lowercase()
}

/// Merges maps key by key; anything else is replaced.
pub(crate) fn lay_over(below: &mut Map<String, Value>, above: &Map<String, Value>) {
    for (key, value) in above {
        match (below.get_mut(key), value) {
            (Some(Value::Object(below)), Value::Object(above)) => lay_over(below, above),
            _ => {
                below.insert(key.clone(), value.clone());
            }
        }
    }
}
