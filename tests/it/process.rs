//! The promises of `helmfile_operator::process`, kept with real programs.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use helmfile_operator::process::{Command, Finished, Running, SessionError, Status, StopWith};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::support::{
    processes::{children, is_alive, wait_until_gone},
    tools::guard,
    wait::wait_until,
};

/// How long something may take that takes milliseconds on an idle machine.
const SOON: Duration = Duration::from_secs(30);

fn shell(script: &str) -> Command {
    let env = [("PATH", "/usr/local/bin:/usr/bin:/bin")];
    Command { timeout: Some(SOON), ..Command::new("/bin/sh", "/") }.args(["-c", script]).envs(env)
}

/// Runs a program that nobody stops.
async fn run(command: &Command) -> Result<Finished, SessionError> {
    command.run(&guard(), &CancellationToken::new(), &mut |_| {}).await
}

async fn finish(command: &Command) -> Finished {
    run(command).await.unwrap()
}

/// Runs a program and tells it to stop as soon as it has printed `ready` on stderr.
async fn run_until_ready(command: &Command) -> Result<Finished, SessionError> {
    let stop = CancellationToken::new();
    let mut on_line = |line: &str| {
        if line == "ready" {
            stop.cancel();
        }
    };
    command.run(&guard(), &stop, &mut on_line).await
}

/// A folder where a script leaves notes.
struct Notes(TempDir);

impl Notes {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A script that works in this folder.
    fn shell(&self, script: &str) -> Command {
        Command { folder: self.0.path().to_owned(), ..shell(script) }
    }

    fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.0.path().join(name)).ok().filter(|text| text.ends_with('\n'))
    }

    /// Process number that the script has written to the file, or will write soon.
    async fn pid(&self, name: &str) -> i32 {
        wait_until(&format!("the process number in `{name}`"), SOON, async || {
            self.read(name).map(|text| text.trim().parse().unwrap()).ok_or("not written".to_owned())
        })
        .await
    }
}

/// Starts a process that outlives the shell that runs this: `$!` is its number.
const IN_BACKGROUND: &str = "sleep 1000 & echo $! > background";
/// The same in a session of its own, after the process that started it has ended.
const AS_DAEMON: &str = "setsid sh -c 'sleep 1000 & echo $! > daemon'";

#[tokio::test]
async fn hands_over_input_and_returns_both_outputs() {
    let input: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
    let mut lines = Vec::new();
    let command = Command { input: input.clone(), ..shell("cat; echo one >&2; printf two >&2") };
    let mut on_line = |line: &str| lines.push(line.to_owned());
    let finished = command.run(&guard(), &CancellationToken::new(), &mut on_line).await.unwrap();
    assert!(finished.stdout == input, "{} bytes came back of {}", finished.stdout.len(), input.len());
    assert_eq!(finished.stderr, "one\ntwo");
    assert_eq!(lines, ["one", "two"]);
}

#[tokio::test]
async fn keeps_the_end_of_a_long_stderr() {
    let command =
        Command { stderr_tail: 100, ..shell("i=0; while [ $i -lt 1000 ]; do i=$((i+1)); echo $i >&2; done") };
    let stderr = finish(&command).await.stderr;
    assert!(stderr.ends_with("\n999\n1000") && stderr.len() < 100, "{stderr}");
}

#[tokio::test]
async fn reports_how_the_program_ended() {
    for (script, expected) in [
        ("exit 0", Status::Exited(0)),
        ("exit 7", Status::Exited(7)),
        ("exit 127", Status::Exited(127)),
        ("kill -TERM $$", Status::Signaled(15)),
        ("kill -KILL $$", Status::Signaled(9)),
        ("sh -c 'kill -INT $$'", Status::Signaled(2)),
    ] {
        assert_eq!(finish(&shell(script)).await.status, expected, "{script}");
    }
}

#[tokio::test]
async fn gives_exactly_these_arguments_and_variables_and_this_folder() {
    let env = [("A", "1"), ("EMPTY", ""), ("TWO_LINES", "x\ny")];
    let command = Command::new("/usr/bin/env", "/").envs(env).args(["-0"]);
    let printed = finish(&command).await.stdout;
    let variables: BTreeSet<_> =
        printed.split(|byte| *byte == 0).filter(|variable| !variable.is_empty()).collect();
    assert_eq!(variables, BTreeSet::from([b"A=1".as_slice(), b"EMPTY=", b"TWO_LINES=x\ny"]));

    let notes = Notes::new();
    let command = notes.shell(r#"pwd; printf '<%s>' "$@""#).args(["sh", "", "--", "a b", "$HOME\n*"]);
    let printed = String::from_utf8(finish(&command).await.stdout).unwrap();
    let folder = notes.0.path().canonicalize().unwrap();
    assert_eq!(printed, format!("{}\n<><--><a b><$HOME\n*>", folder.display()));
}

#[tokio::test]
async fn says_why_a_program_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str, mode: u32| -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    let plain = write("plain", "#!/bin/sh\n", 0o644);
    let interpreter = write("interpreter", "#!/no/such/shell\n", 0o755);
    let no_program = write("no-program", "echo hello\n", 0o755);
    for (program, expected) in [
        (folder.path().join("absent"), "No such file or directory"),
        (plain, "Permission denied"),
        (interpreter, "its first line names an interpreter that does not exist"),
        (no_program, "it is no program; a script begins with a line such as `#!/bin/sh`"),
    ] {
        let mut lines = Vec::new();
        let mut on_line = |line: &str| lines.push(line.to_owned());
        let command = Command::new(&program, folder.path());
        let error = command.run(&guard(), &CancellationToken::new(), &mut on_line).await.unwrap_err();
        let message = error.to_string();
        assert!(
            message.starts_with(&format!("failed to start `{}`: {expected}", program.display())),
            "{message}"
        );
        assert_eq!(lines, [] as [&str; 0], "the program has printed nothing");
    }
    let message = run(&Command::new("/bin/true", folder.path().join("gone"))).await.unwrap_err().to_string();
    assert!(message.contains("gone` is not a folder"), "{message}");
}

