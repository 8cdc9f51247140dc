//! A JSON schema of schemars as Markdown: a section for each map, a line for each of its fields.

use serde_json::{Map, Value};

use super::markdown;

/// Sections in the order in which a reader of a file comes to them.
pub(super) fn sections(root: &Value) -> String {
    let mut reader = Reader { root, sections: Vec::new(), open: Vec::new() };
    reader.visit(root, "");
    reader.sections.iter().map(|section| reader.print(section)).collect()
}

/// A map with fields of its own.
struct Section<'a> {
    title: String,
    schema: &'a Map<String, Value>,
    /// Where in the file such a map may stand.
    paths: Vec<String>,
}

struct Reader<'a> {
    root: &'a Value,
    sections: Vec<Section<'a>>,
    /// Titles of the sections around the visited place: a map may hold maps of its own kind.
    open: Vec<String>,
}

impl<'a> Reader<'a> {
    /// Finds the sections at and below a schema.
    fn visit(&mut self, schema: &'a Value, path: &str) {
        let (name, schema) = self.resolve(schema);
        if let Some(items) = schema.get("items") {
            self.visit(items, &format!("{path}[]"));
        }
        if let Some(values) = schema.get("additionalProperties").filter(|values| values.is_object()) {
            self.visit(values, &format!("{path}.*"));
        }
        for alternative in alternatives(schema) {
            self.visit(alternative, path);
        }
        let (Some(fields), Some(schema)) = (fields(schema), schema.as_object()) else { return };
        let title = title(name, path);
        if let Some(section) = self.sections.iter_mut().find(|section| section.title == title) {
            section.paths.push(path.to_owned());
        } else {
            self.sections.push(Section { title: title.clone(), schema, paths: vec![path.to_owned()] });
        }
        if self.open.contains(&title) {
            return;
        }
        self.open.push(title);
        for (field, schema) in fields {
            let path = if path.is_empty() { field.clone() } else { format!("{path}.{field}") };
            self.visit(schema, &path);
        }
        self.open.pop();
    }

