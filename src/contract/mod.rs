//! The handler contract, version 1: what a handler is given and what it may answer.
//!
//! This is the language between the two wings of the program. `engine/` speaks it to any handler; `helmfile/` is one
//! such handler and knows nothing else of the engine. `hooks/README.md` says the same for script authors.

mod reply;
mod state;
mod trigger;
mod watch;

pub use reply::{Event, EventType, ObjectReply, Progress, Reply, ReplyError, ReplyFormat};
pub use state::{ByKind, State};
pub use trigger::{Trigger, TriggerType};
pub use watch::{WatchOn, WatchRequest};
