//! The `JSONPath` of kubectl, which is older than RFC 9535 and differs from it: `{.spec.names[*].name}`.
//!
//! One path, with or without its braces. What prints in kubectl (`range`, `end`, text between braces) has no meaning
//! where values are looked for, and is refused.

mod model;
mod parse;
#[cfg(test)]
mod tests;

pub use model::JsonPath;
pub use parse::JsonPathError;
