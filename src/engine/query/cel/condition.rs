//! Compiling a condition and asking it.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, LazyLock},
};

use cel::{Context, Env, Program, common::types::CelBool, extensions};
use serde_json::{Value, json};

use super::{
    check::{self, Checked, Lengths},
    error::{CelError, Why},
    value::to_cel,
};
use crate::contract::Trigger;

/// A compiled condition. Cheap to clone and to share.
#[derive(Clone)]
pub struct Condition(Arc<Compiled>);

struct Compiled {
    text: String,
    program: Program,
    checked: Checked,
}

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

/// In bytes. What is longer is not a condition that somebody wrote, and parsing takes a stack that grows with it.
const MAX_TEXT: usize = 2048;

/// In bytes; enough for the longest text of nothing but operators or brackets. Pages that are not used cost nothing.
const PARSER_STACK: usize = 128 << 20;

/// How often the innermost loop may run, a microsecond or so each: a watch waits for the answer, and others write its lists.
const MAX_STEPS: usize = 100_000;

/// The functions of the language. Making them takes longer than most conditions.
static LANGUAGE: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    env.add_extension(extensions::strings)
        .expect("an extension declares nothing that the standard library has");
    Arc::new(env)
});

impl Condition {
    /// Compiles a condition.
    ///
    /// # Errors
    /// A syntax error, with line and column; a variable or a function that is not there; more nesting than the stack of
    /// those who ask can bear.
    pub fn compile(text: &str) -> Result<Self, CelError> {
        let compile = || {
            if text.len() > MAX_TEXT {
                return Err(Why::TooLong { limit: MAX_TEXT });
            }
            let program = LANGUAGE.compile(text).map_err(|errors| Why::syntax(&errors))?;
            let checked = check::check(&program, &Context::with_env(Arc::clone(&LANGUAGE)))?;
            Ok(Compiled { text: text.to_owned(), program, checked })
        };
        // The parser is generated code that has panicked on odd texts before; what it holds is dropped with it.
        let compiled = catch_unwind(|| stacker::grow(PARSER_STACK, compile));
        let compiled = compiled.unwrap_or(Err(Why::Crashed)).map_err(|why| CelError::new(text, why))?;
        Ok(Self(Arc::new(compiled)))
    }

    /// Whether the condition holds.
    ///
    /// # Errors
    /// Where a field is missing, the types do not fit, loops in one another meet lists too long for that, or the result is
    /// neither true nor false. No value of the object is in the message.
    pub fn holds(&self, facts: &Facts<'_>) -> Result<bool, CelError> {
        let Compiled { text, program, checked } = self.0.as_ref();
        let trigger = facts.trigger.map(trigger_value);
        let mut context = Context::with_env(Arc::clone(&LANGUAGE));
        let mut lengths = Lengths::default();
        let variables =
            [("object", Some(facts.object)), ("oldObject", facts.old), ("trigger", trigger.as_ref())];
        for (name, value) in variables {
            if let Some(needed) = checked.needed(name) {
                let value = to_cel(value.unwrap_or(&Value::Null), needed, &mut lengths);
                context.add_variable_as_val(name, value);
            }
        }
        if checked.steps(&lengths) > MAX_STEPS {
            return Err(CelError::new(text, Why::TooLarge { limit: MAX_STEPS }));
        }
        // An evaluation changes nothing that outlives it.
        let answer = catch_unwind(AssertUnwindSafe(|| {
            let value = cel::Value::resolve_val(program.expression(), &context)
                .map_err(|error| Why::evaluation(&error, |field| checked.path_to(field)))?;
            let boolean = value.downcast_ref::<CelBool>().map(|boolean| *boolean.inner());
            boolean.ok_or_else(|| Why::NotBoolean { found: value.get_type().name().to_owned() })
        }));
        answer.unwrap_or(Err(Why::Crashed)).map_err(|why| CelError::new(text, why))
    }
}

fn trigger_value(trigger: &Trigger) -> Value {
    let Trigger { kind_of, kind, namespace, name } = trigger;
    json!({"type": kind_of, "kind": kind, "namespace": namespace, "name": name})
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Condition").field(&self.0.text).finish()
    }
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.0.text == other.0.text
    }
}
