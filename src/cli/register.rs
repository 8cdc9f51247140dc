//! Registering the CRDs of a config.

use std::time::Duration;

use crate::{
    cluster::crd,
    engine::{config::Config, controller::Shared},
};

/// How long to wait before the next try, when the API server does not take a CRD.
const REGISTER_PAUSE: Duration = Duration::from_secs(2);

/// Registers the config's CRDs. Waits for an API server that is not there yet, and leaves alone what it may not write:
/// the watches wait for kinds that are missing.
pub(super) async fn register(shared: &Shared, config: &Config) {
    for definition in &config.crds {
        while let Err(error) =
            crd::register(shared.discovery.client(), &definition.manifest, env!("CARGO_PKG_VERSION")).await
        {
            if error.is_forbidden() {
                tracing::warn!(crd = definition.source, "{error}; going on with what is registered");
                break;
            }
            tracing::warn!(crd = definition.source, "{error}; trying again");
            tokio::time::sleep(REGISTER_PAUSE).await;
        }
    }
}
