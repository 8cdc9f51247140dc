//! The program and its parts from outside: hermetic, without a cluster.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "most of it is for the end-to-end tests")]
#[path = "../support/mod.rs"]
mod support;

mod architecture;
mod cli;
mod examples;
mod explain;
mod fetch_credentials;
mod fetch_git;
mod fetch_hosts;
mod fetch_setup;
mod helmfile_page;
mod offline;
mod process;
mod values_files;
mod waiting;
mod walkthrough;

use std::{collections::BTreeSet, fs, path::Path};

/// A file that no `mod` line names is never compiled, and its tests never fail.
#[test]
fn no_test_file_is_forgotten() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for (folder, root) in [("it", "main.rs"), ("e2e", "main.rs"), ("demo", "main.rs"), ("support", "mod.rs")]
    {
        let text = fs::read_to_string(tests.join(folder).join(root)).unwrap();
        let line = |line: &str| {
            Some(line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';')?.to_owned())
        };
        let named: BTreeSet<_> = text.lines().filter_map(line).collect();
        for entry in fs::read_dir(tests.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            let is_module = path.is_dir() || path.extension().is_some_and(|extension| extension == "rs");
            if is_module && !path.ends_with(root) {
                assert!(named.contains(name), "tests/{folder}/{root} lacks `mod {name};`");
            }
        }
    }
}
