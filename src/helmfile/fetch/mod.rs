//! Sources: from the text of `source` to a folder with its content.
//!
//! [`Locator`] is the text, taken apart. [`Fetcher::resolve`] says what the source is now as a [`Revision`], cheaply, so
//! that nothing else needs to run while that stays the same. [`Fetcher::fetch`] makes the folder.
//!
//! Whoever can write to a source is not trusted with this machine: nothing in it is run here, links may not lead out of
//! it, and nothing of this machine or its user reaches the server but what the locator says.

mod attempt;
mod cache;
mod error;
mod fetcher;
mod git;
mod local;
mod locator;
mod revision;
mod tree;

pub use error::FetchError;
pub use fetcher::Fetcher;
pub use git::Trouble;
pub use locator::{Locator, LocatorError, SourceCredentials, SshCredentials};
pub use revision::Revision;
