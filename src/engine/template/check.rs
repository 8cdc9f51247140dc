//! What is wrong with a template whatever it is given, and what Handlebars would do in silence.
//!
//! Mistakes that Handlebars finds when it comes to them are found here at once, in every branch: helpers that don't exist
//! or get too many arguments, and partials that don't exist. Partials that include themselves are refused, since nothing
//! would end them.

use std::collections::{BTreeMap, BTreeSet};

use handlebars::{
    Template,
    template::{DecoratorTemplate, HelperTemplate, Parameter, Subexpression, TemplateElement},
};

use super::helpers;
use crate::suggest;

/// What `{{value}}` prints; a helper, as Handlebars' own printing loses lists and maps.
const PRINT: &str = "toString";
/// The content of the block that includes a partial; printed before the partial is.
const BLOCK: &str = "@partial-block";

/// A mistake and where it is.
#[derive(Debug)]
pub(super) struct Mistake {
    pub(super) line: Option<usize>,
    pub(super) column: Option<usize>,
    pub(super) message: String,
}

/// Checks the template and fits it to our rules for printing and for what is missing.
pub(super) fn prepare(template: &mut Template) -> Result<(), Mistake> {
    let mut check = Check::default();
    check.template(template, None)?;
    check.partials()
}

/// Partials by name; those of one name count as one.
#[derive(Default)]
struct Check {
    defined: BTreeSet<String>,
    used: Vec<Use>,
}

struct Use {
    /// The partial that includes it.
    by: Option<String>,
    name: String,
    at: Option<(usize, usize)>,
}

impl Check {
    fn template(&mut self, template: &mut Template, inside: Option<&str>) -> Result<(), Mistake> {
        let Template { elements, mapping, .. } = template;
        for (index, element) in elements.iter_mut().enumerate() {
            let at = mapping.get(index).map(|at| (at.0, at.1));
            self.element(element, at, inside).map_err(|mistake| match (mistake.line, at) {
                (None, Some((line, column))) => {
                    Mistake { line: Some(line), column: Some(column), message: mistake.message }
                }
                _ => mistake,
            })?;
        }
        Ok(())
    }

    fn element(
        &mut self,
        element: &mut TemplateElement,
        at: Option<(usize, usize)>,
        inside: Option<&str>,
    ) -> Result<(), Mistake> {
        match element {
            TemplateElement::Expression(call) | TemplateElement::HtmlExpression(call) => expression(call),
            TemplateElement::HelperBlock(block) => self.block(block, inside),
            TemplateElement::DecoratorBlock(inline) => self.inline(inline),
            TemplateElement::DecoratorExpression(_) => {
                Err(mistake("there are no decorators but `{{#*inline \"name\"}}`"))
            }
            TemplateElement::PartialExpression(partial) | TemplateElement::PartialBlock(partial) => {
                let Some(name) = partial.name.as_name() else {
                    return Err(mistake("the name of a partial must be written out"));
                };
                let by = inside.map(str::to_owned);
                self.used.push(Use { by, name: name.to_owned(), at });
                parameters(partial.params.iter().chain(partial.hash.values()))?;
                partial.template.as_mut().map_or(Ok(()), |content| self.template(content, inside))
            }
            _ => Ok(()),
        }
    }

    fn block(&mut self, block: &mut HelperTemplate, inside: Option<&str>) -> Result<(), Mistake> {
        let name = block.name.as_name().unwrap_or_default();
        match helpers::find(name) {
            None => return Err(unknown(name)),
            Some(helper) if !helper.is_block() => {
                return Err(mistake(format!("`{name}` is not a block; write `{{{{#if ({name} …)}}}}`")));
            }
            Some(_) => {}
        }
        call(name, &block.params)?;
        parameters(block.hash.values())?;
        // Without an `else`, Handlebars takes what is missing for a mistake; here it is what is empty.
        let otherwise = block.inverse.get_or_insert_default();
        self.template(otherwise, inside)?;
        block.template.as_mut().map_or(Ok(()), |content| self.template(content, inside))
    }

    fn inline(&mut self, inline: &mut DecoratorTemplate) -> Result<(), Mistake> {
        let name = match inline.params.as_slice() {
            [Parameter::Literal(serde_json::Value::String(name))] => name.clone(),
            _ => return Err(mistake("a partial is defined by `{{#*inline \"name\"}}`")),
        };
        if inline.name.as_name() != Some("inline") {
            return Err(mistake("there are no decorators but `{{#*inline \"name\"}}`"));
        }
        self.defined.insert(name.clone());
        inline.template.as_mut().map_or(Ok(()), |content| self.template(content, Some(&name)))
    }

