//! A run of helmfile: its private folder, its programs, its session, under one claim.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{
    book::{Book, Owner},
    command::Call,
    error::PassError,
    filled::Filled,
    observer::Observer,
    outcome::{LogLines, Scrub},
    prepare::{Delivery, place},
    run::Helmfile,
    session::{Heard, Mode, Renders, Session, Setting, Slots},
    subject::Memory,
};
use crate::{
    environment,
    helmfile::{
        api::names::{self, annotation},
        helm::cluster::Cluster,
        ledger::{
            ReleaseId,
            lease::{self, Claim},
        },
    },
    process::{self, Finished, SessionError},
};

/// A run of helmfile.
pub(crate) struct Run {
    /// How it ended.
    pub finished: Result<Finished, PassError>,
    /// What was heard of it, however it ended.
    pub heard: Heard,
}

/// How long helmfile may take to list its releases.
const LIST_TIMEOUT: Duration = Duration::from_mins(1);

/// Everything that a run of helmfile needs.
pub(crate) struct Stage<'a> {
    /// What is delivered.
    pub delivery: &'a Delivery<'a>,
    /// The cluster that the releases are in, asked once.
    pub cluster: Cluster,
    /// Namespace of releases without one.
    pub namespace: String,
    /// The record.
    pub book: Book,
    /// What is taken out of texts.
    pub scrub: Scrub,
    helm: PathBuf,
    helmfile: PathBuf,
    filled: Filled,
    slots: Slots,
    claim: Option<Claim>,
    /// Ends the programs.
    ending: CancellationToken,
    /// The claim was lost.
    lost: AtomicBool,
}

impl<'a> Stage<'a> {
    /// Gets everything in place, and claims the right to act last of all. Nothing is touched yet.
    pub(crate) async fn set(delivery: &'a Delivery<'a>, observer: &mut Observer) -> Result<Self, PassError> {
        let Delivery { applier, subject, spec, link, inputs, stop, .. } = delivery;
        let path = environment::path(&applier.env);
        let helmfile = process::resolve("helmfile", path, &subject.base)?;
        let helm = process::resolve("helm", path, &subject.base)?;
        let home = link.home().await?;
        let connection = link.releases(inputs.kubeconfig.as_ref()).await?;
        let namespace = subject.namespace.clone().unwrap_or_else(|| home.namespace.clone());
        let filled = Filled::make(delivery, &connection, &namespace, observer).await?;
        let ledger = applier.ledger(subject, spec, link).await?;
        let claim = claim(delivery).await?;
        let book = match Book::open(ledger, owner(delivery), &applier.identity, applier.clock.now()).await {
            Ok(book) if inputs.kubeconfig.is_some() => book.with_home(home.client.clone()),
            Ok(book) => book,
            Err(error) => {
                release(claim).await;
                return Err(error.into());
            }
        };
        Ok(Self {
            delivery,
            cluster: Cluster::new(connection.client.clone()),
            namespace,
            book,
            scrub: filled.scrub(),
            helm,
            helmfile,
            filled,
            slots: applier.slots(),
            claim,
            ending: stop.child_token(),
            lost: AtomicBool::new(false),
        })
    }

    /// The copy of the source, and the helmfile in it.
    pub(crate) fn source(&self) -> (PathBuf, &Path) {
        (self.filled.workspace.layout().source(), &self.filled.file)
    }

    /// The files of values, the lowest layer first.
    pub(crate) fn values(&self) -> &[PathBuf] {
        &self.filled.values
    }

    /// The names of all variables that the run sets.
    pub(crate) fn known_env(&self) -> impl Iterator<Item = &str> {
        let spec = self.delivery.inputs.env.keys().map(String::as_str);
        spec.chain([names::ENV_REVISION, names::ENV_BRANCH, names::ENV_NAME, names::ENV_NAMESPACE])
    }

    /// The file in which what needs no rendering is kept.
    pub(crate) fn renders(&self) -> PathBuf {
        self.filled.workspace.layout().downloads().join("renders.json")
    }

    /// The file in which the whole inventory is kept.
    pub(crate) fn inventory(&self) -> PathBuf {
        self.filled.workspace.layout().downloads().join("inventory.json")
    }

