//! What the config measures of objects, read from the caches when somebody looks.
//!
//! Not when an object changes: then a first list would wait for it, and objects that change every second would be read every
//! second for a scrape every minute, or for none. An object is read again only when it has changed. 10,000 objects with 8
//! metrics each take 30 ms when nothing has changed; each expression that has to be read takes 3 µs more, so that their
//! number is bounded (measured in a release build).

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, PoisonError},
};

use serde_json::Value;

use super::context::Controller;
use crate::{
    engine::{
        config::Metric,
        query::{Expression, Scalar},
    },
    object::{self, Key},
    telemetry::objects::{Labels, ObjectGauge, ObjectGauges},
};

/// The most series of all metrics together; what comes after is left out.
const SERIES: usize = 250_000;
/// The most expressions that are read at once, about 100 ms; objects that changed beyond that are shown as they were, and new
/// ones later.
const READ_AT_ONCE: usize = 30_000;
/// The longest value of a label, in bytes.
const LABEL_BYTES: usize = 128;

/// What was measured of the objects of one entry.
#[derive(Debug, Default)]
pub(super) struct Measured {
    objects: HashMap<Key, OfObject>,
    /// The metrics that have been complained about.
    told: HashSet<String>,
}

#[derive(Debug, Default)]
struct OfObject {
    uid: String,
    version: String,
    /// For each metric of the entry, in order.
    series: Vec<Option<Series>>,
}

type Series = (Labels, f64);

/// All metrics of these controllers' entries. Where two entries have the same series, the first one's counts.
pub(super) fn gauges(controllers: &[Arc<Controller>]) -> ObjectGauges {
    let mut all = BTreeMap::new();
    let (mut room, mut budget) = (SERIES, READ_AT_ONCE);
    for controller in controllers.iter().filter(|controller| !controller.entry.metrics.is_empty()) {
        let mut measured = controller.measured.lock().unwrap_or_else(PoisonError::into_inner);
        let series = of_entry(controller, &mut measured, &mut budget);
        add(&mut all, &controller.entry.metrics, series, &mut room);
    }
    if room == 0 {
        tracing::warn!("the metrics of objects have more than {SERIES} series; the rest is left out");
    }
    ObjectGauges(all.into_values().collect())
}

fn of_entry(controller: &Controller, measured: &mut Measured, budget: &mut usize) -> Vec<Vec<Series>> {
    let (entry, store) = (&controller.entry, &controller.parents.store);
    let mut keys = store.keys();
    keys.sort_unstable();
    let selected = keys.into_iter().filter(|key| controller.selects(key));
    let objects = selected.filter_map(|key| Some((store.get(&key)?.object, key)));
    measured.renew(&entry.metrics, objects, budget, &mut |metric, key, problem, is_first| {
        controller.shared.metrics.object_error(&entry.name, &metric.name);
        if is_first {
            let (entry, object, metric) = (&entry.name, key.of_kind(&entry.gvk), &metric.name);
            let problem =
                format!("no value for a metric, and perhaps not of other objects either: {problem}");
            tracing::warn!(entry, %object, metric, "{problem}");
        }
    })
}

/// Adds the series of an entry's metrics.
fn add<'m>(
    all: &mut BTreeMap<&'m str, ObjectGauge>,
    metrics: &'m [Metric],
    series: Vec<Vec<Series>>,
    room: &mut usize,
) {
    for (metric, mut series) in metrics.iter().zip(series) {
        let gauge = all.entry(&metric.name).or_insert_with(|| {
            let (name, help) = (metric.name.clone(), metric.help.clone());
            ObjectGauge { name, help, series: Vec::new() }
        });
        if !gauge.series.is_empty() {
            let known: HashSet<&Labels> = gauge.series.iter().map(|(labels, _)| labels).collect();
            series.retain(|(labels, _)| !known.contains(labels));
        }
        series.truncate(*room);
        *room -= series.len();
        gauge.series.append(&mut series);
    }
}

/// Hears of a metric that could not be read from an object and why, and whether that metric never failed before.
type OnProblem<'p> = &'p mut dyn FnMut(&Metric, &Key, &str, bool);

impl Measured {
    /// The series of each metric for these objects; what is known of others is dropped. Reads no more expressions than the
    /// budget allows.
    fn renew(
        &mut self,
        metrics: &[Metric],
        objects: impl Iterator<Item = (Arc<Value>, Key)>,
        budget: &mut usize,
        on_problem: OnProblem<'_>,
    ) -> Vec<Vec<Series>> {
        let mut before = std::mem::take(&mut self.objects);
        let mut all: Vec<Vec<Series>> = metrics.iter().map(|_| Vec::new()).collect();
        for (object, key) in objects {
            let known = before.remove(&key);
            let is_fresh = known.as_ref().is_some_and(|known| known.is_of(&object));
            let of_object = if is_fresh || *budget < metrics.len() {
                known
            } else {
                *budget -= metrics.len();
                Some(OfObject::read(metrics, &key, &object, &mut |metric, problem| {
                    on_problem(metric, &key, problem, self.told.insert(metric.name.clone()));
                }))
            };
            let Some(of_object) = of_object else { continue };
            for (all, one) in all.iter_mut().zip(&of_object.series) {
                all.extend(one.clone());
            }
            self.objects.insert(key, of_object);
        }
        all
    }
}

impl OfObject {
    /// Evaluates all metrics; `problem` hears of those that can't be.
    fn read(metrics: &[Metric], key: &Key, object: &Value, problem: &mut dyn FnMut(&Metric, &str)) -> Self {
        let namespace = key.namespace.clone().unwrap_or_default();
        let base: Labels = [("namespace".into(), namespace), ("name".into(), key.name.clone())].into();
        let series = metrics.iter().map(|metric| {
            point(metric, object, &base).unwrap_or_else(|why| {
                problem(metric, &why);
                None
            })
        });
        let text = |part: Option<&str>| part.unwrap_or_default().to_owned();
        Self {
            series: series.collect(),
            uid: text(object::uid(object)),
            version: text(object::resource_version(object)),
        }
    }

    fn is_of(&self, object: &Value) -> bool {
        object::uid(object) == Some(&self.uid) && object::resource_version(object) == Some(&self.version)
    }
}

/// A metric of one object; nothing where the object does not have what it asks for.
fn point(metric: &Metric, object: &Value, base: &Labels) -> Result<Option<Series>, String> {
    let Some(value) = metric.value.read(object).map_err(|error| error.to_string())? else { return Ok(None) };
    let Some(value) = value.number() else {
        return Err(format!("`{}` gives no number, time or duration", metric.value));
    };
    if metric.labels.is_empty() {
        return Ok(Some((Arc::clone(base), value)));
    }
    let mut labels = base.to_vec();
    for (name, expression) in &metric.labels {
        labels.push((name.clone().into(), label(expression, object)?));
    }
    Ok(Some((labels.into(), value)))
}

fn label(expression: &Expression, object: &Value) -> Result<String, String> {
    match expression.read(object).map_err(|error| error.to_string())? {
        None => Ok(String::new()),
        Some(Scalar::Text(mut text)) => {
            text.truncate(text.floor_char_boundary(LABEL_BYTES));
            Ok(text)
        }
        Some(_) => Err(format!("the label's `{expression}` gives no text; put `string(…)` around it")),
    }
}

#[cfg(test)]
#[path = "measure_tests.rs"]
mod tests;
