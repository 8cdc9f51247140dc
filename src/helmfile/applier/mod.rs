//! The applier: makes the cluster equal to one helmfile.
//!
//! [`Applier::pass`] walks one pass, from the top of this list to its end:
//!
//! - `subject`: what is asked for, and what is remembered;
//! - `prepare`: values, variables and credentials, the source's revision, and the digest of all these `inputs`;
//! - `decide`: whether there is anything to do;
//! - `depends`: what has to be Ready first;
//! - `filled`: a private `workspace` with a copy of the source, `values`, `plugins`, a kubeconfig;
//! - `stage`: that, a claim (Lease) and the record (`book`);
//! - `recover`: what a run that was killed has left;
//! - `command`, `run` and `session`: the real helmfile in an environment made from nothing, with the front before helm;
//! - `outcome`: what its exit status and its error output mean;
//! - `delivery`: all of that in order, and `prune`: what has left the helmfile;
//! - `inventory`: which releases and objects there are, `look`: how they are, `drift`: whether somebody has changed them;
//! - `status`: what the object says of it;
//! - `memory`: the status where there is no object;
//! - `farewell` and `destroy`: the other way, when the object is being deleted.
//!
//! Pure, and tested as tables: `decide`, `inputs`, `prune`, `command`, `outcome`, `status`.

mod answer;
mod book;
mod command;
mod decide;
mod delivery;
mod depends;
mod destroy;
mod drift;
mod equipment;
mod error;
mod farewell;
mod filled;
mod inputs;
mod inventory;
mod link;
mod look;
mod memory;
mod observer;
mod outcome;
mod pass;
mod plugins;
mod prepare;
mod prune;
mod recover;
mod run;
mod session;
mod source_files;
mod stage;
mod status;
mod subject;
mod tree;
mod values;
mod workspace;

pub use answer::{Answer, Stopped, Verdict};
pub use equipment::Applier;
pub use error::PassError;
pub use observer::{Observer, Said};
pub use subject::{Memory, Subject, Unreadable, key};