    fn print(&self, section: &Section<'_>) -> String {
        let Section { title, schema, paths } = section;
        let paths: Vec<String> =
            paths.iter().filter(|path| !path.is_empty()).map(|path| markdown::code(path)).collect();
        let places = if paths.is_empty() { String::new() } else { format!("At {}.\n\n", paths.join(", ")) };
        let description = schema.get("description").and_then(Value::as_str);
        let description = description.map(|text| format!("{}\n\n", text.trim())).unwrap_or_default();
        let required = schema.get("required").and_then(Value::as_array);
        let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|known| known == name));
        let fields = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
        let rows: Vec<Vec<String>> =
            fields.map(|(name, schema)| self.row(name, schema, is_required(name))).collect();
        let table = markdown::table(&["field", "type", "default", "meaning"], &rows);
        format!("\n## {title}\n\n{places}{description}{table}")
    }

    fn row(&self, name: &str, schema: &Value, is_required: bool) -> Vec<String> {
        let (_, resolved) = self.resolve(schema);
        // What is said of the field goes before what is said of its type.
        let description =
            [schema, resolved].into_iter().find_map(|schema| schema.get("description")?.as_str());
        let (meaning, default) = split_default(description.unwrap_or_default());
        let default = match default {
            _ if is_required => "required".to_owned(),
            Some(default) => markdown::cell(&default),
            None => schema.get("default").map(written).unwrap_or_default(),
        };
        let values = alternatives(resolved).filter_map(|value| {
            let description = value.get("description")?.as_str()?;
            let name = constant(value)?;
            Some(format!("<br>{}: {}", markdown::code(&name), markdown::cell(description)))
        });
        let meaning = markdown::cell(&meaning) + &values.collect::<String>();
        vec![markdown::code(name), self.type_of(schema), default, meaning]
    }

    /// What may be written, with links to sections.
    fn type_of(&self, schema: &Value) -> String {
        let (name, schema) = self.resolve(schema);
        if let (Some(name), Some(_)) = (name, fields(schema)) {
            let title = title(Some(name), "");
            return format!("[{title}](#{})", title.to_lowercase());
        }
        if let Some(values) = schema.get("enum").and_then(Value::as_array) {
            return values.iter().map(|value| markdown::code(&plain(value))).collect::<Vec<_>>().join(", ");
        }
        if let Some(value) = constant(schema) {
            return markdown::code(&value);
        }
        let alternatives: Vec<&Value> = alternatives(schema).collect();
        if !alternatives.is_empty() {
            let separator =
                if alternatives.iter().all(|value| constant(value).is_some()) { ", " } else { " or " };
            return alternatives
                .iter()
                .map(|schema| self.type_of(schema))
                .collect::<Vec<_>>()
                .join(separator);
        }
        let types = match schema.get("type") {
            Some(Value::Array(types)) => {
                types.iter().filter_map(Value::as_str).filter(|one| *one != "null").collect()
            }
            Some(Value::String(one)) => vec![one.as_str()],
            _ => vec!["anything"],
        };
        types.into_iter().map(|one| self.simple(one, schema)).collect::<Vec<_>>().join(" or ")
    }

    fn simple(&self, name: &str, schema: &Value) -> String {
        let bound = |key: &str| schema.get(key).filter(|bound| bound.as_f64() != Some(0.0));
        match name {
            "array" => match schema.get("items") {
                Some(items) => format!("list of {}", self.type_of(items)),
                None => "list".to_owned(),
            },
            "object" => match schema.get("additionalProperties").filter(|values| values.is_object()) {
                Some(values) => format!("map of {}", self.type_of(values)),
                None => "map".to_owned(),
            },
            "integer" | "number" => match (bound("minimum"), schema.get("maximum")) {
                (low, Some(high)) => format!("{name}, {} to {high}", low.unwrap_or(&0.into())),
                (Some(low), None) => format!("{name}, at least {low}"),
                (None, None) => name.to_owned(),
            },
            "string" => match schema.get("pattern").and_then(Value::as_str) {
                Some(pattern) => format!("string like {}", markdown::code(pattern)),
                None => "string".to_owned(),
            },
            other => other.to_owned(),
        }
    }

    /// Follows references; the name is that of the last one.
    fn resolve<'s>(&self, schema: &'s Value) -> (Option<&'s str>, &'s Value)
    where
        'a: 's,
    {
        let mut found = (None, schema);
        // Definitions are few: a longer chain turns in a circle.
        for _ in 0..16 {
            let target = found.1.get("$ref").and_then(Value::as_str).and_then(|target| {
                let pointer = target.strip_prefix('#')?;
                Some((target.rsplit('/').next(), self.root.pointer(pointer)?))
            });
            match target {
                Some(target) => found = target,
                None => break,
            }
        }
        found
    }
}

fn fields(schema: &Value) -> Option<&Map<String, Value>> {
    schema.get("properties")?.as_object()
}

/// The schemas of which one must fit, but for `null`.
fn alternatives(schema: &Value) -> impl Iterator<Item = &Value> {
    let all = ["anyOf", "oneOf", "allOf"].into_iter().filter_map(|key| schema.get(key)?.as_array()).flatten();
    all.filter(|schema| schema.get("type").is_none_or(|one| one != "null"))
}

/// The one value that fits.
fn constant(schema: &Value) -> Option<String> {
    let only = schema.get("enum").and_then(Value::as_array).filter(|values| values.len() == 1);
    schema.get("const").or(only.and_then(|values| values.first())).map(plain)
}

/// The name of a type without what marks it as one of the file; the last key of its path where it has none.
fn title(name: Option<&str>, path: &str) -> String {
    match name {
        Some(name) => name.strip_prefix("Raw").unwrap_or(name).to_owned(),
        None if path.is_empty() => "The file".to_owned(),
        None => path.rsplit('.').next().unwrap_or(path).trim_end_matches("[]").to_owned(),
    }
}

