//! What a Helmfile takes from `ConfigMaps` and Secrets of its namespace, and from files of values elsewhere.
//!
//! [`gather`] reads each object once per pass, and makes [`Inputs`] of them. Whatever goes wrong is said with the place in
//! the spec that names the object, and never with its content. [`watches`] names the objects whose changes are to start a
//! pass, whether they are there or not.

mod credentials;
mod decrypt;
mod error;
mod files;
mod gather;
mod kubeconfig;
mod merge;
mod model;
mod objects;
mod read;
mod references;
mod registries;
mod set_path;
mod sops;
mod values;

pub use decrypt::{Keys, Plain, Sops};
pub use error::{DecryptError, InputError};
pub use files::{Elsewhere, FileError, Named, ValuesFile, fetch_file, resolve_files, split};
pub use gather::gather;
pub use model::{Inputs, Repository};
pub use references::watches;
pub use sops::is_encrypted;
