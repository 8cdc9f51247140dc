//! Pieces of Markdown.

/// A table; the cells are Markdown.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let rule = format!("|{}\n", "---|".repeat(head.len()));
    line(&head) + &rule + &rows.iter().map(|row| line(row)).collect::<String>()
}

/// Text in a cell: in one line, with nothing that would end the cell.
pub(super) fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// Code in a cell, line by line; nothing for nothing.
pub(super) fn code(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.is_empty());
    lines.map(|line| format!("`{}`", line.replace('|', "\\|"))).collect::<Vec<_>>().join("<br>")
}

/// The text that a page made by `generate docs NAME` begins with.
pub(super) fn origin(name: &str) -> String {
    format!(
        "<!-- Made by `helmfile-operator generate docs {name}`: change the source, not this page. -->\n\n"
    )
}
