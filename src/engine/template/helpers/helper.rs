//! One helper: a row of the table, and how Handlebars calls it.

use std::ops::RangeInclusive;

use handlebars::{Context, Handlebars, HelperDef, RenderContext, RenderError, RenderErrorReason, ScopedJson};
use serde_json::Value;

use super::values::{self, BYTES};

/// More arguments than anybody writes.
const MANY: usize = 64;

/// Computes a helper's value. It is given as many arguments as the row says; one whose path is missing is `null`.
pub(super) type Function = fn(&[&Value]) -> Result<Value, String>;

/// A helper, with what the reference says of it.
#[derive(Debug, Clone, Copy)]
pub struct Helper {
    /// What is written in a template.
    pub name: &'static str,
    /// Names of the arguments. `x?` may be a path that does not exist, `[x]` may be left out, `x…` stands for several.
    pub arguments: &'static str,
    /// What it does, in a sentence or two.
    pub description: &'static str,
    /// A template for the state in [`EXAMPLE_STATE`](super::EXAMPLE_STATE).
    pub example: &'static str,
    /// What that prints.
    pub output: &'static str,
    /// `None` for the blocks, which are Handlebars' own.
    function: Option<Function>,
}

impl Helper {
    pub(super) const fn new(
        name: &'static str,
        arguments: &'static str,
        description: &'static str,
        [example, output]: [&'static str; 2],
        function: Function,
    ) -> Self {
        Self { name, arguments, description, example, output, function: Some(function) }
    }

    /// A block such as `if`, which Handlebars brings.
    pub(super) const fn block(
        name: &'static str,
        arguments: &'static str,
        description: &'static str,
        [example, output]: [&'static str; 2],
    ) -> Self {
        Self { name, arguments, description, example, output, function: None }
    }

    /// Whether it is written `{{#name}}…{{/name}}`.
    pub(in crate::engine::template) fn is_block(&self) -> bool {
        self.function.is_none()
    }

    /// How many arguments it takes.
    pub(in crate::engine::template) fn arity(&self) -> RangeInclusive<usize> {
        let names: Vec<&str> = self.arguments.split_whitespace().collect();
        let least = names.iter().filter(|name| !name.starts_with('[')).count();
        let most = if names.iter().any(|name| name.ends_with('…')) { MANY } else { names.len() };
        least..=most
    }

    fn may_be_missing(&self, position: usize) -> bool {
        let names: Vec<&str> = self.arguments.split_whitespace().collect();
        names.get(position).or(names.last()).is_some_and(|name| name.contains('?'))
    }

    fn value(&self, call: &handlebars::Helper<'_>) -> Result<Value, RenderError> {
        let mut arguments = Vec::with_capacity(call.params().len());
        for (position, argument) in call.params().iter().enumerate() {
            if argument.is_value_missing() && !self.may_be_missing(position) {
                return Err(RenderError::strict_error(argument.relative_path()));
            }
            arguments.push(if argument.is_value_missing() { &Value::Null } else { argument.value() });
        }
        let function = self.function.ok_or(RenderErrorReason::Unimplemented)?;
        let refuse = |problem| RenderErrorReason::Other(format!("`{}`: {problem}", self.name));
        let value = function(&arguments).map_err(refuse)?;
        if values::size(&value) > BYTES {
            return Err(refuse(values::TOO_LARGE.to_owned()).into());
        }
        Ok(value)
    }
}

impl HelperDef for Helper {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        call: &handlebars::Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        self.value(call).map(ScopedJson::Derived)
    }
}
