//! The hot-loop breaker: an object that is woken again and again, and each time writes the same, is slowed down, never
//! dropped, and told which field does not hold.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How far back writes count.
const WINDOW: Duration = Duration::from_mins(1);
/// So often one value is written to one field within the window, and somebody else changes it each time.
const REPEATS: usize = 10;
/// So often one field is written within the window, whatever to: more than once a second.
const WRITES: usize = 60;
/// The most writes that are remembered.
const REMEMBERED: usize = 256;
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// After so much calm, the first pause is the shortest again.
const CALM: Duration = Duration::from_mins(10);

/// One field that a run changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// Which one, for people: `data.key of ConfigMap a/b`.
    pub(super) field: String,
    /// Digest of what was written.
    pub(super) value: String,
}

/// What is remembered of one object.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    writes: VecDeque<(Instant, Change)>,
    trips: u32,
    tripped: Option<Instant>,
}

/// An object goes round in circles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trip {
    /// The field that does not hold.
    pub(super) field: String,
    /// How often it was written within a minute.
    pub(super) writes: usize,
    /// For how long the object should rest.
    pub(super) pause: Duration,
}

impl Breaker {
    /// Takes note of what a run changed that an event had woken.
    pub(super) fn note(&mut self, now: Instant, changes: Vec<Change>) -> Option<Trip> {
        let last = changes.clone();
        self.writes.extend(changes.into_iter().map(|change| (now, change)));
        while self.writes.front().is_some_and(|(at, _)| now.duration_since(*at) > WINDOW)
            || self.writes.len() > REMEMBERED
        {
            self.writes.pop_front();
        }
        let count = |counts: &dyn Fn(&Change) -> bool| {
            self.writes.iter().filter(|(_, change)| counts(change)).count()
        };
        let (field, writes) = last.iter().find_map(|change| {
            let same = count(&|other| other == change);
            let any = count(&|other| other.field == change.field);
            (same >= REPEATS || any >= WRITES).then(|| (change.field.clone(), any))
        })?;
        if self.tripped.is_some_and(|last| now.duration_since(last) > CALM) {
            self.trips = 0;
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << self.trips.min(10)).min(LONGEST_PAUSE);
        self.trips += 1;
        self.tripped = Some(now);
        self.writes.clear();
        Some(Trip { field, writes, pause })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(field: &str, value: &str) -> Vec<Change> {
        vec![Change { field: field.to_owned(), value: value.to_owned() }]
    }

    fn second(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    #[test]
    fn the_same_value_again_and_again_is_a_circle_and_each_next_pause_is_longer() {
        let (mut breaker, start) = (Breaker::default(), Instant::now());
        let mut pauses = Vec::new();
        for number in 0..70 {
            let now = start + Duration::from_millis(100 * number);
            pauses.extend(breaker.note(now, change("replicas", "3")));
        }
        let trips: Vec<u64> = pauses.iter().map(|trip| trip.pause.as_secs()).collect();
        assert_eq!(trips, [10, 20, 40, 80, 160, 300, 300]);
        assert_eq!((pauses[0].field.as_str(), pauses[0].writes), ("replicas", 10));
        let later = start + second(3600);
        let again: Vec<u64> = (0..10)
            .filter_map(|_| breaker.note(later, change("replicas", "3")))
            .map(|trip| trip.pause.as_secs())
            .collect();
        assert_eq!(again, [10], "an hour later that is forgotten");
    }

    #[test]
    fn a_status_that_follows_what_happens_is_no_circle() {
        let (mut breaker, start) = (Breaker::default(), Instant::now());
        for ready in 0..59_u64 {
            assert_eq!(breaker.note(start + second(ready), change("status.ready", &ready.to_string())), None);
        }
    }

    #[test]
    fn a_field_that_never_rests_is_one_even_with_new_values() {
        let (mut breaker, start) = (Breaker::default(), Instant::now());
        let trips = (0..61_u64).filter_map(|number| {
            breaker.note(start + Duration::from_millis(50 * number), change("stamp", &number.to_string()))
        });
        assert_eq!(trips.count(), 1);
    }

    #[test]
    fn now_and_then_is_no_circle() {
        let (mut breaker, start) = (Breaker::default(), Instant::now());
        for number in 0..100 {
            assert_eq!(breaker.note(start + second(7 * number), change("replicas", "3")), None);
        }
    }
}
