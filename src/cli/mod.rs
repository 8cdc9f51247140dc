//! Command line.
use crate::exit::Exit;
/// Runs the program.
pub fn main() -> Exit { Exit::Done }
