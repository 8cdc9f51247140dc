//! Why a handler gave no usable reply.

use crate::{
    contract::ReplyError,
    engine::template::TemplateError,
    process::{ProgramError, SessionError, Status},
};

/// Why a handler gave no usable reply.
#[derive(Debug, thiserror::Error)]
pub enum HandlerError {
    /// The hook cannot be run.
    #[error("the hook {0}")]
    Program(#[from] ProgramError),
    /// The hook was started but did not get to its own end.
    #[error("the hook `{command}` {source}")]
    Session {
        /// As written in the config.
        command: String,
        /// What happened.
        #[source]
        source: SessionError,
    },
    /// The hook said that it failed.
    #[error("the hook `{command}` {}{}", ended(*.status), said(.stderr))]
    Failed {
        /// As written in the config.
        command: String,
        /// How it ended.
        status: Status,
        /// The end of what it printed on stderr.
        stderr: String,
    },
    /// The hook's reply makes no sense.
    #[error(transparent)]
    Reply(#[from] ReplyError),
    /// The template could not be rendered.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The state could not be handed over.
    #[error("failed to prepare the run of the hook: {0}")]
    Prepare(String),
}

impl HandlerError {
    /// One word for conditions, Events and metrics.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Program(_) => "HookUnusable",
            Self::Session { source: SessionError::TimedOut { .. }, .. } => "HookTimedOut",
            Self::Session { source: SessionError::TooMuchOutput { .. }, .. } => "HookOutputTooLarge",
            Self::Session { .. } | Self::Prepare(_) => "HookNotRun",
            Self::Failed { .. } => "HookFailed",
            Self::Reply(_) => "BadReply",
            Self::Template(_) => "TemplateFailed",
        }
    }

    /// Whether it happened only because the operator is stopping.
    pub const fn is_shutdown(&self) -> bool {
        matches!(self, Self::Session { source: SessionError::Stopped, .. })
    }
}

fn ended(status: Status) -> String {
    match status {
        Status::Exited(code) => format!("failed with exit status {code}"),
        Status::Signaled(number) => format!("was ended by signal {number}"),
    }
}

/// The last thing a hook printed on stderr is usually why it failed.
fn said(stderr: &str) -> String {
    let last = stderr.lines().rev().find(|line| !line.trim().is_empty());
    let text = |line: &str| line.trim().trim_start_matches("error: ").chars().take(300).collect::<String>();
    last.map_or_else(String::new, |line| format!(": {}", text(line)))
}
