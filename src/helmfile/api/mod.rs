//! The `Helmfile` kind: its spec and status, the rules its conditions follow, and every name it uses.

mod condition;
mod drift;
mod helmfile;
mod inputs;
pub mod names;
mod policy;
mod status;

pub use condition::{Condition, ConditionStatus, check, get, is_true, mark};
pub use drift::{DriftIgnore, DriftMode, DriftSpec, DriftStatus, DriftedObject};
pub use helmfile::{DEFAULT_SOURCE, Helmfile, HelmfileSpec, Image, crd};
pub use inputs::{
    Decryption, DecryptionProvider, EnvVar, EnvVarSource, KeyReference, KubeConfigReference,
    KubeConfigSecret, Registry, Runner, SecretReference, SourceKind, ValuesReference,
};
pub use policy::{DeletionPolicy, Dependency, Retry};
pub use status::{
    HelmfileStatus, HistoryEntry, Inventory, InventoryRelease, Outcome, PendingPrune, short_revision,
};
