//! Shares the files of a source out to those who know them. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    call::{self, File, Use},
    dependency,
    mention::is_in,
    reason::{self, Place, Reason},
    state::{self, Around},
};
use crate::helmfile::gotmpl::{
    chart::{self, Role, Text},
    packed,
};

/// What a source has.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// The texts that matter, by their paths.
    pub(super) texts: BTreeMap<String, String>,
    /// The files of packed charts, as if each archive were a folder.
    pub(super) packed: Vec<packed::File>,
    /// All files and folders.
    pub(super) paths: BTreeSet<String>,
    /// Folders that are charts.
    pub(super) charts: BTreeSet<String>,
}

/// All that can make a difference while the source stays the same.
pub(super) fn reasons(source: &Source, helmfile: &str, known_env: &BTreeSet<String>) -> Vec<Reason> {
    let around = Around { helmfile, paths: &source.paths };
    let mut found = Vec::new();
    for (path, text) in &source.texts {
        if !source.charts.iter().any(|chart| is_template_of(path, chart)) {
            one(File { path, text, known_env }, around, &mut found);
        }
    }
    charts(source, &mut found);
    found
}

/// What values ask for that come from elsewhere than the source, say from the spec: helmfile asks secret stores for them, too.
/// `name` stands for the file in what is said.
pub fn in_values(name: &str, values: &Value, known_env: &BTreeSet<String>) -> Vec<Reason> {
    let mut found = Vec::new();
    strings(File { path: name, text: "", known_env }, values, &mut found);
    reason::first(found)
}

fn is_template_of(path: &str, chart: &str) -> bool {
    is_in(path, chart) && Role::of(below(path, chart)) == Role::Template
}

/// The path in a folder.
fn below<'a>(path: &'a str, folder: &str) -> &'a str {
    path.strip_prefix(folder).unwrap_or(path).trim_start_matches('/')
}

fn one(file: File<'_>, around: Around<'_>, found: &mut Vec<Reason>) {
    let name = file.path.rsplit('/').next().unwrap_or(file.path);
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let runs = extension == "gotmpl" || (extension == "tpl" && stem.starts_with('_'));
    let is_helmfile = file.path == around.helmfile;
    let is_yaml = ["json", "yaml", "yml"].contains(&extension) || name == "Kustomization" || is_helmfile;
    let documents = if runs || is_yaml { state::read(file.text, runs) } else { None };
    match &documents {
        Some(documents) if !runs => {
            for document in documents {
                strings(file, document, found);
            }
        }
        _ => {
            let usage = if runs { Use::Runs } else { Use::MayRun };
            call::calls(file, file.text, usage, found);
            call::secrets(file, file.text, usage, found);
        }
    }
    match &documents {
        Some(documents) => {
            state::documents(file, around, documents, found);
            dependency::documents(file, around.paths, documents, found);
        }
        None if is_helmfile && !runs => {
            found.push(Reason::Unreadable(Place { file: file.path.to_owned(), line: None }));
        }
        None => state::lines(file, around, found),
    }
}

/// Looks at all strings of a document, which has no comments.
fn strings(file: File<'_>, value: &Value, found: &mut Vec<Reason>) {
    let mut text = |text: &str| {
        call::calls(file, text, Use::MayRun, found);
        call::secrets(file, text, Use::MayRun, found);
    };
    match value {
        Value::String(content) => text(content),
        Value::Array(items) => items.iter().for_each(|item| strings(file, item, found)),
        Value::Object(map) => {
            map.keys().for_each(|key| text(key));
            map.values().for_each(|value| strings(file, value, found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Looks at each chart that is in no other, with those in it.
fn charts(source: &Source, found: &mut Vec<Reason>) {
    let all = |folder: &&String| {
        let others = source.charts.iter().filter(|other| other != folder);
        others.clone().all(|other| !is_in(folder, other))
    };
    for folder in source.charts.iter().filter(all) {
        let files = source.texts.iter().map(|(path, text)| (path, text.as_bytes()));
        let packed = source.packed.iter().map(|file| (&file.name, file.content.as_slice()));
        let texts: Vec<Text> = files
            .chain(packed)
            .filter(|(path, _)| is_in(path, folder))
            .filter_map(|(path, content)| {
                let name = below(path, folder).to_owned();
                let role = Role::of(&name);
                Text::new(name, role, content)
            })
            .collect();
        if let Err(said) = chart::judge(&texts) {
            let chart = if folder.is_empty() { ".".to_owned() } else { folder.clone() };
            found.push(Reason::Chart { chart, found: said });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_from_elsewhere_are_looked_at() {
        let found = |values| in_values("the values", &values, &BTreeSet::new());
        assert_eq!(found(json!({"a": ["b", {"c": "{{ .x }} ref+ 1"}]})), []);
        let said: Vec<_> = found(json!({"a": [{"b": "ref+vault://x"}, "{{ now }}"]}))
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(said, ["values from `ref+vault` in the values", "`now` in the values"]);
    }
}
