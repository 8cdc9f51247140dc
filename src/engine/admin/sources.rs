//! What the admin server tells of.

use std::sync::Arc;

use super::health::Readiness;
use crate::{
    clock::Clock,
    engine::record::{Journal, view::Insight},
    telemetry::metrics::Metrics,
};

/// What the server tells of.
pub struct Sources {
    /// The controllers.
    pub insight: Arc<dyn Insight>,
    /// Their last runs.
    pub journal: Journal,
    /// The counters.
    pub metrics: Metrics,
    /// What is missing beside watches.
    pub readiness: Readiness,
    /// Time.
    pub clock: Clock,
    /// The program's version.
    pub version: &'static str,
    /// Whether `/debug` answers to anybody, and not only to this machine.
    pub expose_debug: bool,
}
