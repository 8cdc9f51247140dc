//! What the program's exit status means.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: done, or nothing to do.
    Done,
    /// 1: failed.
    Failed,
    /// 2: differences (`diff`, `--detailed-exitcode`).
    Changed,
    /// 64: the command line makes no sense.
    Usage,
    /// 128 + number: ended by a signal, as shells report it (130 SIGINT, 143 SIGTERM).
    Signal(u8),
    /// The status of a program that ran in our place.
    Other(u8),
}

impl Exit {
    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Changed => 2,
            Self::Usage => 64,
            Self::Signal(number) => 128_u8.wrapping_add(number),
            Self::Other(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
