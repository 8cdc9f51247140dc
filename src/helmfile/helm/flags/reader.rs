//! Takes a command line apart by the rules of Go's pflag.

use std::collections::VecDeque;

use super::{
    FlagError,
    table::{FLAGS, Flag, Form},
};
use crate::suggest;

/// What Go takes for a boolean.
pub(super) fn truth(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// A piece of the command line.
pub(super) enum Item {
    /// No flag.
    Positional(String),
    /// With its value; that of a switch is `true` or `false`.
    Flag(&'static Flag, String),
}

/// A command line being read.
pub(super) struct Reader {
    /// What is left of it.
    pub(super) rest: VecDeque<String>,
    /// Whether unknown flags are dropped.
    pub(super) ignore_unknown: bool,
}

impl Reader {
    /// The next piece; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Item>, FlagError> {
        while let Some(arg) = self.rest.pop_front() {
            if arg == "--" {
                // All that follows is no flag.
                self.rest.iter_mut().for_each(|arg| arg.insert(0, LITERAL));
                continue;
            }
            if let Some(literal) = arg.strip_prefix(LITERAL) {
                return Ok(Some(Item::Positional(literal.to_owned())));
            }
            let item = if let Some(long) = arg.strip_prefix("--") {
                self.long(long)?
            } else if let Some(letters) = arg.strip_prefix('-').filter(|letters| !letters.is_empty()) {
                self.letters(letters)?
            } else {
                Some(Item::Positional(arg))
            };
            if item.is_some() {
                return Ok(item);
            }
        }
        Ok(None)
    }

    fn long(&mut self, text: &str) -> Result<Option<Item>, FlagError> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        let Some(flag) = FLAGS.iter().find(|flag| flag.name == name) else {
            self.unknown(format!("--{name}"), name, value.is_none())?;
            return Ok(None);
        };
        let value = self.value(flag, value, format!("--{name}"))?;
        Ok(Some(Item::Flag(flag, value)))
    }

    /// `-qf FILE`, `-fFILE`, `-f=FILE`.
    fn letters(&mut self, letters: &str) -> Result<Option<Item>, FlagError> {
        let mut chars = letters.chars();
        let Some(letter) = chars.next() else { return Ok(None) };
        let rest = chars.as_str();
        let Some(flag) = FLAGS.iter().find(|flag| flag.short == Some(letter)) else {
            self.unknown(format!("-{letter}"), "", rest.is_empty())?;
            return Ok(None);
        };
        let value = match rest.strip_prefix('=') {
            Some(value) => Some(value.to_owned()),
            None if rest.is_empty() => None,
            None if flag.form == Form::Value => Some(rest.to_owned()),
            None => {
                self.rest.push_front(format!("-{rest}"));
                None
            }
        };
        let value = self.value(flag, value, format!("-{letter}"))?;
        Ok(Some(Item::Flag(flag, value)))
    }

    fn value(&mut self, flag: &Flag, given: Option<String>, shown: String) -> Result<String, FlagError> {
        match (flag.form, given) {
            (Form::Switch, None) => Ok("true".into()),
            (Form::Switch, Some(value)) => match truth(&value) {
                Some(on) => Ok(on.to_string()),
                None => Err(FlagError::BadValue { flag: shown, wanted: "`true` or `false`" }),
            },
            (Form::Value, None) => match self.rest.pop_front() {
                Some(value) => Ok(value.strip_prefix(LITERAL).map(str::to_owned).unwrap_or(value)),
                None => Err(FlagError::NoValue(shown)),
            },
            (Form::Optional, None) => Ok(String::new()),
            (Form::Value | Form::Optional, Some(value)) => Ok(value),
        }
    }

    /// Refuses an unknown flag, or drops it and, as pflag does, what looks like its value.
    fn unknown(&mut self, flag: String, name: &str, may_have_value: bool) -> Result<(), FlagError> {
        if !self.ignore_unknown {
            let meant = suggest::closest(name, FLAGS.iter().map(|flag| flag.name)).map(str::to_owned);
            return Err(FlagError::Unknown { flag, meant });
        }
        if may_have_value && self.rest.front().is_some_and(|next| !next.starts_with(['-', LITERAL])) {
            self.rest.pop_front();
        }
        Ok(())
    }
}

/// Marks arguments behind `--`. No argument of a program can hold this character.
const LITERAL: char = '\0';
