//! Git over ssh from loopback, by the real sshd as the current user.

use std::{
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use helmfile_operator::process::{Command, Running};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::unix::pipe,
    task::JoinSet,
    time::timeout,
};

use super::{git, tools};

/// How long sshd may take to listen.
const START: Duration = Duration::from_secs(20);

/// An sshd with a host key of its own that lets in one key of its own. Ends when dropped.
pub struct GitSsh {
    folder: TempDir,
    port: u16,
    _sshd: Running,
    _log: JoinSet<()>,
}

impl GitSsh {
    /// # Panics
    /// When sshd is not installed, or does not start.
    pub async fn start() -> Self {
        let sshd = git::installed("sshd", "openssh-server");
        let folder = tempfile::tempdir().unwrap();
        make_key(&folder.path().join("host_key"));
        fs::create_dir(folder.path().join("client")).unwrap();
        make_key(&folder.path().join("client/id_ed25519"));
        if rustix::process::getuid().is_root() {
            // Only the system's service makes it, and only as root is it needed.
            fs::DirBuilder::new().recursive(true).mode(0o755).create("/run/sshd").unwrap();
        }
        // sshd can't choose a port by itself; somebody may take ours before sshd does.
        for _ in 0..5 {
            let port = free_port();
            if let Ok((running, log)) = listen(&sshd, folder.path(), port).await {
                let known = format!("[localhost]:{port} {}", public_key(&folder.path().join("host_key")));
                fs::write(folder.path().join("client/known_hosts"), known).unwrap();
                return Self { folder, port, _sshd: running, _log: log };
            }
        }
        panic!("found no free port for sshd");
    }

    /// `localhost:PORT`
    pub fn address(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// The folder with the key that is let in, and the host's key in `known_hosts`.
    pub fn client(&self) -> PathBuf {
        self.folder.path().join("client")
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// Another key pair at `path` and `path.pub`.
pub fn make_key(path: &Path) {
    ssh_keygen(&["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"], path);
}

/// Encrypts a private key.
pub fn lock_key(path: &Path, passphrase: &str) {
    ssh_keygen(&["-q", "-p", "-P", "", "-N", passphrase, "-f"], path);
}

fn ssh_keygen(args: &[&str], path: &Path) {
    #[expect(clippy::disallowed_methods, reason = "quick, and ends by itself")]
    let output = std::process::Command::new(git::installed("ssh-keygen", "openssh-client"))
        .args(args)
        .arg(path)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The public part of a key pair.
pub fn public_key(path: &Path) -> String {
    fs::read_to_string(path.with_extension("pub")).unwrap()
}

fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// Starts sshd and waits until it listens. The error is that the port was taken.
async fn listen(sshd: &Path, folder: &Path, port: u16) -> Result<(Running, JoinSet<()>), String> {
    let config = folder.join("sshd_config");
    let path = folder.display();
    let text = format!(
        "ListenAddress 127.0.0.1:{port}\nHostKey {path}/host_key\nAuthorizedKeysFile {path}/client/id_ed25519.pub\n\
         PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
    );
    fs::write(&config, text).unwrap();
    let mut command = Command::new(sshd, "/").args(["-D", "-e", "-f", config.to_str().unwrap()]);
    command.env = git::environment(folder);
    let (reader, writer) = std::io::pipe().unwrap();
    let running = Running::start(&tools::guard(), &command, Stdio::null(), writer.into()).unwrap();
    let mut lines = BufReader::new(pipe::Receiver::from_owned_fd(reader.into()).unwrap()).lines();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let wait = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains("Server listening") {
                return Ok(());
            }
            seen.lock().unwrap().push(line);
        }
        Err(())
    };
    let listens = timeout(START, wait).await;
    let log = seen.lock().unwrap().join("\n");
    match listens {
        Ok(Ok(())) => {
            let mut tasks = JoinSet::new();
            // A full pipe would stop it.
            tasks.spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            Ok((running, tasks))
        }
        Ok(Err(())) if log.contains("Address already in use") => Err(log),
        _ => panic!("sshd did not start: {log}"),
    }
}