/// A default as it would be written; nothing where it says nothing.
fn written(default: &Value) -> String {
    match default {
        Value::Null => String::new(),
        Value::String(text) if text.is_empty() => "empty".to_owned(),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Object(map) if map.is_empty() => "none".to_owned(),
        other => markdown::code(&plain(other)),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Takes the sentence `Default: ….` out of a description.
fn split_default(description: &str) -> (String, Option<String>) {
    let Some((before, after)) = description.split_once("Default: ") else {
        return (description.to_owned(), None);
    };
    // A full stop ends the sentence where white space or nothing follows.
    let (default, rest) = match after
        .split_once(". ")
        .into_iter()
        .chain(after.split_once(".\n"))
        .min_by_key(|(default, _)| default.len())
    {
        Some((default, rest)) => (default, rest),
        None => (after.trim_end().trim_end_matches('.'), ""),
    };
    (format!("{before}{rest}").trim().to_owned(), Some(default.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({
            "type": "object",
            "properties": {
                "items": {"type": "array", "items": {"$ref": "#/$defs/RawItem"}, "description": "What\nthere is."},
                "one": {"anyOf": [{"$ref": "#/$defs/RawItem"}, {"type": "null"}]},
                "inline": {"type": "object", "properties": {"deep": {"type": "boolean", "default": true}}},
            },
            "description": "The root.",
            "$defs": {
                "RawItem": {
                    "type": "object",
                    "required": ["mode"],
                    "properties": {
                        "mode": {"$ref": "#/$defs/Mode"},
                        "count": {"type": ["integer", "null"], "minimum": 1, "maximum": 9, "description": "How many, a|b. Default: `1.5` of x. Never more."},
                        "env": {"type": "object", "additionalProperties": {"type": "string"}, "default": {}},
                        "again": {"$ref": "#/$defs/RawItem"},
                        "free": true,
                    },
                },
                "Mode": {"description": "How.", "oneOf": [
                    {"type": "string", "const": "Fast", "description": "At once."},
                    {"type": "string", "const": "Slow", "description": "Later."},
                ]},
            },
        })
    }

    #[test]
    fn every_map_is_a_section_and_every_field_a_line() {
        let expected = "\n## The file\n\nThe root.\n\n| field | type | default | meaning |\n|---|---|---|---|\n\
            | `items` | list of [Item](#item) |  | What there is. |\n\
            | `one` | [Item](#item) |  |  |\n\
            | `inline` | map |  |  |\n\
            \n## Item\n\nAt `items[]`, `items[].again`, `one`, `one.again`.\n\n\
            | field | type | default | meaning |\n|---|---|---|---|\n\
            | `mode` | `Fast`, `Slow` | required | How.<br>`Fast`: At once.<br>`Slow`: Later. |\n\
            | `count` | integer, 1 to 9 | `1.5` of x | How many, a\\|b. Never more. |\n\
            | `env` | map of string | none |  |\n\
            | `again` | [Item](#item) |  |  |\n\
            | `free` | anything |  |  |\n\
            \n## inline\n\nAt `inline`.\n\n| field | type | default | meaning |\n|---|---|---|---|\n\
            | `deep` | boolean | `true` |  |\n";
        assert_eq!(sections(&schema()), expected);
    }

    #[test]
    fn a_default_is_the_sentence_that_says_so() {
        for (text, meaning, default) in [
            ("How long. Default: `60s`.", "How long.", Some("`60s`")),
            ("Log. Default: false. Shows Secrets.", "Log. Shows Secrets.", Some("false")),
            ("A.\nDefault: none, only Events.\nB.", "A.\nB.", Some("none, only Events")),
            ("No word of it.", "No word of it.", None),
        ] {
            assert_eq!(split_default(text), (meaning.to_owned(), default.map(str::to_owned)), "{text}");
        }
    }
}
