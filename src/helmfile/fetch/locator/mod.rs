//! Where a helmfile comes from: the text of `source`, taken apart. Pure.
//!
//! ```text
//! git::https://[user[:password]@]host[:port]/repository[//folder][@helmfile][?ref=…&depth=…]
//! git::ssh://[user@]host[:port]/repository…     git::user@host:repository…     git::file:///repository…
//! ./folder[//folder][@helmfile]                 /folder…                       ../folder…
//! ```
//!
//! `//folder` is the part of the source that counts, `@helmfile` the helmfile in it (a file or a folder). Both may be
//! percent-encoded, so that names with `@`, `?` or `%` can be written; the repository's own path is handed to Git as
//! it stands.

mod authority;
mod credentials;
mod error;
mod model;
mod parse;
mod path;
mod print;
mod reference;
#[cfg(test)]
mod tests;

pub use credentials::{SourceCredentials, SshCredentials};
pub use error::LocatorError;
pub use model::Locator;
pub(super) use model::{Credentials, Place, Remote, Repository, Transport};
pub(super) use reference::Reference;
