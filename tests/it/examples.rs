//! The examples, as far as they need no cluster: the commands of their READMEs, and their cases.

use std::{fs, path::PathBuf};

use super::cli::{repository, run, stderr, stdout};

fn examples() -> Vec<PathBuf> {
    let all = fs::read_dir(repository("examples")).unwrap().map(|folder| folder.unwrap().path());
    let mut folders: Vec<PathBuf> = all.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

/// The commands of a README that need no cluster.
fn commands(readme: &str) -> Vec<Vec<&str>> {
    let commands = readme.lines().filter_map(|line| line.strip_prefix("    helmfile-operator "));
    let words = commands.map(|line| line.split(" #").next().unwrap().split_whitespace().collect::<Vec<_>>());
    words.filter(|words| ["check", "render", "test"].contains(&words[0])).collect()
}

#[test]
fn the_commands_of_the_readmes_work() {
    for folder in examples() {
        let readme = fs::read_to_string(folder.join("README.md")).unwrap();
        let commands = commands(&readme);
        assert!(commands.iter().any(|words| words[0] == "test"), "{} has no cases", folder.display());
        for command in commands {
            let output = run(&folder, &command);
            let said = stdout(&output) + &stderr(&output);
            assert!(output.status.success(), "{} {command:?}:\n{said}", folder.display());
        }
    }
}

#[test]
fn trying_an_example_changes_nothing_outside() {
    let folder = repository("examples/dns-record");
    let tested = run(&folder, &["test", "-f", "config.yaml"]);
    assert!(tested.status.success());
    assert!(!folder.join("zone").exists());
}

#[test]
fn each_example_is_in_the_list() {
    let list = fs::read_to_string(repository("examples/README.md")).unwrap();
    for folder in examples() {
        let name = folder.file_name().unwrap().to_str().unwrap();
        assert!(list.contains(&format!("[{name}]({name}/)")), "examples/README.md lacks {name}");
    }
}
