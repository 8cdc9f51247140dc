//! The command line: one file per command. The only place that reads the environment and prints.

mod apply;
mod ask;
mod builtin;
mod check;
mod config;
mod explain;
mod files;
mod finalize;
mod front;
mod generate;
mod get;
mod helm;
mod inquiry;
mod logs;
mod objects;
mod outcome;
mod program;
mod progress;
mod reconcile;
mod register;
mod reload;
mod render;
mod report;
mod run;
mod seen;
mod suspend;
mod table;
mod test;
mod world;

pub use program::main;
