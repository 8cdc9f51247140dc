//! Who is told of a pass while it runs.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{io::AsyncWriteExt as _, net::unix::pipe};

use crate::{contract::Progress, helmfile::api::HelmfileStatus};

type OnLine = dyn FnMut(Said, &str) + Send;

/// Hears the lines of the log and, between, the status.
pub struct Observer {
    progress: Option<PathBuf>,
    line: Box<OnLine>,
}

/// Who says a line, and how much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// helmfile and the programs it starts.
    Tool,
    /// The applier.
    Note,
    /// The applier, of a pass that failed.
    Failure,
}

/// How long the reader of the progress pipe may take. It is a courtesy, and must not hold up a delivery.
const PATIENCE: Duration = Duration::from_secs(5);

impl Observer {
    /// Hands lines to `line` and, where there is one, progress to the named pipe of the handler contract.
    pub fn new(progress: Option<PathBuf>, line: impl FnMut(Said, &str) + Send + 'static) -> Self {
        Self { progress, line: Box::new(line) }
    }

    /// Tells what is being done.
    pub(crate) fn line(&mut self, line: &str) {
        (self.line)(Said::Note, line);
    }

    /// Passes on what a program prints.
    pub(crate) fn tool(&mut self, line: &str) {
        (self.line)(Said::Tool, line);
    }

    /// Tells why a pass failed.
    pub(crate) fn failure(&mut self, line: &str) {
        (self.line)(Said::Failure, line);
    }

    /// Publishes a status at once. A reader that is not there is told in the log only.
    pub(crate) async fn publish(&mut self, status: &HelmfileStatus) {
        let Some(path) = self.progress.clone() else { return };
        let Ok(serde_json::Value::Object(status)) = serde_json::to_value(status) else { return };
        let progress = Progress { status: Some(status), events: Vec::new() };
        let written = tokio::time::timeout(PATIENCE, write(&path, &progress)).await;
        if let Err(error) = written.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            self.line(&format!("failed to report progress to `{}`: {error}", path.display()));
        }
    }
}

async fn write(path: &Path, progress: &Progress) -> io::Result<()> {
    let mut line = serde_json::to_vec(progress)?;
    line.push(b'\n');
    // Fails at once when nobody reads, where a plain open would wait for ever.
    let mut pipe = pipe::OpenOptions::new().open_sender(path)?;
    pipe.write_all(&line).await
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use rustix::fs::{CWD, Mode, mkfifoat};
    use tokio::io::{AsyncBufReadExt as _, BufReader};

    use super::*;

    #[tokio::test]
    async fn progress_is_one_line_of_the_contract() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("progress");
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
        let reader = pipe::OpenOptions::new().open_receiver(&path).unwrap();
        let mut observer = Observer::new(Some(path), |_, line| panic!("{line}"));
        observer.publish(&HelmfileStatus { failures: 3, ..HelmfileStatus::default() }).await;
        let mut line = String::new();
        BufReader::new(reader).read_line(&mut line).await.unwrap();
        let progress: Progress = serde_json::from_str(&line).unwrap();
        assert_eq!(progress.status.unwrap()["failures"], 3);
    }

    #[tokio::test]
    async fn a_reader_that_is_gone_is_only_mentioned() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("progress");
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&lines);
        let mut observer =
            Observer::new(Some(path), move |_, line| heard.lock().unwrap().push(line.to_owned()));
        observer.publish(&HelmfileStatus::default()).await;
        let lines = lines.lock().unwrap();
        assert!(lines.len() == 1 && lines[0].starts_with("failed to report progress to `"), "{lines:?}");
    }
}
