//! How many helm processes run at once on this machine, whoever starts them: each takes tens of megabytes and most of a core.

use std::{
    fs::{self, File},
    io,
    path::PathBuf,
    time::Duration,
};

/// The places for helm processes: files that are locked while the process runs. The kernel gives a place back when its holder
/// dies.
#[derive(Debug, Clone)]
pub(crate) struct Slots {
    folder: PathBuf,
    count: usize,
}

/// A place that is taken.
#[derive(Debug)]
pub(crate) struct Slot(#[expect(dead_code, reason = "held, not read")] File);

/// How often somebody who waits looks again.
const LOOK_EVERY: Duration = Duration::from_millis(15);

impl Slots {
    /// `count` places, shared by all processes that use `folder`.
    pub(crate) fn new(folder: PathBuf, count: usize) -> Self {
        Self { folder, count: count.max(1) }
    }

    /// Takes a place, as soon as there is one.
    ///
    /// # Errors
    /// When the folder can't be written.
    pub(crate) async fn take(&self) -> io::Result<Slot> {
        fs::create_dir_all(&self.folder)?;
        loop {
            for number in 0..self.count {
                let file = File::create(self.folder.join(number.to_string()))?;
                if file.try_lock().is_ok() {
                    return Ok(Slot(file));
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn there_are_no_more_than_there_are() {
        let folder = tempfile::tempdir().unwrap();
        let slots = Slots::new(folder.path().join("slots"), 2);
        let first = slots.take().await.unwrap();
        let _second = slots.take().await.unwrap();
        let mut third = std::pin::pin!(slots.take());
        assert!(futures::poll!(&mut third).is_pending());
        drop(first);
        third.await.unwrap();
    }
}
