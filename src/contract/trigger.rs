//! Why a handler runs.

use serde::{Deserialize, Serialize};

use crate::object::ObjectRef;

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TriggerType {
    /// The object appeared.
    Created,
    /// The object changed.
    Updated,
    /// The object is being deleted and has a finalizer.
    Deleting,
    /// The object is gone.
    Deleted,
    /// One of the objects it owns appeared, changed or went away.
    DependentChanged,
    /// An object it refers to changed.
    ReferenceChanged,
    /// An object that a reply asked to watch changed.
    Watch,
    /// The entry's `resyncPeriod` passed.
    Resync,
    /// The entry's schedule fired.
    Schedule,
    /// The last reply asked to run again.
    Requeue,
    /// The last run failed.
    Retry,
    /// The operator started.
    Start,
}

impl TriggerType {
    /// Those that an entry may choose by `on`; the others run the handler whenever they are asked for.
    pub const CHOICES: [Self; 6] = [
        Self::Start,
        Self::Created,
        Self::Updated,
        Self::Deleted,
        Self::DependentChanged,
        Self::ReferenceChanged,
    ];

    /// Whether something happened, rather than that it was time.
    pub const fn is_event(self) -> bool {
        use TriggerType::{Created, Deleted, Deleting, DependentChanged, ReferenceChanged, Updated, Watch};
        matches!(self, Created | Updated | Deleting | Deleted | DependentChanged | ReferenceChanged | Watch)
    }

    /// Its name in the contract.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Created => "Created",
            Self::Updated => "Updated",
            Self::Deleting => "Deleting",
            Self::Deleted => "Deleted",
            Self::DependentChanged => "DependentChanged",
            Self::ReferenceChanged => "ReferenceChanged",
            Self::Watch => "Watch",
            Self::Resync => "Resync",
            Self::Schedule => "Schedule",
            Self::Requeue => "Requeue",
            Self::Retry => "Retry",
            Self::Start => "Start",
        }
    }
}

/// One reason, with the object that gave it where that is not the handled object itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Trigger {
    /// What happened.
    #[serde(rename = "type")]
    pub kind_of: TriggerType,
    /// Kind of the object that changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Trigger {
    /// A trigger without an object.
    pub const fn plain(kind_of: TriggerType) -> Self {
        Self { kind_of, kind: None, namespace: None, name: None }
    }

    /// A trigger that names the object that changed.
    pub fn by(kind_of: TriggerType, object: &ObjectRef) -> Self {
        Self {
            kind_of,
            kind: Some(object.gvk.kind.clone()),
            namespace: object.namespace.clone(),
            name: Some(object.name.clone()),
        }
    }
}
