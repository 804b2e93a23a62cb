//! What switching between images costs: a thousand runs that go round eight images next to a thousand
//! in one of them, in turn, in the same run. Prints one JSON line.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sandbox::image::layer::Times;
use sandbox::image::store::Writer;
use sandbox::image::{Manifest, Store};
use sandbox::{Image, PoolConfig, RunSpec, SlotPool};
use serde_json::json;

const IMAGES: usize = 8;
const RUNS: usize = 1000;
/// Pairs of a thousand in one and a thousand in all.
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
    let images = (0..IMAGES)
        .map(|number| image(&writer, &format!("image-{number}"), &program))
        .collect::<Result<Vec<_>>>()?;
    let mut config = PoolConfig::new(Image::host()?);
    config.slots = NonZeroUsize::MIN;
    let pool = SlotPool::new(config).await?;
    let first = runs(&pool, &images, IMAGES).await?;
    let (mut one, mut all) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        one.push(runs(&pool, &images[..1], RUNS).await?);
        all.push(runs(&pool, &images, RUNS).await?);
    }
    let total = |times: &[Vec<Duration>]| times.iter().flatten().sum::<Duration>();
    let ratio = total(&all).as_secs_f64() / total(&one).as_secs_f64();
    let row = |times: &[Vec<Duration>]| {
        let mut all: Vec<_> = times.concat();
        all.sort_unstable();
        let at = |part: usize| all[(all.len() - 1) * part / 100].as_secs_f64() * 1e6;
        json!({"median_us": at(50), "p99_us": at(99), "total_ms": total(times).as_secs_f64() * 1e3})
    };
    let line = json!({
        "bench": "image_switch", "images": IMAGES, "runs": RUNS * ROUNDS,
        "one_image": row(&one), "all_images": row(&all), "ratio": ratio,
        "first_use": row(&[first]), "standing": pool.status().standing,
    });
    println!("{line}");
    pool.close().await;
    Ok(())
}

fn image(writer: &Writer, name: &str, program: &Path) -> Result<Image> {
    let work = writer.workplace()?;
    fs::copy(program, work.path().join("program"))?;
    fs::write(work.path().join("name"), name)?;
    let layer = writer.keep(work.path(), &[], Times::Fixed)?;
    writer.publish(Manifest {
        name: name.to_owned(),
        digest: String::new(),
        layers: vec![layer],
        environment: Vec::new(),
        working_directory: None,
        user: None,
        languages: Vec::new(),
        language_rows: None,
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
