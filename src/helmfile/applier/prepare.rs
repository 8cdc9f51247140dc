//! Everything that can be known before anything is touched: what is asked for, checked, and what it depends on now.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{
    command,
    equipment::Applier,
    error::PassError,
    inputs,
    link::Link,
    source_files,
    status::Attempt,
    subject::{Memory, Subject},
    values::{self, Layer},
    workspace::PrivateFolder,
};
use crate::{
    digest,
    helmfile::{
        api::{DEFAULT_SOURCE, DeletionPolicy, HelmfileSpec, names},
        fetch::{Locator, Revision},
        inputs::{Inputs, Sops, ValuesFile, gather, resolve_files, watches},
        ledger::{Ledger, secret::Key, store::Place},
    },
};

/// What a spec says, checked as far as is possible without looking anywhere.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// The source; `None` when the spec has the helmfile itself.
    pub locator: Option<Locator>,
    /// The helmfile in it.
    pub helmfile: Option<PathBuf>,
}

/// One revision of one Helmfile with all its inputs, ready to be delivered.
pub(crate) struct Delivery<'a> {
    /// Who delivers.
    pub applier: &'a Applier,
    /// For whom.
    pub subject: &'a Subject,
    /// What is asked for.
    pub spec: &'a HelmfileSpec,
    /// Connections.
    pub link: &'a Link<'a>,
    /// The same, checked.
    pub order: Order,
    /// Values, variables and credentials.
    pub inputs: Inputs,
    /// Files of values.
    pub files: Vec<ValuesFile>,
    /// Whether there is no helmfile to run: only what the record has is known.
    pub bare: bool,
    /// The source's revision, as a status shows it.
    pub revision: String,
    /// The same for the fetcher; `None` when the spec has the helmfile itself.
    pub resolved: Option<Revision>,
    /// Keyed digest of all inputs.
    pub digest: String,
    /// Digest of the spec.
    pub spec_digest: String,
    /// A private folder for keys and for what was decrypted, if anything is.
    pub vault: Option<PrivateFolder>,
    /// Ends it.
    pub stop: &'a CancellationToken,
}

impl Applier {
    /// Checks all that can be checked without a copy of the source, reads the inputs, and asks the source for its revision.
    pub(super) async fn prepare<'a>(
        &'a self,
        subject: &'a Subject,
        spec: &'a HelmfileSpec,
        link: &'a Link<'a>,
        stop: &'a CancellationToken,
    ) -> Result<Delivery<'a>, PassError> {
        let mut order = order(subject, spec)?;
        let vault = self.vault(spec)?;
        let sops = self.sops(vault.as_ref(), stop);
        let inputs = if watches(spec).is_empty() {
            gather(spec, "", None, &sops).await?
        } else {
            let home = link.home().await?;
            let namespace = subject.namespace.as_deref().unwrap_or(&home.namespace);
            gather(spec, namespace, Some(&home.client), &sops).await?
        };
        let fetcher = self.fetcher_for(spec);
        order.locator = order.locator.map(|locator| locator.with_credentials(&inputs.credentials));
        let files = resolve_files(&fetcher, spec, &subject.base, &inputs.credentials, stop).await?;
        let resolved = match &order.locator {
            Some(locator) => Some(fetcher.resolve(locator, stop).await?),
            None => None,
        };
        let inline = || {
            format!("sha256:{}", digest::sha256_hex(spec.inline.as_deref().unwrap_or_default().as_bytes()))
        };
        let revision = resolved.as_ref().map_or_else(inline, ToString::to_string);
        let key = self.key(subject, spec, link).await?;
        let mut extra = digests(&subject.values_files);
        extra.extend(files.iter().filter_map(ValuesFile::revision).map(ToString::to_string));
        let digest = key.digest(&inputs::material(spec, &revision, &extra, &inputs.digest_material()));
        let (bare, spec_digest) = (false, inputs::spec_digest(spec));
        Ok(Delivery {
            applier: self,
            subject,
            spec,
            link,
            order,
            inputs,
            files,
            bare,
            revision,
            resolved,
            digest,
            spec_digest,
            vault,
            stop,
        })
    }

    /// What is known when the source, or something that the spec names, can't be had.
    pub(super) async fn prepare_bare<'a>(
        &'a self,
        subject: &'a Subject,
        spec: &'a HelmfileSpec,
        link: &'a Link<'a>,
        stop: &'a CancellationToken,
    ) -> Result<Delivery<'a>, PassError> {
        // The cluster that the releases are in has to be known all the same.
        let least = HelmfileSpec { kube_config: spec.kube_config.clone(), ..HelmfileSpec::default() };
        let home = link.home().await?;
        let namespace = subject.namespace.as_deref().unwrap_or(&home.namespace);
        let inputs = gather(&least, namespace, Some(&home.client), &self.sops(None, stop)).await?;
        Ok(Delivery {
            applier: self,
            subject,
            spec,
            link,
            order: Order { locator: None, helmfile: None },
            inputs,
            files: Vec::new(),
            bare: true,
            revision: String::new(),
            resolved: None,
            digest: String::new(),
            spec_digest: String::new(),
            vault: None,
            stop,
        })
    }

    /// Where things of an object are kept on this machine.
    pub(super) fn folder(&self, subject: &Subject) -> PathBuf {
        self.cache.join("objects").join(&subject.key)
    }

    /// The key for digests.
    async fn key(&self, subject: &Subject, spec: &HelmfileSpec, link: &Link<'_>) -> Result<Key, PassError> {
        let file = self.folder(subject).join("key");
        if file.is_file() {
            return Ok(Key::local(&file)?);
        }
        Ok(match &subject.memory {
            Memory::Object { .. } | Memory::ConfigMap { .. } => {
                Key::shared(&place(subject, spec, link, names::KEY).await?, &file).await?
            }
            Memory::Folder(folder) => Key::local(&folder.join("key"))?,
            Memory::Nothing => Key::local(&file)?,
        })
    }

    /// The record of the releases.
    pub(super) async fn ledger(
        &self,
        subject: &Subject,
        spec: &HelmfileSpec,
        link: &Link<'_>,
    ) -> Result<Ledger, PassError> {
        Ok(match &subject.memory {
            Memory::Object { .. } | Memory::ConfigMap { .. } => {
                Ledger::ConfigMap(Box::new(place(subject, spec, link, names::RECORD).await?))
            }
            Memory::Folder(folder) => Ledger::Folder(folder.clone()),
            Memory::Nothing => Ledger::Nowhere,
        })
    }

    /// What is decrypted must not outlive us, even when we are killed: the next run sweeps it away.
    fn vault(&self, spec: &HelmfileSpec) -> Result<Option<PrivateFolder>, PassError> {
        Ok(spec.decryption.is_some().then(|| PrivateFolder::make(&self.cache)).transpose()?)
    }

    pub(super) fn sops(&self, vault: Option<&PrivateFolder>, stop: &CancellationToken) -> Sops {
        Sops {
            guard: self.guard.clone(),
            env: self.env.clone(),
            folder: vault.map_or_else(|| self.cache.clone(), |vault| vault.path().to_owned()),
            stop: stop.clone(),
        }
    }
}

