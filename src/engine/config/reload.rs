//! What a new config changes.

use std::collections::HashMap;

use super::model::Config;

/// Two configs compared: the names of their entries, those of the new one in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// The same in both: what runs can go on.
    pub kept: Vec<String>,
    /// In both, but not the same.
    pub changed: Vec<String>,
    /// Only in the new one.
    pub added: Vec<String>,
    /// Only in the old one.
    pub removed: Vec<String>,
}

impl Difference {
    /// Compares by name and digest.
    pub fn between(old: &Config, new: &Config) -> Self {
        let mut before: HashMap<&str, &str> =
            old.entries.iter().map(|entry| (entry.name.as_str(), entry.digest.as_str())).collect();
        let mut difference = Self::default();
        for entry in &new.entries {
            let list = match before.remove(entry.name.as_str()) {
                Some(digest) if digest == entry.digest => &mut difference.kept,
                Some(_) => &mut difference.changed,
                None => &mut difference.added,
            };
            list.push(entry.name.clone());
        }
        let left = old.entries.iter().filter(|entry| before.contains_key(entry.name.as_str()));
        difference.removed = left.map(|entry| entry.name.clone()).collect();
        difference
    }

    /// Whether no entry has to be started or stopped.
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.added.is_empty() && self.removed.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::{Map, json};
    use tempfile::TempDir;

    use super::*;
    use crate::engine::config::{Library, Source, Surroundings, load};

    const CONFIG: &str = "values: {top: 1}\nresources:\n- version: v1\n  kind: A\n  values: {x: 1, y: 2}\n  \
                          reconciler: {exec: {command: ./hook.sh, args: [data.txt]}}\n\
                          - version: v1\n  kind: B\n  reconciler: {template: {file: b.hbs}}\n";

    /// A folder with a config of two entries and all that they name.
    fn folder() -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in
            [("config.yaml", CONFIG), ("hook.sh", "#!/bin/sh\n"), ("data.txt", "1"), ("b.hbs", "status: {}")]
        {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn read(folder: &TempDir, set: Map<String, serde_json::Value>) -> Config {
        let source = Source::File(folder.path().join("config.yaml"));
        load(&[source], &Library::default(), &Surroundings { path: None, set }).unwrap().config
    }

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn an_entry_changes_with_all_that_it_depends_on_and_with_nothing_else() {
        let reordered = "# words\nresources:\n- kind: A\n  version: v1\n  reconciler:\n    exec: {args: [data.txt], command: ./hook.sh}\n  \
                         values: {y: 2, x: 1}\n- {kind: B, version: v1, reconciler: {template: {file: 'b.hbs'}}}\nvalues: {top: 1}\n";
        let valued = CONFIG.replace("x: 1", "x: 2");
        let topped = CONFIG.replace("top: 1", "top: 2");
        let timed = CONFIG.replace("data.txt]", "data.txt], timeout: 5s");
        for (file, text, changed) in [
            ("config.yaml", reordered, &[][..]),
            ("unnamed.txt", "new", &[]),
            ("hook.sh", "#!/bin/sh\nexit 1\n", &["a"]),
            ("data.txt", "2", &["a"]),
            ("b.hbs", "status: {a: 1}", &["b"]),
            ("config.yaml", &valued, &["a"]),
            ("config.yaml", &timed, &["a"]),
            ("config.yaml", &topped, &["a", "b"]),
        ] {
            let folder = folder();
            let old = read(&folder, Map::new());
            fs::write(folder.path().join(file), text).unwrap();
            let found = Difference::between(&old, &read(&folder, Map::new()));
            assert_eq!(found.changed, names(changed), "{file}: {text}");
            assert_eq!(found.kept.len() + found.changed.len(), 2);
            assert_eq!(found.is_empty(), changed.is_empty());
        }
    }

    #[test]
    fn a_value_from_the_command_line_changes_every_entry() {
        let folder = folder();
        let set = json!({"image": "x"}).as_object().unwrap().clone();
        let found = Difference::between(&read(&folder, Map::new()), &read(&folder, set));
        assert_eq!(found, Difference { changed: names(&["a", "b"]), ..Difference::default() });
    }

    #[test]
    fn entries_come_and_go_by_name() {
        let folder = folder();
        let old = read(&folder, Map::new());
        let text = CONFIG
            .replace("kind: A", "kind: C")
            .replace("- version: v1\n  kind: B", "- name: b\n  version: v1\n  kind: B");
        fs::write(folder.path().join("config.yaml"), text).unwrap();
        let new = read(&folder, Map::new());
        let found = Difference::between(&old, &new);
        assert_eq!(
            found,
            Difference {
                // The same name as before, but now it is written down.
                changed: names(&["b"]),
                added: names(&["c"]),
                removed: names(&["a"]),
                ..Difference::default()
            }
        );
        assert_eq!(Difference::between(&Config::default(), &new).added, names(&["c", "b"]));
        assert_eq!(Difference::between(&new, &Config::default()).removed, names(&["c", "b"]));
        assert_eq!(Difference::between(&new, &new).kept, names(&["c", "b"]));
    }
}
