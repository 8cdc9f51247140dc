//! Why an input can't be had.

use crate::{helmfile::api::names::reason, process::ProgramError};

/// Why there are no inputs. Each message names the place in the spec and the object, and nothing that the object holds but
/// the names of its keys.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The object is not there.
    #[error("{field} names {object}, which does not exist in namespace `{namespace}`")]
    NoObject {
        /// The place in the spec.
        field: String,
        /// Kind and name.
        object: String,
        /// Where it was looked for.
        namespace: String,
    },
    /// The object is there, and lacks the key.
    #[error("{field} names {object}, which has no {wanted}; it has {}", listing(.there))]
    NoKey {
        /// The place in the spec.
        field: String,
        /// Kind and name.
        object: String,
        /// What it lacks, in words.
        wanted: String,
        /// Its keys.
        there: Vec<String>,
    },
    /// The content makes no sense.
    #[error("{field} names {object}, whose {problem}")]
    Invalid {
        /// The place in the spec.
        field: String,
        /// Kind and name.
        object: String,
        /// What is wrong, without content.
        problem: String,
    },
    /// The spec asks for something that can't be, whatever is in the objects.
    #[error("{field}: {problem}")]
    Spec {
        /// The place in the spec.
        field: String,
        /// What is wrong.
        problem: String,
    },
    /// The API server refuses.
    #[error("{field} names {object}, which may not be read: {why}")]
    Forbidden {
        /// The place in the spec.
        field: String,
        /// Kind and name.
        object: String,
        /// In the words of the API server: which right is missing for whom.
        why: String,
    },
    /// The API server does not answer.
    #[error("{field} names {object}, which could not be read: {why}")]
    Unreachable {
        /// The place in the spec.
        field: String,
        /// Kind and name.
        object: String,
        /// Why.
        why: String,
    },
    /// An encrypted text stays so.
    #[error("{field}: {source}")]
    Encrypted {
        /// The place in the spec.
        field: String,
        /// Why.
        source: DecryptError,
    },
}

impl InputError {
    /// The reason for a condition.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NoObject { .. } | Self::NoKey { .. } => reason::INPUT_NOT_FOUND,
            Self::Invalid { .. } | Self::Spec { .. } => reason::INPUT_INVALID,
            Self::Forbidden { .. } => reason::FORBIDDEN,
            Self::Unreachable { .. } => reason::CLUSTER_UNREACHABLE,
            Self::Encrypted { source, .. } => source.reason(),
        }
    }
}

/// Why an encrypted text stays encrypted.
#[derive(Debug, thiserror::Error)]
pub enum DecryptError {
    /// Nobody said with what.
    #[error("`{0}` is encrypted with SOPS; name the Secret with its keys in `decryption`")]
    NoKeys(String),
    /// The program is missing.
    #[error("`sops` is not on PATH; the applier needs it for encrypted files such as `{0}`")]
    NoProgram(String),
    /// The program is there and can't be run.
    #[error("`sops` can't be run for `{name}`")]
    Program {
        /// The file.
        name: String,
        /// Why.
        #[source]
        source: ProgramError,
    },
    /// Wrong keys, or a file that was changed.
    #[error("`{name}` can't be decrypted: {why}")]
    Refused {
        /// The file.
        name: String,
        /// The sentence of sops.
        why: String,
    },
    /// It did not end by itself.
    #[error("`sops` could not finish with `{name}`")]
    Session {
        /// The file.
        name: String,
        /// Why.
        #[source]
        source: crate::process::SessionError,
    },
    /// What came out is no text.
    #[error("`{0}` is no text when it is decrypted")]
    NotText(String),
    /// The disk.
    #[error("failed to keep the keys for `sops` in a private file")]
    Storage(#[source] std::io::Error),
}

impl DecryptError {
    /// The reason for a condition.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NoKeys(_) | Self::Refused { .. } | Self::NotText(_) => reason::INPUT_INVALID,
            Self::NoProgram(_) | Self::Program { .. } => reason::PROGRAM_NOT_FOUND,
            Self::Session { .. } | Self::Storage(_) => reason::ENVIRONMENT_FAILED,
        }
    }
}

/// How many keys a message lists.
const KEYS: usize = 8;

fn listing(keys: &[String]) -> String {
    if keys.is_empty() {
        return "none at all".to_owned();
    }
    let mut names: Vec<String> = keys.iter().take(KEYS).map(|key| format!("`{key}`")).collect();
    if let Some(more) = keys.len().checked_sub(KEYS).filter(|more| *more > 0) {
        names.push(format!("{more} more"));
    }
    names.join(", ")
}
