//! A compiled path, and finding what it leads to.

use std::{cmp::Ordering, collections::HashSet, fmt, ptr};

use serde_json::Value;

/// A compiled path.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonPath {
    pub(super) text: String,
    pub(super) steps: Vec<Step>,
}

/// One step from a set of values to the next.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// What any of these selects, in their order: `.name`, `[0]`, `['a','b']`.
    Select(Vec<Selector>),
    /// The value itself and all that is in it: `..`.
    Descend,
    /// The elements of a list for which this holds: `[?(…)]`.
    Filter(Test),
}

/// What to take of one value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Selector {
    /// The field of an object.
    Field(String),
    /// All elements of a list or all values of an object.
    All,
    /// An element of a list; a negative one counts from the end.
    Index(i64),
    /// Elements `from` to before `to`, each `by`th, which is at least 1.
    Slice { from: Option<i64>, to: Option<i64>, by: usize },
}

/// What a filter asks of an element.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Test {
    Any(Vec<Test>),
    All(Vec<Test>),
    /// There is such a value.
    Exists(Operand),
    /// There are such values on both sides.
    Compare(Operand, Comparison, Operand),
}

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    /// A path from the element.
    Path(Vec<Step>),
    Literal(Value),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl JsonPath {
    /// All values that the path leads to, each place once, in the order of the object. A path that leads nowhere finds
    /// nothing.
    pub fn find<'v>(&self, object: &'v Value) -> Vec<&'v Value> {
        walk(&self.steps, object)
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn walk<'v>(steps: &[Step], value: &'v Value) -> Vec<&'v Value> {
    steps.iter().fold(vec![value], |values, step| {
        let mut next = Vec::with_capacity(values.len());
        for value in values {
            step.take(value, &mut next);
        }
        // Several steps down reach one place by several ways; counted twice, each such step could double the work.
        if next.len() > 1 {
            let mut seen = HashSet::with_capacity(next.len());
            next.retain(|value| seen.insert(ptr::from_ref(*value)));
        }
        next
    })
}

impl Step {
    fn take<'v>(&self, value: &'v Value, found: &mut Vec<&'v Value>) {
        match self {
            Self::Select(selectors) => selectors.iter().for_each(|selector| selector.take(value, found)),
            Self::Descend => descend(value, found),
            Self::Filter(test) => {
                let elements = value.as_array().into_iter().flatten();
                found.extend(elements.filter(|element| test.holds(element)));
            }
        }
    }
}

fn descend<'v>(value: &'v Value, found: &mut Vec<&'v Value>) {
    found.push(value);
    match value {
        Value::Array(elements) => elements.iter().for_each(|element| descend(element, found)),
        Value::Object(fields) => fields.values().for_each(|field| descend(field, found)),
        _ => {}
    }
}

impl Selector {
    fn take<'v>(&self, value: &'v Value, found: &mut Vec<&'v Value>) {
        match (self, value) {
            (Self::Field(name), Value::Object(fields)) => found.extend(fields.get(name)),
            (Self::All, Value::Object(fields)) => found.extend(fields.values()),
            (Self::All, Value::Array(elements)) => found.extend(elements),
            (Self::Index(index), Value::Array(elements)) => {
                found.extend(from_start(*index, elements.len()).and_then(|index| elements.get(index)));
            }
            (Self::Slice { from, to, by }, Value::Array(elements)) => {
                // An end before the first element is the first element.
                let place = |index: Option<i64>, none| {
                    index.map_or(none, |index| from_start(index, elements.len()).unwrap_or(0))
                };
                let (from, to) = (place(*from, 0), place(*to, elements.len()));
                let slice = elements.iter().take(to).skip(from);
                found.extend(slice.step_by(*by));
            }
            _ => {}
        }
    }
}

/// An index from the first element of a list with so many; `None` is before it.
fn from_start(index: i64, len: usize) -> Option<usize> {
    match usize::try_from(index) {
        Ok(index) => Some(index),
        Err(_) if index < 0 => len.checked_sub(usize::try_from(index.unsigned_abs()).ok()?),
        Err(_) => Some(usize::MAX),
    }
}

impl Test {
    fn holds(&self, element: &Value) -> bool {
        match self {
            Self::Any(tests) => tests.iter().any(|test| test.holds(element)),
            Self::All(tests) => tests.iter().all(|test| test.holds(element)),
            Self::Exists(operand) => !operand.values(element).is_empty(),
            Self::Compare(left, comparison, right) => {
                let rights = right.values(element);
                let holds = |left: &&Value| rights.iter().any(|right| comparison.holds(left, right));
                left.values(element).iter().any(holds)
            }
        }
    }
}

impl Operand {
    fn values<'v>(&'v self, element: &'v Value) -> Vec<&'v Value> {
        match self {
            Self::Path(steps) => walk(steps, element),
            Self::Literal(value) => vec![value],
        }
    }
}

impl Comparison {
    /// Values of different types are not equal, and neither is less.
    fn holds(self, left: &Value, right: &Value) -> bool {
        let order = match (left, right) {
            (Value::Number(left), Value::Number(right)) => order_numbers(left, right),
            (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
            _ if left == right => Some(Ordering::Equal),
            _ => None,
        };
        match self {
            Self::Equal => order == Some(Ordering::Equal),
            Self::NotEqual => order != Some(Ordering::Equal),
            Self::Less => order == Some(Ordering::Less),
            Self::LessOrEqual => order.is_some_and(Ordering::is_le),
            Self::Greater => order == Some(Ordering::Greater),
            Self::GreaterOrEqual => order.is_some_and(Ordering::is_ge),
        }
    }
}

/// Whole numbers exactly, others as floating point.
fn order_numbers(left: &serde_json::Number, right: &serde_json::Number) -> Option<Ordering> {
    match (left.as_i128(), right.as_i128()) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}
