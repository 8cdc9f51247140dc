//! The owner's side of a guarded program.

use std::{
    collections::{BTreeMap, VecDeque},
    ffi::OsString,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin},
};
use tokio_util::sync::CancellationToken;

use super::guard::{CANNOT_START, Order, START_FAILED};

use crate::environment::Environment;

/// The executable that runs guards: this program itself (`helmfile-operator guard`).
#[derive(Debug, Clone)]
pub struct Guard(PathBuf);

impl Guard {
    /// Uses the given executable, which must be this program.
    pub fn new(executable: impl Into<PathBuf>) -> Self {
        Self(executable.into())
    }

    /// The executable.
    pub fn executable(&self) -> &Path {
        &self.0
    }
}

/// How a program is first asked to end, before SIGKILL.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StopWith {
    /// SIGTERM to its process group.
    #[default]
    TerminateGroup,
    /// SIGINT to the program alone.
    InterruptLeader,
}

/// A program to run. Nothing is inherited: the environment is exactly `env`.
#[derive(Debug, Clone)]
pub struct Command {
    /// Full path of the program; see [`super::resolve`].
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its whole environment.
    pub env: Environment,
    /// Its working directory.
    pub folder: PathBuf,
    /// Its standard input.
    pub input: Vec<u8>,
    /// How long it may run; `None` for ever.
    pub timeout: Option<Duration>,
    /// How it is asked to end.
    pub stop_with: StopWith,
    /// How long it may take to end after being asked.
    pub grace: Duration,
    /// The most it may print on stdout, in bytes; more is an error.
    pub stdout_limit: usize,
    /// How much of the end of stderr is kept, in bytes.
    pub stderr_tail: usize,
}

impl Command {
    /// A command with this program's defaults: no timeout, SIGTERM, 5 s grace, 32 MiB of stdout, 16 KiB of stderr kept.
    pub fn new(program: impl Into<PathBuf>, folder: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: BTreeMap::new(),
            folder: folder.into(),
            input: Vec::new(),
            timeout: None,
            stop_with: StopWith::default(),
            grace: Duration::from_secs(5),
            stdout_limit: 32 << 20,
            stderr_tail: 16 << 10,
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Adds environment variables.
    #[must_use]
    pub fn envs(mut self, env: impl IntoIterator<Item = (impl Into<OsString>, impl Into<OsString>)>) -> Self {
        self.env.extend(env.into_iter().map(|(name, value)| (name.into(), value.into())));
        self
    }
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// By itself.
    Exited(u8),
    /// By a signal (or a shell reported one: 128 + number).
    Signaled(u8),
}

impl Status {
    /// Whether it exited with 0.
    pub fn success(self) -> bool {
        self == Self::Exited(0)
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exit status {code}"),
            Self::Signaled(number) => write!(f, "ended by signal {number}"),
        }
    }
}

/// What a finished program leaves.
#[derive(Debug, Clone)]
pub struct Finished {
    /// How it ended.
    pub status: Status,
    /// All it printed on stdout.
    pub stdout: Vec<u8>,
    /// The end of what it printed on stderr.
    pub stderr: String,
    /// How long it ran.
    pub elapsed: Duration,
}

/// Why a program did not run to its own end.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The kernel refused to start it.
    #[error("failed to start `{}`: {reason}", .program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        reason: String,
    },
    /// It took too long.
    #[error("took longer than {}", crate::duration::GoDuration(*.after))]
    TimedOut {
        /// The limit.
        after: Duration,
        /// The end of what it printed on stderr.
        stderr: String,
    },
    /// It printed too much.
    #[error("printed more than {limit} bytes")]
    TooMuchOutput {
        /// The limit.
        limit: usize,
    },
    /// We are stopping.
    #[error("was stopped, since the operator is stopping")]
    Stopped,
    /// Reading its output failed.
    #[error("failed to read its output")]
    Io(#[source] std::io::Error),
}

/// A guarded program that runs. Dropping it ends the program and everything below it.
#[derive(Debug)]
pub struct Running {
    guard: Child,
    /// The pipe that keeps the program alive: closing it ends everything.
    orders: Option<ChildStdin>,
    /// Whether the input has been handed over, so that the next byte is an order.
    fed: bool,
}

