//! Waiting for something to become true, with an end and a reason.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

/// How often a state is looked at.
const PERIOD: Duration = Duration::from_millis(25);

/// Looks again and again until `probe` returns `Ok`.
///
/// # Panics
/// After `deadline`, with the last state that `probe` reported. A probe that hangs counts as well.
pub async fn wait_until<T>(
    what: &str,
    deadline: Duration,
    probe: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    match poll_until(deadline, probe).await {
        Ok(value) => value,
        Err(last) => panic!("waited {deadline:?} for {what}; last state: {last}"),
    }
}

/// The same for callers that have something to say about a failure: the last state is the error.
pub async fn poll_until<T>(
    deadline: Duration,
    mut probe: impl AsyncFnMut() -> Result<T, String>,
) -> Result<T, String> {
    let end = Instant::now() + deadline;
    let mut last = None;
    loop {
        match timeout_at(end, probe()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(state)) => last = Some(state),
            Err(_) => {
                return Err(last.unwrap_or_else(|| "unknown; the first look at it did not return".to_owned()));
            }
        }
        if Instant::now() + PERIOD >= end {
            return Err(last.unwrap_or_default());
        }
        sleep(PERIOD).await;
    }
}
