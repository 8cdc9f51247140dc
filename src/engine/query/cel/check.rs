//! What a condition needs and whether that is there, read from its syntax tree before it is asked the first time.

use std::collections::BTreeMap;

use cel::{
    Context, ExecutionError, IdedExpr, Program, Value,
    common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, SelectExpr},
};

use super::error::Why;
use crate::suggest;

/// Operations in one another: each takes some of the stack of whoever asks.
const MAX_DEPTH: usize = 32;

/// What a condition asks for.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// What it needs of each variable; what it does not name is not there.
    needs: BTreeMap<String, Need>,
    /// Loops in one another.
    loops: u32,
    /// The longest list that is written in it.
    longest: usize,
    /// Whether it makes lists of texts.
    splits: bool,
    /// Each field that it names and how, like `replicas` and `object.spec.replicas`.
    paths: Vec<(String, String)>,
}

/// What is needed of a value. An object can be large and a condition mostly looks at one or two fields.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Need {
    /// The value with all that is in it.
    pub(super) whole: bool,
    /// Where it is an object, these of its fields, as far as it has them.
    pub(super) fields: BTreeMap<String, Need>,
}

impl Checked {
    /// What is needed of a variable, if anything.
    pub(super) fn needed(&self, variable: &str) -> Option<&Need> {
        self.needs.get(variable)
    }

    /// At most how often the innermost loop runs, when the longest list and text of what it is asked about are these.
    pub(super) fn steps(&self, lengths: &Lengths) -> usize {
        let texts = if self.splits { lengths.text } else { 0 };
        self.longest.max(lengths.list).max(texts).saturating_pow(self.loops)
    }

    /// The first path in the condition that asks for this field.
    pub(super) fn path_to(&self, field: &str) -> Option<&str> {
        self.paths.iter().find(|(name, _)| name == field).map(|(_, path)| path.as_str())
    }
}

/// The longest of what a condition is asked about.
#[derive(Debug, Default)]
pub(super) struct Lengths {
    /// Elements of a list, or fields of an object.
    pub(super) list: usize,
    /// Bytes.
    pub(super) text: usize,
}

/// Reads a program. The context has the functions and no variables; those that there will be are named.
pub(super) fn check(
    program: &Program,
    context: &Context<'_, '_>,
    variables: &'static [&'static str],
) -> Result<Checked, Why> {
    let checked = Checked::default();
    let mut walk = Walk { context, variables, checked, bound: Vec::new(), loops: 0, depth: 0 };
    walk.expression(program.expression())?;
    Ok(walk.checked)
}

struct Walk<'w> {
    context: &'w Context<'w, 'w>,
    variables: &'static [&'static str],
    checked: Checked,
    /// The variables of the loops around.
    bound: Vec<String>,
    loops: u32,
    depth: usize,
}

