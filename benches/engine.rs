//! The engine: how fast an event reaches a hook, and what an idle operator holds.

use std::{
    io::{BufRead as _, BufReader},
    time::{Duration, Instant},
};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::json;
use tokio::sync::mpsc;

use crate::{
    report::Report,
    support::{control_plane::ControlPlane, operator::Operator, scene::Scene},
};

const EVENTS: usize = 300;

/// From the acknowledged create to the first line of a shell hook, one at a time on an idle queue.
pub(crate) async fn latency(plane: &ControlPlane, report: &mut Report) {
    let scene = Scene::new(plane, "latency").await;
    let pipe = scene.folder().join("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let (tell, mut hear) = mpsc::unbounded_channel();
    // A thread of its own stamps the moment that the hook's first line is there.
    std::thread::spawn(move || {
        let file = std::fs::OpenOptions::new().read(true).write(true).open(pipe).unwrap();
        for line in BufReader::new(file).lines() {
            if tell.send((line.unwrap(), Instant::now())).is_err() {
                return;
            }
        }
    });
    scene.hook("hook.sh", "echo $OBJECT_NAME > pipe");
    let mut operator = scene.start_hello();
    scene.hello("warm-up", json!({})).await;
    hear.recv().await.unwrap();
    let mut samples = Vec::new();
    for number in 0..EVENTS {
        let name = format!("h-{number}");
        let manifest =
            json!({"apiVersion": "test.example.com/v1", "kind": "Hello", "metadata": {"name": name}});
        let _created = scene.apply(manifest).await;
        let acknowledged = Instant::now();
        let (heard, at) = hear.recv().await.unwrap();
        assert_eq!(heard, name);
        samples.push(at.saturating_duration_since(acknowledged).as_secs_f64() * 1000.0);
    }
    operator.stop().await;
    report.percentile("event_to_handler_p50_ms", "ms", 50, &samples);
    report.percentile("event_to_handler_p99_ms", "ms", 99, &samples);
}

/// Resident memory of `run` with the default config, after it has nothing more to do.
pub(crate) async fn idle_memory(plane: &ControlPlane, report: &mut Report) {
    let mut operator = Operator::start(plane, &["run"], &[]);
    operator.wait_for_log("watching").await;
    let mut samples = Vec::new();
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let status = std::fs::read_to_string(format!("/proc/{}/status", operator.pid().await)).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kib: f64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        samples.push(kib / 1024.0);
    }
    operator.stop().await;
    report.percentile("operator_idle_mib", "MiB", 50, &samples);
}
