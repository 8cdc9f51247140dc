//! Texts that are compiled into the program.

use crate::engine::config::Library;

/// The built-in configs and what they name.
pub(super) const LIBRARY: Library = Library {
    configs: &[
        ("default", include_str!("../../config.yaml")),
        ("applier", include_str!("../../assets/applier.yaml")),
    ],
    files: &[
        ("applier.yaml.hbs", include_str!("../../assets/templates/applier.yaml.hbs")),
        ("helmfiles.yaml", include_str!("../../assets/crds/helmfiles.yaml")),
    ],
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;
    use crate::{
        engine::{
            config::{Metric, Source, Surroundings, load},
            query::Scalar,
        },
        yaml,
    };

    #[test]
    fn both_configs_measure_the_same() {
        let [one, other] = [LIBRARY.configs[0].1, LIBRARY.configs[1].1]
            .map(|text| yaml::documents(text).unwrap()[0]["resources"][0]["metrics"].clone());
        assert_eq!(one, other);
        assert!(one.is_array());
    }

    fn measured(metric: &Metric, object: &Value) -> Option<String> {
        let value = metric.value.read(object).unwrap()?.number().unwrap();
        let mut labels = metric.labels.iter().map(|(name, label)| match label.read(object).unwrap() {
            Some(Scalar::Text(text)) => format!(" {name}={text}"),
            None => format!(" {name}="),
            other => panic!("{name}: {other:?}"),
        });
        Some(format!("{value}{}", labels.by_ref().collect::<String>()))
    }

    /// The metrics of a Helmfile, without the `helmfile_` of their names.
    fn of(object: &Value) -> BTreeMap<String, String> {
        let sources = [Source::Builtin("applier".to_owned())];
        let config = load(&sources, &LIBRARY, &Surroundings::default()).unwrap().config;
        let metrics = config.entries[0].metrics.iter();
        let short = |metric: &Metric| metric.name.strip_prefix("helmfile_").unwrap().to_owned();
        metrics.filter_map(|metric| Some((short(metric), measured(metric, object)?))).collect()
    }

    fn expected(lines: &[(&str, &str)]) -> BTreeMap<String, String> {
        lines.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_new_helmfile_is_not_ready_and_has_delivered_nothing() {
        let new = json!({"metadata": {"name": "h"}, "spec": {}});
        let nothing = [("ready", "0"), ("stalled", "0"), ("suspended", "0"), ("info", "1 reason= revision=")];
        assert_eq!(of(&new), expected(&nothing));
    }

    #[test]
    fn a_helmfile_tells_of_its_delivery() {
        let condition = |kind: &str, status: &str, reason: &str| json!({"type": kind, "status": status, "reason": reason});
        let history = json!([
            {"revision": "main@sha1:1", "at": "2024-11-23T22:00:00Z", "duration": "3s", "outcome": "Failed", "changed": 0},
            {"revision": "main@sha1:1", "at": "2024-11-23T21:00:00Z", "duration": "1m30s", "outcome": "Succeeded", "changed": 2},
        ]);
        let mut helmfile = json!({
            "spec": {"suspend": true},
            "status": {
                "conditions": [condition("Ready", "True", "Fine"), condition("Drifted", "False", "Same")],
                "inventory": {"count": 7}, "history": history, "lastAppliedRevision": "main@sha1:1",
                "lastAppliedTime": "2024-11-23T22:00:00Z", "revisionSince": "2024-11-23T21:00:00.5Z",
            },
        });
        let all = [
            ("ready", "1"),
            ("stalled", "0"),
            ("suspended", "1"),
            ("drifted", "0"),
            ("releases", "7"),
            ("last_applied_timestamp_seconds", "1732399200"),
            ("last_applied_duration_seconds", "90"),
            ("revision_since_timestamp_seconds", "1732395600.5"),
            ("info", "1 reason=Fine revision=main@sha1:1"),
        ];
        assert_eq!(of(&helmfile), expected(&all));
        helmfile["status"]["conditions"] = json!([
            condition("Ready", "False", "Bad"),
            condition("Stalled", "True", "Bad"),
            condition("Drifted", "True", "Edited")
        ]);
        let now = of(&helmfile);
        let picked = ["ready", "stalled", "drifted", "info"].map(|name| now[name].as_str());
        assert_eq!(picked, ["0", "1", "1", "1 reason=Bad revision=main@sha1:1"]);
    }
}
