//! How fast an event reaches a hook: on an idle queue, and while other events come in.

use std::{
    io::{BufRead as _, BufReader},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, timeout},
};

use crate::{
    report::Report,
    support::{
        control_plane::ControlPlane,
        scene::{SOON, Scene, config_map},
    },
};

/// Objects made one after the other on an idle queue.
const EVENTS: usize = 300;
/// How long objects are made while there is noise, and the pause between them, which keeps them from being a load.
const LOADED: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(50);
/// Changes of other objects in a second.
const NOISE: u32 = 200;
/// How many objects make the noise.
const NOISY: usize = 100;
/// The noise is handled by a template in the same process: 200 shell hooks a second are more than two cores can start,
/// and the time in the queue would be all that is measured.
const ENTRIES: &str = "
- group: test.example.com
  version: v1
  kind: Hello
  reconciler: {exec: {command: ./hook.sh, timeout: 20s}}
- version: v1
  kind: ConfigMap
  reconciler: {template: {inline: ''}}
";

/// From the acknowledged create to the first line of a shell hook, one at a time.
pub(crate) async fn latency(plane: &ControlPlane, report: &mut Report) {
    let scene = Scene::new(plane, "latency").await;
    let mut heard = Heard::through(&scene);
    scene.hook("hook.sh", "echo $OBJECT_NAME > pipe");
    let mut operator = scene.start(ENTRIES);
    scene.hello("warm-up", json!({})).await;
    heard.until("warm-up").await;

    let mut samples = Vec::new();
    for number in 0..EVENTS {
        samples.push(probe(&scene, &mut heard, &format!("idle-{number}")).await);
    }
    report.percentile("event_to_handler_p50_ms", "ms", 50, &samples);
    report.percentile("event_to_handler_p99_ms", "ms", 99, &samples);

    for number in 0..NOISY {
        scene.apply(noisy(number)).await;
    }
    let made = AtomicU32::new(0);
    let mut samples = Vec::new();
    let start = Instant::now();
    let probes = async {
        while start.elapsed() < LOADED {
            samples.push(probe(&scene, &mut heard, &format!("loaded-{}", samples.len())).await);
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::select! {
        () = noise(&scene, &made) => {}
        () = probes => {}
    }
    let rate = f64::from(made.load(Ordering::Relaxed)) / start.elapsed().as_secs_f64();
    operator.stop().await;
    report.percentile("event_to_handler_loaded_p50_ms", "ms", 50, &samples);
    report.percentile("event_to_handler_loaded_p99_ms", "ms", 99, &samples);
    report.value("event_to_handler_load_per_s", "events", rate);
}

/// Makes an object; the milliseconds until the hook has been heard.
async fn probe(scene: &Scene<'_>, heard: &mut Heard, name: &str) -> f64 {
    scene
        .apply(json!({"apiVersion": "test.example.com/v1", "kind": "Hello", "metadata": {"name": name}}))
        .await;
    let acknowledged = Instant::now();
    heard.until(name).await.saturating_duration_since(acknowledged).as_secs_f64() * 1000.0
}

fn noisy(number: usize) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("noise-{number}")}})
}

/// Changes one object after the other, for ever; counts the changes that were acknowledged.
async fn noise(scene: &Scene<'_>, made: &AtomicU32) {
    let api = scene.api(&config_map()).await;
    let mut clock = interval(Duration::from_secs(1) / NOISE);
    clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let ticks = futures::stream::unfold((clock, 0), async |(mut clock, number)| {
        clock.tick().await;
        Some((number, (clock, number + 1)))
    });
    futures::StreamExt::for_each_concurrent(ticks, 16, async |number: usize| {
        let patch = kube::api::Patch::Merge(json!({"data": {"number": number.to_string()}}));
        let name = format!("noise-{}", number % NOISY);
        api.patch(&name, &kube::api::PatchParams::default(), &patch).await.unwrap();
        made.fetch_add(1, Ordering::Relaxed);
    })
    .await;
}

/// What hooks write to the pipe `pipe` in a scene's folder. A thread of its own stamps the moment that a line is there.
struct Heard(mpsc::UnboundedReceiver<(String, Instant)>);

impl Heard {
    fn through(scene: &Scene<'_>) -> Self {
        let pipe = scene.folder().join("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let (tell, hear) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            let file = std::fs::OpenOptions::new().read(true).write(true).open(pipe).unwrap();
            for line in BufReader::new(file).lines() {
                if tell.send((line.unwrap(), Instant::now())).is_err() {
                    return;
                }
            }
        });
        Self(hear)
    }

    /// When a hook wrote this line; others are dropped.
    async fn until(&mut self, wanted: &str) -> Instant {
        let line = async {
            loop {
                let (line, at) = self.0.recv().await.expect("the thread reads as long as we do");
                if line == wanted {
                    return at;
                }
            }
        };
        timeout(SOON, line)
            .await
            .unwrap_or_else(|_| panic!("the hook did not run for `{wanted}` within {SOON:?}"))
    }
}
