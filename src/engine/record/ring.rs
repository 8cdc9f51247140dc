//! The last runs of each object, in bounded memory.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    log::Log,
    redact::Secrets,
    run::{Outcome, Run},
};
use crate::{
    contract::State,
    object::{Key, ObjectRef},
};

/// How many runs are kept of one object. Those in a row that changed nothing count as one.
pub const RUNS_PER_OBJECT: usize = 10;
/// Of how many objects runs are kept, over all entries.
pub const OBJECTS: usize = 20_000;
/// How much memory the records may take without their logs, in bytes, as far as it can be counted.
pub const BYTES: usize = 8 << 20;
/// Of how many runs of one object the whole log is kept: the last ones that wrote or failed.
pub const LOGS_PER_OBJECT: usize = 5;
/// How much memory the packed logs may take, in bytes. A run of a talkative handler prints some 20 KiB, which are 3 KiB packed:
/// this is for 1,000 objects with all their logs. They have their own share, so that logs never push out records.
pub const LOG_BYTES: usize = 16 << 20;
/// A plan that is longer as JSON is left out, in bytes.
pub const PLAN_BYTES: usize = 8 << 10;
/// How much is kept of the end of stderr, in bytes.
pub const STDERR_BYTES: usize = 2 << 10;
/// How much is kept of one message, in bytes.
pub const MESSAGE_BYTES: usize = 1 << 10;
/// How many triggers, writes, Events and watches are kept of one run, each.
pub const LISTED: usize = 32;

/// What a record and an object take beside their text, in bytes.
const OVERHEAD: usize = 96;
/// When there is too much, this part of the objects goes at once: one in so many.
const PART: usize = 16;

/// A run and those like it that followed it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recorded {
    /// The newest of them.
    pub run: Run,
    /// How many there are.
    pub count: u64,
    /// When the first one began.
    pub since: Timestamp,
    /// The whole log of the newest of them, when somebody asks for logs and it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Log>,
}

/// The last runs of each object. Cheap to clone; clones share the records.
///
/// At most [`RUNS_PER_OBJECT`] and [`LOGS_PER_OBJECT`] per object, [`OBJECTS`], [`BYTES`] and [`LOG_BYTES`] over all; what
/// ran least recently goes first.
#[derive(Debug, Clone, Default)]
pub struct Journal(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    entries: HashMap<String, HashMap<Key, History>>,
    objects: usize,
    bytes: usize,
    log_bytes: usize,
    /// Counts runs: tells which object ran last.
    clock: u64,
}

#[derive(Debug, Default)]
struct History {
    touched: u64,
    records: VecDeque<Record>,
}

/// A run as text: a fraction of what it takes as a structure, and its size is known.
#[derive(Debug)]
struct Record {
    run: Box<[u8]>,
    /// Packed.
    log: Option<Box<[u8]>>,
    count: u64,
    since: Timestamp,
}

impl Record {
    fn log_bytes(&self) -> usize {
        self.log.as_ref().map_or(0, |log| log.len())
    }

    const fn bytes(&self) -> usize {
        self.run.len() + OVERHEAD
    }

    fn read(&self) -> Option<Run> {
        serde_json::from_slice(&self.run).ok()
    }
}

impl History {
    fn bytes(&self, key: &Key) -> usize {
        let name = key.name.len() + key.namespace.as_ref().map_or(0, String::len);
        OVERHEAD + name + self.records.iter().map(Record::bytes).sum::<usize>()
    }

    fn log_bytes(&self) -> usize {
        self.records.iter().map(Record::log_bytes).sum()
    }
}

impl Journal {
    /// Adds a run. Secrets are taken out of it: those in their places, and wherever the values show that are in `given`,
    /// the state that the handler had.
    pub fn add(&self, run: Run, given: Option<&State>) {
        self.add_with_log(run, Log::default(), given);
    }

    /// Adds a run and its log, which is kept when the run wrote or failed.
    pub fn add_with_log(&self, mut run: Run, mut log: Log, given: Option<&State>) {
        if !run.is_eventful() {
            log = Log::default();
        }
        trim(&mut run, &mut log, given);
        let Ok(text) = serde_json::to_vec(&run) else { return };
        let log = if log.is_empty() { None } else { log.pack() };
        self.lock().add(&run, text.into_boxed_slice(), log);
    }

    /// The runs of an object that an entry handled, the newest first; without their logs.
    pub fn of(&self, entry: &str, object: &ObjectRef) -> Vec<Recorded> {
        self.read(entry, object, |_| None)
    }

    /// The same with the logs that are kept.
    pub fn with_logs_of(&self, entry: &str, object: &ObjectRef) -> Vec<Recorded> {
        self.read(entry, object, |record| Log::unpack(record.log.as_deref()?))
    }

    fn read(&self, entry: &str, object: &ObjectRef, log: impl Fn(&Record) -> Option<Log>) -> Vec<Recorded> {
        let inner = self.lock();
        let history = inner.entries.get(entry).and_then(|objects| objects.get(&object.key()));
        let records = history.into_iter().flat_map(|history| history.records.iter().rev());
        records
            .filter_map(|record| {
                let (count, since) = (record.count, record.since);
                Some(Recorded { run: record.read()?, count, since, log: log(record) })
            })
            .collect()
    }

    /// Drops the runs of an object.
    pub fn forget(&self, entry: &str, object: &ObjectRef) {
        self.lock().forget(entry, &object.key());
    }

