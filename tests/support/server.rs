//! A program that keeps running, with its output in a file.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::Context as _;
use helmfile_operator::process::{Command, Running, StopWith};

use super::tools::guard;

/// A guarded program. It ends with this value, and with this process.
#[derive(Debug)]
pub struct Server {
    name: &'static str,
    running: Running,
    log: PathBuf,
}

impl Server {
    /// Starts it. What it prints is added to the file `log`.
    pub fn start(name: &'static str, command: &Command, log: &Path) -> anyhow::Result<Self> {
        let open = || File::options().create(true).append(true).open(log);
        let (stdout, stderr) = open()
            .and_then(|a| Ok((a, open()?)))
            .with_context(|| format!("failed to open `{}`", log.display()))?;
        let running = Running::start(&guard(), command, Stdio::from(stdout), Stdio::from(stderr))?;
        Ok(Self { name, running, log: log.to_owned() })
    }

    /// Waits until it has ended by itself; the error says how, with the end of its log. Can be cancelled.
    pub async fn ended(&mut self) -> anyhow::Error {
        let status = match self.running.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        anyhow::anyhow!("{} ended: {status}; the end of its log:\n{}", self.name, self.log_tail(20))
    }

    /// Ends it, first with SIGTERM, after `grace` with SIGKILL. Nothing of it is left then.
    pub async fn stop(self, grace: Duration) {
        self.running.stop(StopWith::TerminateGroup, grace).await;
    }

    /// What it has printed so far.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The last lines of that.
    pub fn log_tail(&self, lines: usize) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().rev().take(lines).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// The guarded program.
    pub fn running(&mut self) -> &mut Running {
        &mut self.running
    }
}
