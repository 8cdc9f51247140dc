//! Registering the CRDs of a config.

use std::collections::VecDeque;

use crate::{
    cluster::crd,
    engine::{
        config::{Config, Crd},
        controller::Shared,
    },
};

/// CRDs that the API server does not have yet.
#[derive(Debug, Default)]
pub(super) struct Unregistered(VecDeque<Crd>);

impl Unregistered {
    /// Those of a config.
    pub(super) fn of(config: &Config) -> Self {
        Self(config.crds.iter().cloned().collect())
    }

    /// Whether there is nothing left to try.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Tries each once. What the API server refuses is told and left alone: the watches wait for kinds that are missing,
    /// whoever registers them. What did not work out stays to be tried again. Cancel-safe.
    pub(super) async fn register(&mut self, shared: &Shared) {
        for _ in 0..self.0.len() {
            let Some(definition) = self.0.front() else { return };
            let client = shared.discovery.client();
            let registered = crd::register(client, &definition.manifest, env!("CARGO_PKG_VERSION")).await;
            let source = definition.source.clone();
            let again = match registered {
                Ok(()) => false,
                Err(error) if error.is_refusal() => {
                    tracing::error!(crd = source, "{error}; going on with what is registered");
                    false
                }
                Err(error) => {
                    tracing::warn!(crd = source, "{error}; trying again");
                    true
                }
            };
            let tried = self.0.pop_front();
            self.0.extend(tried.filter(|_| again));
        }
    }
}
