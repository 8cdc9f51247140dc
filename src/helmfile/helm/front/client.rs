//! The process that helmfile starts: asks the applier, then answers or becomes helm.

use std::{
    ffi::OsString,
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::{net::UnixStream, process::CommandExt as _},
    path::Path,
};

use rustix::io::{FdFlags, fcntl_setfd};

use super::wire::{Asked, SOCKET, Told, in_folder};
use crate::{environment::Environment, exit::Exit};

/// Asks the applier at the socket in `session` and does what it is told. Returns only when it does not become helm.
///
/// Errors are printed as helm would: exit status 1, and `Error:` on stderr.
pub fn main(
    session: &Path,
    args: Vec<OsString>,
    folder: io::Result<std::path::PathBuf>,
    env: Environment,
) -> Exit {
    match ask(session, args, folder, env) {
        Ok(exit) => exit,
        Err(error) => {
            let _nobody_listens = writeln!(io::stderr(), "Error: the applier of this helmfile run {error}");
            Exit::Failed
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("is not there any more ({0})")]
    Gone(#[from] io::Error),
    #[error("did not answer in its own language ({0})")]
    Language(#[from] serde_json::Error),
    #[error("was called with an argument or variable that is no UTF-8 text")]
    NotText,
    #[error("could not start helm ({0})")]
    Become(io::Error),
}

fn ask(
    session: &Path,
    args: Vec<OsString>,
    folder: io::Result<std::path::PathBuf>,
    env: Environment,
) -> Result<Exit, AskError> {
    let text = |text: OsString| text.into_string().map_err(|_| AskError::NotText);
    let args = args.into_iter().map(text).collect::<Result<_, _>>()?;
    // Variables that are no text are passed on when we become helm; nothing that we do depends on them.
    let env =
        env.into_iter().filter_map(|(name, value)| Some((text(name).ok()?, text(value).ok()?))).collect();
    let asked = Asked { args, folder: folder?, env };
    let (_open, path) = in_folder(session, SOCKET)?;
    let mut stream = UnixStream::connect(path)?;
    let mut line = serde_json::to_vec(&asked)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = String::new();
    BufReader::new(&stream).read_line(&mut answer)?;
    match serde_json::from_str(&answer)? {
        Told::Done { exit, stdout, stderr } => {
            io::stdout().write_all(stdout.as_bytes())?;
            io::stderr().write_all(stderr.as_bytes())?;
            Ok(Exit::Other(exit))
        }
        Told::Become { program, args, env } => {
            // Whoever holds the connection is the helm that was permitted to run.
            fcntl_setfd(&stream, FdFlags::empty()).map_err(|error| AskError::Become(error.into()))?;
            #[expect(
                clippy::disallowed_methods,
                reason = "this process becomes the program; nothing can stay behind"
            )]
            let mut command = std::process::Command::new(program);
            for (name, value) in env {
                match value {
                    Some(value) => command.env(name, value),
                    None => command.env_remove(name),
                };
            }
            Err(AskError::Become(command.args(args).exec()))
        }
    }
}
