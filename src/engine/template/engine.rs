//! Compiling and rendering one template.

use std::{fmt, sync::Arc};

use handlebars::{Handlebars, RenderErrorReason, no_escape};

use super::helpers;
use crate::contract::State;

/// A compiled template. Cheap to clone.
#[derive(Clone)]
pub struct Template {
    registry: Arc<Handlebars<'static>>,
    name: String,
}

/// A template that does not compile, or cannot be rendered with what it was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("template `{name}`{place}: {message}")]
pub struct TemplateError {
    name: String,
    place: String,
    message: String,
}

const ONLY: &str = "template";

impl Template {
    /// Compiles a template. `name` is for messages.
    ///
    /// # Errors
    /// A syntax error, with line and column.
    pub fn compile(name: &str, text: &str) -> Result<Self, TemplateError> {
        let mut registry = Handlebars::new();
        // A misspelt path is an error, not an empty place in a manifest.
        registry.set_strict_mode(true);
        // The output is YAML, not HTML.
        registry.register_escape_fn(no_escape);
        helpers::register(&mut registry);
        registry.register_template_string(ONLY, text).map_err(|error| TemplateError {
            name: name.to_owned(),
            place: place(error.pos().map(|(line, _)| line), error.pos().map(|(_, column)| column)),
            message: first_line(&error.reason().to_string()),
        })?;
        Ok(Self { registry: Arc::new(registry), name: name.to_owned() })
    }

    /// Renders the template with a state as its context.
    ///
    /// # Errors
    /// When a path is missing or a helper refuses, with line and column.
    pub fn render(&self, state: &State) -> Result<String, TemplateError> {
        self.registry.render(ONLY, state).map_err(|error| TemplateError {
            name: self.name.clone(),
            place: place(error.line_no, error.column_no),
            message: match error.reason() {
                RenderErrorReason::MissingVariable(Some(path)) => {
                    format!("`{path}` is missing; write `{{{{default {path} \"…\"}}}}` where it is optional")
                }
                RenderErrorReason::MissingVariable(None) => "a value is missing".to_owned(),
                RenderErrorReason::HelperNotFound(helper) => format!("there is no helper `{helper}`"),
                other => first_line(&other.to_string()),
            },
        })
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Template").field(&self.name).finish()
    }
}

fn place(line: Option<usize>, column: Option<usize>) -> String {
    match (line, column) {
        (Some(line), Some(column)) => format!(", line {line}, column {column}"),
        (Some(line), None) => format!(", line {line}"),
        _ => String::new(),
    }
}

/// The parser's message draws the line and lists every rule of the grammar; the first line says enough.
fn first_line(message: &str) -> String {
    let lines: Vec<&str> = message.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    match lines.iter().find_map(|line| line.strip_prefix("= ")) {
        Some(_) => "malformed: a tag is not closed, or its content is not understood".to_owned(),
        None => lines.first().copied().unwrap_or("malformed").to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn render(text: &str) -> Result<String, TemplateError> {
        let state = State {
            object: json!({"metadata": {"name": "web"}, "spec": {"image": {"tag": "1"}, "ports": [80, 443]}}),
            ..State::default()
        };
        Template::compile("t", text)?.render(&state)
    }

    #[test]
    fn paths_loops_and_conditions_work() {
        let text = "{{object.metadata.name}}:{{#each object.spec.ports}} {{this}}{{/each}}{{#if object.spec.absent}} no{{/if}}";
        assert_eq!(render(text).unwrap(), "web: 80 443");
    }

    #[test]
    fn nothing_is_escaped() {
        assert_eq!(render("{{default object.spec.absent \"<a> & 'b'\"}}").unwrap(), "<a> & 'b'");
    }

    #[test]
    fn a_missing_path_is_an_error_with_a_place() {
        let error = render("a\n  {{object.spec.imag.tag}}").unwrap_err().to_string();
        assert!(error.starts_with("template `t`, line 2, column "), "{error}");
        assert!(error.contains("`object.spec.imag.tag` is missing"), "{error}");
    }

    #[test]
    fn errors_are_one_line() {
        for text in ["{{#if a}}", "{{nosuch 1}}", "{{toYaml}}", "{{"] {
            let error = render(text).unwrap_err().to_string();
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
}
