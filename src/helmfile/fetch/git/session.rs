//! Running git.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use super::{Trouble, env, private::Private, ssh};
use crate::{
    atomic,
    environment::{self, Environment},
    helmfile::fetch::{
        FetchError, Fetcher,
        attempt::Attempt,
        locator::{Remote, Transport},
    },
    process::{self, Command, Guard, SessionError},
};

/// Git, ready to talk to one repository.
#[derive(Debug)]
pub(super) struct Session<'a> {
    remote: &'a Remote,
    attempt: &'a Attempt,
    guard: &'a Guard,
    program: PathBuf,
    env: Environment,
    home: PathBuf,
    _private: Option<Private>,
}

/// Why a command failed: Git said no, or it could not say anything.
pub(super) enum Failure {
    Git(Trouble),
    Other(FetchError),
}

/// See the comments in it.
const CONFIG: &str = include_str!("gitconfig");

impl<'a> Session<'a> {
    /// Finds the programs and prepares a HOME without anything in it but our configuration.
    pub(super) async fn open(
        fetcher: &'a Fetcher,
        remote: &'a Remote,
        attempt: &'a Attempt,
    ) -> Result<Self, FetchError> {
        let find = |program| process::resolve(program, environment::path(&fetcher.env), Path::new("/"));
        let program = find("git")?;
        let ssh = match remote.transport {
            Transport::Ssh | Transport::Scp => Some((find("ssh")?, fetcher.ssh.clone())),
            Transport::File | Transport::Http | Transport::Https => None,
        };
        let (cache, to) = (fetcher.cache.clone(), remote.clone());
        let (home, ssh, private) = attempt
            .blocking(move |_| {
                let home = cache.join("git").join("home");
                prepare(&home).map_err(FetchError::storage("prepare", &home))?;
                let private = Private::lay(&cache, &to, CONFIG)?;
                let ssh = ssh.map(|(program, folder)| ssh::command(&program, folder, &to, private.as_ref()));
                Ok((home, ssh.transpose()?, private))
            })
            .await?;
        let env = env::environment(&fetcher.env, &home, remote, ssh.as_deref(), private.as_ref());
        Ok(Self { remote, attempt, guard: &fetcher.guard, program, env, home, _private: private })
    }

    /// A folder that is no repository, for commands that need none.
    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    /// Runs git and returns what it prints.
    pub(super) async fn run(
        &self,
        folder: &Path,
        args: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Result<String, Failure> {
        self.attempt.check().map_err(Failure::Other)?;
        let mut command = Command::new(&self.program, folder).args(args);
        command.env = self.env.clone();
        command.timeout = Some(self.attempt.left());
        let ignore = &mut |_: &str| {};
        let finished = match command.run(self.guard, &self.attempt.stop, ignore).await {
            Ok(finished) => finished,
            Err(error) => return Err(Failure::Other(self.not_run(error))),
        };
        if finished.status.success() {
            return Ok(String::from_utf8_lossy(&finished.stdout).into_owned());
        }
        Err(Failure::Git(Trouble::read(&finished.stderr, &self.secrets())))
    }

    fn not_run(&self, error: SessionError) -> FetchError {
        match error {
            SessionError::TimedOut { .. } => self.attempt.timed_out(),
            SessionError::Stopped => self.attempt.stopped(),
            source => FetchError::Session { source_name: self.remote.to_string(), source },
        }
    }

    /// What no message may hold: the password, or the token in place of the user.
    fn secrets(&self) -> Vec<&str> {
        let pair = self.remote.credentials.iter();
        let pair = pair
            .map(|pair| if pair.password.is_empty() { pair.user.as_str() } else { pair.password.as_str() });
        pair.chain(self.remote.given.iter().flat_map(|given| given.secrets())).collect()
    }

    /// Makes a failure final.
    pub(super) fn error(&self, failure: Failure) -> FetchError {
        match failure {
            Failure::Git(trouble) => FetchError::Git { repository: self.remote.to_string(), trouble },
            Failure::Other(error) => error,
        }
    }
}

/// Makes the HOME, unless it is as it should be.
fn prepare(home: &Path) -> io::Result<()> {
    let config = home.join(env::CONFIG_FILE);
    if fs::read(&config).is_ok_and(|text| text == CONFIG.as_bytes()) {
        return Ok(());
    }
    // Another one may be reading it.
    atomic::write(&config, CONFIG.as_bytes())
}
