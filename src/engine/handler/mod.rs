//! Calling handlers: state in, reply out.

mod clients;
mod error;
mod exec;
mod http;
mod progress;

use std::time::Duration;

pub use clients::HttpClients;
pub use error::{HandlerError, HttpError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    contract::{Progress, Reply, ReplyFormat, State},
    engine::config::{Entry, Handler},
    environment::Environment,
    object::{Gvk, ObjectRef},
    process::Guard,
};

/// What handlers need of the world.
#[derive(Debug, Clone)]
pub struct Runtime {
    /// Runs programs.
    pub guard: Guard,
    /// The operator's environment, which programs inherit.
    pub env: Environment,
    /// Ends running programs and calls.
    pub stop: CancellationToken,
    /// Calls services.
    pub http: HttpClients,
}

/// A reply and what it took to get it.
#[derive(Debug)]
pub struct Answer {
    /// The reply.
    pub reply: Reply,
    /// How long the handler took.
    pub elapsed: Duration,
    /// The end of what it printed on stderr.
    pub stderr: String,
}

/// Hears each line that a handler prints on stderr, when it is printed.
pub type OnLine<'l> = &'l mut (dyn FnMut(&str) + Send);

/// Calls one of the entry's handlers. What it reports on the way goes to `progress`, and what it prints to `on_line`.
///
/// # Errors
/// When the handler fails or says something that the contract does not know.
pub async fn call(
    handler: &Handler,
    entry: &Entry,
    object: &ObjectRef,
    state: &State,
    runtime: &Runtime,
    progress: mpsc::Sender<Progress>,
    on_line: OnLine<'_>,
) -> Result<Answer, HandlerError> {
    match handler {
        Handler::Exec(exec) => exec::call(exec, &entry.name, object, state, runtime, progress, on_line).await,
        Handler::Http(http) => http::call(http, &entry.name, object, state, runtime).await,
        Handler::Template(template) => {
            let started = std::time::Instant::now();
            let text = template.render(state)?;
            let kinds: Vec<Gvk> = entry.dependents.iter().map(|kind| kind.gvk.clone()).collect();
            let reply = Reply::parse(text.as_bytes(), ReplyFormat::Template(&kinds))?;
            Ok(Answer { reply, elapsed: started.elapsed(), stderr: String::new() })
        }
    }
}
