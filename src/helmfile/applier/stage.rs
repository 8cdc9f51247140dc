//! A run of helmfile: its private folder, its programs, its session, under one claim.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{
    book::{Book, Owner},
    command::{self, Call, Identity},
    error::PassError,
    observer::Observer,
    outcome::{LogLines, Scrub},
    prepare::{Delivery, place},
    run::Helmfile,
    session::{Heard, Mode, Renders, Session, Setting, Slots},
    source_files,
    subject::Memory,
    workspace::{Contents, Source, Workspace, WorkspaceError},
};
use crate::{
    cluster::client::Connection,
    environment::{self, Environment},
    helmfile::{
        api::names::{self, annotation},
        helm::cluster::Cluster,
        inputs::{Keys, Plain, fetch_file},
        ledger::{
            ReleaseId,
            lease::{self, Claim},
        },
    },
    process::{self, Finished, SessionError},
};

/// How long to wait for programs of a run that was killed to be gone.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often to look.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Everything that a run of helmfile needs.
pub(crate) struct Stage<'a> {
    /// What is delivered.
    pub delivery: &'a Delivery<'a>,
    /// The cluster that the releases are in.
    pub connection: Connection,
    /// The same, asked once.
    pub cluster: Cluster,
    /// Namespace of releases without one.
    pub namespace: String,
    /// The record.
    pub book: Book,
    /// What is taken out of texts.
    pub scrub: Scrub,
    /// The programs.
    helm: PathBuf,
    helmfile: PathBuf,
    env: Environment,
    workspace: Arc<Workspace>,
    front: PathBuf,
    file: PathBuf,
    values: Vec<PathBuf>,
    slots: Slots,
    claim: Option<Claim>,
    /// Held, since programs read its file.
    keys: Option<Keys>,
}

impl<'a> Stage<'a> {
    /// Gets everything in place. Nothing is touched yet.
    pub(crate) async fn set(delivery: &'a Delivery<'a>, observer: &mut Observer) -> Result<Self, PassError> {
        let Delivery { applier, subject, spec, link, inputs, stop, .. } = delivery;
        let path = environment::path(&applier.env);
        let helmfile = process::resolve("helmfile", path, &subject.base)?;
        let helm = process::resolve("helm", path, &subject.base)?;
        let home = link.home().await?;
        let connection = link.releases(inputs.kubeconfig.as_ref()).await?;
        let namespace = subject.namespace.clone().unwrap_or_else(|| home.namespace.clone());
        let workspace = Arc::new(open(delivery, observer).await?);
        let claim = claim(delivery).await?;
        let owner = owner(delivery);
        let ledger = applier.ledger(subject, spec, link).await?;
        let book = Book::open(ledger, owner, &applier.identity, applier.clock.now()).await?;
        let cluster = Cluster::new(connection.client.clone());
        let layout = workspace.layout();
        let scrub = Scrub::folders(&layout.source(), layout.root()).and_secrets(&inputs.secrets);
        let front = layout.front();
        let keys = inputs
            .age_keys
            .as_ref()
            .map(|keys| applier.sops(delivery.vault.as_ref(), stop).keys(keys))
            .transpose()?;
        let mut stage = Self {
            delivery,
            cluster,
            namespace,
            book,
            scrub,
            helm,
            helmfile,
            env: Environment::new(),
            workspace,
            front,
            file: PathBuf::new(),
            values: Vec::new(),
            slots: applier.slots(),
            claim,
            keys: None,
            connection,
        };
        stage.fill(keys.as_ref()).await?;
        let identity = Identity {
            name: &subject.name,
            namespace: &stage.namespace,
            branch: delivery.resolved.as_ref().and_then(|revision| revision.name()),
            revision: delivery.resolved.as_ref().map_or(delivery.revision.as_str(), |revision| revision.id()),
        };
        let layout = stage.workspace.layout();
        stage.env = command::environment(&applier.env, &inputs.env, layout, identity);
        if let Some(keys) = &keys {
            stage.env.insert("SOPS_AGE_KEY_FILE".into(), keys.file().into());
        }
        if !delivery.bare {
            stage.file = source_files::find_helmfile(&layout.source(), delivery.order.helmfile.as_deref())?;
        }
        stage.keys = keys;
        Ok(stage)
    }

