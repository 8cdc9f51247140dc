//! A program that keeps running, with its output in a file.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use helmfile_operator::process::{Command, Running, StopWith};

use super::tools::guard;

/// A guarded program. It ends with this value, and with this process.
#[derive(Debug)]
pub struct Server {
    /// For messages.
    name: &'static str,
    /// The program under its guard.
    pub running: Running,
    /// What it prints.
    pub log: Log,
}

/// A file that a program writes.
#[derive(Debug)]
pub struct Log(PathBuf);

impl Server {
    /// Starts it. What it prints is added to the file `log`.
    pub fn start(name: &'static str, command: &Command, log: PathBuf) -> anyhow::Result<Self> {
        let open = || File::options().create(true).append(true).open(&log);
        let open = || open().with_context(|| format!("failed to open `{}`", log.display()));
        let running = Running::start(&guard(), command, Stdio::from(open()?), Stdio::from(open()?))?;
        Ok(Self { name, running, log: Log(log) })
    }

    /// Waits until it has ended by itself; the error says how, with the end of its log. Can be cancelled.
    pub async fn ended(&mut self) -> anyhow::Error {
        let status = match self.running.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        anyhow!("{} ended: {status}; the end of its log:\n{}", self.name, self.log.tail(20))
    }

    /// Ends it, first with SIGTERM, after `grace` with SIGKILL. Nothing of it is left then.
    pub async fn stop(self, grace: Duration) {
        self.running.stop(StopWith::TerminateGroup, grace).await;
    }
}

impl Log {
    /// All of it.
    pub fn text(&self) -> String {
        fs::read(&self.0).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Its last lines.
    pub fn tail(&self, lines: usize) -> String {
        let text = self.text();
        let all: Vec<_> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}
