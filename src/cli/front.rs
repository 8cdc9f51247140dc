//! This program under the name `helm`: see [`front`].

use std::{
    ffi::{OsStr, OsString},
    path::Path,
};

use super::{report, world};
use crate::{exit::Exit, helmfile::helm::front};

/// Whether the program was started as the front.
pub(super) fn is_named(own_name: Option<&OsStr>) -> bool {
    own_name.and_then(|name| Path::new(name).file_name()).is_some_and(|name| name == front::NAME)
}

/// Answers helmfile.
pub(super) fn main(args: Vec<OsString>) -> Exit {
    let env = world::environment();
    let Some(session) = env.get(OsStr::new(front::ENV_SESSION)).cloned() else {
        report::note(&format!(
            "Error: helmfile-operator was started under the name `{}`, which it bears only while it runs helmfile",
            front::NAME
        ));
        return Exit::Failed;
    };
    front::main(Path::new(&session), args, std::env::current_dir(), env)
}
