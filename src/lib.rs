//! `helmfile-operator`: a generic controller engine and, as its bundled configuration, continuous delivery of helmfiles.
//!
//! Two wings that never import each other:
//!
//! - [`engine`] runs the handlers of a config file for objects of any kind. It knows nothing of helmfiles.
//! - [`helmfile`] is one handler: it makes the cluster equal to a helmfile. It knows of the engine only [`contract`],
//!   the language that every handler speaks.
//!
//! Below them: [`cluster`] (the API server), [`process`] (other programs), [`telemetry`] (logs), and a few small modules
//! without dependencies. [`cli`] puts the wings together. ARCHITECTURE.md has the picture and the rules, which
//! `tests/it/architecture.rs` checks.

pub mod atomic;
pub mod causes;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod contract;
pub mod digest;
pub mod duration;
pub mod engine;
pub mod environment;
pub mod exit;
pub mod helmfile;
pub mod object;
pub mod process;
pub mod redact;
pub mod shutdown;
pub mod suggest;
pub mod supervise;
pub mod telemetry;
pub mod yaml;