    /// Fetches what is not there yet, and puts it into the workspace.
    async fn fill(&mut self, keys: Option<&Keys>) -> Result<(), PassError> {
        let Delivery { applier, spec, order, inputs, resolved, stop, .. } = self.delivery;
        let fetcher = applier.fetcher_for(spec);
        let source = match (&order.locator, resolved) {
            (Some(locator), Some(revision)) => Source::Folder(fetcher.fetch(locator, revision, stop).await?),
            _ => Source::Inline(spec.inline.clone().unwrap_or_default()),
        };
        let mut elsewhere = Vec::new();
        for file in &self.delivery.files {
            elsewhere.push(fetch_file(&fetcher, file, stop).await?);
        }
        let contents = Contents {
            source,
            elsewhere,
            registries: inputs.registry_config.clone(),
            kubeconfig: self.connection.kubeconfig.clone(),
            namespace: self.namespace.clone(),
            layers: self.delivery.layers(),
            executable: applier.guard.executable().to_owned(),
            ambient: applier.env.clone(),
        };
        let workspace = Arc::clone(&self.workspace);
        let filled = tokio::task::spawn_blocking(move || workspace.fill(&contents)).await;
        let values = filled.map_err(|_| PassError::Crashed)??;
        let sops = applier.sops(self.delivery.vault.as_ref(), stop);
        for file in values {
            let name = self.scrub.clean(&file.display().to_string());
            let Plain { file, secrets } = sops.plain_file(&name, &file, keys).await?;
            self.scrub = std::mem::take(&mut self.scrub).and_secrets(&secrets);
            self.values.push(file);
        }
        Ok(())
    }

    /// The copy of the source, and the helmfile in it.
    pub(crate) fn source(&self) -> (PathBuf, &Path) {
        (self.workspace.layout().source(), &self.file)
    }

    /// The names of all variables that the run sets.
    pub(crate) fn known_env(&self) -> impl Iterator<Item = &str> {
        let spec = self.delivery.inputs.env.keys().map(String::as_str);
        spec.chain([names::ENV_REVISION, names::ENV_BRANCH, names::ENV_NAME, names::ENV_NAMESPACE])
    }

    /// The file in which what needs no rendering is kept.
    fn renders(&self) -> PathBuf {
        self.workspace.layout().downloads().join("renders.json")
    }

    /// The file in which the whole inventory is kept.
    pub(crate) fn inventory(&self) -> PathBuf {
        self.workspace.layout().downloads().join("inventory.json")
    }

    /// Runs helmfile in a session of the front, for as long as the claim holds.
    pub(crate) async fn run(
        &self,
        mode: Mode,
        observer: &mut Observer,
    ) -> Result<(Finished, Heard), PassError> {
        let Delivery { applier, subject, spec, stop, .. } = self.delivery;
        let ending = stop.child_token();
        let setting = Setting {
            helm: self.helm.clone(),
            guard: &applier.guard,
            cluster: &self.cluster,
            namespace: &self.namespace,
            book: &self.book,
            slots: &self.slots,
            repositories: &self.delivery.inputs.repositories,
            mode,
            unlock: unlock(subject.annotation(annotation::UNLOCK)),
            stop: &ending,
        };
        let file = self.renders();
        let session = Session::open(setting, self.workspace.layout().root(), Renders::read(&file))
            .map_err(PassError::Front)?;
        let call = self.call();
        let args = match mode {
            Mode::Apply => call.apply(),
            Mode::Destroy => call.destroy(),
            Mode::Look => call.list(),
        };
        let helmfile = self.program();
        let mut filter = LogLines::new(self.scrub.clone());
        let mut log = |line: &str| filter.take(line).into_iter().for_each(|line| observer.tool(&line));
        let finished = self.while_claimed(&ending, async {
            tokio::select! {
                finished = helmfile.call(args, spec.timeout.0, &ending, &mut log) => finished.map_err(PassError::from),
                error = session.serve() => Err(PassError::Front(error)),
            }
        });
        let finished = finished.await;
        session.renders().write(&file);
        let heard = session.heard().clone();
        Ok((finished?, heard))
    }

    /// Does something that ends when the claim is lost.
    pub(crate) async fn while_claimed<T>(
        &self,
        ending: &CancellationToken,
        work: impl Future<Output = Result<T, PassError>>,
    ) -> Result<T, PassError> {
        let Some(claim) = &self.claim else { return work.await };
        tokio::pin!(work);
        tokio::select! {
            done = &mut work => done,
            lost = claim.keep() => {
                ending.cancel();
                // All its programs have ended when it has.
                let _interrupted = work.await;
                Err(PassError::Lost(lost.0))
            }
        }
    }

