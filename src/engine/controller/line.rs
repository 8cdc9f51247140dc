//! Who is next, as a plain data structure: time comes in from outside.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    time::{Duration, Instant},
};

use crate::{
    contract::{Trigger, TriggerType},
    object::Key,
};

/// The most triggers that a handler is told; it runs because of all of them.
pub(super) const TOLD: usize = 64;
/// How many versions are kept of one reason; beyond that it counts, whoever made them.
const VERSIONS: usize = 64;
/// How many of our own writes to one object are remembered after its run.
const OWN_VERSIONS: usize = 64;
/// Every so many turns one is given to the back lane, however much happens in the front one.
const BACK_SHARE: u32 = 8;

/// An object's turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) key: Key,
    pub(super) triggers: Vec<Trigger>,
    /// How long it has been due.
    pub(super) waited: Duration,
    /// What was planned for later; this turn replaces it.
    pub(super) later: Option<Later>,
}

/// A run that was asked for at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Later {
    pub(super) why: TriggerType,
    pub(super) due: Instant,
}

/// What just happened comes before what only happens again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    Front,
    Back,
}

impl Lane {
    fn of(why: TriggerType) -> Self {
        match why {
            TriggerType::Start | TriggerType::Resync | TriggerType::Schedule => Self::Back,
            _ => Self::Front,
        }
    }
}

/// Where an object stands in line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    lane: Lane,
    due: Instant,
    arrival: u64,
}

/// Objects of one lane by time and order of arrival.
type Waiting = BTreeMap<(Instant, u64), Key>;

/// All objects that have something to wait for or something to remember.
#[derive(Debug, Default)]
pub(super) struct Line {
    items: HashMap<Key, Item>,
    front: Waiting,
    back: Waiting,
    arrivals: u64,
    turns: u32,
}

#[derive(Debug, Default)]
struct Item {
    /// Why it should run.
    triggers: BTreeMap<Trigger, Origin>,
    later: Option<Later>,
    place: Option<Place>,
    running: Option<Instant>,
    /// Why it runs.
    told: Vec<Trigger>,
    /// It gets no turn before; events don't change that.
    held: Option<Instant>,
    /// Resource versions that we wrote: the events they cause are no news.
    own: VecDeque<String>,
}

/// Which changes a trigger stands for.
#[derive(Debug, Default)]
struct Origin {
    /// Versions of the object that changed; each may turn out to be our own write.
    versions: BTreeSet<String>,
    /// Something else as well, or more versions than are kept: certainly a reason.
    others: bool,
}

impl Origin {
    fn add(&mut self, version: Option<&str>) {
        match version {
            Some(version) if self.versions.len() < VERSIONS => {
                self.versions.insert(version.to_owned());
            }
            _ => self.others = true,
        }
    }

    /// Leaves out our own writes; whether anything is left.
    fn without(&mut self, own: &[String]) -> bool {
        self.versions.retain(|version| !own.contains(version));
        self.others || !self.versions.is_empty()
    }
}

/// How an object's run has ended, as far as the line cares.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// The versions it wrote.
    pub(super) own: Vec<String>,
    /// When and why to run next.
    pub(super) again: Option<Later>,
    /// No turn before this, whatever happens.
    pub(super) held: Option<Instant>,
}

/// What one object waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing.
    Idle,
    /// Its turn.
    Waiting { due: Instant, triggers: Vec<Trigger> },
    /// The end of its run.
    Running { since: Instant, triggers: Vec<Trigger> },
}

/// How long the line is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Length {
    /// Objects whose time has come.
    pub(super) due: usize,
    /// Objects that wait for a time.
    pub(super) later: usize,
    /// Objects being handled.
    pub(super) running: usize,
    /// How long the first one has been due.
    pub(super) head_age: Duration,
    /// When the first of those that wait for a time is due.
    pub(super) next: Option<Instant>,
}

impl Line {
    pub(super) fn add(&mut self, key: &Key, trigger: Trigger, version: Option<&str>, now: Instant) {
        let item = self.items.entry(key.clone()).or_default();
        if version.is_some_and(|version| item.own.iter().any(|own| own == version)) {
            return;
        }
        let lane = Lane::of(trigger.kind_of);
        item.triggers.entry(trigger).or_default().add(version);
        // That it is time again is no reason to try a failed object before its pause is over.
        let pauses = item.later.is_some_and(|later| later.why == TriggerType::Retry) && item.place.is_some();
        if lane == Lane::Front || !pauses {
            self.schedule(key, lane, now, now);
        }
    }

    /// Plans a run for later; an earlier one stays.
    pub(super) fn plan(&mut self, key: &Key, later: Later, now: Instant) {
        let item = self.items.entry(key.clone()).or_default();
        if item.later.is_some_and(|known| known.due <= later.due) {
            return;
        }
        item.later = Some(later);
        self.schedule(key, Lane::of(later.why), later.due, now);
    }

    /// Puts an object in line, or forward in it; never back.
    fn schedule(&mut self, key: &Key, lane: Lane, due: Instant, now: Instant) {
        let Some(item) = self.items.get_mut(key) else { return };
        if item.running.is_some() {
            return;
        }
        let due = item.held.map_or(due, |held| held.max(due));
        let (lane, due) = match item.place {
            Some(place) if place.lane <= lane && place.due <= due => return,
            // A run of the front lane that is only due later does not pull one out of the back lane.
            Some(place) if place.due < due && due > now => return,
            Some(place) => (place.lane.min(lane), place.due.min(due)),
            None => (lane, due),
        };
        if let Some(place) = item.place.take() {
            lane_of(&mut self.front, &mut self.back, place.lane).remove(&(place.due, place.arrival));
        }
        self.arrivals += 1;
        let place = Place { lane, due, arrival: self.arrivals };
        item.place = Some(place);
        lane_of(&mut self.front, &mut self.back, lane).insert((due, place.arrival), key.clone());
    }

