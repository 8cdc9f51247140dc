//! What is measured of each object.

use std::sync::Arc;

use super::file::Compiler;
use crate::engine::{
    config::{
        model::{Entry, Metric},
        raw::{RawEntry, RawMetric},
        tree::Path,
    },
    query::Expression,
};

/// Names that begin like this are the program's own.
const OURS: [&str; 2] = ["helmfile_operator_", "process_"];
/// What names of counters and histograms end with; these are gauges.
const NO_GAUGE: [&str; 5] = ["_total", "_created", "_bucket", "_count", "_sum"];
/// What there is of an object with `metadataOnly`.
const OF_METADATA: [&str; 3] = ["apiVersion", "kind", "metadata"];
/// The labels that every series has.
const LABELS: [&str; 2] = ["namespace", "name"];

impl Compiler<'_> {
    pub(super) fn metrics(&mut self, raw: &RawEntry, at: &Path) -> Vec<Metric> {
        let mut metrics: Vec<Metric> = Vec::new();
        for (index, metric) in raw.metrics.iter().enumerate() {
            let here = at.index(index);
            if raw.metrics.iter().take(index).any(|earlier| earlier.name == metric.name) {
                self.error(&here.key("name"), format!("the entry has a metric `{}` already", metric.name));
            }
            metrics.extend(self.metric(metric, raw.metadata_only, &here));
        }
        metrics
    }

    fn metric(&mut self, raw: &RawMetric, metadata_only: bool, at: &Path) -> Option<Metric> {
        if let Some(problem) = wrong_name(&raw.name) {
            self.error(&at.key("name"), problem);
        }
        if raw.help.trim().is_empty() || raw.help.contains(char::is_control) {
            self.error(&at.key("help"), format!("`{}` must be one line of text", at.key("help")));
        }
        let value = self.expression(&raw.value, metadata_only, &at.key("value"));
        let mut labels = Vec::new();
        for (name, text) in &raw.labels {
            let here = at.key("labels").key(name);
            if let Some(problem) = wrong_label(name) {
                self.error(&here, problem);
            }
            labels.push((name.clone(), self.expression(text, metadata_only, &here)));
        }
        let labels = labels.into_iter().map(|(name, expression)| Some((name, expression?)));
        Some(Metric {
            name: raw.name.clone(),
            help: raw.help.clone(),
            value: value?,
            labels: labels.collect::<Option<_>>()?,
        })
    }

    fn expression(&mut self, text: &str, metadata_only: bool, at: &Path) -> Option<Expression> {
        let expression = self.good(Expression::compile(text), at)?;
        let absent = expression.fields().find(|field| metadata_only && !OF_METADATA.contains(field));
        if let Some(field) = absent {
            self.error(at, format!("there is no `object.{field}` with `metadataOnly`"));
        }
        Some(expression)
    }

    /// Entries may share a metric; then it is one in every respect.
    pub(super) fn agreeing_metrics(&mut self, entry: &Entry, earlier: &[Arc<Entry>], at: &Path) {
        for (index, metric) in entry.metrics.iter().enumerate() {
            let differs = |other: &&Arc<Entry>| {
                other.metrics.iter().any(|theirs| theirs.name == metric.name && !theirs.agrees(metric))
            };
            if let Some(other) = earlier.iter().find(differs) {
                let problem = format!(
                    "`{}` has a metric `{}` with another help or other labels; give one of them another name",
                    other.name, metric.name
                );
                self.error(&at.index(index), problem);
            }
        }
    }
}

fn wrong_name(name: &str) -> Option<String> {
    if !is_word(name) {
        return Some(format!("the name `{name}` must be letters, digits and `_`, and begin with no digit"));
    }
    if let Some(prefix) = OURS.iter().find(|prefix| name.starts_with(**prefix)) {
        return Some(format!("names that begin with `{prefix}` are the program's own: `{name}`"));
    }
    let suffix = NO_GAUGE.iter().find(|suffix| name.ends_with(**suffix))?;
    Some(format!("`{name}` is a gauge; names that end in `{suffix}` are for counters and histograms"))
}

fn wrong_label(name: &str) -> Option<String> {
    if LABELS.contains(&name) {
        return Some(format!("every series has a label `{name}` already: that of its object"));
    }
    let is_good = is_word(name) && !name.starts_with("__");
    (!is_good).then(|| {
        format!("the label `{name}` must be letters, digits and `_`, and begin with no digit and no `__`")
    })
}

fn is_word(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
