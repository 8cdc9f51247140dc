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
            let _nobody_listens = writeln!(io::stderr(), "Error: {error}");
            Exit::Failed
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("the applier of this helmfile run is not there any more ({0})")]
    Gone(io::Error),
    #[error(
        "the applier of this helmfile run did not answer in its own language ({0}); if the program was replaced while the \
         applier ran, restart the applier"
    )]
    Language(#[from] serde_json::Error),
    #[error("helm was called with an argument that is no UTF-8 text")]
    NotText,
    #[error("helm was called in a folder that can't be told ({0})")]
    Folder(io::Error),
    #[error("helm's answer could not be printed ({0})")]
    Print(io::Error),
    #[error("helm could not be started ({0})")]
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
    let asked = Asked::new(args, folder.map_err(AskError::Folder)?, env);
    let (stream, answer) = converse(session, &asked)?;
    match serde_json::from_str(&answer)? {
        Told::Done { exit, stdout, stderr } => {
            io::stdout().write_all(stdout.as_bytes()).map_err(AskError::Print)?;
            io::stderr().write_all(stderr.as_bytes()).map_err(AskError::Print)?;
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

/// The answer, a line, and the connection that it came by.
fn converse(session: &Path, asked: &Asked) -> Result<(UnixStream, String), AskError> {
    let mut line = serde_json::to_vec(asked)?;
    line.push(b'\n');
    let exchange = || {
        let (_open, path) = in_folder(session, SOCKET)?;
        let mut stream = UnixStream::connect(path)?;
        stream.write_all(&line)?;
        let mut answer = String::new();
        BufReader::new(&stream).read_line(&mut answer)?;
        if !answer.ends_with('\n') {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it gave no whole answer"));
        }
        Ok((stream, answer))
    };
    exchange().map_err(AskError::Gone)
}

#[cfg(test)]
mod tests {
    use std::{os::unix::net::UnixListener, thread};

    use super::*;

    /// What the front says of an applier that answers with this; with `None` there is none.
    fn said(answer: Option<&'static str>) -> String {
        let session = tempfile::tempdir().unwrap();
        let applier = answer.map(|answer| {
            let listener = UnixListener::bind(session.path().join(SOCKET)).unwrap();
            thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut asked = String::new();
                BufReader::new(&stream).read_line(&mut asked).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            })
        });
        let error =
            ask(session.path(), vec!["version".into()], Ok("/".into()), Environment::new()).unwrap_err();
        if let Some(applier) = applier {
            applier.join().unwrap();
        }
        error.to_string()
    }

    #[test]
    fn what_went_wrong_is_said_and_nothing_else() {
        assert!(
            said(None).starts_with("the applier of this helmfile run is not there any more (No such file")
        );
        for cut in ["", "{\"Done\": {\"exit\""] {
            assert_eq!(
                said(Some(cut)),
                "the applier of this helmfile run is not there any more (it gave no whole answer)"
            );
        }
        let foreign = said(Some("{\"Other\": 1}\n"));
        assert!(
            foreign.contains("in its own language") && foreign.contains("restart the applier"),
            "{foreign}"
        );
        let nowhere = Err(io::Error::from(io::ErrorKind::NotFound));
        let error = ask(Path::new("/"), Vec::new(), nowhere, Environment::new()).unwrap_err().to_string();
        assert!(error.starts_with("helm was called in a folder that can't be told"), "{error}");
    }
}