    /// How many objects it has runs of, and how many bytes they take with their logs.
    pub fn size(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.objects, inner.bytes + inner.log_bytes)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn add(&mut self, run: &Run, text: Box<[u8]>, log: Option<Box<[u8]>>) {
        self.clock += 1;
        if !self.entries.contains_key(&run.entry) {
            self.entries.insert(run.entry.clone(), HashMap::new());
        }
        let Some(objects) = self.entries.get_mut(&run.entry) else { return };
        let key = run.object.key();
        let history = objects.remove(&key).unwrap_or_else(|| {
            self.objects += 1;
            History::default()
        });
        self.bytes =
            self.bytes.saturating_sub(if history.records.is_empty() { 0 } else { history.bytes(&key) });
        self.log_bytes = self.log_bytes.saturating_sub(history.log_bytes());
        let history = with(history, run, text, log, self.clock);
        self.bytes += history.bytes(&key);
        self.log_bytes += history.log_bytes();
        objects.insert(key, history);
        while (self.objects > OBJECTS || self.bytes > BYTES) && self.objects > 1 {
            self.shrink();
        }
        while self.log_bytes > LOG_BYTES {
            self.drop_logs();
        }
    }

    fn forget(&mut self, entry: &str, key: &Key) {
        if let Some(history) = self.entries.get_mut(entry).and_then(|objects| objects.remove(key)) {
            self.objects -= 1;
            self.bytes = self.bytes.saturating_sub(history.bytes(key));
            self.log_bytes = self.log_bytes.saturating_sub(history.log_bytes());
        }
    }

    /// Drops the objects that ran least recently, many at once, so that looking for them costs little per run.
    fn shrink(&mut self) {
        let Some(oldest_kept) = self.after_part(|_| true) else { return };
        let (mut objects, mut bytes, mut log_bytes) = (0, 0, 0);
        for histories in self.entries.values_mut() {
            histories.retain(|_, history| history.touched >= oldest_kept);
            objects += histories.len();
            bytes += histories.iter().map(|(key, history)| history.bytes(key)).sum::<usize>();
            log_bytes += histories.values().map(History::log_bytes).sum::<usize>();
        }
        (self.objects, self.bytes, self.log_bytes) = (objects, bytes, log_bytes);
    }

    /// Drops the logs of the objects that ran least recently, of those that have any.
    fn drop_logs(&mut self) {
        // Where one object has them all, it loses them.
        let oldest_kept = self.after_part(|history| history.log_bytes() > 0).unwrap_or(u64::MAX);
        let histories = self.entries.values_mut().flat_map(HashMap::values_mut);
        for history in histories.filter(|history| history.touched < oldest_kept) {
            history.records.iter_mut().for_each(|record| record.log = None);
        }
        self.log_bytes = self.entries.values().flat_map(HashMap::values).map(History::log_bytes).sum();
    }

    /// When the object ran that follows the part which goes at once; among these.
    fn after_part(&self, counts: impl Fn(&History) -> bool) -> Option<u64> {
        let histories = self.entries.values().flat_map(HashMap::values).filter(|history| counts(history));
        let mut ages: Vec<u64> = histories.map(|history| history.touched).collect();
        ages.sort_unstable();
        ages.get((ages.len() / PART).max(1)).copied()
    }
}

/// The history with one more run.
fn with(mut history: History, run: &Run, text: Box<[u8]>, log: Option<Box<[u8]>>, clock: u64) -> History {
    history.touched = clock;
    let same = history.records.back().and_then(Record::read).is_some_and(|last| run.repeats(&last));
    if let Some(last) = history.records.back_mut().filter(|_| same) {
        last.count += 1;
        (last.run, last.log) = (text, log);
        return history;
    }
    history.records.push_back(Record { run: text, log, count: 1, since: run.began });
    let logged = history.records.iter_mut().rev().filter(|record| record.log.is_some());
    logged.skip(LOGS_PER_OBJECT).for_each(|record| record.log = None);
    if history.records.len() > RUNS_PER_OBJECT {
        // What did nothing must not push out what did something.
        let oldest = history.records.iter().position(|record| record.log.is_none()).unwrap_or_default();
        history.records.remove(oldest);
    }
    history
}

/// Hides the secrets in a run, and cuts what is long.
fn trim(run: &mut Run, log: &mut Log, given: Option<&State>) {
    // A plan of a run that did nothing tells nothing.
    if run.is_quiet() && !matches!(run.outcome, Outcome::Failed { .. }) {
        run.plan = None;
    }
    run.triggers.truncate(LISTED);
    run.writes.truncate(LISTED);
    run.events.truncate(LISTED);
    if let Some(watches) = run.answered.as_mut().and_then(|answered| answered.watches.as_mut()) {
        watches.truncate(LISTED);
    }
    let failure = match &mut run.outcome {
        Outcome::Failed { message, .. } => Some(message),
        _ => None,
    };
    let has_text = !run.stderr.is_empty() || !run.events.is_empty() || !log.is_empty();
    if run.plan.is_none() && !has_text && failure.is_none() {
        return;
    }
    let secrets = Secrets::of(given, run.plan.as_ref());
    if let Some(plan) = &mut run.plan {
        let length = plan.to_string().len();
        if length > PLAN_BYTES {
            *plan = Value::from(format!("left out: {length} bytes"));
        }
        secrets.hide(plan);
    }
    log.hide(&secrets);
    run.stderr = end(secrets.text(&run.stderr), STDERR_BYTES);
    let messages = run.events.iter_mut().map(|event| &mut event.message);
    for message in messages.chain(failure) {
        *message = secrets.text(message);
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES));
    }
}

fn end(mut text: String, bytes: usize) -> String {
    text.drain(..text.ceil_char_boundary(text.len().saturating_sub(bytes)));
    text
}

#[cfg(test)]
#[path = "ring_tests.rs"]
mod tests;
