//! Which releases need no rendering: the same inputs have been rendered, and nothing differed (RULES 9).

use std::{collections::BTreeMap, fs, io, path::Path};

use serde::{Deserialize, Serialize};

use crate::{atomic, helmfile::ledger::ReleaseId};

/// Digests of inputs that were found to be what the deployed revision has, by release.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Renders(BTreeMap<String, String>);

impl Renders {
    /// Reads what an earlier run has kept. What can't be read is rendered.
    pub(crate) fn read(file: &Path) -> Self {
        fs::read(file).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    /// Keeps them for later runs. When that fails, later runs render.
    pub(crate) fn write(&self, file: &Path) {
        let text = serde_json::to_vec(self).map_err(io::Error::from);
        if let Err(error) = text.and_then(|text| atomic::write(file, &text)) {
            tracing::warn!(file = %file.display(), %error, "failed to remember what was rendered");
        }
    }

    /// Whether these inputs were found to be deployed.
    pub(crate) fn knows(&self, id: &ReleaseId, digest: &str) -> bool {
        self.0.get(&id.to_string()).is_some_and(|known| known == digest)
    }

    /// Remembers what was found.
    pub(crate) fn note(&mut self, id: &ReleaseId, digest: Option<String>) {
        match digest {
            Some(digest) => self.0.insert(id.to_string(), digest),
            None => self.0.remove(&id.to_string()),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_the_last_digest_of_each_release() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("renders.json");
        assert_eq!(Renders::read(&file), Renders::default());
        let (web, db) = (ReleaseId::new("a", "web"), ReleaseId::new("a", "db"));
        let mut renders = Renders::default();
        renders.note(&web, Some("1".into()));
        renders.note(&db, Some("2".into()));
        renders.note(&db, None);
        renders.write(&file);
        let again = Renders::read(&file);
        assert!(again.knows(&web, "1") && !again.knows(&web, "2") && !again.knows(&db, "2"));
        fs::write(&file, "{").unwrap();
        assert_eq!(Renders::read(&file), Renders::default());
    }
}
