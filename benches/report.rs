//! The table and the file.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Value, json};

use crate::support::tools::Tools;

/// Figures by name.
#[derive(Default)]
pub(crate) struct Report(BTreeMap<String, Figure>);

struct Figure {
    value: f64,
    unit: &'static str,
    /// How many samples, and their least and greatest.
    samples: usize,
    spread: (f64, f64),
}

impl Report {
    /// A percentile (0 to 100) of samples; their spread goes with it.
    pub(crate) fn percentile(
        &mut self,
        name: impl Into<String>,
        unit: &'static str,
        percent: usize,
        samples: &[f64],
    ) {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let index = (sorted.len() - 1) * percent / 100;
        let spread = (sorted[0], sorted[sorted.len() - 1]);
        self.0.insert(name.into(), Figure { value: sorted[index], unit, samples: sorted.len(), spread });
    }

    /// A single measurement.
    pub(crate) fn value(&mut self, name: impl Into<String>, unit: &'static str, value: f64) {
        self.percentile(name, unit, 50, &[value]);
    }

    /// Prints the table.
    pub(crate) fn print(&self, tools: &Tools) {
        let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
        let cpus = read("/proc/cpuinfo");
        let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
        let cores = cpus.lines().filter(|line| line.starts_with("processor")).count();
        let memory = read("/proc/meminfo").lines().next().unwrap_or_default().replace("MemTotal:", "");
        println!(
            "\nmachine: {cores} x{}, {} memory",
            model.trim_start_matches([' ', '\t', ':']).replace("  ", " "),
            memory.trim()
        );
        let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
        println!(
            "helmfile-operator {} ({profile} build), tools of {}\n",
            env!("CARGO_PKG_VERSION"),
            tools.bin().display()
        );
        println!("{:<38} {:>10} {:<10} {:>5}  spread", "figure", "value", "unit", "n");
        for (name, Figure { value, unit, samples, spread: (least, greatest) }) in &self.0 {
            println!("{name:<38} {value:>10.2} {unit:<10} {samples:>5}  {least:.2} to {greatest:.2}");
        }
    }

    /// Writes results.json.
    pub(crate) fn write(&self) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
        fs::create_dir_all(&folder).unwrap();
        let figures: BTreeMap<&str, Value> = self
            .0
            .iter()
            .map(|(name, figure)| {
                (name.as_str(), json!({"value": figure.value, "unit": figure.unit, "n": figure.samples}))
            })
            .collect();
        fs::write(folder.join("results.json"), serde_json::to_string_pretty(&figures).unwrap()).unwrap();
    }
}
