//! Credentials of the source, by the keys that Flux gives them. Pure.

use super::{
    error::InputError,
    objects::{Hidden, Object, Objects, Place},
};
use crate::helmfile::{
    api::SecretReference,
    fetch::{SourceCredentials, SshCredentials},
};

/// Reads the Secret of `secretRef`: `username` and `password`, `bearerToken`, `identity` (with `password` as its
/// passphrase) and `known_hosts`, `ca.crt`.
pub(super) fn read(
    reference: Option<&SecretReference>,
    objects: &Objects,
    hidden: &mut Hidden,
) -> Result<SourceCredentials, InputError> {
    let Some(reference) = reference else { return Ok(SourceCredentials::default()) };
    let place = Place::secret("secretRef", &reference.name);
    let secret = objects.get(&place)?;
    let credentials = SourceCredentials {
        login: login(&place, secret)?,
        bearer_token: place.line(secret, "bearerToken")?.map(str::to_owned),
        ssh: ssh(&place, secret)?,
        authority: authority(&place, secret)?,
    };
    if credentials == SourceCredentials::default() {
        let wanted = "`username` and `password`, `bearerToken`, `identity` or `ca.crt`";
        return Err(place.lacks(wanted, secret));
    }
    credentials.secrets().for_each(|text| hidden.add(text));
    Ok(credentials)
}

fn login(place: &Place<'_>, secret: &Object) -> Result<Option<(String, String)>, InputError> {
    match (place.line(secret, "username")?, place.line(secret, "password")?) {
        (None, None) => Ok(None),
        // Then the password is that of the key; and a user is written in the source.
        _ if secret.data.contains_key("identity") => Ok(None),
        (Some(_), None) => Err(place.lacks("key `password`", secret)),
        (None, Some(_)) => Err(place.lacks("key `username`", secret)),
        (Some(user), Some(password)) => Ok(Some((user.to_owned(), password.to_owned()))),
    }
}

fn ssh(place: &Place<'_>, secret: &Object) -> Result<Option<SshCredentials>, InputError> {
    let Some(identity) = place.text(secret, "identity")? else { return Ok(None) };
    if !identity.contains("PRIVATE KEY-----") {
        return Err(place.invalid("key `identity` is no private key"));
    }
    // Without it the first server to answer would be trusted.
    let known_hosts = place.needed(secret, "known_hosts")?;
    if known_hosts.trim().is_empty() {
        return Err(
            place.invalid("key `known_hosts` is empty; put there what `ssh-keyscan` prints for the host")
        );
    }
    Ok(Some(SshCredentials {
        identity: identity.to_owned(),
        passphrase: place.line(secret, "password")?.filter(|text| !text.is_empty()).map(str::to_owned),
        known_hosts: known_hosts.to_owned(),
    }))
}

fn authority(place: &Place<'_>, secret: &Object) -> Result<Option<String>, InputError> {
    match place.text(secret, "ca.crt")? {
        Some(text) if !text.contains("-----BEGIN CERTIFICATE-----") => {
            Err(place.invalid("key `ca.crt` holds no certificate in PEM"))
        }
        text => Ok(text.map(str::to_owned)),
    }
}
