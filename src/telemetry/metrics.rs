//! Counters and histograms of the engine, as text. docs/metrics.md lists them.
//!
//! Labels are names of entries, kinds and a few fixed words, never names of objects: what grows with the cluster does not
//! grow here, but for what a config asks for by itself (see [`super::objects`]).

use std::{
    fmt::Debug,
    fs,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use jiff::Timestamp;
use prometheus_client::{
    encoding::{
        EncodeLabelSet,
        text::{encode_eof, encode_registry},
    },
    metrics::{
        counter::Counter,
        family::{Family, MetricConstructor},
        gauge::Gauge,
        histogram::Histogram,
        info::Info,
    },
    registry::{Registry, Unit},
};

use super::objects::ObjectGauges;

/// What `Content-Type` the text has.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// From a millisecond to a minute and a half: what is slower is waiting, not working.
const SECONDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 30.0, 90.0];
const CALLS: [f64; 10] = [0.0, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 55.0, 144.0];

type Real = Gauge<f64, AtomicU64>;

/// A histogram with its buckets.
#[derive(Debug, Clone, Copy)]
struct Buckets(&'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

type Histograms<L> = Family<L, Histogram, Buckets>;

fn histograms<L: Clone + std::hash::Hash + Eq>(buckets: &'static [f64]) -> Histograms<L> {
    Family::new_with_constructor(Buckets(buckets))
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfEntry {
    entry: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOutcome {
    entry: String,
    outcome: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfWrite {
    entry: String,
    verb: &'static str,
    kind: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfReload {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfMetric {
    entry: String,
    metric: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfWatch {
    kind: String,
    detail: &'static str,
}

/// What is asked for when somebody looks, rather than told when it changes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Readings {
    /// The queues, by entry.
    pub queues: Vec<QueueReading>,
    /// The watches; several of one kind and detail are added up.
    pub watches: Vec<WatchReading>,
    /// Of how many objects runs are remembered.
    pub journal_objects: usize,
    /// How much memory that takes, in bytes.
    pub journal_bytes: usize,
    /// What the config measures of objects.
    pub objects: Arc<ObjectGauges>,
}

/// One queue.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QueueReading {
    /// The entry.
    pub entry: String,
    /// Objects whose time has come.
    pub waiting: usize,
    /// How long the first of them has waited; zero when there is none.
    pub head_age: Duration,
    /// Objects that run later.
    pub scheduled: usize,
    /// Objects that run now.
    pub running: usize,
    /// Objects whose last run failed.
    pub retrying: usize,
}

/// One watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchReading {
    /// The kind's contract key.
    pub kind: String,
    /// `full` or `metadata`.
    pub detail: &'static str,
    /// How many objects it holds.
    pub objects: usize,
    /// How much memory they take, in bytes.
    pub bytes: u64,
    /// Whether everything that exists has been seen once.
    pub synced: bool,
    /// Whether it is interrupted.
    pub trouble: bool,
}

/// All metrics of the process. Cheap to clone; clones count together.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    told: Told,
    /// Locked while a text is made, so that each text has one state of them all.
    asked: Mutex<(Registry, Asked)>,
}

/// What is told when it happens.
#[derive(Debug)]
struct Told {
    event_to_start: Histograms<OfEntry>,
    handler: Histograms<OfOutcome>,
    runs: Family<OfOutcome, Counter>,
    api_calls: Histograms<OfEntry>,
    writes: Family<OfWrite, Counter>,
    retries: Family<OfEntry, Counter>,
    reloads: Family<OfReload, Counter>,
    object_errors: Family<OfMetric, Counter>,
}

/// What is set when somebody looks.
#[derive(Debug, Default)]
struct Asked {
    waiting: Family<OfEntry, Gauge>,
    head_age: Family<OfEntry, Real>,
    scheduled: Family<OfEntry, Gauge>,
    running: Family<OfEntry, Gauge>,
    retrying: Family<OfEntry, Gauge>,
    objects: Family<OfWatch, Gauge>,
    bytes: Family<OfWatch, Gauge>,
    unsynced: Family<OfWatch, Gauge>,
    trouble: Family<OfWatch, Gauge>,
    journal_objects: Gauge,
    journal_bytes: Gauge,
    memory: Gauge,
}

impl Metrics {
    /// Everything at zero. `started` is when the process did, `version` is the program's.
    pub fn new(started: Timestamp, version: &'static str) -> Self {
        let mut registry = Registry::default();
        let asked = Asked::default();
        of_process(&mut registry, &asked, started);
        let ours = registry.sub_registry_with_prefix("helmfile_operator");
        ours.register("build", "The program's version", Info::new([("version", version)]));
        let told = Told::register(ours);
        asked.register(ours);
        Self(Arc::new(Inner { told, asked: Mutex::new((registry, asked)) }))
    }

    /// A run began so long after the first of its triggers.
    pub fn event_to_start(&self, entry: &str, waited: Duration) {
        let labels = OfEntry { entry: entry.to_owned() };
        self.0.told.event_to_start.get_or_create(&labels).observe(waited.as_secs_f64());
    }

    /// A handler took so long. `outcome` is one of a few fixed words.
    pub fn handler(&self, entry: &str, took: Duration, outcome: &str) {
        let labels = OfOutcome { entry: entry.to_owned(), outcome: outcome.to_owned() };
        self.0.told.handler.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// A run ended. `outcome` is one of a few fixed words, such as the reason of a failure.
    pub fn run(&self, entry: &str, outcome: &str) {
        let labels = OfOutcome { entry: entry.to_owned(), outcome: outcome.to_owned() };
        self.0.told.runs.get_or_create(&labels).inc();
    }

    /// A run took so many calls to the API server.
    pub fn api_calls(&self, entry: &str, calls: u32) {
        let labels = OfEntry { entry: entry.to_owned() };
        self.0.told.api_calls.get_or_create(&labels).observe(calls.into());
    }

    /// An object was written. `kind` is its contract key.
    pub fn write(&self, entry: &str, verb: &'static str, kind: &str) {
        let labels = OfWrite { entry: entry.to_owned(), verb, kind: kind.to_owned() };
        self.0.told.writes.get_or_create(&labels).inc();
    }

    /// An object will run again because its run failed.
    pub fn retry(&self, entry: &str) {
        self.0.told.retries.get_or_create(&OfEntry { entry: entry.to_owned() }).inc();
    }

    /// The config was read anew; `ok` is whether it is in force now.
    pub fn reload(&self, ok: bool) {
        let result = if ok { "ok" } else { "refused" };
        self.0.told.reloads.get_or_create(&OfReload { result }).inc();
    }

    /// A metric of the config had no value that could be read from an object.
    pub fn object_error(&self, entry: &str, metric: &str) {
        let labels = OfMetric { entry: entry.to_owned(), metric: metric.to_owned() };
        self.0.told.object_errors.get_or_create(&labels).inc();
    }

    /// All metrics as text; see [`CONTENT_TYPE`].
    pub fn render(&self, readings: &Readings) -> String {
        let asked = self.0.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let (registry, asked) = &*asked;
        asked.set(readings);
        let mut of_objects = Registry::default();
        of_objects.register_collector(Box::new(Arc::clone(&readings.objects)));
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _infallible = encode_registry(&mut text, registry)
            .and_then(|()| encode_registry(&mut text, &of_objects))
            .and_then(|()| encode_eof(&mut text));
        text
    }
}

fn of_process(registry: &mut Registry, asked: &Asked, started: Timestamp) {
    let start = Real::default();
    start.set(started.as_duration().as_secs_f64());
    let help = "When the process started, since 1970";
    registry.register_with_unit("process_start_time", help, Unit::Seconds, start);
    let help = "Memory that the process holds";
    registry.register_with_unit("process_resident_memory", help, Unit::Bytes, asked.memory.clone());
}

impl Told {
    fn register(registry: &mut Registry) -> Self {
        let told = Self {
            event_to_start: histograms(&SECONDS),
            handler: histograms(&SECONDS),
            runs: Family::default(),
            api_calls: histograms(&CALLS),
            writes: Family::default(),
            retries: Family::default(),
            reloads: Family::default(),
            object_errors: Family::default(),
        };
        let help = "Time from the first trigger of a run to its start";
        registry.register_with_unit("event_to_start", help, Unit::Seconds, told.event_to_start.clone());
        let help = "Time that a handler took";
        registry.register_with_unit("handler", help, Unit::Seconds, told.handler.clone());
        let help = "Runs by how they ended: Changed, Unchanged, Stale, Gone, or the reason of the failure";
        registry.register("runs", help, told.runs.clone());
        let help = "Calls to the API server that one run took";
        registry.register("run_api_calls", help, told.api_calls.clone());
        registry.register("writes", "Objects written", told.writes.clone());
        registry.register("retries", "Runs that failed and will be tried again", told.retries.clone());
        let help =
            "Times that the config was read anew: ok, or refused with the last good one still in force";
        registry.register("config_reloads", help, told.reloads.clone());
        let help = "Times that a metric of the config could not be read from an object";
        registry.register("object_metric_errors", help, told.object_errors.clone());
        told
    }
}

impl Asked {
    fn register(&self, registry: &mut Registry) {
        let help = "Objects whose time has come and that wait for a free place";
        registry.register("queue_waiting", help, self.waiting.clone());
        let help = "How long the first waiting object has waited";
        registry.register_with_unit("queue_head_age", help, Unit::Seconds, self.head_age.clone());
        let help = "Objects that run later: resyncs, requeues, retries";
        registry.register("queue_scheduled", help, self.scheduled.clone());
        registry.register("queue_running", "Objects that run now", self.running.clone());
        registry.register("queue_retrying", "Objects whose last run failed", self.retrying.clone());
        registry.register("cache_objects", "Objects in the caches", self.objects.clone());
        let help = "Memory that the objects in the caches take, roughly";
        registry.register_with_unit("cache", help, Unit::Bytes, self.bytes.clone());
        let help = "Watches that have not seen everything yet";
        registry.register("watches_unsynced", help, self.unsynced.clone());
        registry.register("watches_interrupted", "Watches with trouble", self.trouble.clone());
        let help = "Objects of which runs are remembered";
        registry.register("journal_objects", help, self.journal_objects.clone());
        let help = "Memory that the remembered runs take";
        registry.register_with_unit("journal", help, Unit::Bytes, self.journal_bytes.clone());
    }

    /// Makes the gauges equal to the readings; what is not read any more goes.
    fn set(&self, readings: &Readings) {
        for family in [&self.waiting, &self.scheduled, &self.running, &self.retrying] {
            family.clear();
        }
        self.head_age.clear();
        for family in [&self.objects, &self.bytes, &self.unsynced, &self.trouble] {
            family.clear();
        }
        for queue in &readings.queues {
            let labels = OfEntry { entry: queue.entry.clone() };
            self.waiting.get_or_create(&labels).set(signed(queue.waiting));
            self.head_age.get_or_create(&labels).set(queue.head_age.as_secs_f64());
            self.scheduled.get_or_create(&labels).set(signed(queue.scheduled));
            self.running.get_or_create(&labels).set(signed(queue.running));
            self.retrying.get_or_create(&labels).set(signed(queue.retrying));
        }
        for watch in &readings.watches {
            let labels = OfWatch { kind: watch.kind.clone(), detail: watch.detail };
            self.objects.get_or_create(&labels).inc_by(signed(watch.objects));
            self.bytes.get_or_create(&labels).inc_by(i64::try_from(watch.bytes).unwrap_or(i64::MAX));
            self.unsynced.get_or_create(&labels).inc_by((!watch.synced).into());
            self.trouble.get_or_create(&labels).inc_by(watch.trouble.into());
        }
        self.journal_objects.set(signed(readings.journal_objects));
        self.journal_bytes.set(signed(readings.journal_bytes));
        self.memory.set(resident_bytes().unwrap_or_default());
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The process's resident memory, as the kernel tells it.
fn resident_bytes() -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes.saturating_mul(1024))
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
