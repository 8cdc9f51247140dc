//! Reference pages, made from what the program itself uses, so that they can't drift from it.
//!
//! [`configuration`] is made from the schema of config.yaml, [`templates`] from the table of helpers; the text above the
//! tables is written by hand, in the Markdown files of this folder.

mod configuration;
mod markdown;
mod schema;
mod templates;

pub use configuration::configuration;
pub use templates::templates;