impl Running {
    /// Starts a program under a guard; its output goes where `stdout` and `stderr` say. It gets no input: its own stays
    /// open and silent until it is stopped.
    ///
    /// # Errors
    /// When the guard itself cannot be started.
    pub fn start(
        guard: &Guard,
        command: &Command,
        stdout: Stdio,
        stderr: Stdio,
    ) -> Result<Self, SessionError> {
        let failed = |error: std::io::Error| SessionError::Start {
            program: command.program.clone(),
            reason: if command.folder.is_dir() {
                format!("its guard `{}` does not start: {error}", guard.0.display())
            } else {
                format!("its working folder `{}` is not a folder", command.folder.display())
            },
        };
        #[expect(clippy::disallowed_methods, reason = "this is the one place that may")]
        let mut child = tokio::process::Command::new(&guard.0)
            .arg("guard")
            .arg("--")
            .arg(&command.program)
            .args(&command.args)
            .env_clear()
            .envs(&command.env)
            .current_dir(&command.folder)
            .stdin(Stdio::piped())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .map_err(failed)?;
        let orders = child.stdin.take();
        Ok(Self { guard: child, orders, fed: false })
    }

    /// Hands over the program's input.
    async fn feed(&mut self, input: &[u8]) {
        let length = u64::try_from(input.len()).unwrap_or(u64::MAX).to_le_bytes();
        if let Some(pipe) = &mut self.orders {
            // A guard that is gone shows in its exit status; the broken pipe says nothing more.
            let _guard_is_gone = pipe.write_all(&length).await;
            let _guard_is_gone = pipe.write_all(input).await;
        }
        self.fed = true;
    }

    async fn order(&mut self, order: Order) {
        match &mut self.orders {
            Some(pipe) if self.fed => {
                let _guard_is_gone = pipe.write_all(&[order.byte()]).await;
            }
            // In the middle of the input a byte would be no order; closing the pipe ends the program as well.
            _ => self.orders = None,
        }
    }

    /// Asks the program to end and waits until nothing of it is left.
    pub async fn stop(mut self, with: StopWith, grace: Duration) {
        self.feed(&[]).await;
        let _reaped = self.end(with, grace).await;
    }

    /// Waits until the program has ended by itself and nothing of it is left. Cancelling the wait changes nothing.
    ///
    /// # Errors
    /// When the kernel does not say how it ended.
    pub async fn wait(&mut self) -> Result<Status, SessionError> {
        self.guard.wait().await.map(status).map_err(SessionError::Io)
    }

    /// Process number of the guard.
    pub fn guard_pid(&self) -> Option<u32> {
        self.guard.id()
    }

    async fn end(&mut self, with: StopWith, grace: Duration) -> std::io::Result<ExitStatus> {
        self.order(match with {
            StopWith::TerminateGroup => Order::Terminate,
            StopWith::InterruptLeader => Order::Interrupt,
        })
        .await;
        if let Ok(ended) = tokio::time::timeout(grace, self.guard.wait()).await {
            return ended;
        }
        self.order(Order::Kill).await;
        self.guard.wait().await
    }
}

/// Called with each line of stderr as it comes.
type OnLine<'a> = &'a mut (dyn FnMut(&str) + Send);

impl Command {
    /// Runs the program to its end. Cancelling the future, or `stop`, ends it and everything below it.
    ///
    /// # Errors
    /// When it could not be started, took too long, printed too much, or we are stopping. A non-zero exit status is no
    /// error here: it is in [`Finished`].
    pub async fn run(
        &self,
        guard: &Guard,
        stop: &CancellationToken,
        on_line: OnLine<'_>,
    ) -> Result<Finished, SessionError> {
        if stop.is_cancelled() {
            return Err(SessionError::Stopped);
        }
        let started = Instant::now();
        let mut running = Running::start(guard, self, Stdio::piped(), Stdio::piped())?;
        let (stdout, stderr) = (running.guard.stdout.take(), running.guard.stderr.take());
        let mut tail = Tail::new(self.stderr_tail);
        // Cancelled by the side that cannot go on: the readers, or the conductor who has lost the guard.
        let broken = CancellationToken::new();
        let conduct = self.conduct(running, stop, &broken);
        let read = async {
            let read = broken.run_until_cancelled(read_all(stdout, self.stdout_limit)).await;
            if let Some(Err(_)) = read {
                broken.cancel();
            }
            read.unwrap_or_else(|| Ok(Vec::new()))
        };
        let watch = broken.run_until_cancelled(read_lines(stderr, &mut tail, on_line));
        // Reading goes on while the program is being ended: without a reader it would die in the middle of its clean-up.
        let (outcome, stdout, _) = tokio::join!(conduct, read, watch);
        let (stdout, stderr) = (stdout?, tail.text());
        match outcome {
            Ok(status) => self.finished(status, stdout, stderr, started.elapsed()),
            Err(SessionError::TimedOut { after, .. }) => Err(SessionError::TimedOut { after, stderr }),
            Err(error) => Err(error),
        }
    }

