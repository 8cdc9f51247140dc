//! Hot reload: a config, a hook or a template that changes is taken over while the program runs.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use serde_json::json;
use tokio::sync::mpsc;

use super::{files::ConfigFiles, register::register};
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

    /// Sends every new config that can be used. Ends when nobody takes them any more.
    pub(super) async fn run(mut self, paths: BTreeSet<PathBuf>, tell: mpsc::Sender<Config>) {
        let mut watch = ConfigWatch::new(paths);
        loop {
            tokio::select! {
                () = watch.changed() => {}
                () = self.hangup.next() => tracing::info!("reading the config again, as SIGHUP asks"),
                () = tell.closed() => return,
            }
            let paths = match self.files.load() {
                Ok(Loaded { config, warnings, paths }) => {
                    for warning in &warnings.0 {
                        tracing::warn!("{warning}");
                    }
                    self.shared.metrics.reload(true);
                    self.readiness.there(CONFIG);
                    register(&self.shared, &config).await;
                    if tell.send(config).await.is_err() {
                        return;
                    }
                    paths
                }
                Err(error) => {
                    self.refuse(&error.to_string()).await;
                    error.paths
                }
            };
            watch.set_paths(paths);
        }
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
