//! The page about config.yaml.

use super::{markdown, schema};
use crate::engine::config::raw;

/// docs/configuration.md.
pub fn configuration() -> String {
    markdown::origin("configuration") + include_str!("configuration.md") + &schema::sections(&raw::schema())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_committed_page_is_fresh() {
        let committed = include_str!("../../../docs/configuration.md");
        let refresh = "helmfile-operator generate docs configuration > docs/configuration.md";
        assert!(committed == super::configuration(), "docs/configuration.md is stale; run `{refresh}`");
    }
}
