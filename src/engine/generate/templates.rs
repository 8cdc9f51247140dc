//! The page about templates.

use super::markdown;
use crate::engine::template::{EXAMPLE_STATE, GROUPS, Group, Helper};

/// docs/templates.md.
pub fn templates() -> String {
    let origin = markdown::origin("templates");
    let written = include_str!("templates.md");
    let groups: String = GROUPS.iter().map(section).collect();
    format!(
        "{origin}{written}\n## Helpers\n\nThe examples are rendered with this state:\n\n\
         ```yaml\n{EXAMPLE_STATE}```\n{groups}"
    )
}

fn section(group: &Group) -> String {
    let rows: Vec<Vec<String>> = group.helpers.iter().map(row).collect();
    let table = markdown::table(&["helper", "meaning", "example", "prints"], &rows);
    format!("\n### {}\n\n{table}", group.title)
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
    use serde_json::json;

    use crate::{contract::State, engine::template::Template, yaml};

    #[test]
    fn the_committed_page_is_fresh() {
        let committed = include_str!("../../../docs/templates.md");
        let refresh = "helmfile-operator generate docs templates > docs/templates.md";
        assert!(committed == super::templates(), "docs/templates.md is stale; run `{refresh}`");
    }

    #[test]
    fn the_first_example_works() {
        let (_, rest) = include_str!("templates.md").split_once("```handlebars\n").unwrap();
        let (example, _) = rest.split_once("```").unwrap();
        let object = json!({"metadata": {"name": "a"}, "spec": {"labels": {"tier": "front"}}});
        let output = Template::compile("t", example).unwrap().render(&State { object, ..State::default() });
        let documents = yaml::documents(&output.unwrap()).unwrap();
        assert_eq!(documents[0]["metadata"]["labels"], json!({"app": "a", "tier": "front"}));
        assert_eq!(documents[0]["data"]["title"], "Hello");
        assert_eq!(documents[1]["status"]["pages"], 0);
    }
}
