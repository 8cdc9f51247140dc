//! The checker, tried on a small house.

use std::path::Path;

use super::{
    picture,
    rules::{House, faults},
};

const COTTAGE: &str = "
          cli
     east  |  west
     hall  |  attic
     cellar|  den
         yard
       well  pond
";

/// The faults of one file, without its name.
fn cottage_faults(path: &str, text: &str) -> Vec<String> {
    let found = faults(&House::read(COTTAGE), Path::new(path), text);
    let prefix = format!("src/{path}:");
    found.into_iter().map(|fault| fault.strip_prefix(&prefix).unwrap().to_owned()).collect()
}

#[test]
fn the_checker_knows_the_picture() {
    for (path, text, expected) in [
        // Down, in the own wing, under it, and from above.
        ("east/hall/a.rs", "use crate::{east::cellar::Wine, yard::{self, Tree}, pond};", ""),
        ("cli/mod.rs", "use crate::{east::hall, west::den};", ""),
        ("east/hall/a.rs", "use super::b; use crate::east::hall::c; use super::super::cellar;", ""),
        ("well.rs", "use crate::pond::Fish;", ""),
        // Up, sideways, across.
        (
            "east/cellar/a.rs",
            "fn f() {}\nuse crate::east::hall::Door;",
            "2: uses `crate::east::hall::Door`, but `east/hall` is above `east/cellar`",
        ),
        (
            "east/cellar/a.rs",
            "use super::super::hall::Door;",
            "1: uses `crate::east::hall::Door`, but `east/hall` is above `east/cellar`",
        ),
        (
            "east/cellar/mod.rs",
            "use super::hall::Door;",
            "1: uses `crate::east::hall::Door`, but `east/hall` is above `east/cellar`",
        ),
        (
            "east/cellar/a.rs",
            "use crate::east::Window;",
            "1: uses `crate::east::Window`, but `east` is above `east/cellar`",
        ),
        (
            "yard/a.rs",
            "use crate::{\n    pond, //\n    cli,\n};",
            "3: uses `crate::cli`, but `cli` is above `yard`",
        ),
        (
            "east/hall/a.rs",
            "use crate::west::den;",
            "1: uses `crate::west::den`, but the wing `east` must not know the wing `west`",
        ),
        (
            "west/den/a.rs",
            "fn f() { crate::east::hall::g() }",
            "1: uses `crate::east::hall::g`, but the wing `west` must not know the wing `east`",
        ),
        (
            "west/den/a.rs",
            "#[error(\"{}\", crate::cli::x(.0))]",
            "1: uses `crate::cli::x`, but `cli` is above `west/den`",
        ),
        (
            "west/den/a.rs",
            "type A = Vec<crate::cli::X>;",
            "1: uses `crate::cli::X`, but `cli` is above `west/den`",
        ),
        // Not there.
        (
            "east/roof/a.rs",
            "",
            "1: this module is not in the picture at the top of tests/it/architecture/mod.rs",
        ),
        ("stray.rs", "", "1: this module is not in the picture at the top of tests/it/architecture/mod.rs"),
        ("well.rs", "use crate::garden;", "1: uses `crate::garden`, but that is not in the picture"),
        // Not code, or not the program.
        ("yard/a.rs", "// crate::cli::x\n/* crate::cli /* */ crate::cli::x */ /// [`crate::cli::x`]", ""),
        (
            "yard/a.rs",
            r##"const A: &str = "crate::cli::x"; const B: &str = r#"" crate::cli::x"#; const C: char = '"'; "##,
            "",
        ),
        ("yard/a.rs", "fn f<'a>(_: &'a str) -> char { '\\'' }", ""),
        (
            "yard/a.rs",
            "#[cfg(test)]\nmod tests { use crate::cli::x; fn f() { crate::cli::y() } }\n#[cfg(test)] use crate::cli::z;",
            "",
        ),
    ] {
        assert_eq!(cottage_faults(path, text).join("\n"), expected, "{path}: {text}");
    }
    let after_test = "#[cfg(test)] fn f(_: [u8; 2]) { crate::cli::x() }\nuse crate::cli::x;";
    assert_eq!(cottage_faults("yard/a.rs", after_test).len(), 1, "what follows the tests counts again");
}

#[test]
fn the_checker_knows_what_is_pure() {
    let faults_of = |path: &str, text: &str| faults(&House::read(picture()), Path::new(path), text).len();
    for impure in [
        "use tokio::time;",
        "use std::{fmt, fs};",
        "use std::{env as machine};",
        "use kube::{Api, Resource};",
        "use crate::process::Command;",
        "use crate::clock::{Clock, since};",
        "use rand;",
        "fn f() { std::process::exit(1) }",
        "#[serde(default = \"x\")] struct A(std::time::Instant);",
    ] {
        assert_eq!(faults_of("engine/controller/plan.rs", impure), 1, "{impure}");
        assert_eq!(faults_of("engine/template/a.rs", impure).min(1), 1, "{impure}");
        assert_eq!(faults_of("engine/controller/execute.rs", impure), 0, "{impure}");
    }
    for pure in [
        "use std::{fmt, time::Duration};",
        "use crate::clock::since;",
        "use kube::Resource;",
        "use std::process::ExitCode;",
    ] {
        assert_eq!(faults_of("engine/controller/plan.rs", pure), 0, "{pure}");
    }
}

#[test]
fn the_checker_knows_how_long_a_file_may_be() {
    let lines = |count: usize, line: &str| format!("{line}\n").repeat(count);
    for (path, text, expected) in [
        ("yard/a.rs", lines(600, "fn f() {}"), 0),
        ("yard/a.rs", lines(601, "// Comments count as well."), 1),
        ("main.rs", lines(41, "// A program."), 1),
        ("yard/mod.rs", lines(300, "//! Docs.\n#[cfg(unix)]\npub(crate) mod a;"), 1),
        ("yard/mod.rs", lines(100, "/// Docs.\npub(crate) mod a;\n#[cfg(x)]\npub use a::{\n    b,\n};"), 0),
        ("yard/mod.rs", lines(60, "fn f() {}"), 0),
        ("yard/mod.rs", lines(61, "pub fn f() {}"), 1),
        ("yard/mod.rs", format!("#[cfg(test)]\nmod tests {{\n{}}}", lines(61, "fn f() {}")), 0),
    ] {
        assert_eq!(cottage_faults(path, &text).len(), expected, "{path}: {}", text.lines().next().unwrap());
    }
}
