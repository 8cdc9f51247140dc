//! What a delivered state depends on besides its source and its spec.
//!
//! A helmfile of local charts, plain values and pinned versions is *fixed*: as long as the revision of the source is the
//! same, so is all that it asks for, and nothing needs to run. [`look`] says what is against that. It can't know what
//! helmfile reads, so it takes everything that helmfile could read, and what it can't tell counts as not fixed. [`in_values`]
//! does that for values of the spec.
//!
//! - `look` walks through the files, `mention` says which of them matter.
//! - `judge` shares them out: `call` looks at templates, `state` at helmfiles, `dependency` at charts and kustomizations.
//! - `reason` is what is found, and how it is said.

mod call;
mod dependency;
mod judge;
mod look;
mod mention;
mod reason;
mod reference;
mod state;

pub use judge::in_values;
pub use look::look;
pub use reason::{Place, Reason, sentence};
