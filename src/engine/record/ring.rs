//! The last runs of each object, in bounded memory.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
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
/// How much memory the records may take, in bytes, as far as it can be counted.
pub const BYTES: usize = 8 << 20;
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
}

/// The last runs of each object. Cheap to clone; clones share the records.
///
/// At most [`RUNS_PER_OBJECT`] per object, [`OBJECTS`] and [`BYTES`] over all; what ran least recently goes first.
#[derive(Debug, Clone, Default)]
pub struct Journal(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    entries: HashMap<String, HashMap<Key, History>>,
    objects: usize,
    bytes: usize,
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
    count: u64,
    since: Timestamp,
}

impl Record {
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
}

impl Journal {
    /// Adds a run. Secrets are taken out of it: those in their places, and wherever the values show that are in `given`,
    /// the state that the handler had.
    pub fn add(&self, mut run: Run, given: Option<&State>) {
        trim(&mut run, given);
        let Ok(text) = serde_json::to_vec(&run) else { return };
        self.lock().add(&run, text.into_boxed_slice());
    }

    /// The runs of an object that an entry handled, the newest first.
    pub fn of(&self, entry: &str, object: &ObjectRef) -> Vec<Recorded> {
        let inner = self.lock();
        let history = inner.entries.get(entry).and_then(|objects| objects.get(&object.key()));
        let records = history.into_iter().flat_map(|history| history.records.iter().rev());
        records
            .filter_map(|record| {
                Some(Recorded { run: record.read()?, count: record.count, since: record.since })
            })
            .collect()
    }

    /// Drops the runs of an object.
    pub fn forget(&self, entry: &str, object: &ObjectRef) {
        self.lock().forget(entry, &object.key());
    }

    /// How many objects it has runs of, and how many bytes they take.
    pub fn size(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.objects, inner.bytes)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn add(&mut self, run: &Run, text: Box<[u8]>) {
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
        let history = with(history, run, text, self.clock);
        self.bytes += history.bytes(&key);
        objects.insert(key, history);
        while (self.objects > OBJECTS || self.bytes > BYTES) && self.objects > 1 {
            self.shrink();
        }
    }

    fn forget(&mut self, entry: &str, key: &Key) {
        if let Some(history) = self.entries.get_mut(entry).and_then(|objects| objects.remove(key)) {
            self.objects -= 1;
            self.bytes = self.bytes.saturating_sub(history.bytes(key));
        }
    }

    /// Drops the objects that ran least recently, many at once, so that looking for them costs little per run.
    fn shrink(&mut self) {
        let mut ages: Vec<u64> =
            self.entries.values().flat_map(HashMap::values).map(|history| history.touched).collect();
        ages.sort_unstable();
        let Some(oldest_kept) = ages.get((ages.len() / PART).max(1)).copied() else { return };
        let (mut objects, mut bytes) = (0, 0);
        for histories in self.entries.values_mut() {
            histories.retain(|_, history| history.touched >= oldest_kept);
            objects += histories.len();
            bytes += histories.iter().map(|(key, history)| history.bytes(key)).sum::<usize>();
        }
        (self.objects, self.bytes) = (objects, bytes);
    }
}

/// The history with one more run.
fn with(mut history: History, run: &Run, text: Box<[u8]>, clock: u64) -> History {
    history.touched = clock;
    let same = history.records.back().and_then(Record::read).is_some_and(|last| run.repeats(&last));
    if let Some(last) = history.records.back_mut().filter(|_| same) {
        last.count += 1;
        last.run = text;
        return history;
    }
    history.records.push_back(Record { run: text, count: 1, since: run.began });
    if history.records.len() > RUNS_PER_OBJECT {
        history.records.pop_front();
    }
    history
}

/// Hides the secrets in a run, and cuts what is long.
fn trim(run: &mut Run, given: Option<&State>) {
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
    if run.plan.is_none() && run.stderr.is_empty() && run.events.is_empty() && failure.is_none() {
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
