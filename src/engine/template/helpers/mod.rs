//! The helpers: one table with an example for each. [`helper`] says what a row is and how one is called.

mod collections;
mod encoding;
mod helper;
mod logic;
mod numbers;
mod table;
mod text;
mod values;

pub use helper::Helper;
pub use table::{EXAMPLE_STATE, GROUPS, Group};
pub(super) use table::{find, names, register};
pub(super) use values::BYTES;
