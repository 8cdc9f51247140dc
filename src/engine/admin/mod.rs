//! The admin server: is it alive, is it ready, what does it do, and why.
//!
//! | path | answer |
//! |---|---|
//! | `/healthz` | always 200 while the process lives |
//! | `/readyz` | 200, or 503 with one line per thing that is missing; `?verbose` shows them all |
//! | `/metrics` | counters and histograms; docs/metrics.md |
//! | `/debug/whitebox` | entries, watches and queues; JSON |
//! | `/debug/whitebox/objects/KIND/NAMESPACE/NAME` | one object and its last runs; JSON; without NAMESPACE for cluster-scoped ones |
//!
//! It listens on all addresses, since the kubelet asks the pod's IP for its health. What is below `/debug` tells of
//! objects, and is answered to peers on this machine alone (a port-forward is one) unless the config says otherwise.

mod address;
mod health;
mod server;
mod sources;
mod whitebox;

pub use address::{Address, AddressError, DEFAULT_PORT};
pub use health::Readiness;
pub use server::serve;
pub use sources::Sources;
