//! Helpers that calculate. Whole numbers stay whole; what does not fit is an error.

use serde_json::{Number, Value};

use super::{
    helper::Helper,
    values::{brief, count},
};

pub(super) const HELPERS: &[Helper] = &[
    Helper::new(
        "int",
        "value",
        "A whole number: of a text such as an annotation's, or a number without its fraction.",
        ["{{add 1 (int \"41\")}}", "42"],
        |args| whole(args[0]),
    ),
    Helper::new("add", "number…", "The sum.", ["{{add object.spec.replicas 1}}", "3"], |args| {
        fold(args, i128::checked_add, |left, right| left + right)
    }),
    Helper::new("sub", "left right", "The difference.", ["{{sub object.spec.replicas 1}}", "1"], |args| {
        fold(args, i128::checked_sub, |left, right| left - right)
    }),
    Helper::new("mul", "number…", "The product.", ["{{mul object.spec.replicas 1.5}}", "3.0"], |args| {
        fold(args, i128::checked_mul, |left, right| left * right)
    }),
    Helper::new(
        "div",
        "left right",
        "The quotient; of whole numbers without its fraction.",
        ["{{div 7 2}} {{div 7 2.0}}", "3 3.5"],
        |args| fold(args, i128::checked_div, |left, right| left / right),
    ),
    Helper::new("mod", "left right", "The remainder.", ["{{mod 7 2}}", "1"], |args| {
        fold(args, i128::checked_rem, |left, right| left % right)
    }),
    Helper::new("min", "number…", "The smallest.", ["{{min object.spec.replicas 5}}", "2"], |args| {
        fold(args, |left, right| Some(left.min(right)), f64::min)
    }),
    Helper::new("max", "number…", "The greatest.", ["{{max object.spec.replicas 5}}", "5"], |args| {
        fold(args, |left, right| Some(left.max(right)), f64::max)
    }),
    Helper::new(
        "until",
        "count",
        "The list 0, 1, … of so many numbers, at most 1000.",
        ["{{#each (until object.spec.replicas)}}web-{{this}} {{/each}}", "web-0 web-1 "],
        |args| Ok((0..count(args[0])?).collect()),
    ),
];

/// A whole number, if it is one.
pub(super) fn integer(value: &Value) -> Option<i128> {
    value.as_i64().map(i128::from).or(value.as_u64().map(i128::from))
}

fn fold(
    args: &[&Value],
    integers: impl Fn(i128, i128) -> Option<i128>,
    fractions: impl Fn(f64, f64) -> f64,
) -> Result<Value, String> {
    let number = |value: &Value| {
        let why = || format!("{} is not a number (see `int`)", brief(value));
        value.as_f64().ok_or_else(why)
    };
    let (first, rest) = args.split_first().ok_or("there is no number")?;
    if args.iter().all(|value| integer(value).is_some()) {
        let mut rest = rest.iter().filter_map(|value| integer(value));
        let result = integer(first).and_then(|first| rest.try_fold(first, &integers));
        return result.and_then(from_integer).ok_or_else(|| "the result is no number of 64 bits".to_owned());
    }
    let rest = rest.iter().map(|value| number(value)).collect::<Result<Vec<_>, _>>()?;
    let result = rest.into_iter().fold(number(first)?, fractions);
    Number::from_f64(result).map(Value::Number).ok_or_else(|| "the result is no finite number".to_owned())
}

fn from_integer(number: i128) -> Option<Value> {
    i64::try_from(number).map(Value::from).or_else(|_| u64::try_from(number).map(Value::from)).ok()
}

fn whole(value: &Value) -> Result<Value, String> {
    let why = || format!("{} is not a whole number of 64 bits", brief(value));
    match value {
        Value::String(text) => text.trim().parse::<i128>().ok().and_then(from_integer).ok_or_else(why),
        Value::Number(number) if integer(value).is_some() => Ok(Value::Number(number.clone())),
        Value::Number(number) => {
            // Printed without a fraction, it is read like a text: no cast can go wrong unseen.
            let digits = number.as_f64().map(|number| format!("{:.0}", number.trunc()));
            digits.and_then(|digits| digits.parse().ok()).and_then(from_integer).ok_or_else(why)
        }
        _ => Err(why()),
    }
}
