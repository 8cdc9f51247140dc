//! The order in which values are laid over each other, and where each layer comes from.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::source_files::{SourceFileError, confine};
use crate::helmfile::{
    api::HelmfileSpec,
    inputs::{Named, ValuesFile, split},
};

/// One layer of values; helmfile is given each as a file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Layer {
    /// A file of the source.
    Source(PathBuf),
    /// A file of a source of its own: the item of the list.
    Elsewhere(usize),
    /// Values of the spec, and what it names, to be written to a private file.
    Inline(Map<String, Value>),
    /// A file of this machine, from the command line.
    Machine(PathBuf),
}

/// Whether the paths of a spec lie in the source.
///
/// # Errors
/// When one leads out of it.
pub(crate) fn check(spec: &HelmfileSpec) -> Result<(), SourceFileError> {
    for named in split(&spec.values_files) {
        if let Named::Inside(path) = named {
            confine("valuesFiles", path)?;
        }
    }
    Ok(())
}

/// All layers, the lowest first: `valuesFiles`, what is gathered from the spec and its namespace, the command line's.
pub(crate) fn layers(files: &[ValuesFile], gathered: &Map<String, Value>, machine: &[PathBuf]) -> Vec<Layer> {
    let file = |(index, file): (usize, &ValuesFile)| match file {
        ValuesFile::Inside(path) => Layer::Source(PathBuf::from(path)),
        ValuesFile::Elsewhere(_) => Layer::Elsewhere(index),
    };
    let mut layers: Vec<Layer> = files.iter().enumerate().map(file).collect();
    if !gathered.is_empty() {
        layers.push(Layer::Inline(gathered.clone()));
    }
    layers.extend(machine.iter().map(|path| Layer::Machine(path.clone())));
    layers
}

/// The private file of an inline layer.
pub(crate) fn inline_file(folder: &Path, index: usize) -> PathBuf {
    folder.join(format!("values-{index}.yaml"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn files_lie_under_values_and_the_command_line_over_all() {
        let inline = json!({"a": 1}).as_object().unwrap().clone();
        let files = [ValuesFile::Inside("b.yaml".into()), ValuesFile::Inside("c/d.yaml".into())];
        assert_eq!(
            layers(&files, &inline, &["/m.yaml".into()]),
            [
                Layer::Source("b.yaml".into()),
                Layer::Source("c/d.yaml".into()),
                Layer::Inline(inline),
                Layer::Machine("/m.yaml".into())
            ]
        );
        assert_eq!(layers(&[], &Map::new(), &[]), []);
    }

    #[test]
    fn files_outside_the_source_are_refused() {
        let spec = |files: Value| serde_json::from_value(json!({"valuesFiles": files})).unwrap();
        assert_eq!(
            check(&spec(json!(["../other.yaml"]))).unwrap_err().to_string(),
            "`../other.yaml` in valuesFiles leads out of the source; write a path inside it"
        );
        assert!(check(&spec(json!(["git::https://h/../r@v.yaml", "a.yaml"]))).is_ok());
    }
}
