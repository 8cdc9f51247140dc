//! Which files of a source matter. Pure.
//!
//! YAML, JSON, templates and what is in charts always does. A source holds other files, too: programs, documents, settings of
//! tools. Such a file matters when something that matters names it.

use std::collections::BTreeSet;

/// Whether helmfile or Helm may read the file without its name being in any other file.
pub(super) fn is_evident(path: &str, helmfile: &str, charts: &BTreeSet<String>) -> bool {
    if path == helmfile || charts.iter().any(|chart| is_in(path, chart)) {
        return true;
    }
    let folder = helmfile.rsplit_once('/').map_or("", |(folder, _)| folder);
    let below = path.strip_prefix(folder).unwrap_or(path);
    let is_hidden = below.split('/').any(|part| part.starts_with('.'));
    let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
    !is_hidden && EXTENSIONS.contains(&extension)
}

const EXTENSIONS: [&str; 7] = ["gotmpl", "hcl", "json", "tgz", "tpl", "yaml", "yml"];

/// Whether a path is below a folder; all are below the top one, which has no name.
pub(super) fn is_in(path: &str, folder: &str) -> bool {
    folder.is_empty() || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// All that could be a file's name, or a part of one, in texts.
#[derive(Debug, Default)]
pub(super) struct Mentions(BTreeSet<String>);

impl Mentions {
    pub(super) fn add(&mut self, text: &str) {
        let words = text.split(|c: char| !is_of_name(c)).filter(|word| !word.is_empty());
        self.0.extend(words.map(str::to_owned));
    }

    /// Whether a file is named, or the hidden folder that it is in. Of a file only the ending counts, too: a template or a
    /// `*` may stand for the rest.
    pub(super) fn name(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        let hidden = path.split('/').find(|part| part.starts_with('.'));
        let part = hidden.unwrap_or(name);
        self.0.contains(part) || !part.chars().all(is_of_name) || (hidden.is_none() && self.ending(name))
    }

    fn ending(&self, name: &str) -> bool {
        let dots = name.char_indices().filter(|&(at, c)| c == '.' && at > 0);
        dots.filter_map(|(at, _)| name.get(at..))
            .any(|ending| self.0.contains(ending) || self.0.contains(&format!("*{ending}")))
    }
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._-*".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_read_is_evident() {
        let charts = BTreeSet::from(["charts/a".to_owned()]);
        for (path, expected) in [
            ("helmfile.yaml", true),
            ("a/values.gotmpl", true),
            ("charts/a/files/x.conf", true),
            ("charts/ab/files/x.conf", false),
            ("README.md", false),
            (".github/workflows/a.yaml", false),
            ("a/.hidden.yaml", false),
            ("src/main.go", false),
            ("Makefile", false),
        ] {
            assert_eq!(is_evident(path, "helmfile.yaml", &charts), expected, "{path}");
        }
        assert!(is_evident(".deploy/values.yaml", ".deploy/helmfile.yaml", &charts));
        assert!(is_evident(".deploy/state", ".deploy/state", &charts));
        assert!(is_evident("any", "helmfile.yaml", &BTreeSet::from([String::new()])));
    }

    #[test]
    fn what_is_named_matters() {
        let mut mentions = Mentions::default();
        mentions.add(
            "a: files/x.txt\nb: {{ readFile `Caddyfile` }}\nc: {{ .x }}.properties\nd: conf/*.ini # .tools/",
        );
        for (path, expected) in [
            ("x.txt", true),
            ("deep/x.txt", true),
            ("y.txt", false),
            ("Caddyfile", true),
            ("Makefile", false),
            ("prod.properties", true),
            ("any.ini", true),
            (".tools/any", true),
            (".other/any", false),
            (".other/x.txt", false),
            ("with space", true),
            ("README.md", false),
        ] {
            assert_eq!(mentions.name(path), expected, "{path}");
        }
    }
}
