//! Tasks that belong together: they stop together, and none ends unnoticed.

use std::future::Future;

use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// A group of named tasks under one stop signal.
///
/// This is the only place that starts tasks, so that each has an owner who notices when it ends. Dropping the group
/// aborts what still runs.
#[derive(Debug)]
pub struct Group<E> {
    stop: CancellationToken,
    tasks: JoinSet<(&'static str, Result<(), E>)>,
}

/// Why a group ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum GroupError<E: std::error::Error + 'static> {
    /// A task failed.
    #[error("{task} failed")]
    Failed {
        /// Which one.
        task: &'static str,
        /// Why.
        #[source]
        source: E,
    },
    /// A task ended though nobody had asked it to.
    #[error("{0} ended unexpectedly")]
    Ended(&'static str),
    /// A task panicked: a bug.
    #[error("a task panicked")]
    Panicked(#[source] JoinError),
}

impl<E: std::error::Error + Send + 'static> Group<E> {
    /// A group that stops when `stop` is cancelled.
    pub fn new(stop: CancellationToken) -> Self {
        Self { stop, tasks: JoinSet::new() }
    }

    /// Starts a task. It is expected to run until the stop signal.
    pub fn start(&mut self, name: &'static str, task: impl Future<Output = Result<(), E>> + Send + 'static) {
        self.tasks.spawn(async move { (name, task.await) });
    }

    /// Waits for all tasks. The first one that ends by itself or fails stops the others.
    ///
    /// # Errors
    /// The first failure; later ones are logged.
    pub async fn join(mut self) -> Result<(), GroupError<E>> {
        let mut outcome = Ok(());
        while let Some(joined) = self.tasks.join_next().await {
            let result = match joined {
                Ok((task, Err(source))) => Err(GroupError::Failed { task, source }),
                Ok((task, Ok(()))) if !self.stop.is_cancelled() => Err(GroupError::Ended(task)),
                Ok((_, Ok(()))) => Ok(()),
                Err(error) if error.is_cancelled() => Ok(()),
                Err(error) => Err(GroupError::Panicked(error)),
            };
            match result {
                Err(error) if outcome.is_ok() => outcome = Err(error),
                Err(error) => tracing::error!(%error, "a task failed while the others were stopping"),
                Ok(()) => continue,
            }
            self.stop.cancel();
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_task_that_ends_stops_the_others() {
        let stop = CancellationToken::new();
        let mut group = Group::<std::io::Error>::new(stop.clone());
        let waits = stop.clone();
        group.start("waiter", async move {
            waits.cancelled().await;
            Ok(())
        });
        group.start("quitter", async { Ok(()) });
        assert_eq!(group.join().await.unwrap_err().to_string(), "quitter ended unexpectedly");
        assert!(stop.is_cancelled());
    }

    #[tokio::test]
    async fn a_requested_stop_is_no_error() {
        let stop = CancellationToken::new();
        let mut group = Group::<std::io::Error>::new(stop.clone());
        let waits = stop.clone();
        group.start("waiter", async move {
            waits.cancelled().await;
            Ok(())
        });
        stop.cancel();
        group.join().await.unwrap();
    }
}
