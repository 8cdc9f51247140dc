//! Signals: the first asks to drain, the second aborts.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::exit::Exit;

/// The signal that asks to read the configuration again.
#[derive(Debug)]
pub struct Hangup(Signal);

impl Hangup {
    /// Installs the handler for SIGHUP.
    ///
    /// # Errors
    /// When the kernel refuses, which it does not in practice.
    pub fn install() -> std::io::Result<Self> {
        Ok(Self(signal(SignalKind::hangup())?))
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

/// The signals that end the program, installed once at start.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Installs the handlers for SIGINT and SIGTERM.
    ///
    /// # Errors
    /// When the kernel refuses, which it does not in practice.
    pub fn install() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next signal and says how a program ended by it exits.
    pub async fn next(&mut self) -> Exit {
        tokio::select! {
            _ = self.interrupt.recv() => Exit::Signal(2),
            _ = self.terminate.recv() => Exit::Signal(15),
        }
    }

    /// Runs `work` until it is done. The first signal cancels `stop`, so that `work` can drain; the second gives up
    /// on it at once. `None` means that it was given up; else what `work` returned and the signal, if there was one.
    pub async fn drain<T>(
        mut self,
        stop: CancellationToken,
        work: impl Future<Output = T>,
    ) -> (Option<T>, Option<Exit>) {
        tokio::pin!(work);
        let first = tokio::select! {
            done = &mut work => return (Some(done), None),
            exit = self.next() => exit,
        };
        tracing::info!("stopping; a second signal aborts");
        stop.cancel();
        tokio::select! {
            done = &mut work => (Some(done), Some(first)),
            exit = self.next() => (None, Some(exit)),
        }
    }
}
