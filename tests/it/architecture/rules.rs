//! What the picture and the tables forbid.

use std::path::Path;

use super::{
    EXCEPTIONS, FILE_LINES, HARMLESS, IMPURE, MAIN_LINES, MOD_CODE_LINES, PURE,
    source::{self, Mention, Source},
};

/// A part of the house.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Room {
    /// Like `engine/config` or `object`.
    pub(super) name: String,
    /// Counted from the roof.
    floor: usize,
    wing: Option<String>,
}

impl Room {
    /// Whether it is a wing's own floor, which holds only the mod.rs: each folder in a wing has a room of its own.
    fn is_wing(&self) -> bool {
        self.wing.as_ref() == Some(&self.name)
    }
}

/// What the picture says.
pub(super) struct House {
    rooms: Vec<Room>,
    bottom: usize,
}

impl House {
    pub(super) fn read(picture: &str) -> Self {
        let floors: Vec<&str> = picture.lines().filter(|line| !line.trim().is_empty()).collect();
        let mut wings: Option<(&str, &str)> = None;
        let mut rooms = Vec::new();
        for (floor, line) in floors.iter().enumerate() {
            let Some((left, right)) = line.split_once('|') else {
                let names = line.split_whitespace();
                rooms.extend(names.map(|name| Room { name: name.to_owned(), floor, wing: None }));
                continue;
            };
            // The first divided line names the wings.
            let is_first = wings.is_none();
            let (left_wing, right_wing) = *wings.get_or_insert((left.trim(), right.trim()));
            for (wing, names) in [(left_wing, left), (right_wing, right)] {
                rooms.extend(names.split_whitespace().map(|name| Room {
                    name: if is_first { wing.to_owned() } else { format!("{wing}/{name}") },
                    floor,
                    wing: Some(wing.to_owned()),
                }));
            }
        }
        Self { rooms, bottom: floors.len() - 1 }
    }

    /// The smallest room that holds the path; names are separated by `/`.
    pub(super) fn room(&self, path: &str) -> Option<&Room> {
        let holds = |room: &&Room| {
            path.strip_prefix(&room.name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.rooms.iter().filter(holds).max_by_key(|room| room.name.len())
    }

    /// Why something in `from` may not use something in `to`, if so.
    fn objection(&self, from: &Room, to: &Room) -> Option<String> {
        let is_exception = EXCEPTIONS.iter().any(|(who, whom, _)| from.name == *who && to.name == *whom);
        if from == to || is_exception || (from.floor == self.bottom && to.floor == self.bottom) {
            return None;
        }
        let (here, there) = (&from.name, &to.name);
        match (&from.wing, &to.wing) {
            (Some(one), Some(other)) if one != other => {
                Some(format!("the wing `{one}` must not know the wing `{other}`"))
            }
            _ if from.floor == to.floor => Some(format!("`{here}` and `{there}` stand side by side")),
            _ if from.floor > to.floor => Some(format!("`{there}` is above `{here}`")),
            _ => None,
        }
    }
}

/// All that is wrong with the file at `path` below `src/`.
pub(super) fn faults(house: &House, path: &Path, text: &str) -> Vec<String> {
    let source = source::read(path, text);
    let mut faults = Vec::new();
    let mut fault = |line: usize, what: String| faults.push(format!("src/{}:{line}: {what}", path.display()));
    length_faults(path, &source, &mut fault);
    let name = path.with_extension("");
    let name = name.to_str().unwrap();
    if name == "lib" || name == "main" {
        return faults;
    }
    let name = name.strip_suffix("/mod").unwrap_or(name);
    let is_pure = PURE.iter().any(|pure| path.starts_with(pure));
    let room = house.room(name).filter(|room| room.name == name || !room.is_wing());
    if room.is_none() {
        fault(1, "this module is not in the picture at the top of tests/it/architecture/mod.rs".to_owned());
    }
    for Mention { line, path } in &source.mentions {
        if is_pure && is_in_any(path, IMPURE) && !is_in_any(path, HARMLESS) {
            fault(*line, format!("uses `{path}`, but this is a pure module: it must be given what it needs"));
        }
        let (Some(room), Some(inner)) = (room, path.strip_prefix("crate::")) else { continue };
        let objection = match house.room(&inner.replace("::", "/")) {
            None => Some("that is not in the picture".to_owned()),
            Some(used) => house.objection(room, used),
        };
        if let Some(objection) = objection {
            fault(*line, format!("uses `{path}`, but {objection}"));
        }
    }
    faults
}

fn length_faults(path: &Path, source: &Source, fault: &mut impl FnMut(usize, String)) {
    let Source { lines, code_lines, .. } = *source;
    if lines > FILE_LINES {
        fault(lines, format!("has {lines} lines; {FILE_LINES} are the limit: find the seam"));
    }
    if path == "main.rs" && lines > MAIN_LINES {
        fault(lines, format!("has {lines} lines; {MAIN_LINES} are the limit: the work is the library's"));
    }
    if path.ends_with("mod.rs") && code_lines > MOD_CODE_LINES {
        let what = "a mod.rs says what is in the folder";
        fault(1, format!("has {code_lines} lines of code; {MOD_CODE_LINES} are the limit: {what}"));
    }
}

fn is_in_any(path: &str, prefixes: &[&str]) -> bool {
    prefixes
        .iter()
        .any(|prefix| path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::")))
}
