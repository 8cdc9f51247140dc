//! All helpers, by what they are for.

use handlebars::Handlebars;

use super::{collections, encoding, helper::Helper, logic, numbers, text};

/// The state that every example is rendered with, in YAML.
pub const EXAMPLE_STATE: &str = include_str!("example.yaml");

/// Helpers of one purpose.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// Its heading in the reference.
    pub title: &'static str,
    /// The helpers.
    pub helpers: &'static [Helper],
}

/// Every helper that a template may use.
pub const GROUPS: &[Group] = &[
    Group { title: "Blocks", helpers: BLOCKS },
    Group { title: "Decisions", helpers: logic::HELPERS },
    Group { title: "Lists, maps and objects", helpers: collections::HELPERS },
    Group { title: "Text", helpers: text::HELPERS },
    Group { title: "YAML, JSON and encodings", helpers: encoding::HELPERS },
    Group { title: "Numbers", helpers: numbers::HELPERS },
];

const BLOCKS: &[Helper] = &[
    Helper::block(
        "if",
        "condition?",
        "Prints its content if the condition is not empty; `{{else if …}}` and `{{else}}` may follow.",
        [
            "{{#if (gt object.spec.replicas 5)}}large{{else if object.spec.replicas}}small{{else}}none{{/if}}",
            "small",
        ],
    ),
    Helper::block(
        "unless",
        "condition?",
        "Prints its content if the condition is empty.",
        ["{{#unless object.spec.paused}}running{{/unless}}", "running"],
    ),
    Helper::block(
        "each",
        "collection?",
        "Prints its content for each item, which is `this`, with `@index`, `@first` and `@last`, and `@key` in a map; `{{else}}` if there is none. `as |value key|` names them. Maps keep their order.",
        [
            "{{#each object.spec.labels}}{{@key}}={{this}}{{#unless @last}},{{/unless}}{{/each}}",
            "tier=front,app=web",
        ],
    ),
    Helper::block(
        "with",
        "value?",
        "Prints its content with the value as context, or `{{else}}` if it is empty. `../` is the context around it.",
        [
            "{{#with object.metadata.annotations}}{{this.[example.com/team]}} {{../object.metadata.name}}{{/with}}",
            "blue web",
        ],
    ),
];

/// Makes the helpers known, and takes away those of Handlebars that are not in the table.
pub(in crate::engine::template) fn register(registry: &mut Handlebars<'static>) {
    for name in ["log", "raw", "gte", "lte"] {
        registry.unregister_helper(name);
    }
    for helper in all().filter(|helper| !helper.is_block()) {
        registry.register_helper(helper.name, Box::new(*helper));
    }
}

/// The helper of this name.
pub(in crate::engine::template) fn find(name: &str) -> Option<&'static Helper> {
    all().find(|helper| helper.name == name)
}

/// Every helper's name.
pub(in crate::engine::template) fn names() -> impl Iterator<Item = &'static str> {
    all().map(|helper| helper.name)
}

fn all() -> impl Iterator<Item = &'static Helper> {
    GROUPS.iter().flat_map(|group| group.helpers)
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
