//! The environment of a process as a value: read once in `cli/`, handed down, and given to programs.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
};

/// All variables.
pub type Environment = BTreeMap<OsString, OsString>;

/// Where programs are looked for.
pub fn path(env: &Environment) -> Option<&OsStr> {
    env.get(OsStr::new("PATH")).map(OsString::as_os_str)
}
