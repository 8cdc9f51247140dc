//! Why a run failed, for conditions, Events and metrics: one word and one sentence.

use std::time::Duration;

use super::{observe::ObserveError, plan::PlanError};
use crate::{
    cluster::{
        apply::{Refusal, WriteError},
        discovery::DiscoveryError,
    },
    engine::handler::HandlerError,
    object::ObjectRef,
};

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    #[error(transparent)]
    Observe(#[from] ObserveError),
    #[error(transparent)]
    Handler(#[from] HandlerError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Execute(#[from] ExecuteError),
}

impl From<DiscoveryError> for RunError {
    fn from(error: DiscoveryError) -> Self {
        Self::Observe(error.into())
    }
}

impl RunError {
    /// For how long the handler itself wants to be left alone.
    pub(super) fn asked_pause(&self) -> Duration {
        match self {
            Self::Handler(error) => error.retry_after().unwrap_or_default(),
            _ => Duration::ZERO,
        }
    }

    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Observe(ObserveError::Kind(_)) => "KindUnavailable",
            Self::Observe(ObserveError::Reference(_)) => "ReferenceUnavailable",
            Self::Handler(error) => error.reason(),
            Self::Plan(_) => "ReplyRefused",
            Self::Execute(error) => error.reason(),
        }
    }
}

/// Why a plan was not carried out to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExecuteError {
    /// A write was refused.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Somebody else has an object of that name.
    #[error("{object} exists and is not ours: {owner}; delete it or choose another name")]
    NotOurs { object: ObjectRef, owner: String },
    /// It could not be checked whether an object exists.
    #[error("failed to look for {object}: {reason}")]
    Look { object: ObjectRef, reason: String },
    /// A step names a kind that the entry does not have: a bug in the planner.
    #[error("the plan writes {0}, whose kind this entry does not declare")]
    UnknownKind(ObjectRef),
}

impl ExecuteError {
    /// One word for conditions and Events.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Write(error) => match error.refusal() {
                Refusal::FieldConflict => "FieldConflict",
                Refusal::Stale => "Conflict",
                Refusal::Forbidden => "Forbidden",
                Refusal::Invalid => "Invalid",
                Refusal::NotFound | Refusal::Exists | Refusal::Other => "WriteFailed",
            },
            Self::NotOurs { .. } => "NotOurs",
            Self::Look { .. } | Self::UnknownKind(_) => "WriteFailed",
        }
    }

    /// Whether the object is not there any more.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self, Self::Write(error) if error.refusal() == Refusal::NotFound)
    }

    /// Whether looking again and deciding anew will do.
    pub(super) fn is_stale(&self) -> bool {
        matches!(self, Self::Write(error) if error.refusal() == Refusal::Stale)
    }
}