    /// Each partial that is used is defined, and none includes itself.
    fn partials(&self) -> Result<(), Mistake> {
        let mut includes: BTreeMap<&str, Vec<&Use>> = BTreeMap::new();
        for used in self.used.iter().filter(|used| used.name != BLOCK) {
            if !self.defined.contains(&used.name) {
                let defined = self.defined.iter().map(String::as_str);
                return Err(used.mistake(&format!("there is no partial `{}`", used.name), defined));
            }
            includes.entry(used.by.as_deref().unwrap_or_default()).or_default().push(used);
        }
        for start in self.defined.iter().map(String::as_str) {
            let mut seen = BTreeSet::new();
            let mut next = vec![start];
            while let Some(partial) = next.pop() {
                for used in includes.get(partial).into_iter().flatten() {
                    if used.name == start {
                        return Err(used.mistake(&format!("the partial `{start}` includes itself"), []));
                    }
                    if seen.insert(used.name.as_str()) {
                        next.push(&used.name);
                    }
                }
            }
        }
        Ok(())
    }
}

impl Use {
    fn mistake<'a>(&self, message: &str, candidates: impl IntoIterator<Item = &'a str>) -> Mistake {
        let (line, column) = self.at.unzip();
        Mistake { line, column, message: hinted(message, &self.name, candidates) }
    }
}

/// `{{path}}` and `{{helper …}}` print what our helper for texts makes of their value. A helper that needs arguments is
/// never called without: `{{title}}` is the title of what `each` is at.
fn expression(expression: &mut HelperTemplate) -> Result<(), Mistake> {
    let is_bare = expression.params.is_empty() && expression.hash.is_empty();
    let is_call = |name| helpers::find(name).is_some_and(|helper| helper.arity().contains(&0));
    let is_path = is_bare
        && matches!(expression.name, Parameter::Path(_))
        && !expression.name.as_name().is_some_and(is_call);
    let print = Parameter::Name(PRINT.to_owned());
    let name = std::mem::replace(&mut expression.name, print);
    let value = if is_path {
        name
    } else {
        let (params, hash) = (std::mem::take(&mut expression.params), std::mem::take(&mut expression.hash));
        Parameter::Subexpression(Subexpression::new(name, params, hash))
    };
    expression.params = vec![value];
    parameters(&expression.params)
}

fn parameters<'a>(parameters: impl IntoIterator<Item = &'a Parameter>) -> Result<(), Mistake> {
    for parameter in parameters {
        let Parameter::Subexpression(inner) = parameter else { continue };
        let TemplateElement::Expression(inner) = inner.as_element() else { continue };
        let Some(name) = inner.name.as_name() else {
            return Err(mistake("the name of a helper must be written out"));
        };
        match helpers::find(name) {
            None => return Err(unknown(name)),
            Some(helper) if helper.is_block() => {
                return Err(mistake(format!(
                    "`{name}` is a block; write `{{{{#{name} …}}}}…{{{{/{name}}}}}`"
                )));
            }
            Some(_) if !inner.hash.is_empty() => {
                return Err(mistake(format!("`{name}` takes no arguments by name")));
            }
            Some(_) => call(name, &inner.params)?,
        }
    }
    Ok(())
}

fn call(name: &str, params: &[Parameter]) -> Result<(), Mistake> {
    if let Some(helper) = helpers::find(name) {
        let arity = helper.arity();
        if !arity.contains(&params.len()) {
            let given = params.len();
            let usage = format!("{name} {}", helper.arguments);
            return Err(mistake(format!("`{name}` is given {given} arguments, expected `{usage}`")));
        }
    }
    parameters(params)
}

fn unknown(name: &str) -> Mistake {
    mistake(hinted(&format!("there is no helper `{name}`"), name, helpers::names()))
}

fn hinted<'a>(message: &str, name: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    match suggest::closest(name, candidates) {
        Some(candidate) => format!("{message}; did you mean `{candidate}`?"),
        None => message.to_owned(),
    }
}

fn mistake(message: impl Into<String>) -> Mistake {
    Mistake { line: None, column: None, message: message.into() }
}
