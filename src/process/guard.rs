//! The guard process: the parent of one program, and the end of everything below it.
//!
//! Plain threads and blocking calls: this process does nothing but wait.
//!
//! Its standard input is the owner's pipe: eight bytes (little-endian length), that many bytes for the program's own
//! standard input, then one byte per order (see [`Order`]). End of file means that the owner is gone.

use std::{
    ffi::OsString,
    io::{self, Read, Write},
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::Path,
    process::{ChildStdin, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    process::{Pid, Signal, WaitOptions},
};

use crate::exit::Exit;

/// What the owner can ask for after the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// SIGINT to the program alone, which passes it on as it likes (helmfile does).
    Interrupt,
    /// SIGTERM to the program and its process group.
    Terminate,
    /// SIGKILL to everything.
    Kill,
}

impl Order {
    /// The byte on the pipe.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Interrupt => b'i',
            Self::Terminate => b't',
            Self::Kill => b'k',
        }
    }

    const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            b'i' => Some(Self::Interrupt),
            b't' => Some(Self::Terminate),
            b'k' => Some(Self::Kill),
            _ => None,
        }
    }
}

/// Exit status of the guard when the program could not be started; with [`START_FAILED`] before the reason on stderr.
pub const CANNOT_START: u8 = 127;
/// Marks the guard's own message on stderr, so that it cannot be taken for the program's.
pub const START_FAILED: &str = "\u{1}guard: ";
/// How long the program may take to end by itself after its owner has gone.
const ORPHAN_GRACE: Duration = Duration::from_secs(2);

enum Happening {
    Order(Order),
    OwnerGone,
    Ended,
}

/// Runs `program` with `args` until it ends or its owner says so, then ends whatever it has left behind.
///
/// Exits with the program's status, or 128 plus the number of the signal that ended it.
pub fn main(program: &OsString, args: &[OsString]) -> Exit {
    // Out of the terminal's reach: Ctrl-C goes to the owner, who decides. Fails only when we lead a group already.
    let _already_a_leader = rustix::process::setsid();
    // From now on orphans below us become our children, so that none can escape.
    let _unsupported_kernel = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    let mut command = build(program, args);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            let _nobody_listens = write!(io::stderr(), "{START_FAILED}{}", why(program, &error));
            return Exit::Other(CANNOT_START);
        }
    };
    let input = child.stdin.take();
    let leader = Pid::from_child(&child);
    let (tell, hear) = mpsc::channel();
    let orders = tell.clone();
    thread::spawn(move || listen(input, &orders));
    thread::spawn(move || {
        let status = child.wait();
        let _main_waits = tell.send((Happening::Ended, status.ok()));
    });
    let status = wait_for_end(leader, &hear);
    end_everything(leader);
    status.map_or(Exit::Failed, |status| match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Other(u8::try_from(code).unwrap_or(1)),
        (None, Some(signal)) => Exit::Signal(u8::try_from(signal).unwrap_or(9)),
        (None, None) => Exit::Failed,
    })
}

/// The kernel's reason, in words that name what has to be changed.
fn why(program: &OsString, error: &io::Error) -> String {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOENT) if Path::new(program).exists() => {
            format!("its first line names an interpreter that does not exist ({error})")
        }
        Some(Errno::NOEXEC) => {
            format!("it is no program; a script begins with a line such as `#!/bin/sh` ({error})")
        }
        _ => error.to_string(),
    }
}

#[expect(clippy::disallowed_methods, reason = "the guard is what process::Session runs programs with")]
fn build(program: &OsString, args: &[OsString]) -> Command {
    let mut command = Command::new(program);
    // A group of its own, so that a SIGTERM to the group spares the guard.
    command.args(args).stdin(Stdio::piped()).process_group(0);
    command
}

type Message = (Happening, Option<std::process::ExitStatus>);

fn wait_for_end(leader: Pid, hear: &mpsc::Receiver<Message>) -> Option<std::process::ExitStatus> {
    let mut deadline: Option<Instant> = None;
    loop {
        let message = match deadline {
            None => hear.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected),
            Some(at) => hear.recv_timeout(at.saturating_duration_since(Instant::now())),
        };
        match message {
            Ok((Happening::Ended, status)) => return status,
            Ok((Happening::Order(Order::Interrupt), _)) => signal_one(leader, Signal::INT),
            Ok((Happening::Order(Order::Terminate), _)) => signal_group(leader, Signal::TERM),
            Ok((Happening::OwnerGone, _)) => {
                signal_group(leader, Signal::TERM);
                deadline = Some(Instant::now() + ORPHAN_GRACE);
            }
            Ok((Happening::Order(Order::Kill), _)) | Err(mpsc::RecvTimeoutError::Timeout) => {
                deadline = None;
                signal_group(leader, Signal::KILL);
                // In case it has moved to another group.
                signal_one(leader, Signal::KILL);
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => return None,
        }
    }
}

/// Takes the input off the owner's pipe, then turns bytes into orders until the owner closes it.
///
/// A program that does not read its input must not keep us from hearing orders, so it is fed by a thread of its own.
fn listen(input: Option<ChildStdin>, orders: &mpsc::Sender<Message>) {
    let mut owner = io::stdin().lock();
    let mut length = [0; 8];
    if owner.read_exact(&mut length).is_ok() {
        let mut payload = Vec::new();
        let _cut_short = owner.by_ref().take(u64::from_le_bytes(length)).read_to_end(&mut payload);
        thread::spawn(move || {
            if let Some(mut pipe) = input {
                let _not_read_by_the_program = pipe.write_all(&payload);
            }
        });
        for order in owner.bytes().map_while(Result::ok).filter_map(Order::from_byte) {
            let _main_is_done = orders.send((Happening::Order(order), None));
        }
    }
    let _main_is_done = orders.send((Happening::OwnerGone, None));
}

/// SIGKILL to the program's group and to every process below us, until there is none.
fn end_everything(leader: Pid) {
    signal_group(leader, Signal::KILL);
    loop {
        // Children that put themselves in other groups or sessions are still below us.
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some(_)) => {}
            Ok(None) => {
                for pid in descendants() {
                    signal_one(pid, Signal::KILL);
                }
                thread::sleep(Duration::from_millis(1));
            }
            Err(_no_child_left) => return,
        }
    }
}

/// All processes below this one, from the parent numbers in /proc.
fn descendants() -> Vec<Pid> {
    let parents: Vec<(i32, i32)> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            // The command name is in parentheses and may hold anything; state and parent follow the last one.
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            Some((pid, parent))
        })
        .collect();
    let mut below = vec![rustix::process::getpid().as_raw_nonzero().get()];
    let mut next = 0;
    while let Some(parent) = below.get(next).copied() {
        below.extend(parents.iter().filter(|(_, its)| *its == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    below.into_iter().skip(1).filter_map(Pid::from_raw).collect()
}

fn signal_one(pid: Pid, signal: Signal) {
    let _gone_already = rustix::process::kill_process(pid, signal);
}

fn signal_group(leader: Pid, signal: Signal) {
    let _gone_already = rustix::process::kill_process_group(leader, signal);
}
