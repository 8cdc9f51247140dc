//! Compiling a text and asking it: what conditions and expressions have in common.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, LazyLock},
};

use cel::{Context, Env, Program, common::value::Val, extensions};
use serde_json::Value;

use super::{
    check::{self, Checked, Lengths},
    error::{CelError, Why},
    value::to_cel,
};

/// A compiled text.
pub(super) struct Compiled {
    kind: Kind,
    text: String,
    program: Program,
    checked: Checked,
}

/// What a text is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    /// What people call it.
    pub(super) name: &'static str,
    /// What it is asked about.
    pub(super) variables: &'static [&'static str],
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

impl Compiled {
    /// Fails on a syntax error, a variable or a function that is not there, and more nesting than the stack of those who ask
    /// can bear.
    pub(super) fn compile(kind: Kind, text: &str) -> Result<Self, CelError> {
        let compile = || {
            if text.len() > MAX_TEXT {
                return Err(Why::TooLong { limit: MAX_TEXT });
            }
            let program = LANGUAGE.compile(text).map_err(|errors| Why::syntax(&errors))?;
            let checked = check::check(&program, &Context::with_env(Arc::clone(&LANGUAGE)), kind.variables)?;
            Ok(Self { kind, text: text.to_owned(), program, checked })
        };
        // The parser is generated code that has panicked on odd texts before; what it holds is dropped with it.
        let compiled = catch_unwind(|| stacker::grow(PARSER_STACK, compile));
        compiled.unwrap_or(Err(Why::Crashed)).map_err(|why| CelError::new(kind.name, text, why))
    }

    /// As it was written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// What it asks for.
    pub(super) const fn checked(&self) -> &Checked {
        &self.checked
    }

    /// Evaluates it with these values, in the order of its variables; none is null. `read` takes the result.
    pub(super) fn ask<T>(
        &self,
        values: &[Option<&Value>],
        read: impl FnOnce(&dyn Val) -> Result<T, Why>,
    ) -> Result<T, CelError> {
        let Self { kind, text, program, checked } = self;
        let mut context = Context::with_env(Arc::clone(&LANGUAGE));
        let mut lengths = Lengths::default();
        for (name, value) in kind.variables.iter().zip(values) {
            if let Some(needed) = checked.needed(name) {
                let value = to_cel(value.unwrap_or(&Value::Null), needed, &mut lengths);
                context.add_variable_as_val(*name, value);
            }
        }
        if checked.steps(&lengths) > MAX_STEPS {
            return Err(CelError::new(kind.name, text, Why::TooLarge { limit: MAX_STEPS }));
        }
        // An evaluation changes nothing that outlives it.
        let answer = catch_unwind(AssertUnwindSafe(|| {
            let value = cel::Value::resolve_val(program.expression(), &context)
                .map_err(|error| Why::evaluation(&error, |field| checked.path_to(field)))?;
            read(&*value)
        }));
        answer.unwrap_or(Err(Why::Crashed)).map_err(|why| CelError::new(kind.name, text, why))
    }
}
