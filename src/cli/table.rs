//! Tables in the manner of kubectl. Pure.

use std::time::Duration;

/// Between two columns.
const GAP: usize = 3;
/// What stands for nothing.
const NOTHING: &str = "-";

/// Rows of cells; the first row is the header.
#[derive(Debug)]
pub(super) struct Table(Vec<Vec<String>>);

impl Table {
    /// A table without rows.
    pub(super) fn new<'t>(header: impl IntoIterator<Item = &'t str>) -> Self {
        Self(vec![header.into_iter().map(str::to_owned).collect()])
    }

    /// Adds a row. Cells may come from others: control characters, which a terminal would obey, are left out.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.0.push(cells.into_iter().map(|cell| clean(&cell)).collect());
    }

    /// The text, one line per row. Ends with a line break.
    pub(super) fn print(&self) -> String {
        let columns = self.0.first().map_or(0, Vec::len);
        let width = |column: usize| {
            let cells = self.0.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.0 {
            let cells = row.iter().zip(&widths);
            let line: Vec<String> =
                cells.map(|(cell, width)| format!("{cell:<width$}", width = width + GAP)).collect();
            text.push_str(line.concat().trim_end());
            text.push('\n');
        }
        text
    }
}

/// Text in one line that a terminal does not obey; `-` for none.
pub(super) fn clean(text: &str) -> String {
    let spaced = text.trim().replace(['\n', '\t'], " ");
    let clean: String = spaced.chars().filter(|c| !c.is_control()).collect();
    if clean.is_empty() { NOTHING.to_owned() } else { clean }
}

/// How long ago something was, as kubectl writes it: two units at most, and the second only while it matters.
pub(super) fn age(age: Duration) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    const YEAR: u64 = 365 * DAY;
    let seconds = age.as_secs();
    let both = |large: u64, unit: char, small: u64, part: char| match seconds % large / small {
        0 => format!("{}{unit}", seconds / large),
        rest => format!("{}{unit}{rest}{part}", seconds / large),
    };
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 => both(MINUTE, 'm', 1, 's'),
        600..10_800 => format!("{}m", seconds / MINUTE),
        10_800..28_800 => both(HOUR, 'h', MINUTE, 'm'),
        28_800..172_800 => format!("{}h", seconds / HOUR),
        172_800..691_200 => both(DAY, 'd', HOUR, 'h'),
        691_200..63_072_000 => format!("{}d", seconds / DAY),
        63_072_000..252_288_000 => both(YEAR, 'y', DAY, 'd'),
        _ => format!("{}y", seconds / YEAR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_lines_do_not_end_in_spaces() {
        let mut table = Table::new(["NAME", "STATUS", "AGE"]);
        table.row(["web", "fine", "5s"].map(str::to_owned));
        table.row(["a-long-name", "", ""].map(str::to_owned));
        assert_eq!(
            table.print(),
            "NAME          STATUS   AGE\nweb           fine     5s\na-long-name   -        -\n"
        );
    }

    #[test]
    fn a_message_cannot_steer_the_terminal_or_break_the_table() {
        let mut table = Table::new(["STATUS"]);
        table.row(["one\ntwo\x1b[31m\u{7}".to_owned()]);
        assert_eq!(table.print(), "STATUS\none two[31m\n");
    }

    #[test]
    fn ages_are_kubectls() {
        for (seconds, text) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (330, "5m30s"),
            (3_599, "59m"),
            (7_200, "120m"),
            (11_100, "3h5m"),
            (100_000, "27h"),
            (183_600, "2d3h"),
            (864_000, "10d"),
            (70_000_000, "2y80d"),
            (400_000_000, "12y"),
        ] {
            assert_eq!(age(Duration::from_secs(seconds)), text, "{seconds}");
        }
    }
}
