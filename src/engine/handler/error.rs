//! Why a handler gave no usable reply.

use std::{path::PathBuf, time::Duration};

use reqwest::StatusCode;

use crate::{
    contract::ReplyError,
    duration::GoDuration,
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
    /// The service could not be called, or gave no reply.
    #[error("the hook at `{url}` {source}")]
    Http {
        /// Without user information and query; `url` when it is none.
        url: String,
        /// What happened.
        #[source]
        source: HttpError,
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

/// Why a call of a service gave no reply.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No URL that could be called.
    #[error("cannot be called: {0}")]
    Url(String),
    /// A file that proves who is who is of no use.
    #[error("cannot be called: `{}` {problem}", .file.display())]
    Certificate {
        /// Which one.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// There is nothing to tell by whom to trust.
    #[error("cannot be called: {0}; name its authority with `tls.caCertFile`")]
    NoAuthorities(String),
    /// No connection, or none that can be trusted.
    #[error("could not be reached: {0}")]
    Unreachable(String),
    /// The connection ended before the answer did.
    #[error("broke off before the end of its answer: {0}")]
    BrokeOff(String),
    /// It took too long.
    #[error("took longer than {}", GoDuration(*.after))]
    TimedOut {
        /// The limit.
        after: Duration,
    },
    /// We are stopping.
    #[error("was not waited for, since the operator is stopping")]
    Stopped,
    /// Another status than 200.
    #[error("answered {status}{}{said}", if .said.is_empty() { "; only 200 is a success" } else { ": " })]
    Answered {
        /// Which one.
        status: StatusCode,
        /// The first line of the body.
        said: String,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// The service is somewhere else.
    #[error("answered {status}: it is at `{to}`, and redirects are not followed; correct its `url`")]
    Redirected {
        /// Which status.
        status: StatusCode,
        /// Where, without user information and query.
        to: String,
    },
    /// It said too much.
    #[error("answered with more than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
}

impl HttpError {
    const fn reason(&self) -> &'static str {
        match self {
            Self::Url(_) | Self::Certificate { .. } | Self::NoAuthorities(_) | Self::Redirected { .. } => {
                "HookUnusable"
            }
            Self::Unreachable(_) | Self::BrokeOff(_) => "HookUnreachable",
            Self::TimedOut { .. } => "HookTimedOut",
            Self::Stopped => "HookNotRun",
            Self::Answered { .. } => "HookFailed",
            Self::TooLarge { .. } => "HookOutputTooLarge",
        }
    }
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
            Self::Http { source, .. } => source.reason(),
            Self::Reply(_) => "BadReply",
            Self::Template(_) => "TemplateFailed",
        }
    }

    /// Whether it happened only because the operator is stopping.
    pub const fn is_shutdown(&self) -> bool {
        matches!(
            self,
            Self::Session { source: SessionError::Stopped, .. }
                | Self::Http { source: HttpError::Stopped, .. }
        )
    }

    /// When the hook wants to be asked again, if it said so: at most an hour.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Http { source: HttpError::Answered { retry_after, .. }, .. } => *retry_after,
            _ => None,
        }
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
