//! The applier's side of the helm front: for one run of helmfile it hears of every call of helm, and answers.
//!
//! - `serve`: the socket; `answer`: what each call gets;
//! - `compare`: `helm diff upgrade`, here, with one look at the cluster for all releases; `renders` remembers what needs no
//!   rendering;
//! - `gate`: whether a release may be touched, and the record of that before it is;
//! - `find`: `helm list` of one release;
//! - `repository`: `helm repo add` with a password that is in no argument;
//! - `slots`: how many helm processes run at once on this machine;
//! - `versions`: what helm says of itself;
//! - `heard`: what became of each release.

mod answer;
mod compare;
mod find;
mod gate;
mod heard;
mod renders;
mod repository;
mod serve;
mod slots;
mod versions;

pub(crate) use answer::{Mode, Session, Setting};
pub(crate) use compare::in_place;
pub(crate) use heard::{Heard, Objection};
pub(crate) use renders::Renders;
pub(crate) use slots::Slots;
