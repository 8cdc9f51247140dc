//! From objects to inputs. Pure.

use super::{
    credentials,
    error::InputError,
    kubeconfig,
    model::Inputs,
    objects::{Hidden, Objects, Place},
    registries,
    values::{self, Decrypted},
};
use crate::helmfile::api::{Decryption, HelmfileSpec};

/// Makes the inputs of what was read. `age_keys` are those of [`age_keys`], which are needed before, for decryption.
pub(super) fn inputs(
    spec: &HelmfileSpec,
    objects: &Objects,
    decrypted: &Decrypted,
    age_keys: Option<String>,
) -> Result<Inputs, InputError> {
    let mut hidden = Hidden::default();
    let values = values::values(spec, objects, decrypted, &mut hidden)?;
    let env = values::env(spec, objects, &mut hidden)?;
    let credentials = credentials::read(spec.secret_ref.as_ref(), objects, &mut hidden)?;
    let (registry_config, repositories) = registries::read(&spec.registries, objects, &mut hidden)?;
    let target = spec.kube_config.as_ref().map(|kube_config| &kube_config.secret_ref);
    let kubeconfig = target.map(|target| kubeconfig::read(target, objects, &mut hidden)).transpose()?;
    let keys = age_keys.iter().flat_map(|keys| keys.lines()).filter(|line| !line.starts_with('#'));
    keys.for_each(|key| hidden.add(key));
    Ok(Inputs {
        values,
        env,
        credentials,
        registry_config,
        repositories,
        age_keys,
        kubeconfig,
        secrets: hidden.into_list(),
    })
}

/// What marks an entry with keys of age.
const AGE_KEY: &str = ".agekey";

/// The keys of all entries that end with `.agekey`.
pub(super) fn age_keys(decryption: &Decryption, objects: &Objects) -> Result<String, InputError> {
    let place = Place::secret("decryption.secretRef", &decryption.secret_ref.name);
    let secret = objects.get(&place)?;
    let mut keys = String::new();
    for name in secret.data.keys().filter(|name| name.ends_with(AGE_KEY)) {
        keys.push_str(place.needed(secret, name)?.trim_end());
        keys.push('\n');
    }
    if keys.is_empty() {
        return Err(place.lacks(format!("key whose name ends with `{AGE_KEY}`"), secret));
    }
    Ok(keys)
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
