//! The status of a delivery without an object: kept where its record is.

use std::{fs, io};

use super::{
    equipment::Applier,
    error::PassError,
    link::Link,
    subject::{Memory, Subject},
};
use crate::{
    atomic,
    helmfile::{
        api::HelmfileStatus,
        ledger::{LedgerError, store::Place},
    },
};

const FILE: &str = "status.json";

impl Applier {
    /// What an earlier run has left, or nothing.
    ///
    /// # Errors
    /// When it is there and can't be read.
    pub async fn recall(&self, memory: &Memory) -> Result<HelmfileStatus, PassError> {
        let text = match memory {
            Memory::Folder(folder) => match fs::read_to_string(folder.join(FILE)) {
                Ok(text) => Some(text),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(source) => {
                    return Err(LedgerError::File { action: "read", path: folder.join(FILE), source }.into());
                }
            },
            Memory::ConfigMap { namespace, name } => {
                self.status_place(namespace, name).await?.read_text(FILE).await?
            }
            Memory::Object { .. } | Memory::Nothing => None,
        };
        // One that can't be understood is an older program's: everything is looked at again then.
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
    }

    /// Keeps a status for the next run.
    ///
    /// # Errors
    /// When it can't be kept.
    pub async fn remember(&self, subject: &Subject, status: &HelmfileStatus) -> Result<(), PassError> {
        let text = serde_json::to_string(status).unwrap_or_default();
        match &subject.memory {
            Memory::Folder(folder) => {
                let path = folder.join(FILE);
                atomic::write(&path, text.as_bytes()).map_err(|source| LedgerError::File {
                    action: "write",
                    path,
                    source,
                })?;
            }
            Memory::ConfigMap { namespace, name } => {
                self.status_place(namespace, name).await?.write_text(FILE, &text).await?;
            }
            Memory::Object { .. } | Memory::Nothing => {}
        }
        Ok(())
    }

    async fn status_place(&self, namespace: &str, name: &str) -> Result<Place, PassError> {
        let link = Link::new(&self.target);
        Ok(Place {
            client: link.home().await?.client.clone(),
            namespace: namespace.to_owned(),
            name: format!("{name}.status"),
            owner: None,
        })
    }
}
