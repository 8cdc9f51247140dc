//! What a process takes, as /proc tells it.

use std::{
    fs,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use crate::support::processes;

/// Ticks per second of the times in /proc; the same on every Linux machine that we build for.
const TICKS: f64 = 100.0;

/// CPU time that a process has used, user and system, in seconds.
pub(crate) struct Cpu {
    /// Its own.
    pub(crate) own: f64,
    /// That of the programs it has started, once they have ended.
    pub(crate) children: f64,
}

impl Cpu {
    /// All until now.
    pub(crate) fn until_now(pid: i32) -> Self {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        // The command name is in parentheses and may hold anything.
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let seconds = |field: usize| fields[field].parse::<f64>().unwrap() / TICKS;
        Self { own: seconds(11) + seconds(12), children: seconds(13) + seconds(14) }
    }
}

/// The most that was ever resident, in MiB.
pub(crate) fn peak_mib(pid: i32) -> f64 {
    mib(pid, "VmHWM:")
}

/// What is resident, in MiB.
pub(crate) fn resident_mib(pid: i32) -> f64 {
    mib(pid, "VmRSS:")
}

fn mib(pid: i32, field: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kib / 1024.0
}

/// Notes the most memory, in bytes, that a process and all below it take together; pages that several of them share are
/// counted once. Never ends.
pub(crate) async fn sample_tree(pid: i32, peak: &AtomicU64) {
    loop {
        let taken = tree(pid).into_iter().map(proportional).sum::<u64>();
        peak.fetch_max(taken, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// A process and all below it.
fn tree(pid: i32) -> Vec<i32> {
    let mut all = vec![pid];
    let mut at = 0;
    while let Some(parent) = all.get(at).copied() {
        all.extend(processes::children(parent));
        at += 1;
    }
    all
}

/// What a process takes, in bytes, with its part of shared pages. Nothing when it has ended meanwhile.
fn proportional(pid: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or_default() << 10
}

/// Waits until a process has used next to no CPU for three seconds.
///
/// # Panics
/// When it does not come to rest within a minute.
pub(crate) async fn at_rest(pid: i32) {
    const QUIET: u32 = 3;
    let deadline = Instant::now() + Duration::from_mins(1);
    let mut quiet = 0;
    let mut before = Cpu::until_now(pid).own;
    while quiet < QUIET {
        assert!(
            Instant::now() < deadline,
            "the process {pid} does not come to rest; {before} s of CPU so far"
        );
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = Cpu::until_now(pid).own;
        quiet = if now - before <= 0.02 { quiet + 1 } else { 0 };
        before = now;
    }
}
