//! One actor per Helmfile: a Lease beside it (RULES 21).
//!
//! It is held only while something is done, not while nothing has to be done. Expiry is measured by how long we have seen it
//! unchanged, never by the other's clock. A holder that can't renew gives up, and has ended its programs, before anybody
//! else may take over: [`RENEW_DEADLINE`] and the grace of the programs are less than [`DURATION`].

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::{api::coordination::v1::Lease, apimachinery::pkg::apis::meta::v1::MicroTime};
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::store::{LedgerError, Place, gone};
use crate::{clock::Clock, cluster::in_time};

/// How long a claim holds without being renewed.
pub const DURATION: Duration = Duration::from_secs(30);
/// How often it is renewed.
const RENEW_EVERY: Duration = Duration::from_secs(5);
/// After this long without a renewal the holder stops.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(12);
/// How often a Lease of somebody else is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Why there is no claim.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Somebody else is at work.
    #[error("another applier (`{0}`) is delivering this Helmfile")]
    Held(String),
    /// We were told to stop.
    #[error("stopped while waiting for the Lease")]
    Stopped,
    /// The API server.
    #[error(transparent)]
    Api(#[from] LedgerError),
}

/// What to do about a Lease as it is now. Pure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// It is free, ours, or has expired.
    Take,
    /// Look again.
    Wait,
    /// Its holder is alive.
    GiveUp,
}

/// What was seen of a Lease: its version, and since when it has had it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sight {
    version: Option<String>,
    since: Instant,
}

fn step(lease: &Lease, me: &str, seen: Option<&Sight>, now: Instant) -> Step {
    let spec = lease.spec.as_ref();
    let holder = spec.and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default();
    // One that is ours was left by a process that is no more: the caller holds the lock of this place.
    if holder.is_empty() || holder == me {
        return Step::Take;
    }
    let seconds =
        spec.and_then(|spec| spec.lease_duration_seconds).and_then(|seconds| u64::try_from(seconds).ok());
    let duration = seconds.map_or(DURATION, Duration::from_secs);
    match seen {
        Some(seen) if seen.version != lease.metadata.resource_version => Step::GiveUp,
        Some(seen) if now.duration_since(seen.since) >= duration => Step::Take,
        _ => Step::Wait,
    }
}

/// A claim.
pub struct Claim {
    place: Place,
    me: String,
    clock: Clock,
    /// Before when the last renewal that succeeded was asked for.
    renewed: Mutex<Instant>,
    /// When the holder before us renewed it last, by that holder's clock.
    before: Option<Timestamp>,
}

/// Claims the Lease at `place` for `me`, who must be the only one of that name: the caller holds a lock that nobody else of
/// its machine and cache has. Waits for a holder that may be dead for as long as its claim lasts.
///
/// # Errors
/// When its holder is alive, or the API server does not let us.
pub async fn claim(
    place: Place,
    me: &str,
    clock: Clock,
    stop: &CancellationToken,
) -> Result<Claim, LeaseError> {
    let mut claim =
        Claim { place, me: me.to_owned(), clock, renewed: Mutex::new(Instant::now()), before: None };
    let mut seen: Option<Sight> = None;
    loop {
        claim.note(Instant::now());
        let Some(lease) = claim.read().await? else {
            if claim.create().await? {
                return Ok(claim);
            }
            pause(stop).await?;
            continue;
        };
        match step(&lease, me, seen.as_ref(), Instant::now()) {
            Step::Take => {
                let renewed = lease.spec.as_ref().and_then(|spec| spec.renew_time.as_ref());
                claim.before = renewed.map(|renewed| renewed.0);
                if claim.take(lease).await? {
                    return Ok(claim);
                }
                pause(stop).await?;
            }
            Step::GiveUp => {
                let holder = lease.spec.and_then(|spec| spec.holder_identity).unwrap_or_default();
                return Err(LeaseError::Held(holder));
            }
            Step::Wait => {
                let now = Instant::now();
                seen.get_or_insert_with(|| Sight {
                    version: lease.metadata.resource_version.clone(),
                    since: now,
                });
                pause(stop).await?;
            }
        }
    }
}

/// Before the next look.
async fn pause(stop: &CancellationToken) -> Result<(), LeaseError> {
    stop.run_until_cancelled(sleep(LOOK_EVERY)).await.ok_or(LeaseError::Stopped)
}

impl Claim {
    fn api(&self) -> Api<Lease> {
        Api::namespaced(self.place.client.clone(), &self.place.namespace)
    }

    async fn read(&self) -> Result<Option<Lease>, LedgerError> {
        in_time(self.api().get_opt(&self.place.name)).await.map_err(self.place.failed("read", "Lease"))
    }

    fn spec(&self, transitions: i32) -> serde_json::Value {
        let now = MicroTime(self.clock.now());
        json!({
            "holderIdentity": self.me, "leaseDurationSeconds": DURATION.as_secs(), "acquireTime": now, "renewTime": now,
            "leaseTransitions": transitions,
        })
    }

    /// Whether nobody else was faster.
    async fn create(&self) -> Result<bool, LedgerError> {
        let lease = json!({"metadata": self.place.metadata(), "spec": self.spec(0)});
        let lease: Lease = serde_json::from_value(lease).unwrap_or_default();
        won(in_time(self.api().create(&PostParams::default(), &lease)).await)
            .map_err(self.place.failed("create", "Lease"))
    }

