//! The files and commands of docs/your-own-operator.md, as a reader would type them.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

/// A block of the page between two fences.
struct Block<'p> {
    language: &'p str,
    /// The line above it that is not empty.
    title: &'p str,
    text: String,
}

/// A command of the page, and what it prints there.
pub struct Step {
    pub command: String,
    pub output: String,
}

/// Writes the files of the page to a folder. Scripts can be run.
pub fn write_files(page: &str, folder: &Path) {
    for block in blocks(page).iter().filter(|block| ["yaml", "sh"].contains(&block.language)) {
        let name = block.title.split('`').nth(1).unwrap();
        let file = folder.join(name);
        fs::write(&file, &block.text).unwrap();
        if block.language == "sh" {
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
}

/// The commands of the page in order, those that it shows with what they print.
pub fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for block in blocks(page).iter().filter(|block| block.text.starts_with("$ ")) {
        for line in block.text.lines() {
            match line.strip_prefix("$ ") {
                Some(command) => steps.push(Step { command: command.to_owned(), output: String::new() }),
                None => steps.last_mut().unwrap().output.extend([line, "\n"]),
            }
        }
    }
    steps
}

/// The block below the line that ends with these words.
pub fn block_after(page: &str, words: &str) -> String {
    blocks(page).into_iter().find(|block| block.title.ends_with(words)).unwrap().text
}

fn blocks(page: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let (mut title, mut is_open) = ("", false);
    for line in page.lines() {
        match (line.strip_prefix("```"), is_open) {
            (Some(_), true) => is_open = false,
            (Some(language), false) => {
                is_open = true;
                blocks.push(Block { language, title, text: String::new() });
            }
            (None, true) => blocks.last_mut().unwrap().text.extend([line, "\n"]),
            (None, false) if !line.is_empty() => title = line,
            (None, false) => {}
        }
    }
    blocks
}
