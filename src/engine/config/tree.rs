//! A YAML document as values that know where they stand.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Number, Value};
use serde_saphyr::Spanned;

use crate::yaml::{self, YamlError};

/// Where something stands in a file, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) line: u64,
    pub(crate) column: u64,
}

/// A value and its place.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) at: Place,
    pub(crate) content: Content,
}

/// What a node holds.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    Scalar(Value),
    List(Vec<Node>),
    Map(Vec<Member>),
}

/// A key of a map with its own place, and the value.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) key: String,
    pub(crate) key_at: Place,
    pub(crate) value: Node,
}

/// One step on the way to a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// The way to a node from the top of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Path(Vec<Step>);

impl Path {
    pub(crate) fn key(&self, key: &str) -> Self {
        self.then(Step::Key(key.to_owned()))
    }

    pub(crate) fn index(&self, index: usize) -> Self {
        self.then(Step::Index(index))
    }

    fn then(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if position == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl Node {
    /// Reads one document; an empty file is an empty map.
    pub(crate) fn parse(text: &str) -> Result<Self, YamlError> {
        let parsed: Option<Self> = serde_saphyr::from_str(text).map_err(|error| yaml::describe(&error))?;
        Ok(parsed.unwrap_or(Self { at: Place { line: 1, column: 1 }, content: Content::Map(Vec::new()) }))
    }

    /// The place of the node at `path`, or of the deepest one above it that exists: a missing field is reported where
    /// it would have to be added.
    pub(crate) fn locate(&self, path: &Path) -> Place {
        let mut here = self;
        let mut at = self.at;
        for step in &path.0 {
            match (step, &here.content) {
                (Step::Key(key), Content::Map(members)) => {
                    match members.iter().find(|member| member.key == *key) {
                        Some(member) => (here, at) = (&member.value, member.key_at),
                        None => return at,
                    }
                }
                (Step::Index(index), Content::List(items)) => match items.get(*index) {
                    Some(item) => (here, at) = (item, item.at),
                    None => return at,
                },
                _ => return at,
            }
        }
        at
    }

    /// The value without places and without what is at these paths.
    pub(crate) fn value_without(&self, left_out: &[&Path]) -> Value {
        self.prune(&Path::default(), left_out)
    }

    fn prune(&self, here: &Path, left_out: &[&Path]) -> Value {
        match &self.content {
            Content::Scalar(value) => value.clone(),
            Content::List(items) => {
                let items = items.iter().enumerate();
                items.map(|(index, item)| item.prune(&here.index(index), left_out)).collect()
            }
            Content::Map(members) => {
                let kept = members.iter().filter_map(|member| {
                    let path = here.key(&member.key);
                    let value = (!left_out.contains(&&path)).then(|| member.value.prune(&path, left_out))?;
                    Some((member.key.clone(), value))
                });
                Value::Object(kept.collect())
            }
        }
    }

    /// The value without places.
    #[cfg(test)]
    pub(crate) fn value(&self) -> Value {
        self.value_without(&[])
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Content>::deserialize(deserializer)?;
        Ok(Self { at: place(&spanned), content: spanned.value })
    }
}

fn place<T>(spanned: &Spanned<T>) -> Place {
    Place { line: spanned.referenced.line(), column: spanned.referenced.column() }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Content, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("a number must be finite"))?;
        Ok(Content::Scalar(number.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Scalar(Value::Null))
    }

    fn visit_none<E: de::Error>(self) -> Result<Content, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Content, D::Error> {
        Content::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Content, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Content::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Content, A::Error> {
        let mut members = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let key_at = place(&key);
            members.push(Member { key: key.value, key_at, value: map.next_value()? });
        }
        Ok(Content::Map(members))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_keep_their_places() {
        let tree = Node::parse("a:\n  - b: 1\n    c: [x, true]\nd: null\n").unwrap();
        assert_eq!(tree.value(), json!({"a": [{"b": 1, "c": ["x", true]}], "d": null}));
        let path = Path::default().key("a").index(0).key("c");
        assert_eq!(tree.locate(&path), Place { line: 3, column: 5 });
        assert_eq!(tree.locate(&path.key("missing")), Place { line: 3, column: 5 });
        assert_eq!(path.to_string(), "a[0].c");
    }

    #[test]
    fn an_empty_file_is_an_empty_map() {
        assert_eq!(Node::parse("# nothing\n").unwrap().value(), json!({}));
    }

    #[test]
    fn a_key_given_twice_is_refused() {
        assert_eq!(Node::parse("a: 1\na: 2\n").unwrap_err().line, 2);
    }
}
