//! Reading the objects from the cluster.

use std::collections::BTreeMap;

use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client};

use super::{
    decrypt::{Keys, Sops},
    error::{DecryptError, InputError},
    model::Inputs,
    objects::{Answer, Object, Objects},
    read,
    references::{self, Id},
    sops,
    values::{self, Decrypted},
};
use crate::{
    cluster::{describe, in_time},
    helmfile::api::{HelmfileSpec, SourceKind},
};

/// How many objects are read at once.
const AT_ONCE: usize = 8;

/// Gathers all that a spec takes from ConfigMaps and Secrets of `namespace`: one call for each object, none when the spec
/// names no object, for which no client is needed. What is encrypted is decrypted by `sops`, which is not run otherwise.
///
/// # Errors
/// When an object or key is missing that must be there, may not be read, or makes no sense. [`watches`](super::watches)
/// says what to wait for then.
pub async fn gather(
    spec: &HelmfileSpec,
    namespace: &str,
    client: Option<&Client>,
    sops: &Sops,
) -> Result<Inputs, InputError> {
    let ids = references::objects(spec);
    let answers: BTreeMap<Id, Answer> = match client {
        Some(client) => {
            let calls = stream::iter(ids).map(|id| ask(client.clone(), namespace.to_owned(), id));
            calls.buffer_unordered(AT_ONCE).collect().await
        }
        None => {
            ids.into_iter().map(|id| (id, Answer::Unreachable("there is no cluster".to_owned()))).collect()
        }
    };
    let objects = Objects { namespace: namespace.to_owned(), answers };
    let age_keys =
        spec.decryption.as_ref().map(|decryption| read::age_keys(decryption, &objects)).transpose()?;
    let decrypted = decrypt(spec, &objects, sops, age_keys.as_deref()).await?;
    read::inputs(spec, &objects, &decrypted, age_keys)
}

async fn ask(client: Client, namespace: String, id: Id) -> (Id, Answer) {
    let (kind, name) = &id;
    let got = match kind {
        SourceKind::ConfigMap => {
            let api: Api<ConfigMap> = Api::namespaced(client, &namespace);
            in_time(api.get_opt(name)).await.map(|found| found.map(config_map))
        }
        SourceKind::Secret => {
            let api: Api<Secret> = Api::namespaced(client, &namespace);
            in_time(api.get_opt(name)).await.map(|found| found.map(secret))
        }
    };
    let answer = match got {
        Ok(Some(object)) => Answer::Object(object),
        Ok(None) => Answer::Absent,
        Err(kube::Error::Api(status)) if status.code == 403 => {
            Answer::Forbidden(describe(&kube::Error::Api(status)))
        }
        Err(error) => Answer::Unreachable(describe(&error)),
    };
    (id, answer)
}

fn config_map(found: ConfigMap) -> Object {
    let texts = found.data.unwrap_or_default().into_iter().map(|(key, text)| (key, text.into_bytes()));
    let bytes = found.binary_data.unwrap_or_default().into_iter().map(|(key, bytes)| (key, bytes.0));
    Object { data: texts.chain(bytes).collect(), type_of: None }
}

fn secret(found: Secret) -> Object {
    let data = found.data.unwrap_or_default().into_iter().map(|(key, bytes)| (key, bytes.0)).collect();
    Object { data, type_of: found.type_ }
}

/// The texts of `valuesFrom` that are encrypted.
async fn decrypt(
    spec: &HelmfileSpec,
    objects: &Objects,
    sops: &Sops,
    age_keys: Option<&str>,
) -> Result<Decrypted, InputError> {
    let mut decrypted = Decrypted::new();
    let mut keys: Option<Keys> = None;
    for (index, from) in spec.values_from.iter().enumerate().filter(|(_, from)| from.target_path.is_none()) {
        let place = values::place(index, from);
        let Some(text) = objects.entry(&place, &from.key, from.optional)? else { continue };
        if !sops::is_encrypted(text) {
            continue;
        }
        let failed = |source: DecryptError| InputError::Encrypted { field: place.field.clone(), source };
        if let (None, Some(text)) = (&keys, age_keys) {
            keys = Some(sops.keys(text).map_err(failed)?);
        }
        let name = format!("{} of {} {}", from.key, from.kind.as_str(), from.name);
        decrypted.insert(index, sops.decrypt(&name, text, keys.as_ref()).await.map_err(failed)?);
    }
    Ok(decrypted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_future_can_be_handed_to_another_thread() {
        fn is_send(_: &impl Send) {}
        fn check(spec: &HelmfileSpec, client: &Client, sops: &Sops) {
            is_send(&gather(spec, "shop", Some(client), sops));
        }
        let _: fn(&HelmfileSpec, &Client, &Sops) = check;
    }
}
