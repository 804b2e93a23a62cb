//! Figures of an iteration by name, and where they go: a file of JSON lines, TensorBoard, and the
//! service of Prometheus.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::tensorboard::EventWriter;

/// Figures by name. Names are `area/what_unit`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics(pub BTreeMap<String, f64>);

impl Metrics {
    /// Sets one.
    pub fn set(&mut self, name: &str, value: f64) {
        self.0.insert(name.to_owned(), value);
    }

    /// Sets mean, least and largest of values, if there are any.
    pub fn spread(&mut self, name: &str, values: impl IntoIterator<Item = f64>) {
        let values: Vec<f64> = values.into_iter().collect();
        if values.is_empty() {
            return;
        }
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        self.set(&format!("{name}_mean"), mean);
        self.set(&format!("{name}_min"), values.iter().copied().fold(f64::INFINITY, f64::min));
        self.set(&format!("{name}_max"), values.iter().copied().fold(f64::NEG_INFINITY, f64::max));
    }

    /// One of them, 0 where it is not set.
    #[must_use]
    pub fn value(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or(0.0)
    }
}

/// Where the figures of a run go.
#[derive(Debug)]
pub struct MetricsLog {
    lines: File,
    events: EventWriter,
    registry: prometheus::Registry,
    gauges: BTreeMap<String, prometheus::Gauge>,
}

impl MetricsLog {
    /// Opens the files of a run that goes on from an iteration, if it does; later lines, from before
    /// the restart, are cut off.
    ///
    /// # Errors
    /// Files that cannot be read or written.
    pub fn open(folder: &Path, iteration: Option<u64>) -> std::io::Result<Self> {
        let path = folder.join("metrics.jsonl");
        let kept: Vec<String> = read_lines(&path)?
            .into_iter()
            .filter(|line| number(line).is_some_and(|n| Some(n) <= iteration))
            .collect();
        // Under another name first: a kill or a full disk must not cost what was there.
        let temporary = folder.join("metrics.jsonl.tmp");
        let mut lines = File::create(&temporary)?;
        for line in &kept {
            writeln!(lines, "{line}")?;
        }
        lines.sync_all()?;
        std::fs::rename(&temporary, &path)?;
        let events = EventWriter::create(&folder.join("tensorboard"), iteration.unwrap_or(0))?;
        let registry = prometheus::Registry::new();
        Ok(Self { lines, events, registry, gauges: BTreeMap::new() })
    }

    /// Writes the figures of an iteration.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&mut self, iteration: u64, metrics: &Metrics) -> std::io::Result<()> {
        let mut line = Map::new();
        line.insert("iteration".to_owned(), json!(iteration));
        for (name, value) in &metrics.0 {
            line.insert(name.clone(), json!(value));
            self.gauge(name).set(*value);
        }
        writeln!(self.lines, "{}", Value::Object(line))?;
        self.lines.flush()?;
        self.events.scalars(iteration, &metrics.0)
    }

    /// What Prometheus reads.
    #[must_use]
    pub fn registry(&self) -> prometheus::Registry {
        self.registry.clone()
    }

    fn gauge(&mut self, name: &str) -> &prometheus::Gauge {
        self.gauges.entry(name.to_owned()).or_insert_with(|| {
            let metric = format!("assay_train_{}", name.replace(['/', '.', '-'], "_"));
            let gauge = prometheus::Gauge::new(metric, name).unwrap_or_else(|_| unnamed_gauge());
            // A second figure of the same name would be the same gauge.
            drop(self.registry.register(Box::new(gauge.clone())));
            gauge
        })
    }
}

fn unnamed_gauge() -> prometheus::Gauge {
    prometheus::Gauge::new("assay_train_unnamed", "a figure whose name Prometheus refuses")
        .expect("the name is made of letters and underscores")
}

/// The figures of a run's file, by iteration.
///
/// # Errors
/// A file that cannot be read.
pub fn read(folder: &Path) -> std::io::Result<Vec<(u64, Metrics)>> {
    let mut all = Vec::new();
    for line in read_lines(&folder.join("metrics.jsonl"))? {
        let Ok(Value::Object(values)) = serde_json::from_str(&line) else { continue };
        let figure = |(name, value): (String, Value)| Some((name, value.as_f64()?));
        let iteration = values.get("iteration").and_then(Value::as_u64);
        let figures: BTreeMap<String, f64> = values.into_iter().filter_map(figure).collect();
        all.extend(iteration.map(|iteration| (iteration, Metrics(figures))));
    }
    Ok(all)
}

/// Which part of the time a run waited for rewards of what was sampled already, once it had settled:
/// the first ten iterations, and the evaluation before them, are left out.
#[must_use]
pub fn idle_for_reward_share(rows: &[(u64, Metrics)]) -> f64 {
    let settled = || rows.iter().filter(|(iteration, _)| *iteration > 10);
    let sum = |name: &str| settled().map(|(_, row)| row.value(name)).sum::<f64>();
    sum("time/wait_for_reward_seconds") / sum("time/iteration_seconds").max(1e-9)
}

fn read_lines(path: &Path) -> std::io::Result<Vec<String>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    BufReader::new(File::open(path)?).lines().collect()
}

fn number(line: &str) -> Option<u64> {
    serde_json::from_str::<Value>(line).ok()?["iteration"].as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idleness_is_that_of_the_settled_run_by_time() {
        let row = |iteration, waited, whole| {
            let mut metrics = Metrics::default();
            metrics.set("time/wait_for_reward_seconds", waited);
            metrics.set("time/iteration_seconds", whole);
            (iteration, metrics)
        };
        let rows = [row(0, 9.0, 9.0), row(10, 5.0, 5.0), row(11, 1.0, 2.0), row(12, 0.0, 8.0)];
        assert!((idle_for_reward_share(&rows) - 0.1).abs() < 1e-12);
        assert!(idle_for_reward_share(&rows[..2]).abs() < 1e-12);
    }

    #[test]
    fn a_run_that_goes_on_keeps_its_lines_up_to_there_and_no_broken_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        std::fs::write(&path, "{\"iteration\":0}\n{\"iteration\":1}\n{\"iteration\":2}\n{\"itera")
            .unwrap();
        let mut log = MetricsLog::open(folder.path(), Some(1)).unwrap();
        log.write(2, &Metrics::default()).unwrap();
        let rows = read(folder.path()).unwrap();
        assert_eq!(rows.iter().map(|(at, _)| *at).collect::<Vec<u64>>(), [0, 1, 2]);
        assert!(!folder.path().join("metrics.jsonl.tmp").exists());
        MetricsLog::open(folder.path(), None).unwrap();
        assert!(read(folder.path()).unwrap().is_empty(), "a new run keeps nothing");
    }
}
