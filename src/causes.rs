//! An error with what led to it.

use std::error::Error;

/// An error and its causes in one line: "failed to write `a`: disk full".
pub fn in_one_line(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // Some libraries repeat their source in their own text.
        if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = error.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Step {
        text: &'static str,
        source: Option<Box<Step>>,
    }

    #[test]
    fn each_cause_is_there_once() {
        let step = |text, source: Option<Step>| Step { text, source: source.map(Box::new) };
        let error = step("failed to write", Some(step("no: disk full", Some(step("disk full", None)))));
        assert_eq!(in_one_line(&error), "failed to write: no: disk full");
    }
}
