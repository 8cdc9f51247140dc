//! The applier: makes the cluster equal to one helmfile.
//!
//! [`Applier::pass`] walks one pass, from the top of this list to its end:
//!
//! - `subject`: what is asked for, and what is remembered;
//! - `decide`: whether there is anything to do, from the source's revision and the digest of all `inputs`;
//! - `workspace`: a private folder with a copy of the source, `values`, `plugins`, a kubeconfig;
//! - `command` and `run`: the real helmfile in an environment made from nothing;
//! - `outcome`: what its exit status and its error output mean;
//! - `inventory`: which releases there are;
//! - `status`: what the object says of it.
//!
//! Pure, and tested as tables: `decide`, `inputs`, `values`, `command`, `outcome`, `status`.

mod answer;
mod book;
mod command;
mod decide;
mod delivery;
mod equipment;
mod error;
mod inputs;
mod inventory;
mod observer;
mod outcome;
mod pass;
mod plugins;
mod run;
mod session;
mod source_files;
mod status;
mod subject;
mod tree;
mod values;
mod workspace;

pub use answer::{Answer, Stopped, Verdict};
pub use equipment::Applier;
pub use observer::{Observer, Said};
pub use subject::{Subject, key};
