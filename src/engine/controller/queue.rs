//! Which object is next: one place in line per object, never two runs of one at once, nothing ever dropped.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use crate::{
    contract::{Trigger, TriggerType},
    object::Key,
};

/// The most triggers that a handler is told; it runs because of all of them.
const TOLD: usize = 64;
/// How many versions are kept of one reason; beyond that it counts, whoever made them.
const VERSIONS: usize = 64;
/// How many of our own writes to one object are remembered after its run.
const OWN_VERSIONS: usize = 64;

/// A queue of objects. All methods are quick and may be called from watch listeners.
#[derive(Debug, Default)]
pub(super) struct Queue {
    line: Mutex<Line>,
    changed: Notify,
}

/// An object's turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) key: Key,
    pub(super) triggers: Vec<Trigger>,
}

/// The queue as a plain data structure; time comes in from outside.
#[derive(Debug, Default)]
struct Line {
    items: HashMap<Key, Item>,
    /// Waiting objects by time and order of arrival.
    due: BTreeMap<(Instant, u64), Key>,
    arrivals: u64,
}

#[derive(Debug, Default)]
struct Item {
    /// Why it should run.
    triggers: BTreeMap<Trigger, Origin>,
    slot: Option<(Instant, u64)>,
    running: bool,
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

impl Line {
    fn add(&mut self, key: &Key, trigger: Trigger, version: Option<&str>, due: Instant) {
        let item = self.items.entry(key.clone()).or_default();
        if version.is_some_and(|version| item.own.iter().any(|own| own == version)) {
            return;
        }
        item.triggers.entry(trigger).or_default().add(version);
        self.schedule(key, due);
    }

    /// Puts an object in line, or forward in it; never back.
    fn schedule(&mut self, key: &Key, due: Instant) {
        let Some(item) = self.items.get_mut(key) else { return };
        if item.running || item.slot.is_some_and(|(known, _)| known <= due) {
            return;
        }
        if let Some(slot) = item.slot.take() {
            self.due.remove(&slot);
        }
        self.arrivals += 1;
        let slot = (due, self.arrivals);
        item.slot = Some(slot);
        self.due.insert(slot, key.clone());
    }

    fn take(&mut self, now: Instant) -> Option<Turn> {
        let (slot, key) = self
            .due
            .first_key_value()
            .filter(|((due, _), _)| *due <= now)
            .map(|(slot, key)| (*slot, key.clone()))?;
        self.due.remove(&slot);
        let item = self.items.get_mut(&key)?;
        item.slot = None;
        item.running = true;
        let triggers = std::mem::take(&mut item.triggers).into_keys().take(TOLD).collect();
        Some(Turn { key, triggers })
    }

    fn done(&mut self, key: &Key, own: Vec<String>, again: Option<(Trigger, Instant)>, now: Instant) {
        let Some(item) = self.items.get_mut(key) else { return };
        item.running = false;
        // Events of our own writes may have come before we knew their versions.
        item.triggers.retain(|_, origin| origin.without(&own));
        item.own.extend(own);
        let excess = item.own.len().saturating_sub(OWN_VERSIONS);
        item.own.drain(..excess);
        let pending = !item.triggers.is_empty();
        if let Some((trigger, due)) = again {
            item.triggers.entry(trigger).or_default().add(None);
            self.schedule(key, due);
        }
        if pending {
            self.schedule(key, now);
        }
    }

    /// Drops an object that is gone, unless one of that name has come since its turn began.
    fn forget(&mut self, key: &Key, now: Instant) {
        let Some(item) = self.items.get_mut(key) else { return };
        if !item.triggers.is_empty() {
            return self.done(key, Vec::new(), None, now);
        }
        if let Some(slot) = item.slot {
            self.due.remove(&slot);
        }
        self.items.remove(key);
    }

    fn next_due(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((due, _), _)| *due)
    }
}

impl Queue {
    /// Something happened to an object. `version` is the resource version that the change made, to tell our own writes.
    pub(super) fn add(&self, key: &Key, trigger: Trigger, version: Option<&str>) {
        self.lock().add(key, trigger, version, Instant::now());
        self.changed.notify_one();
    }

    /// Waits for the next object whose time has come. For one caller at a time.
    pub(super) async fn next(&self) -> Turn {
        loop {
            let due = {
                let mut line = self.lock();
                if let Some(turn) = line.take(Instant::now()) {
                    return turn;
                }
                line.next_due()
            };
            let changed = self.changed.notified();
            match due {
                Some(due) => tokio::select! {
                    () = changed => {}
                    () = tokio::time::sleep_until(due.into()) => {}
                },
                None => changed.await,
            }
        }
    }

    /// An object's run has ended. `own` are the versions it wrote; `again` is when and why to run next.
    pub(super) fn done(&self, key: &Key, own: Vec<String>, again: Option<(TriggerType, Duration)>) {
        let now = Instant::now();
        let again = again.map(|(kind_of, delay)| (Trigger::plain(kind_of), now + delay));
        self.lock().done(key, own, again, now);
        self.changed.notify_one();
    }