#[tokio::test]
async fn ends_a_program_that_takes_too_long() {
    let limit = Duration::from_millis(200);
    let command = Command { timeout: Some(limit), ..shell("echo slow >&2; sleep 1000") };
    let before = Instant::now();
    match run(&command).await.unwrap_err() {
        SessionError::TimedOut { after, stderr } => assert_eq!((after, stderr.as_str()), (limit, "slow")),
        other => panic!("{other}"),
    }
    assert!(before.elapsed() >= limit);
}

#[tokio::test]
async fn ends_a_program_that_ignores_sigterm() {
    let notes = Notes::new();
    let script = "trap '' TERM; echo $$ > self; echo ready >&2; while :; do sleep 1; done";
    let command = Command { grace: Duration::from_millis(200), ..notes.shell(script) };
    let error = run_until_ready(&command).await.unwrap_err();
    assert!(matches!(error, SessionError::Stopped), "{error}");
    assert!(!is_alive(notes.pid("self").await));
}

#[tokio::test]
async fn lets_a_program_finish_when_it_is_stopped() {
    // What it prints last must neither be lost nor kill it.
    let notes = Notes::new();
    let script =
        "clean() { echo cleaning; echo cleaning >&2; sleep 0.1; echo cleaned >&2; echo yes > clean; exit; }
        trap clean TERM; echo ready >&2; while :; do sleep 0.01; done";
    let stop = CancellationToken::new();
    let mut lines = Vec::new();
    let mut on_line = |line: &str| {
        stop.cancel();
        lines.push(line.to_owned());
    };
    let error = notes.shell(script).run(&guard(), &stop, &mut on_line).await.unwrap_err();
    assert!(matches!(error, SessionError::Stopped), "{error}");
    // SIGTERM went to the whole group; some shells say so of a `sleep`.
    lines.retain(|line| line != "Terminated");
    assert_eq!(lines, ["ready", "cleaning", "cleaned"]);
    assert_eq!(notes.read("clean").unwrap(), "yes\n");
}

#[tokio::test]
async fn interrupts_the_program_alone_when_asked_to() {
    let notes = Notes::new();
    let script = "(trap 'echo hit > child' INT TERM; while :; do sleep 0.01; done) &
        trap 'echo hit > self; exit' INT; trap 'echo wrong > self; exit' TERM; echo ready >&2; while :; do sleep 0.01; done";
    let command = Command { stop_with: StopWith::InterruptLeader, ..notes.shell(script) };
    run_until_ready(&command).await.unwrap_err();
    assert_eq!((notes.read("self").as_deref(), notes.read("child")), (Some("hit\n"), None));
}

#[tokio::test]
async fn can_stop_a_program_that_does_not_read_its_input() {
    let input = vec![b'x'; 4 << 20];
    let command =
        Command { input: input.clone(), timeout: Some(Duration::from_millis(300)), ..shell("sleep 1000") };
    let error = run(&command).await.unwrap_err();
    assert!(matches!(error, SessionError::TimedOut { .. }), "{error}");

    let command = Command { input: input.clone(), ..shell("echo ready >&2; sleep 1000") };
    let error = run_until_ready(&command).await.unwrap_err();
    assert!(matches!(error, SessionError::Stopped), "{error}");

    // And one that ends without reading has not failed.
    assert_eq!(finish(&Command { input, ..shell("exit 0") }).await.status, Status::Exited(0));
}

#[tokio::test]
async fn can_stop_a_program_that_has_closed_its_output() {
    let command = Command { timeout: Some(Duration::from_millis(300)), ..shell("exec >&- 2>&-; sleep 1000") };
    let error = run(&command).await.unwrap_err();
    assert!(matches!(error, SessionError::TimedOut { .. }), "{error}");
}

