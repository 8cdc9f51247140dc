//! Compiling and rendering one template.

use std::{fmt, sync::Arc};

use handlebars::{Handlebars, RenderErrorReason, no_escape};

use super::{
    check::{self, Mistake},
    helpers,
    output::Output,
};
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
    /// A syntax error, or a helper or partial that does not exist, with line and column.
    pub fn compile(name: &str, text: &str) -> Result<Self, TemplateError> {
        let mut registry = Handlebars::new();
        // A misspelt path is an error, not an empty place in a manifest.
        registry.set_strict_mode(true);
        // The output is YAML, not HTML.
        registry.register_escape_fn(no_escape);
        helpers::register(&mut registry);
        let refuse = |Mistake { line, column, message }| TemplateError {
            name: name.to_owned(),
            place: place(line, column),
            message,
        };
        let mut parsed = handlebars::Template::compile_with_name(text, ONLY.to_owned()).map_err(|error| {
            let (line, column) = error.pos().unzip();
            refuse(Mistake { line, column, message: first_line(&error.reason().to_string()) })
        })?;
        check::prepare(&mut parsed).map_err(refuse)?;
        registry.register_template(ONLY, parsed);
        Ok(Self { registry: Arc::new(registry), name: name.to_owned() })
    }

    /// Renders the template with a state as its context.
    ///
    /// # Errors
    /// When a path is missing, a helper refuses, or the output is larger than 16 MiB, with line and column.
    pub fn render(&self, state: &State) -> Result<String, TemplateError> {
        let mut output = Output::default();
        let rendered = self.registry.render_to_write(ONLY, state, &mut output);
        rendered.map_err(|error| TemplateError {
            name: self.name.clone(),
            place: place(error.line_no, error.column_no),
            message: match error.reason() {
                _ if output.is_full => "the output is larger than 16 MiB".to_owned(),
                RenderErrorReason::MissingVariable(Some(path)) => {
                    format!("`{path}` is missing; write `{{{{default {path} \"…\"}}}}` where it is optional")
                }
                RenderErrorReason::MissingVariable(None) => "a value is missing".to_owned(),
                other => first_line(&other.to_string()),
            },
        })?;
        Ok(output.into_text())
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
#[path = "engine_tests.rs"]
mod tests;
