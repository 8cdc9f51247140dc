//! The `Helmfile` kind: its spec and status, the rules its conditions follow, and every name it uses.

mod condition;
mod helmfile;
pub mod names;
mod status;

pub use condition::{Condition, ConditionStatus, check, get, is_true, mark};
pub use helmfile::{DEFAULT_SOURCE, Helmfile, HelmfileSpec, Image, crd};
pub use status::{HelmfileStatus, Inventory, InventoryRelease};
