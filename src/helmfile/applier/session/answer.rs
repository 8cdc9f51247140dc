//! What each call of helm gets.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

use super::{
    super::book::Book,
    heard::Heard,
    renders::Renders,
    serve,
    slots::{Slot, Slots},
    versions::Versions,
};
use crate::{
    helmfile::{
        helm::{
            chart,
            cluster::Cluster,
            front::{Asked, Command, Told, classify},
            render::Helm,
        },
        inputs::Repository,
        ledger::ReleaseId,
    },
    process::{self, Guard},
};

/// What a run of helmfile is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// To make the cluster what the helmfile says.
    Apply,
    /// To remove all of it.
    Destroy,
    /// To change nothing.
    Look,
}

/// What a session works with.
pub(crate) struct Setting<'a> {
    /// The real helm.
    pub helm: PathBuf,
    /// Runs it for us.
    pub guard: &'a Guard,
    /// The cluster.
    pub cluster: &'a Cluster,
    /// Namespace of releases without one.
    pub namespace: &'a str,
    /// Whose run it is, and the record of its releases.
    pub book: &'a Book,
    /// The folder in which the answers of `helm version` are kept.
    pub versions: PathBuf,
    /// Places for helm processes.
    pub slots: &'a Slots,
    /// Chart repositories with credentials.
    pub repositories: &'a [Repository],
    /// Whether helm finds logins of the spec, for repositories or registries.
    pub has_logins: bool,
    /// What for.
    pub mode: Mode,
    /// Releases that may be unlocked though somebody else has locked them.
    pub unlock: Vec<ReleaseId>,
    /// Ends what we run ourselves.
    pub stop: &'a CancellationToken,
}

/// One run of helmfile, seen from behind helm.
pub(crate) struct Session<'a> {
    pub(super) setting: Setting<'a>,
    pub(super) listener: UnixListener,
    heard: Mutex<Heard>,
    renders: Mutex<Renders>,
    versions: tokio::sync::Mutex<Versions>,
}

/// A helm that runs, and what it was permitted to do.
pub(super) struct Running {
    /// Its place.
    pub(super) _slot: Slot,
    /// The release that it changes.
    pub(super) release: Option<ReleaseId>,
}

impl<'a> Session<'a> {
    /// Opens a session with its socket in `folder`.
    ///
    /// # Errors
    /// When there can be no socket.
    pub(crate) fn open(setting: Setting<'a>, folder: &Path, renders: Renders) -> io::Result<Self> {
        let listener = serve::listen(folder)?;
        let versions = Versions::of(setting.versions.clone(), &setting.helm);
        Ok(Self {
            setting,
            listener,
            heard: Mutex::default(),
            renders: Mutex::new(renders),
            versions: tokio::sync::Mutex::new(versions),
        })
    }

    /// What was heard so far.
    pub(crate) fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What needs no rendering.
    pub(crate) fn renders(&self) -> MutexGuard<'_, Renders> {
        self.renders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn id(&self, namespace: Option<&str>, release: &str) -> ReleaseId {
        ReleaseId::new(namespace.unwrap_or(self.setting.namespace), release)
    }

    /// The real helm, called as the front was.
    pub(super) fn helm(&self, asked: &Asked) -> Helm {
        Helm {
            program: self.setting.helm.clone(),
            env: asked.env.iter().map(|(name, value)| (name.into(), value.into())).collect(),
            folder: asked.folder.clone(),
            guard: self.setting.guard.clone(),
        }
    }

