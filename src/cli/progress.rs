//! Waiting for what somebody asked of a Helmfile, and showing how far it is.

use std::{
    io::{IsTerminal as _, Write as _},
    pin::pin,
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use futures::StreamExt as _;
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::Value;
use tokio::time::{Instant, interval, sleep_until};

use super::{
    objects::{self, Helmfiles},
    outcome::{Sought, Step, step},
    report,
    seen::Seen,
    table::clean,
};
use crate::{cluster, duration::GoDuration, exit::Exit, shutdown::Signals};

/// Whether and how long to wait.
#[derive(Debug, Args)]
pub(super) struct Patience {
    /// How long to wait for the end
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    pub timeout: GoDuration,
    /// Ask, and do not wait
    #[arg(long)]
    pub no_wait: bool,
}

/// How a wait ended.
#[derive(Debug)]
pub(super) enum End {
    /// It is done.
    Done {
        /// The object then.
        object: Value,
        /// Whether the cluster has what was asked for.
        ready: bool,
        /// What the object says of it.
        message: String,
    },
    /// Somebody does not want to wait any longer.
    Interrupted(Exit),
}

/// Waits until what was asked of an object is done. The operator goes on when nobody waits any more.
pub(super) async fn until_done(
    helmfiles: &Helmfiles,
    name: &str,
    sought: &Sought,
    deadline: Instant,
) -> anyhow::Result<End> {
    let mut signals = Signals::install().context("failed to listen for signals")?;
    let mut line = Line::new(helmfiles.title(name));
    let mut looks = pin!(watcher::watch_object(helmfiles.api(), name).default_backoff());
    let mut second = interval(Duration::from_secs(1));
    let mut last = "nothing has been seen of it".to_owned();
    loop {
        tokio::select! {
            exit = signals.next() => {
                line.clear();
                report::note(&format!("stopped waiting for {}; the operator goes on", line.title));
                return Ok(End::Interrupted(exit));
            }
            () = sleep_until(deadline) => {
                line.clear();
                // Waiting for others may have taken all the time.
                if let Ok(object) = helmfiles.get(name).await {
                    match step(&Seen::of(&object), sought) {
                        Step::Waiting(message) => last = message,
                        Step::Done { ready, message } => {
                            return Ok(End::Done { object, ready, message: clean(&message) });
                        }
                    }
                }
                bail!(
                    "{} was not done in time, and the operator goes on; at last: {last}; `helmfile-operator explain \
                     helmfile {name} -n {}` knows more", line.title, helmfiles.namespace
                );
            }
            look = looks.next() => match look {
                Some(Ok(Some(object))) => {
                    let object = objects::to_json(object);
                    match step(&Seen::of(&object), sought) {
                        Step::Waiting(message) => last = message,
                        Step::Done { ready, message } => {
                            line.clear();
                            return Ok(End::Done { object, ready, message: clean(&message) });
                        }
                    }
                    line.show(&last);
                }
                Some(Ok(None)) => {
                    line.clear();
                    bail!("{} is gone", line.title);
                }
                Some(Err(error)) => {
                    last = trouble(&line.title, &error)?;
                    line.show(&last);
                }
                None => bail!("the watch of {} has ended", line.title),
            },
            _ = second.tick(), if line.is_terminal => line.draw(),
        }
    }
}

/// What is wrong with the watch, which is tried again; an error when that is of no use.
fn trouble(title: &str, error: &watcher::Error) -> anyhow::Result<String> {
    let (why, code) = match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => {
            let code = if let kube::Error::Api(status) = error { status.code } else { 0 };
            (cluster::describe(error), code)
        }
        watcher::Error::WatchError(status) => (status.message.clone(), status.code),
        watcher::Error::NoResourceVersion => ("the API server gives no versions".to_owned(), 0),
    };
    match code {
        401 | 403 => Err(anyhow!(
            "you may not watch {title}: {why}; that takes `list` and `watch` on `{}`; with --no-wait it is not needed",
            objects::resource_name()
        )),
        404 => Err(anyhow!("{title} is gone, and its kind with it: {why}")),
        _ => Ok(format!("the API server does not answer, trying again: {why}")),
    }
}

/// What is going on, on stderr: on a terminal one line that is written again and again, elsewhere one for each change.
struct Line {
    title: String,
    is_terminal: bool,
    began: Instant,
    shown: Option<String>,
}

impl Line {
    fn new(title: String) -> Self {
        Self { title, is_terminal: std::io::stderr().is_terminal(), began: Instant::now(), shown: None }
    }

    fn show(&mut self, message: &str) {
        let message = clean(message);
        if self.shown.as_ref() == Some(&message) {
            return;
        }
        if !self.is_terminal {
            report::note(&format!("{}: {message}", self.title));
        }
        self.shown = Some(message);
        self.draw();
    }

    fn draw(&self) {
        if let Some(message) = self.shown.as_ref().filter(|_| self.is_terminal) {
            write(&drawn(&self.title, message, self.began.elapsed()));
        }
    }

    fn clear(&self) {
        if self.is_terminal {
            write("\r\x1b[K");
        }
    }
}

/// The line of a terminal: from its first column, cut at the edge instead of wrapped, and nothing of the last one left.
fn drawn(title: &str, message: &str, elapsed: Duration) -> String {
    let elapsed = GoDuration::from_secs(elapsed.as_secs()).to_string();
    format!("\r\x1b[?7l{elapsed:>5} {title}: {message}\x1b[K\x1b[?7h")
}

fn write(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _nobody_reads_it = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn a_terminals_line_is_written_in_place() {
        let text = drawn("Helmfile team/web", "delivering", Duration::from_millis(65_900));
        assert_eq!(text, "\r\x1b[?7l 1m5s Helmfile team/web: delivering\x1b[K\x1b[?7h");
    }

    #[test]
    fn only_what_may_pass_is_waited_out() {
        let told = |code| {
            let status = Status::failure("no", "R").with_code(code).boxed();
            trouble("Helmfile a/x", &watcher::Error::InitialListFailed(kube::Error::Api(status)))
        };
        assert!(told(500).unwrap().contains("trying again: no"));
        assert!(told(403).unwrap_err().to_string().contains("takes `list` and `watch` on `helmfiles.apps"));
        assert!(told(404).is_err());
    }
}
