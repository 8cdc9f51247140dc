//! The page about templates.

use super::markdown;
use crate::engine::template::{EXAMPLE_STATE, GROUPS, Group, Helper};

/// docs/templates.md.
pub fn templates() -> String {
    let mut page = markdown::origin("templates") + include_str!("templates.md");
    page += &format!(
        "\n## Helpers\n\nThe examples are rendered with this state:\n\n```yaml\n{EXAMPLE_STATE}```\n"
    );
    for Group { title, helpers } in GROUPS {
        let rows: Vec<Vec<String>> = helpers.iter().map(row).collect();
        page += &format!("\n### {title}\n\n");
        page += &markdown::table(&["helper", "meaning", "example", "prints"], &rows);
    }
    page
}

fn row(helper: &Helper) -> Vec<String> {
    let call = format!("{} {}", helper.name, helper.arguments);
    vec![
        markdown::code(&call),
        markdown::cell(helper.description),
        markdown::code(helper.example),
        markdown::code(helper.output),
    ]
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_committed_page_is_fresh() {
        let committed = include_str!("../../../docs/templates.md");
        let refresh = "helmfile-operator generate docs templates > docs/templates.md";
        assert!(committed == super::templates(), "docs/templates.md is stale; run `{refresh}`");
    }
}
