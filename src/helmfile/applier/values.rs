//! The order in which values are laid over each other, and where each layer comes from.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::source_files::{SourceFileError, confine};
use crate::helmfile::api::HelmfileSpec;

/// One layer of values; helmfile is given each as a file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Layer {
    /// A file of the source.
    Source(PathBuf),
    /// Values of the spec, to be written to a private file.
    Inline(Map<String, Value>),
    /// A file of this machine, from the command line.
    Machine(PathBuf),
}

/// All layers, the lowest first: `valuesFiles`, `values`, the command line's.
///
/// # Errors
/// When a file of the spec lies outside the source.
pub(crate) fn layers(spec: &HelmfileSpec, machine: &[PathBuf]) -> Result<Vec<Layer>, SourceFileError> {
    let mut layers = Vec::new();
    for path in &spec.values_files {
        layers.push(Layer::Source(confine("valuesFiles", path)?));
    }
    if !spec.values.is_empty() {
        layers.push(Layer::Inline(spec.values.clone()));
    }
    layers.extend(machine.iter().map(|path| Layer::Machine(path.clone())));
    Ok(layers)
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
        let spec: HelmfileSpec =
            serde_json::from_value(json!({"values": {"a": 1}, "valuesFiles": ["b.yaml", "./c/d.yaml"]}))
                .unwrap();
        let inline = json!({"a": 1}).as_object().unwrap().clone();
        assert_eq!(
            layers(&spec, &["/m.yaml".into()]).unwrap(),
            [
                Layer::Source("b.yaml".into()),
                Layer::Source("c/d.yaml".into()),
                Layer::Inline(inline),
                Layer::Machine("/m.yaml".into())
            ]
        );
        assert_eq!(layers(&HelmfileSpec::default(), &[]).unwrap(), []);
    }

    #[test]
    fn files_outside_the_source_are_refused() {
        let spec: HelmfileSpec = serde_json::from_value(json!({"valuesFiles": ["../other.yaml"]})).unwrap();
        assert_eq!(
            layers(&spec, &[]).unwrap_err().to_string(),
            "`../other.yaml` in valuesFiles leads out of the source; write a path inside it"
        );
    }
}