    /// All releases in the file.
    pub(crate) async fn list(&self) -> Result<Finished, SessionError> {
        /// How long helmfile may take for it.
        const TIMEOUT: Duration = Duration::from_mins(1);
        let session = self.quiet().map_err(SessionError::Io)?;
        let helmfile = self.program();
        let mut silent = |_: &str| {};
        tokio::select! {
            listed = helmfile.call(self.call().list(), TIMEOUT, self.delivery.stop, &mut silent) => listed,
            error = session.serve() => Err(SessionError::Io(error)),
        }
    }

    /// A session for a run that touches nothing.
    fn quiet(&self) -> std::io::Result<Session<'_>> {
        let Delivery { applier, stop, .. } = self.delivery;
        let setting = Setting {
            helm: self.helm.clone(),
            guard: &applier.guard,
            cluster: &self.cluster,
            namespace: &self.namespace,
            book: &self.book,
            slots: &self.slots,
            repositories: &self.delivery.inputs.repositories,
            mode: Mode::Look,
            unlock: Vec::new(),
            stop,
        };
        Session::open(setting, self.workspace.layout().root(), Renders::default())
    }

    /// Runs the real helm.
    pub(crate) async fn helm(
        &self,
        args: Vec<String>,
        observer: &mut Observer,
    ) -> Result<Finished, PassError> {
        let Delivery { applier, spec, stop, .. } = self.delivery;
        let ending = stop.child_token();
        let _slot = self.slots.take().await.map_err(PassError::Front)?;
        let helm = Helmfile {
            guard: &applier.guard,
            program: self.helm.clone(),
            env: self.env.clone(),
            folder: self.workspace.layout().source(),
        };
        let args = args.into_iter().map(Into::into).collect();
        let mut log = |line: &str| observer.tool(&self.scrub.clean(line));
        let work =
            async { helm.call(args, spec.timeout.0, &ending, &mut log).await.map_err(PassError::from) };
        self.while_claimed(&ending, work).await
    }

    fn call(&self) -> Call<'_> {
        Call { front: &self.front, helmfile: &self.file, spec: self.delivery.spec, values: &self.values }
    }

    fn program(&self) -> Helmfile<'_> {
        Helmfile {
            guard: &self.delivery.applier.guard,
            program: self.helmfile.clone(),
            env: self.env.clone(),
            folder: self.workspace.layout().source(),
        }
    }

    /// Gives the claim back.
    pub(crate) async fn leave(mut self) {
        if let Some(claim) = self.claim.take() {
            claim.release().await;
        }
    }

    /// Removes the claim: the Helmfile is going away.
    pub(crate) async fn vanish(mut self) -> Result<(), PassError> {
        match self.claim.take() {
            Some(claim) => Ok(claim.remove().await?),
            None => Ok(()),
        }
    }
}

/// Whose the releases are to be. A run that remembers nothing owns nothing.
pub(super) fn owner(delivery: &Delivery<'_>) -> Option<Owner> {
    let subject = delivery.subject;
    let uid = match &subject.memory {
        Memory::Nothing => return None,
        Memory::Object { uid } => uid.clone(),
        Memory::Folder(_) | Memory::ConfigMap { .. } => subject.key.clone(),
    };
    let namespace = subject.namespace.clone().unwrap_or_default();
    Some(Owner { uid, namespace, name: subject.name.clone() })
}

/// Releases that an annotation names.
fn unlock(value: Option<&str>) -> Vec<ReleaseId> {
    value.into_iter().flat_map(|names| names.split(',')).filter_map(|name| name.parse().ok()).collect()
}

/// The workspace, once nothing is left of a run before it that was killed.
async fn open(delivery: &Delivery<'_>, observer: &mut Observer) -> Result<Workspace, PassError> {
    let start = Instant::now();
    let mut told = false;
    loop {
        match Workspace::open(&delivery.applier.cache, &delivery.subject.key) {
            Err(WorkspaceError::Busy) if start.elapsed() < PATIENCE => {
                if !std::mem::replace(&mut told, true) {
                    observer.line("waiting for the programs of an earlier run to end");
                }
                let stopped = delivery.stop.run_until_cancelled(sleep(LOOK_EVERY)).await.is_none();
                if stopped {
                    return Err(SessionError::Stopped.into());
                }
            }
            other => return Ok(other?),
        }
    }
}

/// The right to act, where others could.
async fn claim(delivery: &Delivery<'_>) -> Result<Option<Claim>, PassError> {
    let Delivery { applier, subject, spec, link, stop, .. } = delivery;
    if !matches!(subject.memory, Memory::Object { .. }) {
        return Ok(None);
    }
    let place = place(subject, spec, link, names::LEASE).await?;
    Ok(Some(lease::claim(place, &applier.identity, applier.clock, stop).await?))
}
