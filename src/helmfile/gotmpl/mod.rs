//! Templates of Go's kind, read without running them: which functions they call. Pure.
//!
//! - [`token`] takes the actions of a text apart, as Go's own lexer does.
//! - [`function`] knows which functions say the same whenever and wherever they are asked.
//! - [`chart`] judges all texts of a chart together; [`packed`] takes a packed one apart.

pub mod chart;
pub mod function;
pub mod packed;
pub mod token;
