//! What helmfiles ask for by their fields: releases, files, hooks. Pure.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{
    call::{File, without_comment},
    reason::Reason,
    reference::{
        ACTION, is_exact, is_literal, is_pinned, is_remote, leads_out, names_its_version, needle, shown,
    },
};
use crate::{
    helmfile::gotmpl::token::{self, Piece},
    yaml,
};

/// Where things are.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    /// The helmfile's path in the source, or that of a folder of them.
    pub(super) helmfile: &'a str,
    /// All files and folders of the source.
    pub(super) paths: &'a BTreeSet<String>,
}

/// Fields that only a helmfile has at its top.
const TOP: [&str; 8] = [
    "bases",
    "environments",
    "helmDefaults",
    "helmfiles",
    "helmBinary",
    "releases",
    "repositories",
    "templates",
];
/// Fields whose strings are files.
const FILES: [&str; 8] = [
    "bases",
    "helmfiles",
    "jsonPatches",
    "secrets",
    "strategicMergePatches",
    "transformers",
    "values",
    "valuesTemplate",
];
/// Fields whose contents are the chart's business, whatever they are called.
const OPAQUE: [&str; 7] =
    ["jsonPatches", "secrets", "set", "setTemplate", "strategicMergePatches", "values", "valuesTemplate"];
/// Fields that name a program.
const PLUGINS: [&str; 4] = ["helmBinary", "kustomizeBinary", "postRenderer", "transformers"];
/// What stands for no program of one's own there.
const USUAL: [&str; 3] = ["", "helm", "kustomize"];

/// What the documents of a YAML file ask for. Most files are no helmfiles, and ask for nothing.
pub(super) fn documents(file: File<'_>, around: Around<'_>, documents: &[Value], found: &mut Vec<Reason>) {
    let has_top = |value: &Value| TOP.iter().any(|key| value.get(key).is_some());
    let is_state = is_in_helmfile(file, around) || documents.iter().any(has_top);
    let mut look = Look { file, around, is_state, found };
    for document in documents {
        look.value(document, false);
    }
}

fn is_in_helmfile(file: File<'_>, around: Around<'_>) -> bool {
    let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    file.path == around.helmfile || (!around.helmfile.is_empty() && folder == around.helmfile)
}

/// A template with its actions as plain words, so that it is YAML again. Lines that have nothing but actions go away.
pub(super) fn masked(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    for (number, piece) in token::pieces(text).enumerate() {
        match piece {
            Piece::Text(text) => masked.push_str(text),
            Piece::Comment | Piece::Broken(_) => {}
            Piece::Action(_) => masked.extend([ACTION.to_string(), number.to_string(), ACTION.to_string()]),
        }
    }
    let is_only_actions = |line: &str| {
        let mut parts = line.split(ACTION).enumerate().filter(|(number, _)| number % 2 == 0);
        line.contains(ACTION) && parts.all(|(_, part)| part.trim().is_empty())
    };
    let lines = masked.split_inclusive('\n');
    lines.filter(|line| !is_only_actions(line)).collect()
}

/// What a template asks for that isn't YAML even with its actions masked: line by line, and in doubt for the worse.
pub(super) fn lines(file: File<'_>, around: Around<'_>, found: &mut Vec<Reason>) {
    let text = masked(file.text);
    let keys = || {
        text.lines().filter_map(|line| without_comment(line).trim_start_matches([' ', '-']).split_once(':'))
    };
    if !is_in_helmfile(file, around) && !keys().any(|(key, _)| key == "chart" || TOP.contains(&key)) {
        return;
    }
    let mut look = Look { file, around, is_state: true, found };
    for (key, value) in keys() {
        let value = value.trim().trim_matches(['"', '\'']);
        match key {
            "chart" => look.chart(value, None),
            "hooks" => look.found.push(Reason::Hooks(file.place(&["hooks:"]))),
            "path" | "file" => look.path(value),
            _ if PLUGINS.contains(&key) => look.plugin(key),
            _ => {}
        }
    }
    for line in text.lines() {
        if let Some(item) = without_comment(line).trim().strip_prefix("- ") {
            let item = item.trim().trim_matches(['"', '\'']);
            if !item.contains(": ") && !item.ends_with(':') && !item.contains(char::is_whitespace) {
                look.path(item);
            }
        }
    }
}

struct Look<'a> {
    file: File<'a>,
    around: Around<'a>,
    is_state: bool,
    found: &'a mut Vec<Reason>,
}