    /// Does something for as long as the claim holds; its programs have ended when this has.
    pub(crate) async fn while_claimed<T, E: From<PassError>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let Some(claim) = &self.claim else { return work.await };
        claim.confirm().await.map_err(|lost| PassError::Lost(lost.0))?;
        tokio::pin!(work);
        tokio::select! {
            done = &mut work => done,
            lost = claim.keep() => {
                self.lost.store(true, Ordering::Relaxed);
                self.ending.cancel();
                let _interrupted = work.await;
                Err(PassError::Lost(lost.0).into())
            }
        }
    }

    /// Runs helmfile in a session of the front.
    pub(crate) async fn run(&self, mode: Mode, observer: &mut Observer) -> Run {
        let file = self.renders();
        let session = match self.session(mode, Renders::read(&file)) {
            Ok(session) => session,
            Err(error) => return Run { finished: Err(error), heard: Heard::default() },
        };
        let call = self.call();
        let (args, timeout) = match mode {
            Mode::Apply => (call.apply(), self.delivery.spec.timeout.0),
            Mode::Destroy => (call.destroy(), self.delivery.spec.timeout.0),
            Mode::Look => (call.list(), LIST_TIMEOUT),
        };
        let helmfile = self.program(&self.helmfile);
        let mut filter = LogLines::new(self.scrub.clone());
        let mut log = |line: &str| filter.take(line).into_iter().for_each(|line| observer.tool(&line));
        let call = helmfile.call(args, timeout, &self.ending, &mut log);
        tokio::pin!(call);
        let finished = tokio::select! {
            finished = &mut call => finished.map_err(PassError::from),
            error = session.serve() => {
                self.ending.cancel();
                let _interrupted = call.await;
                Err(PassError::Front(error))
            }
        };
        if mode == Mode::Apply {
            session.renders().write(&file);
        }
        let heard = session.heard().clone();
        Run { finished, heard }
    }

    fn session(&self, mode: Mode, renders: Renders) -> Result<Session<'_>, PassError> {
        let Delivery { applier, subject, .. } = self.delivery;
        let setting = Setting {
            helm: self.helm.clone(),
            guard: &applier.guard,
            cluster: &self.cluster,
            namespace: &self.namespace,
            book: &self.book,
            versions: applier.cache.join("helm-versions"),
            slots: &self.slots,
            repositories: &self.delivery.inputs.repositories,
            has_logins: self.delivery.inputs.has_logins(),
            mode,
            unlock: unlock(subject.annotation(annotation::UNLOCK)),
            stop: &self.ending,
        };
        Session::open(setting, self.filled.workspace.layout().root(), renders).map_err(PassError::Front)
    }

    /// Runs the real helm.
    pub(crate) async fn helm(
        &self,
        args: Vec<String>,
        observer: &mut Observer,
    ) -> Result<Finished, PassError> {
        let slot = self.ending.run_until_cancelled(self.slots.take()).await;
        let _slot = slot.ok_or(SessionError::Stopped)?.map_err(PassError::Front)?;
        let args = args.into_iter().map(Into::into).collect();
        let mut log = |line: &str| observer.tool(&self.scrub.clean(line));
        let helm = self.program(&self.helm);
        Ok(helm.call(args, self.delivery.spec.timeout.0, &self.ending, &mut log).await?)
    }

    fn call(&self) -> Call<'_> {
        Call {
            front: &self.filled.front,
            helmfile: &self.filled.file,
            spec: self.delivery.spec,
            values: &self.filled.values,
        }
    }

    /// A program in the environment of the run.
    fn program(&self, program: &Path) -> Helmfile<'_> {
        Helmfile {
            guard: &self.delivery.applier.guard,
            program: program.to_owned(),
            env: self.filled.env.clone(),
            folder: self.filled.workspace.layout().source(),
        }
    }

    /// The last moment at which a run before this one can have run, as far as that is known.
    pub(crate) fn last_of_others(&self) -> Option<Timestamp> {
        self.claim.as_ref().and_then(Claim::last_of_others)
    }

    /// Whether the claim was lost in the middle: nothing may be touched any more.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// Gives the claim back.
    pub(crate) async fn leave(self) {
        release(self.claim).await;
    }

    /// Removes the claim: the Helmfile is going away.
    pub(crate) async fn vanish(self) -> Result<(), PassError> {
        match self.claim {
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
        // Told by the record.
        Memory::Folder(_) | Memory::ConfigMap { .. } => String::new(),
    };
    let namespace = subject.namespace.clone().unwrap_or_default();
    Some(Owner { uid, namespace, name: subject.name.clone() })
}

/// Releases that an annotation names.
fn unlock(value: Option<&str>) -> Vec<ReleaseId> {
    value.into_iter().flat_map(|names| names.split(',')).filter_map(|name| name.parse().ok()).collect()
}

async fn release(claim: Option<Claim>) {
    if let Some(claim) = claim {
        claim.release().await;
    }
}

/// The right to act, where others could.
async fn claim(delivery: &Delivery<'_>) -> Result<Option<Claim>, PassError> {
    let Delivery { applier, subject, spec, link, stop, .. } = delivery;
    let place = match &subject.memory {
        Memory::Object { .. } | Memory::ConfigMap { .. } => place(subject, spec, link, names::LEASE).await?,
        // The lock of the folder is enough, and there is nobody else who would know of this one.
        Memory::Folder(_) | Memory::Nothing => return Ok(None),
    };
    Ok(Some(lease::claim(place, &applier.identity, applier.clock, stop).await?))
}
