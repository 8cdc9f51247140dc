//! What can be wrong with a condition or an expression, in one line and without the values that it was asked about.

use cel::{ExecutionError, ParseErrors};

/// A text that does not compile, or has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} `{text}`: {why}")]
pub struct CelError {
    kind: &'static str,
    text: String,
    why: Why,
}

/// The part after the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Why {
    #[error("line {line}, column {column}: {message}")]
    Syntax { line: isize, column: isize, message: String },
    #[error("it is longer than {limit} bytes")]
    TooLong { limit: usize },
    #[error("it has more than {limit} {what} in one another")]
    TooDeep { limit: usize, what: &'static str },
    #[error("its loops would take more than {limit} steps on lists of this length; put fewer in one another")]
    TooLarge { limit: usize },
    #[error("there is no variable `{name}`; {hint}")]
    NoVariable { name: String, hint: String },
    #[error("there is no function `{name}`")]
    NoFunction { name: String },
    #[error("`{pattern}` is no regular expression")]
    NoPattern { pattern: String },
    #[error("the result is neither true nor false, but of type {found}; compare it with something")]
    NotBoolean { found: String },
    #[error("the result is neither a number nor a text, but of type {found}; take one value of it")]
    NotScalar { found: String },
    #[error("there is no `{field}`; ask `has({path})` first")]
    NoField { field: String, path: String },
    #[error("it asks for a field of null; ask `oldObject != null` first, or `has(object.spec.x)`")]
    FieldOfNull,
    #[error("a list is shorter than the index; ask its `size()` first")]
    ShortList,
    #[error("{0}")]
    Evaluation(String),
    #[error("the CEL library broke on it; write it in another way")]
    Crashed,
}

impl CelError {
    pub(super) fn new(kind: &'static str, text: &str, why: Why) -> Self {
        const SHOWN: usize = 100;
        let mut shown = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some((end, _)) = shown.char_indices().nth(SHOWN) {
            shown.truncate(end);
            shown.push('…');
        }
        let text = shown.escape_debug().to_string().replace("\\'", "'").replace("\\\"", "\"");
        Self { kind, text, why }
    }

    /// Whether it asks for something that is not there.
    pub(super) const fn is_absence(&self) -> bool {
        matches!(self.why, Why::NoField { .. } | Why::FieldOfNull | Why::ShortList)
    }
}

impl Why {
    /// The first one: those after it are mostly its consequences.
    pub(super) fn syntax(errors: &ParseErrors) -> Self {
        let Some(first) = errors.errors.first() else { return Self::Crashed };
        let message = first.msg.strip_prefix("Syntax error: ").unwrap_or(&first.msg);
        if message.starts_with("OtherError") {
            let (line, column) = first.pos;
            return Self::Syntax { line, column, message: "too many brackets in one another".to_owned() };
        }
        // The list of all tokens of the language.
        let message = message.split_once(" expecting {").map_or(message, |(message, _)| message);
        let message = message.replace("'<EOF>'", "the end").replace("<EOF>", "the end");
        Self::Syntax {
            line: first.pos.0,
            column: first.pos.1,
            message: message.escape_debug().to_string().replace("\\'", "'"),
        }
    }

    /// The library's own messages print the values; these do not, as the object may be a Secret.
    pub(super) fn evaluation<'c>(error: &ExecutionError, path_to: impl Fn(&str) -> Option<&'c str>) -> Self {
        let text = |text: &str| Self::Evaluation(text.to_owned());
        match error {
            ExecutionError::NoSuchKey(field) => {
                let path = path_to(field).unwrap_or("object.spec.x").to_owned();
                // A key that is not written in the condition was computed, perhaps from values.
                let field = if path_to(field).is_some() { field.to_string() } else { "such key".to_owned() };
                Self::NoField { field, path }
            }
            ExecutionError::NoSuchOverload(overload) => {
                let types = overload.argument_types();
                match (operator(overload.function()), types) {
                    (".", [null, ..]) if null == "null_type" => Self::FieldOfNull,
                    (name, [one]) => Self::Evaluation(format!("`{name}` cannot be applied to {one}")),
                    (name, types) => {
                        Self::Evaluation(format!("`{name}` cannot be applied to {}", types.join(" and ")))
                    }
                }
            }
            ExecutionError::UndeclaredReference(name) => {
                Self::Evaluation(format!("there is no variable or function `{name}`"))
            }
            ExecutionError::FunctionError { function, .. } => {
                Self::Evaluation(format!("`{function}` cannot do anything with what it was given"))
            }
            ExecutionError::UnsupportedBinaryOperator(name, ..) => {
                Self::Evaluation(format!("`{name}` cannot be applied to values of these types"))
            }
            ExecutionError::ValuesNotComparable(..) => text("it compares values of different types"),
            ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
                text("it divides by zero")
            }
            ExecutionError::Overflow(..) => text("a number becomes too large"),
            ExecutionError::IndexOutOfBounds(_) => Self::ShortList,
            ExecutionError::UnexpectedType { want, got } => {
                Self::Evaluation(format!("a value is of type {got}, where {want} is needed"))
            }
            ExecutionError::InvalidArgumentCount { expected, actual } => {
                Self::Evaluation(format!("a function takes {expected} arguments, not {actual}"))
            }
            _ => text("it cannot be evaluated: a value is of the wrong type"),
        }
    }
}

/// How an operator is written; the library knows it as `_>_`.
fn operator(name: &str) -> &str {
    let trimmed = name.trim_matches('_').trim_start_matches('@');
    if name == trimmed || trimmed.is_empty() { name } else { trimmed }
}