impl Look<'_> {
    /// `versioned`: in a list of releases or of templates for them.
    fn value(&mut self, value: &Value, versioned: bool) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.value(item, versioned)),
            Value::Object(map) => {
                self.release(map, versioned);
                for (key, value) in map {
                    self.field(key, value);
                    if !(self.is_state && OPAQUE.contains(&key.as_str())) {
                        self.value(value, versioned || ["releases", "templates"].contains(&key.as_str()));
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn field(&mut self, key: &str, value: &Value) {
        let is_filled =
            !matches!(value, Value::Null) && value.as_array().is_none_or(|items| !items.is_empty());
        if key == "hooks" && is_filled {
            let is_hook = |item: &Value| item.get("events").is_some();
            if self.is_state || value.as_array().is_some_and(|items| items.iter().any(is_hook)) {
                self.found.push(Reason::Hooks(self.file.place(&["hooks"])));
            }
        }
        if !self.is_state {
            return;
        }
        if PLUGINS.contains(&key) && is_filled && !value.as_str().is_some_and(|name| USUAL.contains(&name)) {
            self.plugin(key);
        }
        if FILES.contains(&key) {
            for item in value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice) {
                self.reference(item, "path");
            }
        }
        if ["set", "setTemplate"].contains(&key) {
            value.as_array().into_iter().flatten().for_each(|item| self.reference(item, "file"));
        }
    }

    fn plugin(&mut self, key: &str) {
        let at = self.file.place(&[key]);
        self.found.push(Reason::Plugin { field: key.to_owned(), at });
    }

    /// A path by itself, or below a key.
    fn reference(&mut self, item: &Value, key: &str) {
        if let Some(path) = item.as_str().or_else(|| item.get(key)?.as_str()) {
            self.path(path);
        }
    }

    /// A file or a folder. What is on another machine was never looked at: though it may always be the same, it may take
    /// something from elsewhere in its turn.
    fn path(&mut self, path: &str) {
        let at = || self.file.place(&[needle(path)]);
        if is_remote(path) {
            self.found.push(Reason::Remote { url: shown(path), at: at() });
        } else if leads_out(path, self.depth()) {
            self.found.push(Reason::Outside { path: shown(path), at: at() });
        }
    }

    /// How many folders one may go up: a file of a helmfile is looked for from there or from the file itself.
    fn depth(&self) -> usize {
        let depth = |path: &str| path.matches('/').count();
        depth(self.file.path).max(depth(self.around.helmfile))
    }

    fn release(&mut self, map: &Map<String, Value>, versioned: bool) {
        // A YAML merge gives what the map itself doesn't.
        let merged = map.get("<<");
        let get = |key: &str| map.get(key).or_else(|| merged?.get(key));
        let version = get("version");
        match get("chart").and_then(Value::as_str) {
            Some(chart) if self.is_state || get("name").is_some_and(Value::is_string) => {
                self.chart(chart, version.and_then(Value::as_str));
            }
            // It inherits the chart, and overrides the version.
            None if self.is_state && versioned && map.contains_key("name") => {
                let is_other = |version: &Value| version.as_str().is_none_or(|text| !is_exact(text));
                if version.is_some_and(is_other) {
                    let chart = map.get("name").and_then(Value::as_str).unwrap_or_default();
                    self.version(chart);
                }
            }
            _ => {}
        }
    }

    fn chart(&mut self, chart: &str, version: Option<&str>) {
        let is_path = chart.starts_with(['.', '/', '~']) || !chart.contains('/');
        // A whole path or URL may come out of the action.
        let is_unknown = chart.starts_with(ACTION) && !chart.contains('/') || chart.starts_with("{{");
        if is_unknown {
            self.version(chart);
        } else if chart.starts_with("oci://") || !(is_remote(chart) || is_path || self.is_there(chart)) {
            let is_named = is_literal(chart) && names_its_version(chart);
            if !is_named && !version.is_some_and(is_exact) {
                self.version(chart);
            }
        } else if !(is_remote(chart) && is_literal(chart) && is_pinned(chart)) {
            self.path(chart);
        }
    }

    fn version(&mut self, chart: &str) {
        let at = self.file.place(&[needle(chart)]);
        self.found.push(Reason::Version { chart: shown(chart), at });
    }

    /// Whether the source has such a folder or file, from this file or from the helmfile.
    fn is_there(&self, chart: &str) -> bool {
        let chart = chart.trim_end_matches('/');
        let from = |path: &str| {
            path.rsplit_once('/').map_or(chart.to_owned(), |(folder, _)| format!("{folder}/{chart}"))
        };
        [self.file.path, self.around.helmfile].iter().any(|path| self.around.paths.contains(&from(path)))
    }
}

/// The documents of a YAML text; those of a template with its actions masked.
pub(super) fn read(text: &str, is_template: bool) -> Option<Vec<Value>> {
    if is_template { yaml::documents(&masked(text)).ok() } else { yaml::documents(text).ok() }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
