//! Questions that a config asks of objects: which names they hold, whether a condition holds, what they measure, whether labels and
//! namespaces fit, and when a schedule fires next.
//!
//! All are compiled with the config, so that a mistake in one is found then, and are cheap to ask after.

mod cel;
mod jsonpath;
mod labels;
mod namespaces;
mod schedule;

pub use cel::{CelError, Condition, Expression, Facts, Scalar};
pub use jsonpath::{JsonPath, JsonPathError};
pub use labels::{LabelSelector, LabelSelectorError};
pub use namespaces::{NamespacePatternError, NamespacePatterns};
pub use schedule::{Schedule, ScheduleError};