    pub(super) async fn tell(&self, asked: &Asked) -> (Told, Option<Running>) {
        if let Err(foreign) = asked.check() {
            return (Told::refuse(foreign), None);
        }
        let command = match classify(&asked.args) {
            Ok(command) => command,
            Err(malformed) => return (Told::refuse(malformed), None),
        };
        let adds = matches!(command, Command::AddRepository { .. });
        if !adds && let Some(objection) = self.unchecked(asked) {
            return (Told::refuse(&objection.message), None);
        }
        match command {
            Command::Version => (self.version(asked).await, None),
            Command::Dependencies { chart }
                if chart::dependencies(&asked.folder.join(chart)) == Some(false) =>
            {
                (Told::print(""), None)
            }
            Command::Diff(args) => (self.compare(asked, args).await, None),
            Command::Find { release, namespace } => match self.find(&self.id(namespace, release)).await {
                Ok(table) => (Told::print(table), None),
                Err(error) => (Told::refuse(error), None),
            },
            Command::Upgrade { release, namespace } => {
                self.change(asked, self.id(namespace, release), true).await
            }
            Command::Uninstall { release, namespace } => {
                self.change(asked, self.id(namespace, release), false).await
            }
            Command::AddRepository { url, .. } => match self.credentials(asked, url) {
                Ok(Some(repository)) => (self.add_repository(asked, repository).await, None),
                Ok(None) => self.become_helm(asked).await,
                Err(objection) => (Told::refuse(&objection.message), None),
            },
            Command::Dependencies { .. } | Command::Other => self.become_helm(asked).await,
        }
    }

    /// Lets helm change a release, or not. It has its place first: what is permitted may be wrong after a wait.
    async fn change(&self, asked: &Asked, id: ReleaseId, upgrade: bool) -> (Told, Option<Running>) {
        let slot = match self.setting.slots.take().await {
            Ok(slot) => slot,
            Err(error) => return (no_place(&error), None),
        };
        let permitted = if upgrade {
            self.may_upgrade(&id, &asked.args).await.map(Some)
        } else {
            self.may_uninstall(&id).await.map(|may| may.then(Vec::new))
        };
        match permitted {
            Ok(Some(labels)) => {
                (self.helm_with(asked, labels), Some(Running { _slot: slot, release: Some(id) }))
            }
            Ok(None) => (Told::print(format!("release \"{}\" is left alone\n", id.name)), None),
            Err(objection) => (Told::refuse(&objection.message), None),
        }
    }

    /// Lets the front become the real helm.
    async fn become_helm(&self, asked: &Asked) -> (Told, Option<Running>) {
        match self.setting.slots.take().await {
            Ok(slot) => (self.helm_with(asked, Vec::new()), Some(Running { _slot: slot, release: None })),
            Err(error) => (no_place(&error), None),
        }
    }

    fn helm_with(&self, asked: &Asked, more: Vec<String>) -> Told {
        let args = asked.args.iter().cloned().chain(more).collect();
        Told::Become { program: self.setting.helm.clone(), args, env: BTreeMap::new() }
    }

    /// A helm has ended that was permitted to run.
    pub(super) fn ended(&self, running: Running) {
        if let Some(id) = running.release {
            self.setting.cluster.forget_release(&id.namespace, &id.name);
            // It may have brought or removed kinds.
            self.setting.cluster.forget_apis();
        }
    }

    /// The same answer for the same question, all along: helmfile asks a dozen times per release.
    async fn version(&self, asked: &Asked) -> Told {
        let mut versions = self.versions.lock().await;
        if let Some(told) = versions.get(&asked.args) {
            return told;
        }
        let told = self.run(asked, asked.args.clone(), Vec::new()).await;
        versions.note(&asked.args, &told);
        told
    }

    /// Runs the real helm here, and hands over what it says.
    pub(super) async fn run(&self, asked: &Asked, args: Vec<String>, input: Vec<u8>) -> Told {
        let _slot = match self.setting.slots.take().await {
            Ok(slot) => slot,
            Err(error) => return no_place(&error),
        };
        let helm = self.helm(asked);
        let args = args.into_iter().map(OsString::from);
        let command = process::Command::new(&helm.program, &helm.folder).args(args).envs(helm.env);
        let command = process::Command { input, ..command };
        match command.run(&helm.guard, self.setting.stop, &mut |_| {}).await {
            Ok(finished) => Told::Done {
                exit: match finished.status {
                    process::Status::Exited(code) => code,
                    process::Status::Signaled(number) => 128_u8.wrapping_add(number),
                },
                stdout: String::from_utf8_lossy(&finished.stdout).into_owned(),
                stderr: finished.stderr,
            },
            Err(error) => Told::refuse(format!("helm {error}")),
        }
    }
}

fn no_place(error: &io::Error) -> Told {
    Told::refuse(format!("failed to take a place for helm: {error}"))
}
