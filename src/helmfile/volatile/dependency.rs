//! What charts and kustomizations of a source take from elsewhere. Pure.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    call::File,
    reason::Reason,
    reference::{is_exact, is_remote},
};

/// What a file asks for that is a chart's or a kustomization's own.
pub(super) fn documents(
    file: File<'_>,
    paths: &BTreeSet<String>,
    documents: &[Value],
    found: &mut Vec<Reason>,
) {
    let (folder, name) = file.path.rsplit_once('/').map_or(("", file.path), |(folder, name)| (folder, name));
    let sibling = |name: &str| if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
    let lock = match name {
        "Chart.yaml" => "Chart.lock",
        "requirements.yaml" => "requirements.lock",
        "kustomization.yaml" | "kustomization.yml" | "Kustomization" => {
            for document in documents {
                kustomization(file, document, found);
            }
            return;
        }
        _ => return,
    };
    if paths.contains(&sibling(lock)) {
        return;
    }
    for dependency in
        documents.iter().filter_map(|document| document.get("dependencies")?.as_array()).flatten()
    {
        let text = |key: &str| dependency.get(key).and_then(Value::as_str).unwrap_or_default();
        let repository = text("repository");
        let is_here = repository.is_empty() || repository.starts_with("file://");
        if !is_here && !is_exact(text("version")) {
            let chart = text("name").to_owned();
            let at = file.place(&["name:", &chart]);
            found.push(Reason::Version { chart, at });
        }
    }
}

/// Lists of files and folders.
const LISTS: [&str; 8] = [
    "bases",
    "components",
    "configurations",
    "crds",
    "patches",
    "patchesJson6902",
    "patchesStrategicMerge",
    "resources",
];
/// Hosts of Git repositories.
const HOSTS: [&str; 4] = ["bitbucket.org/", "codeberg.org/", "github.com/", "gitlab.com/"];
/// Lists of configurations for programs; those that are built in are none of a source's business.
const PROGRAMS: [&str; 3] = ["generators", "transformers", "validators"];

fn kustomization(file: File<'_>, document: &Value, found: &mut Vec<Reason>) {
    let items = |key: &str| document.get(key).and_then(Value::as_array).into_iter().flatten();
    for item in LISTS.iter().flat_map(|key| items(key)) {
        let Some(path) = item.as_str().or_else(|| item.get("path")?.as_str()) else { continue };
        // `github.com/owner/repository` is a URL for kustomize.
        let is_host = HOSTS.iter().any(|host| path.starts_with(host));
        // An inline patch may have anything in it.
        let is_reference = !path.contains('\n');
        // Pinned or not, nobody has seen what it asks for in its turn.
        if is_reference && (is_remote(path) || is_host || path.contains('?')) {
            found.push(Reason::Remote { url: path.to_owned(), at: file.place(&[path]) });
        }
    }
    for key in PROGRAMS.into_iter().filter(|key| items(key).next().is_some()) {
        found.push(Reason::Plugin { field: key.to_owned(), at: file.place(&[key]) });
    }
    for chart in items("helmCharts") {
        let text = |key: &str| chart.get(key).and_then(Value::as_str).unwrap_or_default();
        if !text("repo").is_empty() && !is_exact(text("version")) {
            let name = text("name").to_owned();
            let at = file.place(&["name:", &name]);
            found.push(Reason::Version { chart: name, at });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    fn found(path: &str, text: &str, others: &[&str]) -> Vec<String> {
        let known_env = BTreeSet::new();
        let paths = others.iter().map(|&path| path.to_owned()).collect();
        let file = File { path, text, known_env: &known_env };
        let mut found = Vec::new();
        documents(file, &paths, &yaml::documents(text).unwrap(), &mut found);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn dependencies_are_exact_or_locked() {
        let chart = |version: &str, repository: &str| {
            format!(
                "name: a\ndependencies:\n- name: b\n  version: '{version}'\n  repository: '{repository}'\n"
            )
        };
        let floating = chart("^1.2.0", "https://h");
        assert_eq!(
            found("c/Chart.yaml", &floating, &[]),
            ["chart `b` without an exact version in c/Chart.yaml line 3"]
        );
        assert_eq!(found("c/Chart.yaml", &floating, &["Chart.lock"]).len(), 1);
        assert!(found("c/Chart.yaml", &floating, &["c/Chart.lock"]).is_empty());
        assert!(found("Chart.yaml", &floating, &["Chart.lock"]).is_empty());
        assert_eq!(found("requirements.yaml", &floating, &[]).len(), 1);
        assert!(found("other.yaml", &floating, &[]).is_empty());
        for (version, repository) in [("1.2.3", "https://h"), (">0", "file://../b"), ("*", "")] {
            assert!(found("Chart.yaml", &chart(version, repository), &[]).is_empty(), "{version}");
        }
        assert_eq!(found("Chart.yaml", &chart("1.x", "oci://h"), &[]).len(), 1);
        assert_eq!(found("Chart.yaml", &chart("", "@alias"), &[]).len(), 1);
    }

    #[test]
    fn kustomizations_stay_in_the_source() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        for (text, expected) in [
            ("resources: [a.yaml, ../b]\npatches: [{path: c.yaml}, {patch: 'x?'}]", None),
            (
                &*format!("resources: ['https://h/o/r?ref={commit}']"),
                Some(&*format!("`https://h/o/r?ref={commit}` in kustomization.yaml line 1")),
            ),
            (
                "resources: ['https://h/o/r?ref=v1']",
                Some("`https://h/o/r?ref=v1` in kustomization.yaml line 1"),
            ),
            ("bases:\n- github.com/o/r", Some("`github.com/o/r` in kustomization.yaml line 2")),
            ("transformers: [a.yaml]", Some("`transformers` in kustomization.yaml line 1")),
            ("generators: []", None),
            ("helmCharts: [{name: a, repo: h, version: 1.2.3}]", None),
            (
                "helmCharts:\n- name: a\n  repo: h\n",
                Some("chart `a` without an exact version in kustomization.yaml line 2"),
            ),
        ] {
            assert_eq!(
                found("kustomization.yaml", text, &[]).first().map(String::as_str),
                expected,
                "{text}"
            );
        }
    }
}
