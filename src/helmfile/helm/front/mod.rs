//! The helm front: what helmfile takes for helm (`--helm-binary`) while the applier runs it.
//!
//! It is this executable under the name `helm`, and does next to nothing by itself: it tells the applier, over a socket in the
//! workspace of the run, how it was called ([`Asked`]), and does what it is [`Told`]: print an answer and end, or become the
//! real helm. So the applier knows of each release before helm touches it, asks the cluster once for what a hundred
//! helm processes would ask each, and helm's own signals, output and exit status stay helm's own.

mod client;
mod command;
mod wire;

pub use client::main;
pub use command::{Command, Malformed, classify};
pub use wire::{Asked, Foreign, SOCKET, Told, in_folder};

/// The name under which the executable is the front.
pub const NAME: &str = "helm";
/// Names the folder of the socket, for the front.
pub const ENV_SESSION: &str = "HELMFILE_OPERATOR_SESSION";
