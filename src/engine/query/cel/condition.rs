//! Conditions: true or false.

use std::{fmt, sync::Arc};

use cel::common::types::CelBool;
use serde_json::{Value, json};

use super::{
    error::{CelError, Why},
    program::{Compiled, Kind},
};
use crate::contract::Trigger;

/// A compiled condition. Cheap to clone and to share.
#[derive(Clone)]
pub struct Condition(Arc<Compiled>);

/// What a condition is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'f> {
    /// The object as it is: `object`.
    pub object: &'f Value,
    /// The object as it was before: `oldObject`, else null.
    pub old: Option<&'f Value>,
    /// What happened, `{type, kind, namespace, name}` with nulls for what it does not say: `trigger`, else null.
    pub trigger: Option<&'f Trigger>,
}

const KIND: Kind = Kind { name: "condition", variables: &["object", "oldObject", "trigger"] };

impl Condition {
    /// Compiles a condition.
    ///
    /// # Errors
    /// A syntax error, with line and column; a variable or a function that is not there; more nesting than the stack of
    /// those who ask can bear.
    pub fn compile(text: &str) -> Result<Self, CelError> {
        Ok(Self(Arc::new(Compiled::compile(KIND, text)?)))
    }

    /// Whether the condition holds.
    ///
    /// # Errors
    /// Where a field is missing, the types do not fit, loops in one another meet lists too long for that, or the result is
    /// neither true nor false. No value of the object is in the message.
    pub fn holds(&self, facts: &Facts<'_>) -> Result<bool, CelError> {
        let trigger = facts.trigger.map(trigger_value);
        self.0.ask(&[Some(facts.object), facts.old, trigger.as_ref()], |value| {
            let boolean = value.downcast_ref::<CelBool>().map(|boolean| *boolean.inner());
            boolean.ok_or_else(|| Why::NotBoolean { found: value.get_type().name().to_owned() })
        })
    }
}

fn trigger_value(trigger: &Trigger) -> Value {
    let Trigger { kind_of, kind, namespace, name } = trigger;
    json!({"type": kind_of, "kind": kind, "namespace": namespace, "name": name})
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.text())
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Condition").field(&self.0.text()).finish()
    }
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.0.text() == other.0.text()
    }
}
