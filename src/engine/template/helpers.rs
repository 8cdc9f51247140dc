//! Helpers for templates, named and behaving like those of Helm where there is one of that name.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use handlebars::{
    Context, Handlebars, Helper, HelperDef, JsonValue, RenderContext, RenderError, RenderErrorReason,
    ScopedJson,
};
use serde_json::Value;

use crate::{digest, yaml};

/// An argument; `None` when its path does not exist.
type Argument<'a> = Option<&'a Value>;
type Function = fn(&[Argument<'_>]) -> Result<Value, String>;

struct Pure {
    name: &'static str,
    arguments: std::ops::RangeInclusive<usize>,
    function: Function,
}

/// Name, number of arguments, function. Each has an example in the tests below.
const HELPERS: &[(&str, std::ops::RangeInclusive<usize>, Function)] = &[
    ("toYaml", 1..=1, |args| Ok(text(yaml::print(value(args, 0)?).trim_end()))),
    ("toJson", 1..=1, |args| Ok(text(value(args, 0)?.to_string()))),
    ("quote", 1..=1, |args| Ok(text(Value::from(as_text(value(args, 0)?)).to_string()))),
    ("indent", 2..=2, |args| Ok(text(indent(count(args, 0)?, &as_text(value(args, 1)?))))),
    ("nindent", 2..=2, |args| Ok(text(format!("\n{}", indent(count(args, 0)?, &as_text(value(args, 1)?)))))),
    ("default", 2..=2, |args| {
        Ok(args.first().copied().flatten().filter(|v| truthy(v)).map_or_else(|| value(args, 1), Ok)?.clone())
    }),
    ("required", 2..=2, |args| match args.get(1).copied().flatten() {
        Some(found) if !found.is_null() && found.as_str() != Some("") => Ok(found.clone()),
        _ => Err(as_text(value(args, 0)?)),
    }),
    ("b64enc", 1..=1, |args| Ok(text(STANDARD.encode(as_text(value(args, 0)?))))),
    ("b64dec", 1..=1, |args| {
        let bytes = STANDARD.decode(as_text(value(args, 0)?)).map_err(|_| "the value is not base64")?;
        String::from_utf8(bytes).map(text).map_err(|_| "the decoded value is not text".to_owned())
    }),
    ("sha256sum", 1..=1, |args| Ok(text(digest::sha256_hex(as_text(value(args, 0)?).as_bytes())))),
    ("lower", 1..=1, |args| Ok(text(as_text(value(args, 0)?).to_lowercase()))),
    ("upper", 1..=1, |args| Ok(text(as_text(value(args, 0)?).to_uppercase()))),
    ("concat", 1..=9, |args| {
        let parts: Result<Vec<String>, String> =
            (0..args.len()).map(|index| value(args, index).map(as_text)).collect();
        Ok(text(parts?.concat()))
    }),
    ("trunc", 2..=2, |args| {
        Ok(text(as_text(value(args, 1)?).chars().take(count(args, 0)?).collect::<String>()))
    }),
    ("eq", 2..=2, |args| Ok((args.first() == args.get(1)).into())),
    ("ne", 2..=2, |args| Ok((args.first() != args.get(1)).into())),
    ("and", 2..=9, |args| Ok(args.iter().all(|arg| arg.is_some_and(truthy)).into())),
    ("or", 2..=9, |args| Ok(args.iter().any(|arg| arg.is_some_and(truthy)).into())),
    ("not", 1..=1, |args| Ok((!args.first().copied().flatten().is_some_and(truthy)).into())),
    ("hasKey", 2..=2, |args| {
        let key = as_text(value(args, 1)?);
        Ok(args
            .first()
            .copied()
            .flatten()
            .and_then(Value::as_object)
            .is_some_and(|map| map.contains_key(&key))
            .into())
    }),
];

pub(super) fn register(registry: &mut Handlebars<'static>) {
    for (name, arguments, function) in HELPERS {
        let helper = Pure { name, arguments: arguments.clone(), function: *function };
        registry.register_helper(name, Box::new(helper));
    }
}

impl HelperDef for Pure {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let refuse = |problem: String| {
            RenderError::from(RenderErrorReason::Other(format!("`{}`: {problem}", self.name)))
        };
        let arguments: Vec<Argument<'_>> =
            helper.params().iter().map(|param| (!param.is_value_missing()).then(|| param.value())).collect();
        if !self.arguments.contains(&arguments.len()) {
            let (low, high) = (self.arguments.start(), self.arguments.end());
            let wanted = if low == high { low.to_string() } else { format!("{low} to {high}") };
            return Err(refuse(format!("takes {wanted} arguments, given {}", arguments.len())));
        }
        (self.function)(&arguments).map(|value: JsonValue| ScopedJson::Derived(value)).map_err(refuse)
    }
}

fn value<'a>(args: &[Argument<'a>], index: usize) -> Result<&'a Value, String> {
    args.get(index).copied().flatten().ok_or_else(|| format!("argument {} is missing", index + 1))
}