    /// Feeds the program and waits for its end, or brings that about.
    async fn conduct(
        &self,
        mut running: Running,
        stop: &CancellationToken,
        broken: &CancellationToken,
    ) -> Result<Status, SessionError> {
        let by_itself = async {
            running.feed(&self.input).await;
            running.guard.wait().await
        };
        let interrupted = tokio::select! {
            ended = by_itself => Ok(ended),
            () = stop.cancelled() => Err((SessionError::Stopped, self.grace)),
            after = elapsed(self.timeout) => Err((SessionError::TimedOut { after, stderr: String::new() }, self.grace)),
            // What is wrong is for the reader to say.
            () = broken.cancelled() => Err((SessionError::Stopped, Duration::ZERO)),
        };
        let (ended, outcome) = match interrupted {
            Ok(ended) => (ended, Ok(())),
            Err((cause, grace)) => (running.end(self.stop_with, grace).await, Err(cause)),
        };
        let ended = ended.map_err(SessionError::Io)?;
        if ended.code().is_none() {
            // The guard was killed: nobody is left who ends what may still hold the output.
            broken.cancel();
        }
        outcome.map(|()| status(ended))
    }

    fn finished(
        &self,
        status: Status,
        stdout: Vec<u8>,
        stderr: String,
        elapsed: Duration,
    ) -> Result<Finished, SessionError> {
        match stderr.strip_prefix(START_FAILED) {
            Some(reason) if status == Status::Exited(CANNOT_START) => {
                Err(SessionError::Start { program: self.program.clone(), reason: reason.to_owned() })
            }
            _ => Ok(Finished { status, stdout, stderr, elapsed }),
        }
    }
}

/// What the guard's exit status says about its program.
fn status(guard: ExitStatus) -> Status {
    match guard.code().and_then(|code| u8::try_from(code).ok()) {
        Some(code) if code > 128 => Status::Signaled(code - 128),
        Some(code) => Status::Exited(code),
        // Somebody killed the guard itself.
        None => Status::Signaled(9),
    }
}

async fn elapsed(limit: Option<Duration>) -> Duration {
    match limit {
        Some(limit) => {
            tokio::time::sleep(limit).await;
            limit
        }
        None => std::future::pending().await,
    }
}

async fn read_all(pipe: Option<impl AsyncRead + Unpin>, limit: usize) -> Result<Vec<u8>, SessionError> {
    let mut bytes = Vec::new();
    let Some(pipe) = pipe else { return Ok(bytes) };
    let limit_plus_one = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    pipe.take(limit_plus_one).read_to_end(&mut bytes).await.map_err(SessionError::Io)?;
    if bytes.len() > limit { Err(SessionError::TooMuchOutput { limit }) } else { Ok(bytes) }
}

/// Longest piece of stderr that is handled as one line.
const LINE_LIMIT: u64 = 64 << 10;

async fn read_lines(pipe: Option<impl AsyncRead + Unpin>, tail: &mut Tail, on_line: OnLine<'_>) {
    let Some(pipe) = pipe else { return };
    let mut reader = BufReader::new(pipe);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader).take(LINE_LIMIT).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                let text = String::from_utf8_lossy(&line);
                let text = text.trim_end_matches(['\n', '\r']);
                tail.push(text);
                if !text.starts_with(START_FAILED) {
                    on_line(text);
                }
            }
        }
    }
}

/// The last lines of a stream, bounded in bytes.
#[derive(Debug)]
struct Tail {
    lines: VecDeque<String>,
    bytes: usize,
    limit: usize,
}

impl Tail {
    fn new(limit: usize) -> Self {
        Self { lines: VecDeque::new(), bytes: 0, limit }
    }

    fn push(&mut self, line: &str) {
        self.bytes += line.len() + 1;
        self.lines.push_back(line.to_owned());
        while self.bytes > self.limit && self.lines.len() > 1 {
            if let Some(oldest) = self.lines.pop_front() {
                self.bytes -= oldest.len() + 1;
            }
        }
    }

    fn text(self) -> String {
        Vec::from(self.lines).join("\n")
    }
}