    /// Whether nobody else was faster.
    async fn take(&self, mut lease: Lease) -> Result<bool, LedgerError> {
        self.place.refuse_foreign("Lease", &lease)?;
        // Whose end is its end may be another one than when it was made.
        lease.metadata.owner_references = self.place.owner.clone().map(|owner| vec![owner]);
        let transitions = lease.spec.as_ref().and_then(|spec| spec.lease_transitions).unwrap_or_default();
        lease.spec = serde_json::from_value(self.spec(transitions.saturating_add(1))).ok();
        won(in_time(self.api().replace(&self.place.name, &PostParams::default(), &lease)).await)
            .map_err(self.place.failed("take", "Lease"))
    }

    /// The last moment at which programs of the holder before us can have run, by that holder's clock; `None` when nobody has
    /// held it.
    pub fn last_of_others(&self) -> Option<Timestamp> {
        self.before.and_then(|before| before.checked_add(DURATION).ok())
    }

    fn note(&self, renewed: Instant) {
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = renewed;
    }

    fn age(&self) -> Duration {
        self.renewed.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Makes sure that the claim is still ours before something is begun under it.
    ///
    /// # Errors
    /// When it is not, or that can't be told.
    pub async fn confirm(&self) -> Result<(), Lost> {
        if self.age() < RENEW_EVERY {
            return Ok(());
        }
        match timeout(RENEW_EVERY, self.renew()).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(TAKEN),
            Ok(Err(_)) | Err(_) => Err(LATE),
        }
    }

    /// Renews the claim until it is lost. Cancel it to stop.
    pub async fn keep(&self) -> Lost {
        let mut pause = RENEW_EVERY.saturating_sub(self.age());
        loop {
            sleep(pause).await;
            pause = RENEW_EVERY;
            match timeout(RENEW_EVERY, self.renew()).await {
                Ok(Ok(false)) => return TAKEN,
                Ok(Err(_)) | Err(_) if self.age() + RENEW_EVERY > RENEW_DEADLINE => return LATE,
                Ok(Ok(true) | Err(_)) | Err(_) => {}
            }
        }
    }

    /// Whether it is still ours. A write that somebody else's came between is tried once more: he may only have labelled it.
    async fn renew(&self) -> Result<bool, LedgerError> {
        Ok(self.renew_once().await? || self.renew_once().await?)
    }

    async fn renew_once(&self) -> Result<bool, LedgerError> {
        let now = Instant::now();
        let Some(mut lease) = self.read().await? else { return Ok(false) };
        let Some(spec) = lease.spec.as_mut().filter(|spec| spec.holder_identity.as_deref() == Some(&self.me))
        else {
            return Ok(false);
        };
        spec.renew_time = Some(MicroTime(self.clock.now()));
        let renewed =
            won(in_time(self.api().replace(&self.place.name, &PostParams::default(), &lease)).await)
                .map_err(self.place.failed("renew", "Lease"))?;
        if renewed {
            self.note(now);
        }
        Ok(renewed)
    }

    /// Gives the Lease back. What fails only makes others wait.
    pub async fn release(self) {
        let Ok(Some(mut lease)) = self.read().await else { return };
        let Some(spec) = lease.spec.as_mut().filter(|spec| spec.holder_identity.as_deref() == Some(&self.me))
        else {
            return;
        };
        spec.holder_identity = None;
        let released = in_time(self.api().replace(&self.place.name, &PostParams::default(), &lease)).await;
        if let Err(error) = released {
            tracing::warn!(
                "failed to give back Lease `{}/{}`: {error}",
                self.place.namespace,
                self.place.name
            );
        }
    }

    /// Removes the Lease: nothing is to be done any more.
    ///
    /// # Errors
    /// When it can't be removed.
    pub async fn remove(self) -> Result<(), LedgerError> {
        gone(in_time(self.api().delete(&self.place.name, &DeleteParams::default())).await)
            .map_err(self.place.failed("remove", "Lease"))
    }
}

/// Why a claim was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost(pub &'static str);

const TAKEN: Lost = Lost("somebody else has taken it");
const LATE: Lost = Lost("it could not be renewed in time");

fn won<T>(written: kube::Result<T>) -> kube::Result<bool> {
    match written {
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        other => other.map(|_| true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holder: Option<&str>, version: &str) -> Lease {
        let spec = json!({"holderIdentity": holder, "leaseDurationSeconds": 20});
        serde_json::from_value(json!({"metadata": {"resourceVersion": version}, "spec": spec})).unwrap()
    }

    #[tokio::test]
    async fn a_lease_is_taken_from_the_dead_only() {
        let now = Instant::now();
        let seen = |version: &str, ago: u64| Sight {
            version: Some(version.to_owned()),
            since: now.checked_sub(Duration::from_secs(ago)).unwrap(),
        };
        for (holder, sight, expected) in [
            (None, None, Step::Take),
            (Some(""), None, Step::Take),
            (Some("me"), None, Step::Take),
            (Some("other"), None, Step::Wait),
            (Some("other"), Some(seen("7", 19)), Step::Wait),
            (Some("other"), Some(seen("7", 20)), Step::Take),
            (Some("other"), Some(seen("6", 100)), Step::GiveUp),
        ] {
            assert_eq!(
                step(&lease(holder, "7"), "me", sight.as_ref(), now),
                expected,
                "{holder:?} {sight:?}"
            );
        }
        assert_eq!(step(&Lease::default(), "me", None, now), Step::Take);
    }

    #[test]
    fn the_dead_have_no_programs() {
        // A call that gets no answer, then SIGINT, then SIGKILL after the programs' grace, and the guard's own work.
        assert!(RENEW_DEADLINE + RENEW_EVERY + Duration::from_secs(10) + Duration::from_secs(2) < DURATION);
    }
}
