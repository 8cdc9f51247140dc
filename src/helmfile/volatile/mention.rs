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
pub(super) struct Mentions {
    words: BTreeSet<String>,
    /// Folders of which any file may be meant: `values/{{ .Values.region }}`.
    folders: BTreeSet<String>,
}

/// What stands for a part of a path that only a run of the template or a look at the files shows.
const OPEN: [&str; 3] = ["{{", "%", "*"];

impl Mentions {
    pub(super) fn add(&mut self, text: &str) {
        let words = text.split(|c: char| !is_of_name(c)).filter(|word| !word.is_empty());
        self.words.extend(words.map(str::to_owned));
        let open = OPEN.iter().flat_map(|open| text.match_indices(open));
        let folders = open.filter_map(|(at, _)| {
            let path = text.get(..at)?.trim_end_matches(is_of_name).strip_suffix('/')?;
            path.rsplit(|c: char| !is_of_name(c)).next()
        });
        self.folders.extend(folders.filter(|name| !["", ".", ".."].contains(name)).map(str::to_owned));
    }

    /// Whether a file is named, or the hidden folder that it is in. Of a file only the ending or a folder counts, too: a
    /// template or a `*` may stand for the rest.
    pub(super) fn name(&self, path: &str) -> bool {
        let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
        let hidden = path.split('/').find(|part| part.starts_with('.'));
        let part = hidden.unwrap_or(name);
        let is_open = || self.ending(name) || folders.split('/').any(|folder| self.folders.contains(folder));
        self.words.contains(part) || !part.chars().all(is_of_name) || (hidden.is_none() && is_open())
    }

    fn ending(&self, name: &str) -> bool {
        let dots = name.char_indices().filter(|&(at, c)| c == '.' && at > 0);
        dots.filter_map(|(at, _)| name.get(at..))
            .any(|ending| self.words.contains(ending) || self.words.contains(&format!("*{ending}")))
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
            "a: files/x.txt\nb: {{ readFile `Caddyfile` }}\nc: {{ .x }}.properties\nd: other/a.ini, *.ini # .tools/",
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

    #[test]
    fn a_folder_matters_of_which_any_file_may_be_meant() {
        for (text, expected) in [
            ("- values/{{ .Values.region }}", true),
            ("- ./values/of-{{ .Values.region }}.d/x", true),
            ("{{ readFile (printf \"deploy/values/%s\" .Values.region) }}", true),
            ("- values/*", true),
            ("- values/us", false),
            ("- {{ .Values.region }}", false),
            ("- {{ .Values.folder }}/{{ .Values.region }}", false),
            ("- ../{{ .Values.region }}", false),
            ("- othervalues/{{ .Values.region }}", false),
        ] {
            let mut mentions = Mentions::default();
            mentions.add(text);
            assert_eq!(mentions.name("deploy/values/eu"), expected, "{text}");
            assert!(!mentions.name("values.txt") && !mentions.name(".git/values/eu"), "{text}");
        }
    }
}
