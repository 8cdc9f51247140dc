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
