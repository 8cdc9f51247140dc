//! Which object is next: one place in line per object, never two runs of one at once, nothing ever dropped.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::line::{Ended, Later, Length, Line, Standing, Turn};
use crate::{
    contract::{Trigger, TriggerType},
    object::Key,
};

/// A queue of objects. All methods are quick and may be called from watch listeners.
#[derive(Debug, Default)]
pub(super) struct Queue {
    line: Mutex<Line>,
    changed: Notify,
}

impl Queue {
    /// Something happened to an object. `version` is the resource version that the change made, to tell our own writes.
    pub(super) fn add(&self, key: &Key, trigger: Trigger, version: Option<&str>) {
        self.lock().add(key, trigger, version, Instant::now());
        self.changed.notify_one();
    }

    /// Waits until there is an object whose time has come. For one caller at a time.
    pub(super) async fn ready(&self) {
        loop {
            let due = self.lock().next_due();
            let changed = self.changed.notified();
            match due {
                Some(due) if due <= Instant::now() => return,
                Some(due) => tokio::select! {
                    () = changed => {}
                    () = tokio::time::sleep_until(due.into()) => {}
                },
                None => changed.await,
            }
        }
    }

    /// The next object whose time has come.
    pub(super) fn take(&self) -> Option<Turn> {
        self.lock().take(Instant::now())
    }

    /// An object's run has ended. `own` are the versions it wrote; `again` is when and why to run next; `pause` is for how
    /// long it gets no turn, whatever happens.
    pub(super) fn done(
        &self,
        key: &Key,
        own: Vec<String>,
        again: Option<(TriggerType, Duration)>,
        pause: Option<Duration>,
    ) {
        let now = Instant::now();
        let again = again.map(|(why, delay)| Later { why, due: now + delay });
        self.lock().done(key, Ended { own, again, held: pause.map(|pause| now + pause) }, now);
        self.changed.notify_one();
    }

    /// Plans a run at a time; one that is planned earlier stays.
    pub(super) fn plan(&self, key: &Key, why: TriggerType, due: Instant) {
        self.lock().plan(key, Later { why, due }, Instant::now());
        self.changed.notify_one();
    }

    /// Nothing came of this turn; what it would have replaced is still planned.
    pub(super) fn skip(&self, turn: &Turn) {
        let ended = Ended { again: turn.later, ..Ended::default() };
        self.lock().done(&turn.key, ended, Instant::now());
        self.changed.notify_one();
    }

    /// Puts a turn off for a while.
    pub(super) fn postpone(&self, turn: Turn, pause: Duration) {
        let now = Instant::now();
        self.lock().postpone(turn, now + pause, now);
        self.changed.notify_one();
    }

    /// The object of this turn is gone.
    pub(super) fn forget(&self, key: &Key) {
        self.lock().forget(key, Instant::now());
        self.changed.notify_one();
    }

    /// Takes over what a predecessor's objects were waiting for.
    pub(super) fn inherit(&self, predecessor: &Self) {
        let left = predecessor.lock().left();
        let (mut line, now) = (self.lock(), Instant::now());
        for (key, triggers, later) in left {
            for trigger in triggers {
                line.add(&key, trigger, None, now);
            }
            if let Some(later) = later {
                line.plan(&key, later, now);
            }
        }
        drop(line);
        self.changed.notify_one();
    }

    /// What an object waits for.
    pub(super) fn standing(&self, key: &Key) -> Standing {
        self.lock().standing(key)
    }

    /// How long the line is now.
    pub(super) fn length(&self) -> Length {
        self.lock().length(Instant::now())
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

    #[tokio::test]
    async fn waiting_ends_when_something_is_added() {
        let (queue, key) = (Queue::default(), Key { namespace: None, name: "a".to_owned() });
        let trigger = Trigger::plain(TriggerType::Created);
        tokio::join!(queue.ready(), async { queue.add(&key, trigger, None) });
        assert_eq!(queue.take().map(|turn| turn.key), Some(key));
    }
}