#[tokio::test]
async fn ends_a_program_that_prints_too_much() {
    let limit = 10_000;
    // The second one does not even end when nobody reads what it prints.
    for script in ["while :; do echo x; done", "trap '' PIPE TERM; while :; do echo x; done 2>/dev/null"] {
        let command = Command { stdout_limit: limit, ..shell(script) };
        let error = run(&command).await.unwrap_err();
        assert!(matches!(error, SessionError::TooMuchOutput { limit: 10_000 }), "{script}: {error}");
    }
    let command = Command { stdout_limit: limit, ..shell("printf '%10000s' x") };
    assert_eq!(finish(&command).await.stdout.len(), limit, "the limit itself is allowed");
}

#[tokio::test]
async fn leaves_nothing_behind_when_the_program_has_ended() {
    let notes = Notes::new();
    let finished = finish(&notes.shell(&format!("{IN_BACKGROUND}; {AS_DAEMON}; echo done"))).await;
    assert_eq!(finished.stdout, b"done\n", "and does not wait for those who still hold its output");
    for name in ["background", "daemon"] {
        assert!(!is_alive(notes.pid(name).await), "{name}");
    }
}

#[tokio::test]
async fn leaves_nothing_behind_when_the_program_was_stopped() {
    let notes = Notes::new();
    let script = format!("{IN_BACKGROUND}; {AS_DAEMON}; echo ready >&2; sleep 1000");
    run_until_ready(&notes.shell(&script)).await.unwrap_err();
    for name in ["background", "daemon"] {
        assert!(!is_alive(notes.pid(name).await), "{name}");
    }
}

#[tokio::test]
async fn leaves_nothing_behind_when_the_future_is_dropped() {
    let notes = Notes::new();
    // Does not go by itself either.
    let script =
        format!("trap '' TERM; {IN_BACKGROUND}; {AS_DAEMON}; echo $$ > self; while :; do sleep 1; done");
    let command = notes.shell(&script);
    let pids = tokio::select! {
        outcome = run(&command) => panic!("ended by itself: {outcome:?}"),
        pids = async { [notes.pid("background").await, notes.pid("daemon").await, notes.pid("self").await] } => pids,
    };
    wait_until_gone("the program", &pids, SOON).await;
}

#[tokio::test]
async fn leaves_nothing_behind_when_a_running_one_is_stopped_or_dropped() {
    let notes = Notes::new();
    let command = notes.shell(&format!("{IN_BACKGROUND}; {AS_DAEMON}; echo $$ > self; sleep 1000"));
    let start = || Running::start(&guard(), &command, Stdio::null(), Stdio::null()).unwrap();
    let pids = async || [notes.pid("background").await, notes.pid("daemon").await, notes.pid("self").await];

    let running = start();
    let first = pids().await;
    running.stop(StopWith::TerminateGroup, SOON).await;
    assert_eq!(first.map(is_alive), [false; 3]);

    for name in ["background", "daemon", "self"] {
        fs::remove_file(notes.0.path().join(name)).unwrap();
    }
    let running = start();
    let second = pids().await;
    drop(running);
    wait_until_gone("the program", &second, SOON).await;
}

#[tokio::test]
async fn leaves_nothing_behind_when_the_owner_is_killed() {
    let notes = Notes::new();
    fs::write(
        notes.0.path().join("program"),
        format!("trap '' TERM; {IN_BACKGROUND}; {AS_DAEMON}; echo $$ > self; while :; do sleep 1; done"),
    )
    .unwrap();
    // The owner is the left side: it holds the guard's pipe, and has said that the program's input is empty.
    let script = r#"(printf '\0\0\0\0\0\0\0\0'; exec sh -c 'echo $$ > owner; exec sleep 1000') |
        "$GUARD" guard -- /bin/sh program"#;
    let command = notes.shell(script).envs([("GUARD", guard().executable())]);
    let pids = async {
        let below = [notes.pid("background").await, notes.pid("daemon").await, notes.pid("self").await];
        assert_eq!(below.map(is_alive), [true; 3]);
        let owner = Pid::from_raw(notes.pid("owner").await).unwrap();
        kill_process(owner, Signal::KILL).unwrap();
        below
    };
    // Our own guard around all this would clean up as well, but only when the guard inside has ended; and that takes
    // its program with it.
    let (finished, pids) = tokio::join!(finish(&command), pids);
    assert_eq!(finished.status, Status::Signaled(9), "the guard inside had to kill its program");
    assert_eq!(pids.map(is_alive), [false; 3]);
}

#[tokio::test]
async fn returns_when_the_guard_itself_is_killed() {
    let notes = Notes::new();
    let command = notes.shell("echo $PPID > guard; echo $$ > self; exec sleep 60");
    let kill = async {
        let [guard, program] = [notes.pid("guard").await, notes.pid("self").await];
        assert_eq!(children(guard), [program]);
        kill_process(Pid::from_raw(guard).unwrap(), Signal::KILL).unwrap();
        program
    };
    let (finished, program) = tokio::join!(finish(&command), kill);
    assert_eq!(finished.status, Status::Signaled(9));
    // Nobody is left who could have ended the program.
    kill_process(Pid::from_raw(program).unwrap(), Signal::KILL).unwrap();
}
