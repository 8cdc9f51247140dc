//! Takes helmfile's report of an error apart.
//!
//! It starts with a line such as `in ./helmfile.yaml: failed processing release web: command "/bin/helm" exited with
//! non-zero status:` and goes on with sections (`ARGS:`, `STDERR:`, …) of indented lines.

/// An error report.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Report<'a> {
    /// The innermost helmfile that the report names.
    pub file: Option<&'a str>,
    /// The first line without the helmfiles' names, and what is indented below it.
    pub head: Vec<&'a str>,
    /// The sections that follow, by name.
    sections: Vec<(&'a str, Vec<&'a str>)>,
}

impl<'a> Report<'a> {
    /// Finds the report in helmfile's error output. It is the last thing printed.
    pub(crate) fn find(lines: &'a [String]) -> Option<Self> {
        let start = lines.iter().rposition(|line| is_start(line))?;
        let (first, rest) = lines.get(start..)?.split_first()?;
        let (file, head) = strip_files(first);
        let mut report = Self { file, head: vec![strip_kind(head)], sections: Vec::new() };
        for line in rest {
            let text = line.trim_end_matches(']');
            match report.sections.last_mut() {
                _ if is_section(text) => report.sections.push((text.trim_end_matches(':'), Vec::new())),
                Some((_, content)) => content.push(text.strip_prefix("  ").unwrap_or(text)),
                None if text.starts_with(' ') => report.head.push(text.trim()),
                None => {}
            }
        }
        Some(report)
    }

    /// The lines of a section; none when it is missing.
    pub(crate) fn section(&self, name: &str) -> &[&'a str] {
        let found = self.sections.iter().find(|(its, _)| *its == name);
        found.map_or(&[], |(_, content)| content.as_slice())
    }

    /// Whether there is such a section.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.sections.iter().any(|(its, _)| *its == name)
    }

    /// The arguments of the command that failed, the program's name first.
    pub(crate) fn args(&self) -> Vec<&'a str> {
        // `  3: --namespace (11 bytes)`
        let argument =
            |line: &&'a str| line.split_once(": ")?.1.rsplit_once(" (").map(|(argument, _)| argument);
        self.section("ARGS").iter().filter_map(argument).collect()
    }
}

/// `in ./helmfile.yaml: …`, `err: …` or `unexpected error: …`, at the start of a line.
fn is_start(line: &str) -> bool {
    file_prefix(line).is_some() || line.starts_with("err: ") || line.starts_with("unexpected error: ")
}

/// Splits `in FILE: REST`.
fn file_prefix(line: &str) -> Option<(&str, &str)> {
    let (file, rest) = line.strip_prefix("in ")?.split_once(": ")?;
    // Other programs may print a line that starts with `in`.
    let is_file = [".yaml", ".yml", ".gotmpl", "]"].iter().any(|end| file.ends_with(end));
    (is_file && !file.contains(' ')).then_some((file, rest))
}

/// The innermost file of `in a: in .helmfiles[0]: in b: REST`, and the rest.
fn strip_files(mut line: &str) -> (Option<&str>, &str) {
    let mut innermost = None;
    while let Some((file, rest)) = file_prefix(line) {
        if !file.ends_with(']') {
            innermost = Some(file.trim_start_matches("./"));
        }
        line = rest;
    }
    (innermost, line)
}

fn strip_kind(mut head: &str) -> &str {
    for prefix in ["err: ", "unexpected error: ", "*state.ReleaseError: ", "["] {
        head = head.strip_prefix(prefix).unwrap_or(head);
    }
    // The `]` that closes the list may be on a later line.
    head.trim_end_matches(']')
}

fn is_section(line: &str) -> bool {
    ["PATH:", "ARGS:", "ERROR:", "EXIT STATUS", "STDERR:", "COMBINED OUTPUT:", "COMMAND:", "OUTPUT:"]
        .contains(&line)
}

/// Whether the output shows that something went wrong, whatever the exit status says.
pub(crate) fn shows_failure(lines: &[String]) -> bool {
    Report::find(lines).is_some()
        || crash(lines.iter().map(String::as_str)).is_some()
        || failed_releases(lines) > 0
}

/// The first line of a crash of a Go program.
pub(crate) fn crash<'a>(lines: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    lines.into_iter().find(|line| line.starts_with("panic: ") || line.starts_with("fatal error: "))
}

/// How many releases the tables of failed releases list.
pub(crate) fn failed_releases(lines: &[String]) -> usize {
    let tables = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.starts_with('=') && line.contains(" Failed Releases "));
    // After the title comes the table's head, and a blank line after its rows.
    let rows = |title: usize| lines.iter().skip(title + 2).take_while(|row| !row.trim().is_empty()).count();
    tables.map(|(title, _)| rows(title)).sum()
}
