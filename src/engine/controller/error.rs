//! Why a run failed, for conditions, Events and metrics: one word and one sentence.

use std::time::Duration;

use super::{observe::ObserveError, plan::PlanError};
use crate::{
    cluster::{
        apply::{Refusal, WriteError},
        discovery::DiscoveryError,
    },
    engine::handler::HandlerError,
    object::{Gvk, ObjectRef},
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
    /// Whether its words may be those of the handler, or of values that it wanted.
    pub(super) fn may_quote(&self) -> bool {
        match self {
            Self::Handler(_) => true,
            Self::Execute(ExecuteError::Write(error)) => error.refusal() == Refusal::Invalid,
            _ => false,
        }
    }

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
    /// The CRD was changed while its objects were watched, which goes on as if nothing had happened.
    #[error("the status of {0} is written another way since its CustomResourceDefinition was changed")]
    KindChanged(Gvk),
    /// The object is gone; there may be another one of its name.
    #[error("{0} is gone, or another one by now")]
    Replaced(ObjectRef),
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
            Self::KindChanged(_) => "KindChanged",
            Self::Replaced(_) => "Replaced",
            Self::Look { .. } | Self::UnknownKind(_) => "WriteFailed",
        }
    }

    /// Whether the object is not there any more.
    pub(super) fn is_gone(&self) -> bool {
        match self {
            Self::Write(error) => error.refusal() == Refusal::NotFound,
            Self::Replaced(_) => true,
            _ => false,
        }
    }

    /// Whether looking again and deciding anew will do.
    pub(super) fn is_stale(&self) -> bool {
        match self {
            Self::Write(error) => error.refusal() == Refusal::Stale,
            Self::KindChanged(_) | Self::Replaced(_) => true,
            _ => false,
        }
    }
}
