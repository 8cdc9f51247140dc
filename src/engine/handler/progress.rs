//! `$HOOK_PROGRESS`: a named pipe on which a long hook reports before it ends.

use std::{
    io,
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;
use tokio::net::unix::pipe::{OpenOptions, Receiver};

use crate::contract::Progress;

/// A pipe for one run of one hook. It goes away when dropped.
pub(super) struct ProgressPipe {
    path: PathBuf,
    receiver: Receiver,
    buffer: Vec<u8>,
    _folder: TempDir,
}

/// Longest line that is accepted.
const LINE_LIMIT: usize = 1 << 20;

impl ProgressPipe {
    pub(super) fn create() -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("hook-").tempdir()?;
        let path = folder.path().join("progress");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        // Open for writing too: else the first writer that closes it would be the end of the stream.
        let receiver = OpenOptions::new().read_write(true).open_receiver(&path)?;
        Ok(Self { path, receiver, buffer: Vec::new(), _folder: folder })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The next line. Cancel-safe: what has been read stays in the buffer.
    pub(super) async fn next(&mut self) -> Result<Progress, String> {
        loop {
            if let Some(line) = self.line() {
                return parse(&line);
            }
            if self.receiver.readable().await.is_err() {
                return std::future::pending().await;
            }
            self.fill();
        }
    }

    /// What is left when the hook has ended.
    pub(super) fn rest(&mut self) -> Vec<Result<Progress, String>> {
        while self.fill() {}
        if !self.buffer.is_empty() {
            self.buffer.push(b'\n');
        }
        std::iter::from_fn(|| self.line()).map(|line| parse(&line)).collect()
    }

    fn fill(&mut self) -> bool {
        let mut chunk = [0; 4096];
        let count = self.receiver.try_read(&mut chunk).unwrap_or(0);
        self.buffer.extend(chunk.iter().take(count));
        count > 0 && self.buffer.len() < LINE_LIMIT
    }

    fn line(&mut self) -> Option<Vec<u8>> {
        loop {
            let end = self.buffer.iter().position(|byte| *byte == b'\n');
            let end = end.or_else(|| (self.buffer.len() >= LINE_LIMIT).then(|| self.buffer.len() - 1))?;
            let line: Vec<u8> = self.buffer.drain(..=end).collect();
            if !line.trim_ascii().is_empty() {
                return Some(line);
            }
        }
    }
}

fn parse(line: &[u8]) -> Result<Progress, String> {
    serde_json::from_slice(line.trim_ascii()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn write(pipe: &ProgressPipe, text: &str) {
        std::fs::OpenOptions::new()
            .write(true)
            .open(pipe.path())
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
    }

    #[tokio::test]
    async fn lines_arrive_one_by_one_from_several_writers() {
        let mut pipe = ProgressPipe::create().unwrap();
        write(&pipe, "{\"status\":{\"a\":1}}\n\n{\"sta");
        assert_eq!(pipe.next().await.unwrap().status.unwrap()["a"], 1);
        write(&pipe, "tus\":{\"a\":2}}\n{\"events\":[{\"reason\":\"X\"}]}");
        assert_eq!(pipe.next().await.unwrap().status.unwrap()["a"], 2);
        let rest = pipe.rest();
        assert_eq!(rest[0].as_ref().unwrap().events[0].reason, "X");
        assert_eq!(rest.len(), 1);
    }

    #[tokio::test]
    async fn a_bad_line_is_told_and_skipped() {
        let mut pipe = ProgressPipe::create().unwrap();
        write(&pipe, "nonsense\n{\"stat\":1}\n{}\n");
        assert!(pipe.next().await.is_err());
        assert!(pipe.next().await.unwrap_err().contains("unknown field `stat`"));
        assert!(pipe.next().await.is_ok());
    }
}
