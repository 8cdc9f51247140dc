//! The workspace of a run with everything in it.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::{
    command::{self, Identity},
    error::PassError,
    observer::Observer,
    outcome::Scrub,
    prepare::Delivery,
    source_files,
    subject::Memory,
    workspace::{Contents, Source, Workspace, WorkspaceError},
};
use crate::{
    cluster::client::Connection,
    environment::Environment,
    helmfile::inputs::{Keys, fetch_file},
    process::SessionError,
};

/// How long to wait for programs of a run that was killed to be gone.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often to look.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A workspace that is ready.
pub(super) struct Filled {
    /// The folder.
    pub(super) workspace: Arc<Workspace>,
    /// What helmfile takes for helm.
    pub(super) front: PathBuf,
    /// The helmfile in the copy of the source.
    pub(super) file: PathBuf,
    /// Files of values, the lowest layer first.
    pub(super) values: Vec<PathBuf>,
    /// The environment of the programs.
    pub(super) env: Environment,
    /// Texts that no log may show: those of the inputs, and what was decrypted.
    secrets: Vec<String>,
    /// Held, since programs read its file.
    _keys: Option<Keys>,
}

impl Filled {
    /// Fetches what is not there yet, and puts it into a workspace.
    pub(super) async fn make(
        delivery: &Delivery<'_>,
        connection: &Connection,
        namespace: &str,
        observer: &mut Observer,
    ) -> Result<Self, PassError> {
        let Delivery { applier, subject, spec, order, inputs, resolved, revision, stop, .. } = delivery;
        let fetcher = applier.fetcher_for(spec);
        let source = match (&order.locator, resolved) {
            (Some(locator), Some(revision)) => Source::Folder(fetcher.fetch(locator, revision, stop).await?),
            _ => Source::Inline(spec.inline.clone().unwrap_or_default()),
        };
        let mut elsewhere = Vec::new();
        for file in &delivery.files {
            elsewhere.push(fetch_file(&fetcher, file, stop).await?);
        }
        let contents = Contents {
            source,
            elsewhere,
            registries: inputs.registry_config.clone(),
            kubeconfig: connection.kubeconfig.clone(),
            namespace: namespace.to_owned(),
            layers: delivery.layers(),
            executable: applier.guard.executable().to_owned(),
            ambient: applier.env.clone(),
        };
        let workspace = Arc::new(open(delivery, observer).await?);
        let filling = Arc::clone(&workspace);
        let filled = tokio::task::spawn_blocking(move || filling.fill(&contents)).await;
        let files = filled.map_err(|_| PassError::Crashed)??;
        let sops = applier.sops(delivery.vault.as_ref(), stop);
        let keys = inputs.age_keys.as_ref().map(|keys| sops.keys(keys)).transpose()?;
        let layout = workspace.layout();
        let scrub = Scrub::folders(&layout.source(), layout.root());
        let (mut values, mut secrets) = (Vec::new(), inputs.secrets.clone());
        for file in files {
            let name = scrub.clean(&file.display().to_string());
            let plain = sops.plain_file(&name, &file, keys.as_ref()).await?;
            values.push(plain.file);
            secrets.extend(plain.secrets);
        }
        let identity = Identity {
            name: &subject.name,
            namespace,
            branch: resolved.as_ref().and_then(|revision| revision.name()),
            revision: resolved.as_ref().map_or(revision.as_str(), |revision| revision.id()),
        };
        let mut env = command::environment(&applier.env, &inputs.env, layout, identity);
        env.extend(keys.iter().map(|keys| ("SOPS_AGE_KEY_FILE".into(), keys.file().into())));
        let file = if delivery.bare {
            PathBuf::new()
        } else {
            source_files::find_helmfile(&layout.source(), order.helmfile.as_deref())?
        };
        let front = layout.front();
        Ok(Self { workspace, front, file, values, env, secrets, _keys: keys })
    }

    /// What is taken out of texts about this run.
    pub(super) fn scrub(&self) -> Scrub {
        let layout = self.workspace.layout();
        Scrub::folders(&layout.source(), layout.root()).and_secrets(&self.secrets)
    }
}

/// The workspace, once nothing is left of a run before it that was killed.
async fn open(delivery: &Delivery<'_>, observer: &mut Observer) -> Result<Workspace, PassError> {
    let start = Instant::now();
    let mut told = false;
    let memory = match &delivery.subject.memory {
        Memory::Folder(folder) => Some(folder.as_path()),
        _ => None,
    };
    loop {
        match Workspace::open(&delivery.applier.cache, &delivery.subject.key, memory) {
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
