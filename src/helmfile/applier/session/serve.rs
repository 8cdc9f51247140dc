//! The socket of a session.

use std::{fs, io, path::Path};

use futures::{StreamExt as _, stream::FuturesUnordered};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
};

use super::answer::Session;
use crate::helmfile::helm::front::{Asked, SOCKET, Told, in_folder};

/// The longest question, in bytes: arguments and environment of a process have less room.
const QUESTION_LIMIT: u64 = 8 << 20;

/// Opens the socket in `folder`. One of a session before it, which has ended, makes way.
pub(super) fn listen(folder: &Path) -> io::Result<UnixListener> {
    let (_open, path) = in_folder(folder, SOCKET)?;
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => UnixListener::bind(path),
    }
}

impl Session<'_> {
    /// Answers until it is dropped.
    pub(crate) async fn serve(&self) -> io::Error {
        let mut open = FuturesUnordered::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => open.push(self.converse(stream)),
                    Err(error) => return error,
                },
                Some(()) = open.next(), if !open.is_empty() => {}
            }
        }
    }

    /// One call of helm, from the question to its end. A front that goes away needs no answer.
    async fn converse(&self, mut stream: UnixStream) {
        let mut line = Vec::new();
        let (reader, mut writer) = stream.split();
        let mut reader = BufReader::new(reader).take(QUESTION_LIMIT);
        if reader.read_until(b'\n', &mut line).await.is_err() {
            return;
        }
        let asked: Result<Asked, _> = serde_json::from_slice(&line);
        let (told, running) = match asked {
            Ok(asked) => self.tell(&asked).await,
            Err(_) => (Told::refuse("the question could not be read"), None),
        };
        let Ok(mut answer) = serde_json::to_vec(&told) else { return };
        answer.push(b'\n');
        if writer.write_all(&answer).await.is_err() {
            return;
        }
        if matches!(told, Told::Become { .. }) {
            // Open as long as the helm lives that the front has become.
            let mut rest = Vec::new();
            let _ended = reader.read_to_end(&mut rest).await;
        }
        if let Some(running) = running {
            self.ended(running);
        }
    }
}
