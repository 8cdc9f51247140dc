//! The applier.
mod command;
mod decide;
mod inputs;
mod plugins;
mod source_files;
mod tree;
mod values;
mod workspace;
