//! The picture in ARCHITECTURE.md, checked: who may use whom, what stays pure, and how long a file may be.

mod cottage;
mod rules;
mod source;

use std::{
    fs,
    path::{Path, PathBuf},
};

use rules::{House, faults};

/// The house, as ARCHITECTURE.md draws it. A module uses only what is below it, in its own wing or under both; modules of
/// one line do not know each other. What is on the bottom line is single files, which may.
fn picture() -> &'static str {
    let text = include_str!("../../../ARCHITECTURE.md");
    let (_, rest) = text.split_once("```picture\n").unwrap();
    rest.split_once("```").unwrap().0
}

/// Uses that the picture forbids and that have a reason: who, whom, why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[];

/// Folders and files that only compute: what they say depends on nothing but what they are given.
const PURE: &[&str] = &[
    "contract",
    "engine/generate",
    "engine/query",
    "engine/record",
    "engine/template",
    "helmfile/api",
    "helmfile/applier/outcome",
    "helmfile/applier/status",
    "helmfile/diff",
    "helmfile/farewell.rs",
    "helmfile/fetch/locator",
    "helmfile/health/kstatus.rs",
    "helmfile/health/replicas.rs",
    "helmfile/health/report.rs",
    "helmfile/health/words.rs",
    "helmfile/health/workload.rs",
    "helmfile/gotmpl",
    "helmfile/helm/flags",
    "helmfile/volatile/call.rs",
    "helmfile/volatile/dependency.rs",
    "helmfile/volatile/judge.rs",
    "helmfile/volatile/mention.rs",
    "helmfile/volatile/reason.rs",
    "helmfile/volatile/reference.rs",
    "helmfile/volatile/state.rs",
    "helmfile/applier/command.rs",
    "helmfile/applier/decide.rs",
    "helmfile/applier/inputs.rs",
    "helmfile/applier/values.rs",
    "helmfile/inputs/credentials.rs",
    "helmfile/inputs/kubeconfig.rs",
    "helmfile/inputs/merge.rs",
    "helmfile/inputs/model.rs",
    "helmfile/inputs/objects.rs",
    "helmfile/inputs/read.rs",
    "helmfile/inputs/references.rs",
    "helmfile/inputs/registries.rs",
    "helmfile/inputs/set_path.rs",
    "helmfile/inputs/sops.rs",
    "helmfile/inputs/values.rs",
    "cluster/cache/fingerprint.rs",
    "engine/config/compile",
    "engine/config/diagnostic.rs",
    "engine/config/reload.rs",
    "engine/config/rights.rs",
    "engine/config/shape.rs",
    "engine/config/tree.rs",
    "engine/controller/backoff.rs",
    "engine/controller/difference.rs",
    "engine/controller/given.rs",
    "engine/controller/ownership.rs",
    "engine/controller/plan.rs",
    "digest.rs",
    "duration.rs",
    "environment.rs",
    "exit.rs",
    "object.rs",
    "redact.rs",
    "suggest.rs",
    "yaml.rs",
];

/// What these do not name, nor anything in it.
const IMPURE: &[&str] = &[
    "crate::clock::Clock",
    "crate::process",
    "crate::shutdown",
    "crate::supervise",
    "hyper",
    "kube::Api",
    "kube::Client",
    "kube::client",
    "kube::runtime",
    "rand",
    "reqwest",
    "rustix",
    "std::env",
    "std::fs",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::UdpSocket",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "tempfile",
    "tokio",
    "tokio_util",
];
/// But for these, which do nothing.
const HARMLESS: &[&str] = &["crate::process::Status", "std::process::ExitCode"];

const FILE_LINES: usize = 600;
const MAIN_LINES: usize = 40;
const MOD_CODE_LINES: usize = 60;

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// All files below `src/` but unit tests, which may use anything.
fn files() -> Vec<PathBuf> {
    let root = src();
    let mut folders = vec![root.clone()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            match path.file_name().and_then(|name| name.to_str()) {
                Some("tests") => {}
                Some(name) if name.ends_with("tests.rs") => {}
                _ if path.is_dir() => folders.push(path),
                _ if path.extension().is_some_and(|extension| extension == "rs") => {
                    files.push(path.strip_prefix(&root).unwrap().to_owned());
                }
                _ => {}
            }
        }
    }
    files.sort();
    files
}

#[test]
fn the_source_is_built_like_the_picture() {
    let house = House::read(picture());
    let files = files();
    assert!(files.len() > 20, "only {files:?} were found");
    let faults: Vec<_> = files
        .iter()
        .flat_map(|path| faults(&house, path, &fs::read_to_string(src().join(path)).unwrap()))
        .collect();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn the_tables_name_what_is_there() {
    let house = House::read(picture());
    for (who, whom, why) in EXCEPTIONS {
        let is_room = |name: &str| house.room(name).is_some_and(|room| room.name == name);
        assert!(is_room(who) && is_room(whom) && !why.is_empty(), "`{who}` → `{whom}` is no exception");
    }
    for pure in PURE {
        let path = src().join(pure);
        // Folders may be listed before there is code for them; a file that has been renamed must not escape.
        let is_stale =
            path.extension().is_some() && path.parent().is_some_and(Path::is_dir) && !path.is_file();
        assert!(!is_stale, "`{pure}` is listed as pure, but is gone");
    }
}
