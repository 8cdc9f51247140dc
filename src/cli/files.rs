//! The config files that `run`, `check`, `render` and `test` are given.

use std::{ffi::OsStr, path::Path};

use clap::Args;
use serde_json::{Map, Value};

use super::{builtin::LIBRARY, world};
use crate::{
    engine::config::{LoadError, Loaded, Source, Surroundings, load},
    yaml,
};

/// Which configs, and values on top of them.
#[derive(Debug, Args)]
pub(super) struct ConfigFiles {
    /// A config file, or `builtin:NAME`; may be given several times, entries of one name are replaced
    #[arg(
        short = 'f',
        long = "file",
        short_alias = 'c',
        alias = "config",
        value_name = "FILE",
        default_value = "builtin:default"
    )]
    pub(super) files: Vec<String>,
    /// A value for every handler, over those in the config: `key=value`, or `a.b=value` for nested ones
    #[arg(long, value_name = "KEY=VALUE", value_parser = assignment)]
    pub(super) set: Vec<(String, Value)>,
}

fn assignment(text: &str) -> Result<(String, Value), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    if key.split('.').any(str::is_empty) {
        return Err(format!("`{key}` is not a key"));
    }
    // `replicas=3` is a number and `enabled=true` a boolean, as in YAML; anything else is text.
    let scalar = yaml::documents(value).ok().and_then(|mut documents| documents.pop());
    let scalar = scalar.filter(|value| !value.is_object() && !value.is_array());
    Ok((key.to_owned(), scalar.unwrap_or_else(|| value.into())))
}

impl ConfigFiles {
    /// Reads and compiles them.
    pub(super) fn load(&self) -> Result<Loaded, LoadError> {
        let sources: Vec<Source> = self.files.iter().map(|file| Source::parse(file)).collect();
        self.compile(&sources)
    }

    /// Reads and compiles another file in their place, with the same values on top.
    pub(super) fn load_instead(&self, file: &Path) -> Result<Loaded, LoadError> {
        self.compile(&[Source::File(file.to_owned())])
    }

    fn compile(&self, sources: &[Source]) -> Result<Loaded, LoadError> {
        let path = world::environment().remove(OsStr::new("PATH"));
        let mut set = Map::new();
        for (key, value) in &self.set {
            insert(&mut set, key, value.clone());
        }
        load(sources, &LIBRARY, &Surroundings { path, set })
    }
}

fn insert(map: &mut Map<String, Value>, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            map.insert(key.to_owned(), value);
        }
        Some((first, rest)) => {
            let below = map.entry(first).or_insert_with(|| Value::Object(Map::new()));
            if !below.is_object() {
                *below = Value::Object(Map::new());
            }
            if let Some(below) = below.as_object_mut() {
                insert(below, rest, value);
            }
        }
    }
}
