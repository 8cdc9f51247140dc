//! Other programs, run so that nothing of them stays behind.
//!
//! Every program runs under a *guard*: this same executable as a small parent process in a session of its own. The guard
//! holds the reading end of a pipe whose only writer is us. When we say so, or when we are gone, even by SIGKILL, it
//! ends the program and everything the program has started, wherever those processes have put themselves: as a child
//! subreaper it inherits every orphan below it. This needs no unsafe code, no root and no cgroups.

pub mod guard;
mod path;
mod session;

pub use path::{ProgramError, resolve};
pub use session::{Command, Finished, Guard, Running, SessionError, Status, StopWith};