    pub(super) fn take(&mut self, now: Instant) -> Option<Turn> {
        let due = |lane: &Waiting| {
            lane.first_key_value().filter(|((due, _), _)| *due <= now).map(|(slot, key)| (*slot, key.clone()))
        };
        let (front, back) = (due(&self.front), due(&self.back));
        let back_first = self.turns % BACK_SHARE == BACK_SHARE - 1;
        let (slot, key) = if back_first { back.or(front) } else { front.or(back) }?;
        self.turns = self.turns.wrapping_add(1);
        self.front.remove(&slot);
        self.back.remove(&slot);
        let item = self.items.get_mut(&key)?;
        (item.place, item.held, item.running) = (None, None, Some(now));
        let mut triggers: Vec<Trigger> = std::mem::take(&mut item.triggers).into_keys().collect();
        let mut later = item.later.take();
        if let Some(planned) = later.take_if(|planned| planned.due <= now) {
            triggers.push(Trigger::plain(planned.why));
        }
        item.told = triggers.iter().take(TOLD).cloned().collect();
        Some(Turn { key, triggers, waited: now.saturating_duration_since(slot.0), later })
    }

    pub(super) fn done(&mut self, key: &Key, ended: Ended, now: Instant) {
        let Some(item) = self.items.get_mut(key) else { return };
        (item.running, item.held) = (None, ended.held);
        item.told = Vec::new();
        // Events of our own writes may have come before we knew their versions.
        item.triggers.retain(|_, origin| origin.without(&ended.own));
        item.own.extend(ended.own);
        let excess = item.own.len().saturating_sub(OWN_VERSIONS);
        item.own.drain(..excess);
        let pending = item.triggers.keys().map(|trigger| Lane::of(trigger.kind_of)).min();
        // What was planned while it ran, by a schedule.
        let planned = item.later.take();
        if let Some(lane) = pending {
            self.schedule(key, lane, now, now);
        }
        for later in planned.into_iter().chain(ended.again) {
            self.plan(key, later, now);
        }
    }

    /// Puts a turn off that can't be used yet; nothing of it is lost.
    pub(super) fn postpone(&mut self, turn: Turn, until: Instant, now: Instant) {
        let key = turn.key;
        if let Some(item) = self.items.get_mut(&key) {
            for trigger in turn.triggers {
                item.triggers.entry(trigger).or_default().add(None);
            }
        }
        let ended = Ended { again: turn.later, held: Some(until), ..Ended::default() };
        self.done(&key, ended, now);
    }

    /// Drops an object that is gone, unless one of that name has come since its turn began.
    pub(super) fn forget(&mut self, key: &Key, now: Instant) {
        let Some(item) = self.items.get_mut(key) else { return };
        if !item.triggers.is_empty() {
            return self.done(key, Ended::default(), now);
        }
        if let Some(place) = item.place {
            lane_of(&mut self.front, &mut self.back, place.lane).remove(&(place.due, place.arrival));
        }
        self.items.remove(key);
    }

    /// All that is waited for, to be handed to a successor.
    pub(super) fn left(&mut self) -> Vec<(Key, Vec<Trigger>, Option<Later>)> {
        let items = std::mem::take(&mut self.items).into_iter();
        items.map(|(key, item)| (key, item.triggers.into_keys().collect(), item.later)).collect()
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        let lanes = [&self.front, &self.back];
        lanes.iter().filter_map(|lane| lane.first_key_value().map(|((due, _), _)| *due)).min()
    }

    pub(super) fn standing(&self, key: &Key) -> Standing {
        let Some(item) = self.items.get(key) else { return Standing::Idle };
        match (item.running, item.place) {
            (Some(since), _) => Standing::Running { since, triggers: item.told.clone() },
            (None, Some(place)) => {
                let planned = item.later.filter(|later| later.due <= place.due);
                let triggers = item.triggers.keys().cloned();
                let triggers = triggers.chain(planned.map(|later| Trigger::plain(later.why))).take(TOLD);
                Standing::Waiting { due: place.due, triggers: triggers.collect() }
            }
            (None, None) => Standing::Idle,
        }
    }

    pub(super) fn length(&self, now: Instant) -> Length {
        let due = |lane: &Waiting| lane.range(..=(now, u64::MAX)).count();
        let next = [&self.front, &self.back].into_iter();
        let next = next.filter_map(|lane| lane.range((now, u64::MAX)..).next().map(|((due, _), _)| *due));
        let waiting = self.front.len() + self.back.len();
        let due = due(&self.front) + due(&self.back);
        Length {
            due,
            later: waiting - due,
            running: self.items.values().filter(|item| item.running.is_some()).count(),
            next: next.min(),
            head_age: self.next_due().map_or(Duration::ZERO, |due| now.saturating_duration_since(due)),
        }
    }
}

fn lane_of<'l>(front: &'l mut Waiting, back: &'l mut Waiting, lane: Lane) -> &'l mut Waiting {
    match lane {
        Lane::Front => front,
        Lane::Back => back,
    }
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