    /// The object of this turn is gone.
    pub(super) fn forget(&self, key: &Key) {
        self.lock().forget(key, Instant::now());
        self.changed.notify_one();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stands for the version of an object that is gone: we don't learn the one that its deletion made.
pub(super) fn deleted(uid: &str) -> String {
    format!("deleted:{uid}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use TriggerType::{Created, DependentChanged, Requeue, Retry, Updated};

    fn key(name: &str) -> Key {
        Key { namespace: None, name: name.to_owned() }
    }

    fn add(line: &mut Line, name: &str, kind_of: TriggerType, version: &str, due: Instant) {
        line.add(&key(name), Trigger::plain(kind_of), Some(version), due);
    }

    fn turn(line: &mut Line, now: Instant) -> Option<(String, Vec<TriggerType>)> {
        line.take(now)
            .map(|turn| (turn.key.name, turn.triggers.iter().map(|trigger| trigger.kind_of).collect()))
    }

    #[test]
    fn one_place_per_object_with_all_its_reasons_in_order_of_arrival() {
        let (mut line, now) = (Line::default(), Instant::now());
        add(&mut line, "a", Created, "1", now);
        add(&mut line, "b", Created, "2", now);
        add(&mut line, "a", Updated, "3", now);
        assert_eq!(turn(&mut line, now), Some(("a".into(), vec![Created, Updated])));
        assert_eq!(turn(&mut line, now), Some(("b".into(), vec![Created])));
        assert_eq!(turn(&mut line, now), None);
    }

    #[test]
    fn never_two_runs_of_one_object_and_nothing_is_lost_meanwhile() {
        let (mut line, now) = (Line::default(), Instant::now());
        add(&mut line, "a", Created, "1", now);
        turn(&mut line, now).unwrap();
        add(&mut line, "a", Updated, "2", now);
        assert_eq!(turn(&mut line, now), None);
        line.done(&key("a"), vec![], None, now);
        assert_eq!(turn(&mut line, now), Some(("a".into(), vec![Updated])));
    }

    #[test]
    fn our_own_writes_are_no_news_whether_their_events_come_before_or_after_the_end_of_the_run() {
        let (mut line, now) = (Line::default(), Instant::now());
        add(&mut line, "a", Created, "1", now);
        turn(&mut line, now).unwrap();
        add(&mut line, "a", Updated, "2", now);
        line.done(&key("a"), vec!["2".into(), "3".into()], None, now);
        add(&mut line, "a", DependentChanged, "3", now);
        assert_eq!(turn(&mut line, now), None);
        add(&mut line, "a", Updated, "4", now);
        assert_eq!(turn(&mut line, now), Some(("a".into(), vec![Updated])));
    }

    #[test]
    fn more_own_writes_than_are_remembered_are_still_no_news_of_this_run() {
        let (mut line, now) = (Line::default(), Instant::now());
        add(&mut line, "a", Created, "0", now);
        turn(&mut line, now).unwrap();
        let own: Vec<String> = (1..=60).map(|version| version.to_string()).collect();
        for version in &own {
            add(&mut line, "a", Updated, version, now);
        }
        let more: Vec<String> = (100..200).map(|version| version.to_string()).collect();
        line.done(&key("a"), [own, more].concat(), None, now);
        assert_eq!(turn(&mut line, now), None);
    }

    #[test]
    fn a_foreign_change_among_many_of_ours_is_never_lost() {
        let (mut line, now) = (Line::default(), Instant::now());
        add(&mut line, "a", Created, "0", now);
        turn(&mut line, now).unwrap();
        let own: Vec<String> = (1..=500).map(|version| version.to_string()).collect();
        for version in own.iter().chain(["foreign".to_owned()].iter()) {
            add(&mut line, "a", Updated, version, now);
        }
        line.done(&key("a"), own, None, now);
        assert_eq!(turn(&mut line, now), Some(("a".into(), vec![Updated])));
    }

    #[test]
    fn an_object_that_is_made_anew_while_its_predecessor_is_forgotten_gets_its_turn() {
        let (mut line, now) = (Line::default(), Instant::now());
        add(&mut line, "a", TriggerType::Deleted, "1", now);
        turn(&mut line, now).unwrap();
        add(&mut line, "a", Created, "2", now);
        line.forget(&key("a"), now);
        assert_eq!(turn(&mut line, now), Some(("a".into(), vec![Created])));
        line.forget(&key("a"), now);
        assert!(line.items.is_empty() && line.due.is_empty());
    }

    #[test]
    fn a_pause_is_kept_until_something_new_happens() {
        let (mut line, now) = (Line::default(), Instant::now());
        let later = now + Duration::from_secs(10);
        add(&mut line, "a", Created, "1", now);
        turn(&mut line, now).unwrap();
        line.done(&key("a"), vec![], Some((Trigger::plain(Retry), later)), now);
        assert_eq!(turn(&mut line, now), None);
        assert_eq!(line.next_due(), Some(later));
        add(&mut line, "a", Updated, "2", now);
        assert_eq!(turn(&mut line, now), Some(("a".into(), vec![Updated, Retry])));
    }

    #[test]
    fn an_earlier_turn_is_never_put_off() {
        let (mut line, now) = (Line::default(), Instant::now());
        add(&mut line, "a", Created, "1", now);
        line.add(&key("a"), Trigger::plain(Requeue), None, now + Duration::from_mins(1));
        assert!(turn(&mut line, now).is_some());
    }

    #[tokio::test]
    async fn waiting_ends_when_something_is_added() {
        let queue = Queue::default();
        let (turn, ()) =
            tokio::join!(queue.next(), async { queue.add(&key("a"), Trigger::plain(Created), None) });
        assert_eq!(turn.key, key("a"));
    }
}
