//! The key under which digests of secrets may be shown: a plain digest of a short secret can be guessed.

use std::{fs, io, path::Path};

use hmac::{Hmac, Mac as _};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{Api, api::PostParams};
use serde_json::{Value, json};
use sha2::Sha256;

use super::store::{LedgerError, Place, exactly, gone};
use crate::{atomic, cluster::in_time, digest};

const KEY: &str = "key";
const BYTES: usize = 32;

/// The key.
#[derive(Clone)]
pub struct Key([u8; BYTES]);

impl Key {
    /// A keyed digest of a JSON value, in hex; the order of object keys does not matter.
    pub fn digest(&self, value: &Value) -> String {
        use std::fmt::Write as _;
        // A key of any length will do.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        mac.update(digest::of_json(value).as_bytes());
        mac.finalize().into_bytes().iter().fold(String::new(), |mut hex, byte| {
            let _infallible = write!(hex, "{byte:02x}");
            hex
        })
    }

    /// The key of this machine, in a file that only we can read; it is made when it is not there.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn local(file: &Path) -> Result<Self, LedgerError> {
        if let Some(key) = read(file) {
            return Ok(key);
        }
        let key = Self::fresh().map_err(|source| failed(file, source))?;
        atomic::write(file, &key.0).map_err(|source| failed(file, source))?;
        Ok(key)
    }

    /// The key of a Helmfile: that in a Secret beside it, which is made when it is not there. Once read it is in `file`, so
    /// that a pass that changes nothing asks nobody.
    ///
    /// # Errors
    /// When neither can be had.
    pub async fn shared(place: &Place, file: &Path) -> Result<Self, LedgerError> {
        if let Some(key) = read(file) {
            return Ok(key);
        }
        let api: Api<Secret> = Api::namespaced(place.client.clone(), &place.namespace);
        let get = || in_time(api.get_opt(&place.name));
        let mut found = get().await.map_err(place.failed("read", "Secret"))?;
        if found.is_none() {
            let fresh = Self::fresh().map_err(|source| failed(file, source))?;
            let object: Secret = serde_json::from_value(json!({
                "metadata": place.metadata(), "data": {KEY: ByteString(fresh.0.to_vec())}
            }))
            .unwrap_or_default();
            match in_time(api.create(&PostParams::default(), &object)).await {
                Ok(made) => found = Some(made),
                // Somebody was faster: theirs counts.
                Err(kube::Error::Api(status)) if status.code == 409 => {
                    found = get().await.map_err(place.failed("read", "Secret"))?;
                }
                Err(error) => return Err(place.failed("create", "Secret")(error)),
            }
        }
        let found = found.unwrap_or_default();
        place.refuse_foreign("Secret", &found)?;
        let bytes =
            found.data.and_then(|mut data| data.remove(KEY)).and_then(|bytes| bytes.0.try_into().ok());
        let key = bytes.map(Self).ok_or_else(|| LedgerError::Malformed {
            place: format!("Secret `{}/{}`", place.namespace, place.name),
            why: format!("`{KEY}` has to be {BYTES} bytes"),
        })?;
        atomic::write(file, &key.0).map_err(|source| failed(file, source))?;
        Ok(key)
    }

    fn fresh() -> io::Result<Self> {
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self(bytes))
    }
}

/// Removes the Secret, if it is there and ours.
///
/// # Errors
/// When it can't be removed.
pub async fn remove(place: &Place) -> Result<(), LedgerError> {
    let api: Api<Secret> = Api::namespaced(place.client.clone(), &place.namespace);
    let found = in_time(api.get_metadata_opt(&place.name)).await.map_err(place.failed("read", "Secret"))?;
    let Some(found) = found.filter(|found| place.refuse_foreign("Secret", found).is_ok()) else {
        return Ok(());
    };
    gone(in_time(api.delete(&place.name, &exactly(&found))).await).map_err(place.failed("remove", "Secret"))
}

fn read(file: &Path) -> Option<Key> {
    fs::read(file).ok()?.try_into().ok().map(Key)
}

fn failed(file: &Path, source: io::Error) -> LedgerError {
    LedgerError::File { action: "write", path: file.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_digest_depends_on_the_key_and_not_on_the_order() {
        let (one, two) = (Key([1; BYTES]), Key([2; BYTES]));
        assert_eq!(one.digest(&json!({"a": 1, "b": 2})), one.digest(&json!({"b": 2, "a": 1})));
        assert_ne!(one.digest(&json!({"a": 1})), two.digest(&json!({"a": 1})));
        assert_ne!(one.digest(&json!({"a": 1})), digest::of_json(&json!({"a": 1})));
    }

    #[test]
    fn a_local_key_is_private_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x/key");
        let first = Key::local(&file).unwrap();
        assert_eq!(first.digest(&json!(1)), Key::local(&file).unwrap().digest(&json!(1)));
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let other = Key::local(&folder.path().join("y/key")).unwrap();
        assert_ne!(first.digest(&json!(1)), other.digest(&json!(1)));
    }
}
