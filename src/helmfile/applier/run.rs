//! Running helmfile in a workspace.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::environment::Environment;
use crate::process::{Command, Finished, Guard, SessionError, StopWith};

/// How long helmfile may take to end after SIGINT: it passes the signal on, and helm marks an interrupted release as
/// failed instead of leaving it locked.
const GRACE: Duration = Duration::from_secs(10);
/// As much of the error output as a report with both copies of a long cause needs.
const STDERR_KEPT: usize = 256 << 10;
/// Helmfile prints next to nothing here, but more than this must never end a run in the middle.
const STDOUT_LIMIT: usize = 256 << 20;

/// Helmfile, ready to be called.
#[derive(Debug)]
pub(crate) struct Helmfile<'a> {
    /// The executable that runs guards.
    pub guard: &'a Guard,
    /// The program.
    pub program: PathBuf,
    /// Its environment.
    pub env: Environment,
    /// Where it runs: the source's top folder.
    pub folder: PathBuf,
}

impl Helmfile<'_> {
    /// Calls it, handing on each line of its error output.
    pub(crate) async fn call(
        &self,
        args: Vec<OsString>,
        timeout: Duration,
        stop: &CancellationToken,
        on_line: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Finished, SessionError> {
        let mut command = Command::new(&self.program, &self.folder).args(args).envs(self.env.clone());
        command.timeout = Some(timeout);
        command.stop_with = StopWith::InterruptLeader;
        command.grace = GRACE;
        command.stderr_tail = STDERR_KEPT;
        command.stdout_limit = STDOUT_LIMIT;
        command.run(self.guard, stop, on_line).await
    }
}
