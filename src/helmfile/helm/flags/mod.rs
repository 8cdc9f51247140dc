//! The command line of `helm diff upgrade`: the flags of helm-diff that helmfile passes, and those of `helm template`.
//!
//! Read by hand rather than by clap, since it is somebody else's command line: Go's rules for flags, an exit status of 1
//! for mistakes (2 means "changed" here), unknown flags that may be ignored, and most of it handed on as it is.

mod args;
mod parse;
mod reader;
mod table;
#[cfg(test)]
mod tests;

pub use args::{DryRun, OldValues, UpgradeArgs};
pub use parse::{Asked, FlagError, parse};