/// Where an object of ours beside the Helmfile is. It goes with the Helmfile, unless the releases are to be removed first:
/// what proves them ours must outlive a deletion in the foreground (RULES 17). Without an object, all of them have the name
/// of the ConfigMap.
pub(super) async fn place(
    subject: &Subject,
    spec: &HelmfileSpec,
    link: &Link<'_>,
    what: &str,
) -> Result<Place, PassError> {
    let home = link.home().await?;
    if let Memory::ConfigMap { namespace, name } = &subject.memory {
        let (namespace, name) = (namespace.clone(), name.clone());
        return Ok(Place { client: home.client.clone(), namespace, name, owner: None });
    }
    let owner = match (&subject.memory, spec.deletion_policy) {
        (Memory::Object { uid }, DeletionPolicy::Orphan) => serde_json::from_value(json!({
            "apiVersion": names::API_VERSION, "kind": names::KIND, "name": subject.name, "uid": uid,
        }))
        .ok(),
        _ => None,
    };
    Ok(Place {
        client: home.client.clone(),
        namespace: subject.namespace.clone().unwrap_or_else(|| home.namespace.clone()),
        name: names::companion(&subject.name, what),
        owner,
    })
}

fn order(subject: &Subject, spec: &HelmfileSpec) -> Result<Order, PassError> {
    let names = spec.envvars.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let more = spec
        .env
        .iter()
        .map(|variable| (variable.name.as_str(), variable.value.as_deref().unwrap_or_default()));
    command::check_envvars(names.chain(more))?;
    values::check(spec)?;
    if spec.inline.is_some() {
        return Ok(Order { locator: None, helmfile: None });
    }
    let source = spec.source.as_deref().unwrap_or(DEFAULT_SOURCE);
    let locator = Locator::parse(source, spec.version.as_deref(), &subject.base)?;
    let helmfile = source_files::name_of_helmfile(spec.file.as_deref(), locator.file())?;
    Ok(Order { locator: Some(locator), helmfile })
}

impl Delivery<'_> {
    /// For the status.
    pub(crate) fn attempt(&self) -> Attempt<'_> {
        Attempt { revision: &self.revision, inputs: &self.digest, spec: &self.spec_digest }
    }

    /// The values in the order in which they lie over each other, the lowest first.
    pub(crate) fn layers(&self) -> Vec<Layer> {
        values::layers(&self.files, &self.inputs.values, &self.subject.values_files)
    }

    /// Digest of where the helmfile comes from, whatever its version: with another one, what is left out of it may only be
    /// elsewhere.
    pub(crate) fn origin(&self) -> String {
        let place = self.order.locator.as_ref().map(Locator::without_version);
        let file = self.order.helmfile.as_ref().map(|file| file.display().to_string());
        digest::of_json(&json!({"place": place, "file": file, "environment": self.spec.environment}))
    }
}

/// Digests of files of this machine. One that can't be read counts as empty here, and is told when it is needed.
pub(super) fn digests(files: &[PathBuf]) -> Vec<String> {
    let digest = |file: &PathBuf| digest::sha256_hex(&fs::read::<&Path>(file).unwrap_or_default());
    files.iter().map(digest).collect()
}
