//! YAML and JSON texts to and from JSON values, with one set of options for the whole program.

use serde_json::Value;

/// A text that is neither YAML nor JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct YamlError {
    /// Line, from 1.
    pub line: u64,
    /// Column, from 1.
    pub column: u64,
    /// What is wrong, in one line.
    pub message: String,
}

/// Reads all documents of a YAML stream (JSON is YAML); empty documents are left out.
///
/// The parser's budgets bound what aliases can expand to, so that a small text cannot fill the memory.
///
/// # Errors
/// The first syntax error with its place.
pub fn documents(text: &str) -> Result<Vec<Value>, YamlError> {
    // JSON is by far the most common reply, and its own parser is ten times faster.
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        return Ok(if value.is_null() { Vec::new() } else { vec![value] });
    }
    let documents: Vec<Option<Value>> =
        serde_saphyr::from_multiple(text).map_err(|error| describe(&error))?;
    Ok(documents.into_iter().flatten().filter(|document| !document.is_null()).collect())
}

/// Turns the parser's error into one line and a place; its own rendering spans several lines.
pub fn describe(error: &serde_saphyr::Error) -> YamlError {
    let location = error.location();
    let rendered = error.without_snippet().to_string();
    let first = rendered.lines().find(|line| !line.trim().is_empty()).unwrap_or("malformed YAML").trim();
    let message = first.strip_prefix("error: ").unwrap_or(first);
    // The parser says the place in words as well, and advises those who call it.
    let message = match message.split_once(": ") {
        Some((place, rest)) if place.starts_with("line ") => rest,
        _ => message,
    };
    let message = message.rsplit_once(" at line ").map_or(message, |(text, _)| text);
    let message = message.split_once(", set ").map_or(message, |(text, _)| text);
    YamlError {
        line: location.map_or(0, |at| at.line()),
        column: location.map_or(0, |at| at.column()),
        message: message.to_owned(),
    }
}

/// Prints a value as YAML, block style, ending in a newline.
pub fn print(value: &Value) -> String {
    let mut text = serde_saphyr::to_string(value).unwrap_or_else(|_| value.to_string());
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_streams_and_skips_empty_documents() {
        let text = "---\na: 1\n---\n# only a comment\n---\n{\"b\": [true]}\n";
        assert_eq!(documents(text).unwrap(), [json!({"a": 1}), json!({"b": [true]})]);
        assert_eq!(documents("").unwrap(), Vec::<Value>::new());
        assert_eq!(documents("null").unwrap(), Vec::<Value>::new());
    }

    #[test]
    fn errors_are_one_line_with_a_place() {
        let error = documents("a: 1\nb: [1, 2\n").unwrap_err();
        assert!(error.line >= 2, "{error}");
        assert_eq!(error.to_string().lines().count(), 1);
    }

    #[test]
    fn big_integers_and_strings_survive() {
        let value = json!({"big": 12_345_678_901_234_567_u64, "text": "yes", "zero": "0755", "none": null, "multi": "a\nb\n"});
        assert_eq!(documents(&print(&value)).unwrap(), [value]);
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let level = |level: usize| {
            format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 9].join(", "))
        };
        let text =
            "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned() + &(1..9).map(level).collect::<String>();
        assert!(documents(&text).is_err());
    }
}
