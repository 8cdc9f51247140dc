//! How long to wait after a failure.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(5);

/// The pause after the `attempt`-th failure in a row (from 1): 1 s, doubling, at most 5 min, for ever. `jitter` from 0 to
/// 1 takes off up to a fifth, so that objects that failed together do not come back together.
pub fn delay(attempt: u32, jitter: f64) -> Duration {
    let doublings = attempt.saturating_sub(1).min(20);
    let full = FIRST.saturating_mul(1 << doublings).min(LONGEST);
    full.mul_f64(1.0 - 0.2 * jitter.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_five_minutes_and_never_ends() {
        let pauses: Vec<u64> = (1..=11).map(|attempt| delay(attempt, 0.0).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(delay(u32::MAX, 0.0), LONGEST);
        assert_eq!(delay(1, 1.0), Duration::from_millis(800));
    }
}
