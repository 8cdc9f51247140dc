//! Expressions: a number, a text, or whether something holds, read from one object.

use std::{fmt, sync::Arc};

use cel::common::{
    types::{CelBool, CelDouble, CelInt, CelNull, CelString, CelUInt},
    value::Val,
};
use jiff::Timestamp;
use serde_json::Value;

use super::{
    error::{CelError, Why},
    program::{Compiled, Kind},
};
use crate::duration::GoDuration;

/// A compiled expression over `object`. Cheap to clone and to share.
#[derive(Clone)]
pub struct Expression(Arc<Compiled>);

/// What an expression is about one object.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// `true` or `false`.
    Bool(bool),
    /// A number of any kind.
    Number(f64),
    /// A text.
    Text(String),
}

impl Scalar {
    /// As a number: 1 for true, seconds since 1970 for a time in RFC 3339, seconds for a Go duration. Nothing for other texts,
    /// and for what is not finite.
    pub fn number(&self) -> Option<f64> {
        let number = match self {
            Self::Bool(holds) => f64::from(u8::from(*holds)),
            Self::Number(number) => *number,
            Self::Text(text) => match text.parse::<Timestamp>() {
                Ok(time) => time.as_duration().as_secs_f64(),
                Err(_) => text.parse::<GoDuration>().ok()?.0.as_secs_f64(),
            },
        };
        number.is_finite().then_some(number)
    }
}

const KIND: Kind = Kind { name: "expression", variables: &["object"] };

impl Expression {
    /// Compiles an expression.
    ///
    /// # Errors
    /// As for a condition; it may ask for `object` alone.
    pub fn compile(text: &str) -> Result<Self, CelError> {
        Ok(Self(Arc::new(Compiled::compile(KIND, text)?)))
    }

    /// What it is about this object: nothing where it asks for something that the object does not have, or has as null.
    ///
    /// # Errors
    /// Where the types do not fit, loops in one another meet lists too long for that, or the result is a list or a map. No
    /// value of the object is in the message.
    pub fn read(&self, object: &Value) -> Result<Option<Scalar>, CelError> {
        match self.0.ask(&[Some(object)], scalar) {
            Err(error) if error.is_absence() => Ok(None),
            result => result,
        }
    }

    /// The fields of the object that it asks for, by name. Those of an expression that takes the object as a whole are not
    /// known.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        let needed = self.0.checked().needed("object");
        needed.into_iter().flat_map(|need| need.fields.keys().map(String::as_str))
    }
}

#[expect(clippy::cast_precision_loss, reason = "metrics are of this type, whatever they count")]
fn scalar(value: &dyn Val) -> Result<Option<Scalar>, Why> {
    let number = |number: f64| Ok(Some(Scalar::Number(number)));
    if let Some(boolean) = value.downcast_ref::<CelBool>() {
        Ok(Some(Scalar::Bool(*boolean.inner())))
    } else if let Some(text) = value.downcast_ref::<CelString>() {
        Ok(Some(Scalar::Text(text.inner().to_owned())))
    } else if let Some(integer) = value.downcast_ref::<CelInt>() {
        number(*integer.inner() as f64)
    } else if let Some(integer) = value.downcast_ref::<CelUInt>() {
        number(*integer.inner() as f64)
    } else if let Some(double) = value.downcast_ref::<CelDouble>() {
        number(*double.inner())
    } else if value.downcast_ref::<CelNull>().is_some() {
        Ok(None)
    } else {
        Err(Why::NotScalar { found: value.get_type().name().to_owned() })
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.text())
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.0.text()).finish()
    }
}
