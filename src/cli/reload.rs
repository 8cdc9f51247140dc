//! Hot reload: a config, a hook or a template that changes is taken over while the program runs.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio::sync::mpsc;

use super::{files::ConfigFiles, register::Unregistered};
use crate::{
    cluster::events::Notice,
    engine::{
        admin::Readiness,
        config::{Config, Loaded, watch::ConfigWatch},
        controller::Shared,
    },
    environment::Environment,
    shutdown::Hangup,
};

/// Reads the config again when it changes, or on SIGHUP.
pub(super) struct Reloader {
    files: ConfigFiles,
    shared: Arc<Shared>,
    readiness: Readiness,
    hangup: Hangup,
    /// The operator's own pod, to tell of a config that can't be used.
    pod: Option<(String, String)>,
}

/// What a config that can't be used is called by the readiness check.
const CONFIG: &str = "config";
/// What is missing until the first config is handed over.
pub(super) const CONTROLLERS: &str = "controllers";
/// How long to wait before the next try, when the API server did not take a CRD.
const REGISTER_PAUSE: Duration = Duration::from_secs(2);

async fn later(unregistered: &mut Unregistered, shared: &Shared) {
    tokio::time::sleep(REGISTER_PAUSE).await;
    unregistered.register(shared).await;
}

impl Reloader {
    pub(super) fn new(
        files: ConfigFiles,
        shared: Arc<Shared>,
        readiness: Readiness,
        env: &Environment,
    ) -> std::io::Result<Self> {
        let text = |name: &str| Some(env.get(std::ffi::OsStr::new(name))?.to_string_lossy().into_owned());
        let pod = text("POD_NAMESPACE").zip(text("POD_NAME"));
        Ok(Self { files, shared, readiness, hangup: Hangup::install()?, pod })
    }

    /// Registers the CRDs of the first config and sends it; then every new one that can be used. Ends when nobody takes them
    /// any more.
    pub(super) async fn run(mut self, first: Loaded, tell: mpsc::Sender<Config>) {
        let mut unregistered = Unregistered::of(&first.config);
        let mut crds = first.config.crds.clone();
        tokio::select! {
            () = unregistered.register(&self.shared) => {}
            () = tell.closed() => return,
        }
        if tell.send(first.config).await.is_err() {
            return;
        }
        self.readiness.there(CONTROLLERS);
        let mut watch = ConfigWatch::new(first.paths);
        let mut refused = false;
        loop {
            tokio::select! {
                () = watch.changed() => {}
                () = self.hangup.next() => tracing::info!("reading the config again, as SIGHUP asks"),
                () = tell.closed() => return,
                () = later(&mut unregistered, &self.shared), if !unregistered.is_empty() => continue,
            }
            match self.files.load() {
                Ok(loaded) => {
                    if std::mem::take(&mut refused) {
                        tracing::info!("the config can be used again");
                    }
                    watch.set_paths(loaded.paths.clone());
                    if loaded.config.crds != crds {
                        unregistered = Unregistered::of(&loaded.config);
                        crds.clone_from(&loaded.config.crds);
                    }
                    tokio::select! {
                        () = unregistered.register(&self.shared) => {}
                        () = tell.closed() => return,
                    }
                    if !self.accept(loaded, &tell).await {
                        return;
                    }
                }
                Err(error) => {
                    refused = true;
                    self.refuse(&error.to_string()).await;
                    watch.set_paths(error.paths);
                }
            }
        }
    }

    /// Hands on a config that can be used. False when nobody takes it any more.
    async fn accept(&self, loaded: Loaded, tell: &mpsc::Sender<Config>) -> bool {
        for warning in &loaded.warnings.0 {
            tracing::warn!("{warning}");
        }
        self.shared.metrics.reload(true);
        self.readiness.there(CONFIG);
        tell.send(loaded.config).await.is_ok()
    }

    /// Says everywhere that the config can't be used, and that the last good one goes on.
    async fn refuse(&self, problem: &str) {
        tracing::error!("the new config is not used, the last good one goes on:\n{problem}");
        self.shared.metrics.reload(false);
        let first = problem.lines().next().unwrap_or_default();
        self.readiness
            .note(CONFIG, format!("the last good one goes on, since the new one can't be used: {first}"));
        if let Some((namespace, name)) = &self.pod {
            let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": namespace, "name": name}});
            let message = format!("the new config is not used, the last good one goes on: {problem}");
            let notice = Notice { warning: true, reason: "ConfigRefused".to_owned(), message };
            self.shared.events.publish(&pod, &notice).await;
        }
    }
}
