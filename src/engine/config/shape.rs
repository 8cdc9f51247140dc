//! Does a config file fit its schema? Finds every misfit at once, where serde would stop at the first.

use serde_json::{Map, Value};

use super::tree::{Content, Node, Path, Place};
use crate::suggest;

/// A misfit and where it is.
pub(super) struct Misfit {
    pub(super) at: Place,
    pub(super) message: String,
    /// Where an unknown field is: without it, the rest may make sense.
    pub(super) unknown: Option<Path>,
}

/// Checks a tree against a schema made by schemars.
pub(super) fn check(tree: &Node, schema: &Value) -> Vec<Misfit> {
    let mut shape = Shape { root: schema, misfits: Vec::new() };
    shape.node(schema, tree, &Path::default(), tree.at);
    shape.misfits
}

struct Shape<'a> {
    root: &'a Value,
    misfits: Vec<Misfit>,
}

impl<'a> Shape<'a> {
    fn node(&mut self, schema: &'a Value, node: &Node, path: &Path, at: Place) {
        let schema = self.resolve(schema);
        let Some(rules) = schema.as_object() else { return };
        if let Some(choices) = rules.get("anyOf").and_then(Value::as_array) {
            return self.optional(choices, node, path, at);
        }
        let allowed = types(rules);
        if !allowed.is_empty() && !allowed.iter().any(|wanted| fits(wanted, &node.content)) {
            let what = if path == &Path::default() { "the file".to_owned() } else { format!("`{path}`") };
            self.misfit(
                at,
                format!(
                    "{what} must be {}, found {}",
                    expected(&allowed),
                    found(&node.content, &allowed, path)
                ),
            );
            return;
        }
        match &node.content {
            Content::Map(members) => self.map(rules, members, path, at),
            Content::List(items) => {
                if let Some(schema) = rules.get("items") {
                    for (index, item) in items.iter().enumerate() {
                        self.node(schema, item, &path.index(index), item.at);
                    }
                }
            }
            Content::Scalar(value) => self.range(rules, value, path, at),
        }
    }

    /// `Option<T>` of a struct: null, or the struct.
    fn optional(&mut self, choices: &'a [Value], node: &Node, path: &Path, at: Place) {
        if matches!(node.content, Content::Scalar(Value::Null)) {
            return;
        }
        let is_null = |choice: &&Value| choice.get("type").and_then(Value::as_str) == Some("null");
        if let Some(choice) = choices.iter().find(|choice| !is_null(choice)) {
            self.node(choice, node, path, at);
        }
    }

    fn map(
        &mut self,
        rules: &'a Map<String, Value>,
        members: &[super::tree::Member],
        path: &Path,
        at: Place,
    ) {
        let none = Map::new();
        let known = rules.get("properties").and_then(Value::as_object);
        for member in members {
            let here = path.key(&member.key);
            let schema = known.and_then(|known| known.get(&member.key)).or(rules.get("additionalProperties"));
            match schema {
                Some(Value::Bool(false)) => {
                    let names = known.unwrap_or(&none).keys().map(String::as_str);
                    let message = unknown(&member.key, path, names);
                    self.misfits.push(Misfit { at: member.key_at, message, unknown: Some(here) });
                }
                Some(schema) => self.node(schema, &member.value, &here, member.key_at),
                None => {}
            }
        }
        for name in
            rules.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
        {
            if !members.iter().any(|member| member.key == name) {
                let owner =
                    if path == &Path::default() { "the file".to_owned() } else { format!("`{path}`") };
                self.misfit(at, format!("{owner} lacks the field `{name}`"));
            }
        }
    }

    fn range(&mut self, rules: &Map<String, Value>, value: &Value, path: &Path, at: Place) {
        let Some(number) = value.as_f64() else { return };
        let bound = |name: &str| rules.get(name).and_then(Value::as_f64);
        let below = bound("minimum").is_some_and(|minimum| number < minimum);
        let above = bound("maximum").is_some_and(|maximum| number > maximum);
        if below || above {
            let (low, high) = (bound("minimum").unwrap_or(f64::MIN), bound("maximum").unwrap_or(f64::MAX));
            self.misfit(at, format!("`{path}` must be from {low} to {high}, found {number}"));
        }
    }

    fn resolve(&self, schema: &'a Value) -> &'a Value {
        let mut schema = schema;
        while let Some(pointer) =
            schema.get("$ref").and_then(Value::as_str).and_then(|text| text.strip_prefix('#'))
        {
            match self.root.pointer(pointer) {
                Some(target) => schema = target,
                None => break,
            }
        }
        schema
    }

    fn misfit(&mut self, at: Place, message: String) {
        self.misfits.push(Misfit { at, message, unknown: None });
    }
}

fn types(rules: &Map<String, Value>) -> Vec<&str> {
    match rules.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn fits(wanted: &str, content: &Content) -> bool {
    match content {
        Content::Map(_) => wanted == "object",
        Content::List(_) => wanted == "array",
        Content::Scalar(value) => match value {
            Value::Null => wanted == "null",
            Value::Bool(_) => wanted == "boolean",
            Value::String(_) => wanted == "string",
            Value::Number(number) => wanted == "number" || (wanted == "integer" && !number.is_f64()),
            _ => false,
        },
    }
}

fn expected(types: &[&str]) -> String {
    let names: Vec<&str> = types
        .iter()
        .filter(|name| **name != "null")
        .map(|name| match *name {
            "object" => "a map",
            "array" => "a list",
            "string" => "a text",
            "boolean" => "true or false",
            "integer" => "a whole number",
            "number" => "a number",
            other => other,
        })
        .collect();
    names.join(" or ")
}

/// Fields whose values are durations, which need a unit.
const DURATIONS: [&str; 4] = ["timeout", "grace", "requeueAfter", "resyncPeriod"];

fn found(content: &Content, wanted: &[&str], path: &Path) -> String {
    let quote = |value: &Value| {
        // YAML reads an unquoted `yes` or `1.10` as something else than the author meant.
        if wanted.contains(&"string") { format!("; write \"{value}\" in quotes") } else { String::new() }
    };
    match content {
        Content::Map(_) => "a map".to_owned(),
        Content::List(_) => "a list".to_owned(),
        Content::Scalar(Value::Null) => "nothing".to_owned(),
        Content::Scalar(Value::String(text)) => format!("the text `{text}`"),
        Content::Scalar(value @ Value::Bool(_)) => format!("the boolean {value}{}", quote(value)),
        Content::Scalar(value) if DURATIONS.iter().any(|name| path.to_string().ends_with(name)) => {
            format!("the number {value}; write a duration such as {value}s")
        }
        Content::Scalar(value) => format!("the number {value}{}", quote(value)),
    }
}

/// Fields that moved, with a hint where to.
const MOVED: [(&str, &str); 1] = [(
    "controllers",
    "this is whitebox-controller's first schema; rename it to `resources`, one entry per resource",
)];

fn unknown<'n>(key: &str, path: &Path, known: impl Iterator<Item = &'n str> + Clone) -> String {
    let place = if path == &Path::default() { String::new() } else { format!(" in `{path}`") };
    let moved = MOVED.iter().find(|(name, _)| *name == key).map(|(_, hint)| format!("; {hint}"));
    let hint = moved
        .or_else(|| suggest::closest(key, known.clone()).map(|name| format!("; did you mean `{name}`?")));
    let hint = hint.unwrap_or_else(|| format!("; known are {}", known.collect::<Vec<_>>().join(", ")));
    format!("unknown field `{key}`{place}{hint}")
}
