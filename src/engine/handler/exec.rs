//! Handlers that are programs.

use std::collections::BTreeMap;

use tokio::sync::mpsc;

use super::{Answer, HandlerError, OnLine, Runtime, progress::ProgressPipe};
use crate::{
    contract::{Progress, Reply, ReplyFormat, State},
    engine::config::{Exec, Program},
    environment,
    object::{self, ObjectRef},
    process::{self, Command, SessionError},
};

/// The most a hook may print on stdout, in bytes.
const STDOUT_LIMIT: usize = 16 << 20;

pub(super) async fn call(
    exec: &Exec,
    entry: &str,
    object: &ObjectRef,
    state: &State,
    runtime: &Runtime,
    progress: mpsc::Sender<Progress>,
    on_line: OnLine<'_>,
) -> Result<Answer, HandlerError> {
    let prepare = |problem: &dyn std::fmt::Display| HandlerError::Prepare(problem.to_string());
    let (program, name) = match &exec.program {
        Program::Own => (runtime.guard.executable().to_owned(), env!("CARGO_PKG_NAME")),
        Program::Named(name) => {
            (process::resolve(name, environment::path(&runtime.env), &exec.base)?, name.as_str())
        }
    };
    let input = serde_json::to_vec(state).map_err(|error| prepare(&error))?;
    let mut pipe = ProgressPipe::create().map_err(|error| prepare(&error))?;
    if exec.debug {
        tracing::info!(entry, %object, state = %String::from_utf8_lossy(&input), "hook is given");
    }
    let mut command = Command::new(program, &exec.folder).args(&exec.args).envs(&runtime.env);
    command = command.envs(facts(state)).envs([("HOOK_PROGRESS", pipe.path())]).envs(&exec.env);
    command.input = input;
    command.timeout = exec.timeout;
    command.grace = exec.grace;
    command.stdout_limit = STDOUT_LIMIT;
    let mut on_line = |line: &str| {
        log(entry, object, line);
        on_line(line);
    };
    let run = command.run(&runtime.guard, &runtime.stop, &mut on_line);
    let finished = hear(run, &mut pipe, &progress, entry).await;
    let finished = finished
        .map_err(|source: SessionError| HandlerError::Session { command: name.to_owned(), source })?;
    if exec.debug {
        tracing::info!(entry, %object, reply = %String::from_utf8_lossy(&finished.stdout), "hook replied");
    }
    if !finished.status.success() {
        let stderr = finished.stderr;
        return Err(HandlerError::Failed { command: name.to_owned(), status: finished.status, stderr });
    }
    let reply = Reply::parse(&finished.stdout, ReplyFormat::Program)?;
    Ok(Answer { reply, elapsed: finished.elapsed, stderr: finished.stderr })
}

/// Waits for the hook's end and passes on what it reports until then.
async fn hear<T>(
    run: impl Future<Output = T>,
    pipe: &mut ProgressPipe,
    progress: &mpsc::Sender<Progress>,
    entry: &str,
) -> T {
    let mut waiting: Option<Progress> = None;
    tokio::pin!(run);
    let ended = loop {
        tokio::select! {
            ended = &mut run => break ended,
            line = pipe.next() => merge(&mut waiting, line, entry),
            place = progress.reserve(), if waiting.is_some() => {
                // Without a place nobody listens any more.
                if let (Ok(place), Some(report)) = (place, waiting.take()) {
                    place.send(report);
                }
            }
        }
    };
    for line in pipe.rest() {
        merge(&mut waiting, line, entry);
    }
    if let Some(report) = waiting {
        let _nobody_listens_any_more = progress.send(report).await;
    }
    ended
}

/// A line of stderr is a log line; how it begins says how much it matters.
fn log(entry: &str, object: &ObjectRef, line: &str) {
    match line.split_once(": ") {
        Some(("error" | "warning", text)) => tracing::warn!(target: "hook", entry, %object, "{text}"),
        Some(("debug", text)) => tracing::debug!(target: "hook", entry, %object, "{text}"),
        _ => tracing::info!(target: "hook", entry, %object, "{line}"),
    }
}

/// The most Events of one run that wait for the API server.
const EVENTS: usize = 100;

/// Lines that come faster than they can be written become one: the newest status, and all Events.
fn merge(waiting: &mut Option<Progress>, line: Result<Progress, String>, entry: &str) {
    match line {
        Ok(line) => {
            let waiting = waiting.get_or_insert_default();
            waiting.status = line.status.or(waiting.status.take());
            waiting.events.extend(line.events);
            waiting.events.truncate(EVENTS);
        }
        Err(problem) => tracing::warn!(entry, problem, "ignoring a line on $HOOK_PROGRESS"),
    }
}

/// The facts that let a trivial hook do without a JSON parser.
fn facts(state: &State) -> BTreeMap<&'static str, String> {
    let text = |pointer: &str| {
        state.object.pointer(pointer).and_then(|value| value.as_str()).unwrap_or_default().to_owned()
    };
    let trigger = state.triggers.first().map(|trigger| format!("{:?}", trigger.kind_of)).unwrap_or_default();
    BTreeMap::from([
        ("OBJECT_API_VERSION", text("/apiVersion")),
        ("OBJECT_KIND", text("/kind")),
        ("OBJECT_NAME", object::name(&state.object).to_owned()),
        ("OBJECT_NAMESPACE", object::namespace(&state.object).unwrap_or_default().to_owned()),
        ("OBJECT_UID", text("/metadata/uid")),
        ("TRIGGER", trigger),
        ("ATTEMPT", state.attempt.to_string()),
    ])
}
