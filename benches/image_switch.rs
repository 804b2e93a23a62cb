//! What switching between images costs: runs that go round eight images next to runs in one of them,
//! in turn, in the same run. Prints one JSON line.
//!
//! Beside those two stands what tells where a difference comes from: the same layer under eight names
//! (eight slots that show one file), and no sandbox at all, with one copy of the program and with
//! eight. A processor that goes round eight of anything finds its caches colder.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sandbox::image::layer::Times;
use sandbox::image::store::{LayerInfo, Writer};
use sandbox::image::{Manifest, Store};
use sandbox::{Image, PoolConfig, RunSpec, SlotPool};
use serde_json::json;

const IMAGES: usize = 8;
const RUNS: usize = 1000;
/// Rounds of a thousand of each kind.
const ROUNDS: usize = 5;

fn main() -> Result<()> {
    sandbox::resident_entry();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure())
}

async fn measure() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let program = folder.path().join("program");
    let source = folder.path().join("program.c");
    fs::write(&source, "int main(void) { return 0; }\n")?;
    let compiled =
        Command::new("cc").arg("-static").arg("-o").arg(&program).arg(&source).status()?;
    ensure!(compiled.success(), "cc failed");
    let writer = Store::at(folder.path().join("store")).write()?;
    let image = |name: String| image(&writer, &name, &program);
    let images = (0..IMAGES).map(|it| image(format!("image-{it}"))).collect::<Result<Vec<_>>>()?;
    let layer = writer.store().manifest("image-0")?.layers;
    let same = (0..IMAGES)
        .map(|it| published(&writer, &format!("same-{it}"), layer.clone()))
        .collect::<Result<Vec<_>>>()?;
    let copies = (0..IMAGES)
        .map(|it| {
            let copy = folder.path().join(format!("copy-{it}"));
            fs::copy(&program, &copy).map(|_| copy)
        })
        .collect::<std::io::Result<Vec<_>>>()?;
    let mut config = PoolConfig::new(Image::host()?);
    config.slots = NonZeroUsize::MIN;
    let pool = SlotPool::new(config).await?;
    let first = runs(&pool, &images, IMAGES).await?;
    runs(&pool, &same, IMAGES).await?;
    let mut times = [const { Vec::new() }; 5];
    for round in 0..ROUNDS {
        // Forwards and backwards, so that none always follows the same other.
        for step in 0..5 {
            let which = if round % 2 == 0 { step } else { 4 - step };
            times[which].push(match which {
                0 => runs(&pool, &images[..1], RUNS).await?,
                1 => runs(&pool, &images, RUNS).await?,
                2 => runs(&pool, &same, RUNS).await?,
                3 => bare(&copies[..1], RUNS)?,
                _ => bare(&copies, RUNS)?,
            });
        }
    }
    let row = |which: usize| Row::of(&times[which]);
    let line = json!({
        "bench": "image_switch", "images": IMAGES, "runs": RUNS * ROUNDS,
        "one_image": row(0).json(), "all_images": row(1).json(), "same_layer": row(2).json(),
        "bare_one": row(3).json(), "bare_all": row(4).json(),
        "ratio": row(1).over(&row(0)), "ratio_same_layer": row(2).over(&row(0)),
        "ratio_bare": row(4).over(&row(3)), "ratio_to_same_layer": row(1).over(&row(2)),
        "first_use": Row::of(&[first]).json(), "standing": pool.status().standing,
    });
    println!("{line}");
    pool.close().await;
    Ok(())
}

/// Microseconds of one kind of run.
struct Row {
    mean: f64,
    median: f64,
    late: f64,
}

impl Row {
    fn of(times: &[Vec<Duration>]) -> Self {
        let mut all: Vec<f64> = times.iter().flatten().map(|it| it.as_secs_f64() * 1e6).collect();
        all.sort_unstable_by(f64::total_cmp);
        let at = |part: usize| all[(all.len() - 1) * part / 100];
        #[expect(clippy::cast_precision_loss, reason = "some thousands")]
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        Self { mean, median: at(50), late: at(99) }
    }

    fn json(&self) -> serde_json::Value {
        json!({"mean_us": self.mean, "median_us": self.median, "p99_us": self.late})
    }

    fn over(&self, other: &Self) -> serde_json::Value {
        json!({"mean": self.mean / other.mean, "median": self.median / other.median})
    }
}

/// The same programs without a sandbox.
fn bare(programs: &[PathBuf], count: usize) -> Result<Vec<Duration>> {
    let timed = |program: &PathBuf| {
        let start = Instant::now();
        support::bare(program, &[]).map(|()| start.elapsed())
    };
    programs.iter().cycle().take(count).map(timed).collect()
}

fn image(writer: &Writer, name: &str, program: &Path) -> Result<Image> {
    let work = writer.workplace()?;
    fs::copy(program, work.path().join("program"))?;
    fs::write(work.path().join("name"), name)?;
    let layer = writer.keep(work.path(), &[], Times::Fixed)?;
    published(writer, name, vec![layer])
}

fn published(writer: &Writer, name: &str, layers: Vec<LayerInfo>) -> Result<Image> {
    writer.publish(Manifest {
        name: name.to_owned(),
        digest: String::new(),
        layers,
        environment: Vec::new(),
        working_directory: None,
        user: None,
        languages: Vec::new(),
        language_rows: None,
        preload: Vec::new(),
        source: "a bench".to_owned(),
        made_in_s: 0,
    })?;
    writer.store().image(name).context("an image")
}

/// The time of each of `count` runs, which go round `images`.
async fn runs(pool: &SlotPool, images: &[Image], count: usize) -> Result<Vec<Duration>> {
    let spec = RunSpec::new(["/program"])?;
    let mut times = Vec::with_capacity(count);
    for image in images.iter().cycle().take(count) {
        let start = Instant::now();
        let outcome = pool.lease_in(image).await?.run(&spec).await?;
        times.push(start.elapsed());
        ensure!(outcome.is_success(), "{outcome:?}");
    }
    Ok(times)
}
