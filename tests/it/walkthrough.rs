//! docs/your-own-operator.md, as far as it needs no cluster.

use std::fs;

use super::cli::{repository, run, stderr, stdout};
use crate::support::walkthrough;

#[test]
fn the_first_half_of_the_walkthrough_prints_what_it_says() {
    let page = fs::read_to_string(repository("docs/your-own-operator.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    walkthrough::write_files(&page, folder.path());
    let mut tried = 0;
    for step in walkthrough::steps(&page) {
        let words: Vec<&str> = step.command.split_whitespace().collect();
        match words[..] {
            ["chmod", "+x", _] | ["helmfile-operator", "explain", ..] => {}
            ["mkdir", "-p", path] => fs::create_dir_all(folder.path().join(path)).unwrap(),
            ["cp", from, to] => {
                fs::copy(folder.path().join(from), folder.path().join(to)).unwrap();
            }
            ["helmfile-operator", ref args @ ..] if args.contains(&"--cluster") => {}
            ["helmfile-operator", ref args @ ..] => {
                let output = run(folder.path(), args);
                assert_eq!(stdout(&output), step.output, "{}: {}", step.command, stderr(&output));
                tried += 1;
            }
            _ => panic!("the page has a command that this test does not know: {}", step.command),
        }
    }
    assert_eq!(tried, 4);
}

#[test]
fn the_mistake_in_the_walkthrough_is_told_as_it_says() {
    let page = fs::read_to_string(repository("docs/your-own-operator.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    walkthrough::write_files(&page, folder.path());
    let config = folder.path().join("config.yaml");
    let wrong = fs::read_to_string(&config).unwrap().replace("{command:", "{comand:");
    fs::write(&config, wrong).unwrap();
    let told = stderr(&run(folder.path(), &["check", "-f", "config.yaml"]));
    let expected = walkthrough::block_after(&page, "it would say:");
    assert!(told.starts_with(&expected), "{told}");
}

#[test]
fn the_first_schema_is_refused_as_the_page_about_whitebox_controller_says() {
    let page = fs::read_to_string(repository("docs/from-whitebox-controller.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.yaml"), "controllers: []\n").unwrap();
    let told = stderr(&run(folder.path(), &["check", "-f", "config.yaml"]));
    assert!(told.starts_with(&walkthrough::block_after(&page, "with what to do:")), "{told}");
}
