//! The part of a pass that touches the cluster: from a revision to what helmfile made of it.

use std::{path::PathBuf, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{
    command::{self, Call, Identity},
    equipment::Applier,
    error::PassError,
    inventory,
    observer::Observer,
    outcome::{self, Failure, LogLines, Outcome, Scrub},
    run::Helmfile,
    source_files,
    status::Attempt,
    subject::Subject,
    values::Layer,
    workspace::{Contents, Workspace},
};
use crate::{
    cluster::client::{self, Connection},
    environment,
    helmfile::{
        api::{HelmfileSpec, Inventory, names::reason},
        fetch::{Locator, Revision},
    },
    process,
};

/// What a spec says, checked as far as is possible without looking anywhere.
pub(crate) struct Order {
    /// The source.
    pub locator: Locator,
    /// The helmfile in it.
    pub helmfile: Option<PathBuf>,
    /// Values.
    pub layers: Vec<Layer>,
}

/// One revision of one Helmfile, ready to be delivered.
pub(crate) struct Delivery<'a> {
    /// Who delivers.
    pub applier: &'a Applier,
    /// For whom.
    pub subject: &'a Subject,
    /// What is asked for.
    pub spec: &'a HelmfileSpec,
    /// The same, checked.
    pub order: Order,
    /// The source's revision.
    pub revision: Revision,
    /// Digest of all inputs.
    pub inputs: String,
    /// Ends it.
    pub stop: &'a CancellationToken,
}

/// What a run of helmfile came to.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Whether something was installed, upgraded or removed.
    pub changed: bool,
    /// The releases.
    pub inventory: Inventory,
}

/// How long helmfile may take to list its releases.
const LIST_TIMEOUT: Duration = Duration::from_mins(1);

impl Delivery<'_> {
    /// For the status.
    pub(crate) fn attempt(&self) -> Attempt<'_> {
        Attempt { revision: self.revision.as_str(), inputs: &self.inputs }
    }

    /// Runs helmfile.
    pub(crate) async fn run(&self, observer: &mut Observer) -> Result<Ran, PassError> {
        let Applier { target, guard, env, .. } = self.applier;
        let path = environment::path(env);
        let program = process::resolve("helmfile", path, &self.subject.base)?;
        process::resolve("helm", path, &self.subject.base)?;
        let connection = client::connect(target).await?;
        let namespace = self.subject.namespace.clone().unwrap_or_else(|| connection.namespace.clone());
        let fetcher = self.applier.fetcher_for(self.spec);
        let source = fetcher.fetch(&self.order.locator, &self.revision, self.stop).await?;
        let (workspace, values) = self.workspace(source, &connection, &namespace).await?;
        let layout = workspace.layout();
        let scrub = Scrub::folders(&layout.source(), layout.root());
        let file = source_files::find_helmfile(&layout.source(), self.order.helmfile.as_deref())?;
        let call = Call { helmfile: &file, spec: self.spec, values: &values };
        let identity = Identity {
            name: &self.subject.name,
            namespace: &namespace,
            branch: self.revision.name(),
            revision: self.revision.id(),
        };
        let env = command::environment(env, &self.spec.envvars, layout, identity);
        let helmfile = Helmfile { guard, program, env, folder: layout.source() };
        let mut filter = LogLines::new(scrub.clone());
        let mut log = |line: &str| filter.take(line).into_iter().for_each(|line| observer.tool(&line));
        let finished = helmfile.call(call.apply(), self.spec.timeout.0, self.stop, &mut log).await?;
        let changed = match outcome::read(finished.status, &finished.stderr, &scrub) {
            Outcome::Applied => true,
            Outcome::Unchanged => false,
            Outcome::NothingSelected => {
                nothing_selected(self.spec)?;
                return Ok(Ran { changed: false, inventory: Inventory::default() });
            }
            Outcome::Failed(failure) => return Err(PassError::Helmfile(failure)),
        };
        let inventory = match self.releases(&helmfile, &call, &connection, &namespace, observer).await {
            Ok(inventory) => inventory,
            // What was delivered was delivered; the list is only for people.
            Err(problem) => {
                observer.line(&format!("failed to list the releases: {problem}"));
                self.subject.status.inventory.clone().unwrap_or_default()
            }
        };
        Ok(Ran { changed, inventory })
    }

    async fn workspace(
        &self,
        source: PathBuf,
        connection: &Connection,
        namespace: &str,
    ) -> Result<(Workspace, Vec<PathBuf>), PassError> {
        let contents = Contents {
            source,
            kubeconfig: connection.kubeconfig.clone(),
            namespace: namespace.to_owned(),
            layers: self.order.layers.clone(),
            executable: self.applier.guard.executable().to_owned(),
            ambient: self.applier.env.clone(),
        };
        let (cache, key) = (self.applier.cache.clone(), self.subject.key.clone());
        let made = tokio::task::spawn_blocking(move || {
            let workspace = Workspace::open(&cache, &key)?;
            let values = workspace.fill(&contents)?;
            Ok((workspace, values))
        });
        made.await.map_err(|_| PassError::Crashed)?
    }

    async fn releases(
        &self,
        helmfile: &Helmfile<'_>,
        call: &Call<'_>,
        connection: &Connection,
        namespace: &str,
        observer: &mut Observer,
    ) -> Result<Inventory, String> {
        let listed = helmfile.call(call.list(), LIST_TIMEOUT, self.stop, &mut |_| {}).await;
        let listed = listed.map_err(|error| format!("helmfile {error}"))?;
        if !listed.status.success() {
            return Err(format!("helmfile ended with {}", listed.status));
        }
        let releases = inventory::read(&listed.stdout, namespace).map_err(|error| error.to_string())?;
        let unreadable = |namespace: &str, error| {
            observer.line(&format!("failed to read Helm's records in namespace `{namespace}`: {error}"));
        };
        let records = inventory::records(&connection.client, &releases, unreadable).await;
        Ok(inventory::complete(releases, &records))
    }
}

/// A selector or an environment that selects nothing is probably a typing mistake; a helmfile without releases is not.
fn nothing_selected(spec: &HelmfileSpec) -> Result<(), PassError> {
    let selector = (!spec.selector.is_empty()).then(|| format!("selector `{}`", spec.selector.join("`, `")));
    let environment = spec.environment.as_ref().map(|name| format!("environment `{name}`"));
    let by: Vec<String> = selector.into_iter().chain(environment).collect();
    if by.is_empty() {
        return Ok(());
    }
    let message = format!("no release of the helmfile is selected by {}", by.join(" and "));
    Err(PassError::Helmfile(Failure { reason: reason::NOTHING_SELECTED, message }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_empty_helmfile_is_fine_and_an_empty_selection_is_not() {
        let told = |spec: serde_json::Value| {
            nothing_selected(&serde_json::from_value(spec).unwrap()).map_err(|error| error.to_string())
        };
        assert_eq!(told(json!({})), Ok(()));
        assert_eq!(
            told(json!({"selector": ["tier=front", "a=b"], "environment": "prod"})).unwrap_err(),
            "no release of the helmfile is selected by selector `tier=front`, `a=b` and environment `prod`"
        );
    }
}
