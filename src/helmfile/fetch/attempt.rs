//! One call of the fetcher: whom it is for, and when it must end.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::FetchError;

/// Ends by the deadline or by `stop`, whichever comes first.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    /// The source as messages name it, without credentials.
    pub(super) source_name: String,
    limit: Duration,
    deadline: Instant,
    pub(super) stop: CancellationToken,
}

impl Attempt {
    pub(super) fn start(source_name: String, limit: Duration, stop: &CancellationToken) -> Self {
        Self { source_name, limit, deadline: Instant::now() + limit, stop: stop.clone() }
    }

    /// The time that is left; zero when it is over.
    pub(super) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Fails when it is time to end.
    pub(super) fn check(&self) -> Result<(), FetchError> {
        if self.stop.is_cancelled() {
            return Err(self.stopped());
        }
        if self.left().is_zero() { Err(self.timed_out()) } else { Ok(()) }
    }

    pub(super) fn timed_out(&self) -> FetchError {
        FetchError::Timeout { source_name: self.source_name.clone(), after: self.limit }
    }

    pub(super) fn stopped(&self) -> FetchError {
        FetchError::Stopped { source_name: self.source_name.clone() }
    }

    /// Does work with files on a thread where it may block. Dropping the future makes the work's next `check` fail.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, FetchError> + Send + 'static,
    ) -> Result<T, FetchError> {
        let child = Self { stop: self.stop.child_token(), ..self.clone() };
        let _cancels_when_dropped = child.stop.clone().drop_guard();
        match tokio::task::spawn_blocking(move || work(&child)).await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_the_runtime_is_ending) => Err(self.stopped()),
            },
        }
    }
}
