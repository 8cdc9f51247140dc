//! Objects that were read, and what is taken from them. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::{error::InputError, references::Id};
use crate::helmfile::api::SourceKind;

/// What the API server says about one object.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// It is there.
    Object(Object),
    /// It is not.
    Absent,
    /// We may not know; in the server's words.
    Forbidden(String),
    /// No answer, and why.
    Unreachable(String),
}

/// A ConfigMap or Secret.
#[derive(Clone, Default)]
pub(super) struct Object {
    /// Its entries.
    pub(super) data: BTreeMap<String, Vec<u8>>,
    /// The type of a Secret.
    pub(super) type_of: Option<String>,
}

impl std::fmt::Debug for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.data.keys()).finish()
    }
}

/// All objects of a spec.
#[derive(Debug)]
pub(super) struct Objects {
    pub(super) namespace: String,
    pub(super) answers: BTreeMap<Id, Answer>,
}

/// One place in a spec that names an object.
#[derive(Debug, Clone)]
pub(super) struct Place<'a> {
    /// For messages, as `valuesFrom[1]`.
    pub(super) field: String,
    pub(super) kind: SourceKind,
    pub(super) name: &'a str,
}

impl<'a> Place<'a> {
    pub(super) fn secret(field: impl Into<String>, name: &'a str) -> Self {
        Self { field: field.into(), kind: SourceKind::Secret, name }
    }

    fn object(&self) -> String {
        format!("{} `{}`", self.kind.as_str(), self.name)
    }

    /// The content makes no sense: `problem` goes on after "whose".
    pub(super) fn invalid(&self, problem: impl Into<String>) -> InputError {
        InputError::Invalid { field: self.field.clone(), object: self.object(), problem: problem.into() }
    }

    /// Something is missing in the object.
    pub(super) fn lacks(&self, wanted: impl Into<String>, object: &Object) -> InputError {
        InputError::NoKey {
            field: self.field.clone(),
            object: self.object(),
            wanted: wanted.into(),
            there: object.data.keys().cloned().collect(),
        }
    }

    /// An entry as text.
    pub(super) fn text<'o>(&self, object: &'o Object, key: &str) -> Result<Option<&'o str>, InputError> {
        let Some(bytes) = object.data.get(key) else { return Ok(None) };
        std::str::from_utf8(bytes)
            .map(Some)
            .map_err(|_| self.invalid(format!("key `{key}` is no UTF-8 text")))
    }

    /// An entry that must be there.
    pub(super) fn needed<'o>(&self, object: &'o Object, key: &str) -> Result<&'o str, InputError> {
        self.text(object, key)?.ok_or_else(|| self.lacks(format!("key `{key}`"), object))
    }

    /// An entry of one line, such as a password. Line breaks at its end are taken off: `echo pw | kubectl create secret
    /// --from-file` leaves one, and no server has ever taken it.
    pub(super) fn line<'o>(&self, object: &'o Object, key: &str) -> Result<Option<&'o str>, InputError> {
        let text = self.text(object, key)?.map(|text| text.trim_end_matches(['\n', '\r']));
        match text {
            Some(text) if text.chars().any(char::is_control) => {
                Err(self.invalid(format!("key `{key}` has a line break or control character in it")))
            }
            text => Ok(text),
        }
    }

    /// The same, and it must be there.
    pub(super) fn needed_line<'o>(&self, object: &'o Object, key: &str) -> Result<&'o str, InputError> {
        self.line(object, key)?.ok_or_else(|| self.lacks(format!("key `{key}`"), object))
    }
}

impl Objects {
    /// The object, or nothing where there is none.
    pub(super) fn find(&self, place: &Place<'_>) -> Result<Option<&Object>, InputError> {
        let (field, object) = (place.field.clone(), place.object());
        match self.answers.get(&(place.kind, place.name.to_owned())) {
            Some(Answer::Object(found)) => Ok(Some(found)),
            Some(Answer::Absent) | None => Ok(None),
            Some(Answer::Forbidden(why)) => Err(InputError::Forbidden { field, object, why: why.clone() }),
            Some(Answer::Unreachable(why)) => {
                Err(InputError::Unreachable { field, object, why: why.clone() })
            }
        }
    }

    /// The object, which must be there.
    pub(super) fn get(&self, place: &Place<'_>) -> Result<&Object, InputError> {
        self.find(place)?.ok_or_else(|| InputError::NoObject {
            field: place.field.clone(),
            object: place.object(),
            namespace: self.namespace.clone(),
        })
    }

    /// The text of one key; nothing where it may be missing and is.
    pub(super) fn entry(
        &self,
        place: &Place<'_>,
        key: &str,
        optional: bool,
    ) -> Result<Option<&str>, InputError> {
        let object = if optional { self.find(place)? } else { Some(self.get(place)?) };
        let Some(object) = object else { return Ok(None) };
        if optional { place.text(object, key) } else { place.needed(object, key).map(Some) }
    }
}

/// Texts to be hidden in logs.
#[derive(Default)]
pub(super) struct Hidden(BTreeSet<String>);

/// What is shorter would hide half of every log and is no secret worth the name.
const SHORTEST: usize = 4;
/// Of a text of several lines each line counts by itself, since logs are lines; but not its braces and small words.
const SHORTEST_LINE: usize = 8;

impl Hidden {
    /// A text from a Secret.
    pub(super) fn add(&mut self, text: &str) {
        let text = text.trim();
        if text.chars().count() < SHORTEST {
            return;
        }
        if text.contains('\n') {
            let lines = text.lines().map(str::trim).filter(|line| line.chars().count() >= SHORTEST_LINE);
            self.0.extend(lines.map(str::to_owned));
        }
        self.0.insert(text.to_owned());
    }

    /// The longest first, so that no part is replaced before the whole.
    pub(super) fn into_list(self) -> Vec<String> {
        let mut list: Vec<String> = self.0.into_iter().collect();
        list.sort_by_key(|text| std::cmp::Reverse(text.len()));
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_is_long_enough_and_the_longest_comes_first() {
        let mut hidden = Hidden::default();
        for text in ["abc", "abcd", " hunter2\n", "abcd", "-- BEGIN --\nsecret line\nx\n", ""] {
            hidden.add(text);
        }
        assert_eq!(
            hidden.into_list(),
            ["-- BEGIN --\nsecret line\nx", "-- BEGIN --", "secret line", "hunter2", "abcd"]
        );
    }
}