fn count(args: &[Argument<'_>], index: usize) -> Result<usize, String> {
    let number = value(args, index)?.as_u64().filter(|number| *number <= 1000);
    number
        .and_then(|number| usize::try_from(number).ok())
        .ok_or_else(|| format!("argument {} must be a number from 0 to 1000", index + 1))
}

fn text(text: impl Into<String>) -> Value {
    Value::String(text.into())
}

/// Strings as they are, anything else as JSON.
fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Helm's idea of empty: null, false, 0, "", an empty list or map.
fn truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

fn indent(width: usize, text: &str) -> String {
    let mut out = String::new();
    for (number, line) in text.lines().enumerate() {
        if number > 0 {
            out.push('\n');
        }
        if !line.is_empty() {
            // Writing to a String cannot fail.
            let _infallible = write!(out, "{:width$}{line}", "");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{contract::State, engine::template::Template};

    fn render(text: &str) -> Result<String, String> {
        let object = json!({"s": "Abc", "n": 2, "e": "", "m": {"a": 1, "b": [true]}, "l": ["x"], "f": false});
        let state = State { object, ..State::default() };
        let template = Template::compile("t", text).map_err(|error| error.to_string())?;
        template.render(&state).map_err(|error| error.to_string())
    }

    #[test]
    fn each_helper_has_an_example() {
        let examples = [
            ("{{toYaml object.m}}", "a: 1\nb:\n- true"),
            ("{{toJson object.m}}", r#"{"a":1,"b":[true]}"#),
            ("{{quote object.n}}", "\"2\""),
            ("{{indent 2 object.s}}", "  Abc"),
            ("x:{{nindent 2 (toYaml object.m)}}", "x:\n  a: 1\n  b:\n  - true"),
            ("{{default object.absent \"d\"}}{{default object.e \"e\"}}{{default object.s \"f\"}}", "deAbc"),
            ("{{required \"s is needed\" object.s}}", "Abc"),
            ("{{b64enc object.s}}", "QWJj"),
            ("{{b64dec \"QWJj\"}}", "Abc"),
            ("{{concat object.s \"-\" object.n}}", "Abc-2"),
            ("{{trunc 7 (sha256sum \"abc\")}}", "ba7816b"),
            ("{{lower object.s}}{{upper object.s}}", "abcABC"),
            ("{{#if (eq object.s \"Abc\")}}1{{/if}}{{#if (ne object.n 3)}}2{{/if}}", "12"),
            (
                "{{#if (and object.s object.l)}}1{{/if}}{{#if (or object.f object.absent)}}2{{/if}}{{#if (not object.f)}}3{{/if}}",
                "13",
            ),
            ("{{#if (hasKey object.m \"a\")}}1{{/if}}{{#if (hasKey object.m \"z\")}}2{{/if}}", "1"),
        ];
        for (template, expected) in examples {
            assert_eq!(render(template).as_deref(), Ok(expected), "{template}");
        }
        for (name, ..) in super::HELPERS {
            assert!(examples.iter().any(|(template, _)| template.contains(name)), "{name} has no example");
        }
    }

    #[test]
    fn refusals_name_the_helper() {
        let error = render("{{required \"spec.source is needed\" object.absent}}").unwrap_err();
        assert!(error.ends_with("`required`: spec.source is needed"), "{error}");
        assert!(render("{{b64dec \"%\"}}").unwrap_err().ends_with("`b64dec`: the value is not base64"));
        assert!(render("{{quote 1 2}}").unwrap_err().ends_with("`quote`: takes 1 arguments, given 2"));
    }
}
