//! Every ConfigMap and Secret that a spec names. Pure.

use crate::{
    contract::{WatchOn, WatchRequest},
    helmfile::api::{HelmfileSpec, SourceKind},
};

/// An object of the namespace.
pub(super) type Id = (SourceKind, String);

/// All objects, each once.
pub(super) fn objects(spec: &HelmfileSpec) -> Vec<Id> {
    let secret = |name: &str| (SourceKind::Secret, name.to_owned());
    let values = spec.values_from.iter().map(|from| (from.kind, from.name.clone()));
    let env = spec.env.iter().filter_map(|variable| variable.value_from.as_ref()).flat_map(|from| {
        let map = from.config_map_key_ref.iter().map(|key| (SourceKind::ConfigMap, key.name.clone()));
        map.chain(from.secret_key_ref.iter().map(|key| secret(&key.name)))
    });
    let mut all: Vec<Id> = values.chain(env).collect();
    all.extend(spec.secret_ref.iter().map(|reference| secret(&reference.name)));
    all.extend(spec.registries.iter().map(|registry| secret(&registry.secret_ref.name)));
    all.extend(spec.decryption.iter().map(|decryption| secret(&decryption.secret_ref.name)));
    all.extend(spec.kube_config.iter().map(|kube_config| secret(&kube_config.secret_ref.name)));
    all.sort();
    all.dedup();
    all
}

/// The objects whose changes are to start a pass: all that the spec names, also those that are not there, so that making
/// one starts a pass at once. It takes no cluster, since it is needed most when [`gather`](super::gather) fails.
pub fn watches(spec: &HelmfileSpec) -> Vec<WatchRequest> {
    let watch = |(kind, name): Id| WatchRequest {
        api_version: "v1".to_owned(),
        kind: kind.as_str().to_owned(),
        namespace: None,
        name: Some(name),
        label_selector: None,
        on: WatchOn::Spec,
        body: false,
    };
    objects(spec).into_iter().map(watch).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_object_is_named_once_wherever_it_is_used() {
        let spec = serde_json::from_value(json!({
            "valuesFrom": [{"kind": "Secret", "name": "both"}, {"kind": "ConfigMap", "name": "both", "optional": true},
                           {"kind": "Secret", "name": "both", "key": "x"}],
            "env": [{"name": "A", "value": "x"},
                    {"name": "B", "valueFrom": {"secretKeyRef": {"name": "env", "key": "k"}}},
                    {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "env", "key": "k"}}}],
            "secretRef": {"name": "git"},
            "registries": [{"host": "h", "secretRef": {"name": "oci"}}],
            "decryption": {"provider": "sops", "secretRef": {"name": "age"}},
            "kubeConfig": {"secretRef": {"name": "kube"}},
        }))
        .unwrap();
        let names: Vec<String> = watches(&spec)
            .into_iter()
            .map(|watch| format!("{} {} {}", watch.kind, watch.name.unwrap(), watch.body))
            .collect();
        assert_eq!(
            names,
            [
                "ConfigMap both false",
                "ConfigMap env false",
                "Secret age false",
                "Secret both false",
                "Secret env false",
                "Secret git false",
                "Secret kube false",
                "Secret oci false"
            ]
        );
        assert_eq!(watches(&HelmfileSpec::default()), []);
    }
}