impl Walk<'_> {
    fn expression(&mut self, expression: &IdedExpr) -> Result<(), Why> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Why::TooDeep { limit: MAX_DEPTH, what: "operations" });
        }
        match &expression.expr {
            Expr::Unspecified | Expr::Literal(_) => {}
            Expr::Ident(name) => self.path(name, &[], true)?,
            Expr::Select(select) => self.select(select)?,
            Expr::Call(call) => self.call(call)?,
            Expr::Comprehension(comprehension) => self.comprehension(comprehension)?,
            Expr::List(list) => {
                self.checked.longest = self.checked.longest.max(list.elements.len());
                list.elements.iter().try_for_each(|element| self.expression(element))?;
            }
            Expr::Map(map) => self.entries(map.entries.iter().map(|entry| &entry.expr))?,
            Expr::Struct(structure) => self.entries(structure.entries.iter().map(|entry| &entry.expr))?,
        }
        self.depth -= 1;
        Ok(())
    }

    fn entries<'e>(&mut self, mut entries: impl Iterator<Item = &'e EntryExpr>) -> Result<(), Why> {
        entries.try_for_each(|entry| match entry {
            EntryExpr::StructField(field) => self.expression(&field.value),
            EntryExpr::MapEntry(entry) => {
                self.expression(&entry.key)?;
                self.expression(&entry.value)
            }
        })
    }

    fn select(&mut self, select: &SelectExpr) -> Result<(), Why> {
        let Some((name, mut fields)) = names(&select.operand) else {
            return self.expression(&select.operand);
        };
        fields.push(&select.field);
        self.path(name, &fields, !select.test)
    }

    /// A variable and fields of it. `whole` says whether the value is used, not only whether it is there.
    fn path(&mut self, name: &str, fields: &[&str], whole: bool) -> Result<(), Why> {
        if fields.len() > MAX_DEPTH {
            return Err(Why::TooDeep { limit: MAX_DEPTH, what: "fields" });
        }
        let name = name.trim_start_matches('.');
        let mut path = name.to_owned();
        for field in fields {
            path = format!("{path}.{field}");
            self.checked.paths.push(((*field).to_owned(), path.clone()));
        }
        if name.starts_with('@') || self.bound.iter().any(|bound| bound == name) {
            return Ok(());
        }
        if !self.variables.contains(&name) {
            // Else the name of a type, as in `type(x) == string`.
            return if self.is_type(name) { Ok(()) } else { Err(self.no_variable(name)) };
        }
        let mut need = self.checked.needs.entry(name.to_owned()).or_default();
        for field in fields {
            need = need.fields.entry((*field).to_owned()).or_default();
        }
        need.whole |= whole;
        Ok(())
    }

    fn is_type(&self, name: &str) -> bool {
        let ident = IdedExpr { id: 0, expr: Expr::Ident(name.to_owned()) };
        Value::resolve_val(&ident, self.context).is_ok()
    }

    fn call(&mut self, call: &CallExpr) -> Result<(), Why> {
        let is_function = call.func_name.starts_with(|first: char| first.is_ascii_alphabetic());
        let mut target = call.target.as_deref();
        // `optional.of(x)`: a function of that name, not one of the variable `optional`.
        let namespace = target.and_then(names).map(|(name, _)| name.trim_start_matches('.'));
        let is_namespaced = namespace.is_some_and(|name| {
            !self.variables.contains(&name) && !self.bound.iter().any(|bound| bound == name)
        });
        if is_function && !self.is_declared(call, is_namespaced) {
            return Err(match namespace.filter(|_| is_namespaced) {
                Some(name) => self.no_variable(name),
                None => Why::NoFunction { name: call.func_name.clone() },
            });
        }
        if is_namespaced {
            target = None;
        }
        match call.func_name.as_str() {
            "matches" => self.check_pattern(call)?,
            "split" => self.checked.splits = true,
            _ => {}
        }
        if let Some((name, fields)) = compared_with_null(call) {
            return self.path(name, &fields, false);
        }
        target.into_iter().chain(&call.args).try_for_each(|argument| self.expression(argument))
    }

    /// Calls it with nothing: a function that is not there says so before it misses its arguments.
    fn is_declared(&self, call: &CallExpr, is_namespaced: bool) -> bool {
        let nothing = || Box::new(IdedExpr { id: 0, expr: Expr::Literal(LiteralValue::Null) });
        let target = match &call.target {
            Some(target) if is_namespaced => Some(target.clone()),
            Some(_) => Some(nothing()),
            None => None,
        };
        let probe = CallExpr { func_name: call.func_name.clone(), target, args: Vec::new() };
        let probe = IdedExpr { id: 0, expr: Expr::Call(probe) };
        !matches!(Value::resolve_val(&probe, self.context), Err(ExecutionError::UndeclaredReference(_)))
    }

    /// Tries a regular expression that is written in the condition on an empty text.
    fn check_pattern(&self, call: &CallExpr) -> Result<(), Why> {
        let Some(Expr::Literal(LiteralValue::String(pattern))) = call.args.last().map(|last| &last.expr)
        else {
            return Ok(());
        };
        let empty = IdedExpr { id: 0, expr: Expr::Literal(LiteralValue::String(String::new().into())) };
        let literal = IdedExpr { id: 0, expr: Expr::Literal(LiteralValue::String(pattern.clone())) };
        let probe = CallExpr {
            func_name: call.func_name.clone(),
            target: Some(Box::new(empty)),
            args: vec![literal],
        };
        let probe = IdedExpr { id: 0, expr: Expr::Call(probe) };
        match Value::resolve_val(&probe, self.context) {
            Err(ExecutionError::FunctionError { .. }) => {
                Err(Why::NoPattern { pattern: pattern.inner().escape_debug().to_string() })
            }
            _ => Ok(()),
        }
    }

    fn comprehension(&mut self, comprehension: &ComprehensionExpr) -> Result<(), Why> {
        self.expression(&comprehension.iter_range)?;
        self.expression(&comprehension.accu_init)?;
        self.loops += 1;
        self.checked.loops = self.checked.loops.max(self.loops);
        let before = self.bound.len();
        self.bound.push(comprehension.accu_var.clone());
        self.bound.push(comprehension.iter_var.clone());
        self.bound.extend(comprehension.iter_var2.clone());
        self.expression(&comprehension.loop_cond)?;
        self.expression(&comprehension.loop_step)?;
        self.expression(&comprehension.result)?;
        self.bound.truncate(before);
        self.loops -= 1;
        Ok(())
    }

    fn no_variable(&self, name: &str) -> Why {
        let quoted =
            |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let hint = match (suggest::closest(name, self.variables.iter().copied()), self.variables.split_last())
        {
            (Some(similar), _) => format!("did you mean `{similar}`?"),
            (None, Some((last, []))) => format!("there is `{last}`"),
            (None, Some((last, others))) => format!("there are {} and `{last}`", quoted(others)),
            (None, None) => "there are none".to_owned(),
        };
        Why::NoVariable { name: name.to_owned(), hint }
    }
}

/// `a.b.c == null`, which does not ask what is in it.
fn compared_with_null(call: &CallExpr) -> Option<(&str, Vec<&str>)> {
    let is_null = |side: &IdedExpr| side.expr == Expr::Literal(LiteralValue::Null);
    match call.args.as_slice() {
        [left, right] if ["_==_", "_!=_"].contains(&call.func_name.as_str()) => {
            if is_null(right) {
                names(left)
            } else if is_null(left) {
                names(right)
            } else {
                None
            }
        }
        _ => None,
    }
}

/// `a.b.c` as its names.
fn names(expression: &IdedExpr) -> Option<(&str, Vec<&str>)> {
    match &expression.expr {
        Expr::Ident(name) => Some((name, Vec::new())),
        Expr::Select(select) if !select.test => {
            let (name, mut fields) = names(&select.operand)?;
            fields.push(&select.field);
            Some((name, fields))
        }
        _ => None,
    }
}
