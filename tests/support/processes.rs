//! What runs on this machine, as /proc tells it.

use std::{fs, path::Path, time::Duration};

use super::wait::wait_until;

/// Process numbers of all processes for which `is_wanted` holds, given the folder in /proc. Zombies do not count: they
/// have ended.
fn find(is_wanted: impl Fn(&Path) -> bool) -> Vec<i32> {
    let folders = fs::read_dir("/proc").unwrap().flatten();
    folders
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .filter(|(_, folder)| stat(folder).is_some_and(|(state, _)| state != "Z") && is_wanted(folder))
        .map(|(pid, _)| pid)
        .collect()
}

/// State and parent; `None` when the process is gone.
fn stat(folder: &Path) -> Option<(String, i32)> {
    let stat = fs::read_to_string(folder.join("stat")).ok()?;
    // The command name is in parentheses and may hold anything; state and parent follow the last one.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

/// Whether the process runs.
pub fn is_alive(pid: i32) -> bool {
    stat(&Path::new("/proc").join(pid.to_string())).is_some_and(|(state, _)| state != "Z")
}

/// The processes that `parent` has started or inherited.
pub fn children(parent: i32) -> Vec<i32> {
    find(|folder| stat(folder).is_some_and(|(_, its)| its == parent))
}

/// A process and all below it, those that have started others first.
pub fn below(top: i32) -> Vec<i32> {
    let mut all = vec![top];
    let mut next = 0;
    while let Some(pid) = all.get(next) {
        all.extend(children(*pid));
        next += 1;
    }
    all
}

/// The processes with `text` somewhere in their command line.
pub fn naming(text: &str) -> Vec<i32> {
    find(|folder| {
        fs::read(folder.join("cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(text))
    })
}

/// Waits until none of `pids` runs.
pub async fn wait_until_gone(what: &str, pids: &[i32], deadline: Duration) {
    wait_until(&format!("the end of {what}"), deadline, async || {
        let left: Vec<_> = pids.iter().filter(|pid| is_alive(**pid)).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("these processes run: {left:?}")) }
    })
    .await;
}
