//! What a run of a WebAssembly module costs, from `RunSpec` to `Outcome` in a worker of its own, next to
//! the same work by a process in a slot and by a bare process of the same run. Prints one JSON line.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use sandbox::outcome::Collected;
use sandbox::spec::{CollectFile, FileMode, InputFile, RelativePath};
use sandbox::wasm::COMPILER;
use sandbox::{Image, Outcome, PoolConfig, RunSpec, SlotPool, WasmLease, WasmPool};
use serde_json::json;

const ROUNDS: usize = 5;
const RUNS: usize = 500;
const STARTS: usize = 10;

/// Says hello; and before that, makes `COUNT` additions.
const MODULE: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\06\00\00\00")
  (data (i32.const 16) "hello\n")
  (func (export "_start") (local $n i32)
    (loop $again
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $n) (i32.const COUNT))))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))))"#;
const PROGRAM: &str =
    "#include <unistd.h>\nint main(void) { return write(1, \"hello\\n\", 6) != 6; }\n";

fn main() -> Result<()> {
    sandbox::resident_entry();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure())
}

async fn measure() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let native = folder.path().join("hello");
    support::compile("cc", &["-static", "-O2"], PROGRAM, &native)?;
    let starts = worker_starts().await?;
    let pool = WasmPool::new(NonZeroUsize::MIN)?;
    let (artifact, compile) = compiled(&pool, 1).await?;
    let mut config = PoolConfig::new(Image::host()?);
    config.slots = NonZeroUsize::MIN;
    let slots = SlotPool::new(config).await?;
    let files = [file("hello", std::fs::read(&native)?, FileMode::Executable)?];
    let mut times = [const { Vec::new() }; 4];
    for _ in 0..ROUNDS {
        times[0].extend(held(&pool, &artifact).await?);
        times[1].extend(leased(&pool, &artifact).await?);
        for _ in 0..RUNS {
            let start = Instant::now();
            let mut lease = slots.lease().await?;
            lease.install(&files).await?;
            said(&lease.run(&RunSpec::new(["/box/hello"])?).await?)?;
            times[2].push(start.elapsed());
        }
        for _ in 0..RUNS {
            let start = Instant::now();
            support::bare(&native, &[])?;
            times[3].push(start.elapsed());
        }
    }
    let [run, lease, slot, bare] = times.map(median);
    let (speed, fuel) = counting(&pool).await?;
    let us = |time: Duration| time.as_secs_f64() * 1e6;
    let line = json!({
        "bench": "wasm_start", "runs": ROUNDS * RUNS,
        "run_us": us(run), "lease_install_run_us": us(lease), "slot_process_us": us(slot),
        "bare_process_us": us(bare), "to_bare": us(lease) / us(bare),
        "to_slot": us(lease) / us(slot), "worker_start_ms": us(median(starts)) / 1e3,
        "compile_ms": us(compile) / 1e3, "instructions_per_ms": speed, "fuel_ms": fuel,
    });
    println!("{line}");
    slots.close().await;
    pool.close();
    Ok(())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn file(path: &str, content: Vec<u8>, mode: FileMode) -> Result<InputFile> {
    Ok(InputFile { path: RelativePath::new(path)?, content: content.into(), mode })
}

fn said(outcome: &Outcome) -> Result<()> {
    ensure!(outcome.is_success() && &outcome.stdout.bytes[..] == b"hello\n", "{outcome:?}");
    Ok(())
}

/// From nothing to a worker that waits for its first request.
async fn worker_starts() -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let pool = WasmPool::new(NonZeroUsize::MIN)?;
        let start = Instant::now();
        let lease = pool.lease().await?;
        times.push(start.elapsed());
        drop(lease);
        pool.close();
    }
    Ok(times)
}

async fn compiled(pool: &WasmPool, count: u32) -> Result<(InputFile, Duration)> {
    let source = MODULE.replace("COUNT", &count.to_string());
    let path = RelativePath::new("hello.cwasm")?;
    let spec = RunSpec::new([COMPILER, "hello.wat", "hello.cwasm"])?
        .files(vec![file("hello.wat", source.into_bytes(), FileMode::Plain)?])?
        .collect(vec![CollectFile { path, bytes_max: 1 << 20 }])?;
    let mut lease = pool.lease().await?;
    let start = Instant::now();
    let mut outcome = lease.run(&spec).await?;
    let time = start.elapsed();
    ensure!(outcome.is_success(), "{outcome:?}");
    let Some(Collected::File(artifact)) = outcome.files.pop() else { bail!("no artifact") };
    Ok((file("hello.cwasm", artifact.to_vec(), FileMode::Plain)?, time))
}

async fn prepared(pool: &WasmPool, artifact: &InputFile) -> Result<WasmLease> {
    let mut lease = pool.lease().await?;
    lease.install(std::slice::from_ref(artifact)).await?;
    Ok(lease)
}

/// Runs in one lease.
async fn held(pool: &WasmPool, artifact: &InputFile) -> Result<Vec<Duration>> {
    let mut lease = prepared(pool, artifact).await?;
    let spec = RunSpec::new(["/box/hello.cwasm"])?;
    let mut times = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let start = Instant::now();
        said(&lease.run(&spec).await?)?;
        times.push(start.elapsed());
    }
    Ok(times)
}

/// A lease for each run.
async fn leased(pool: &WasmPool, artifact: &InputFile) -> Result<Vec<Duration>> {
    let spec = RunSpec::new(["/box/hello.cwasm"])?;
    let mut times = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let start = Instant::now();
        said(&prepared(pool, artifact).await?.run(&spec).await?)?;
        times.push(start.elapsed());
    }
    Ok(times)
}

/// How many of the counted instructions a millisecond of the processor makes here, and what they count
/// as.
async fn counting(pool: &WasmPool) -> Result<(f64, f64)> {
    let (artifact, _) = compiled(pool, 200_000_000).await?;
    let outcome =
        prepared(pool, &artifact).await?.run(&RunSpec::new(["/box/hello.cwasm"])?).await?;
    said(&outcome)?;
    let counted = outcome.usage.cpu_time.as_secs_f64() * 1e3;
    let real = outcome.usage.wall_time.as_secs_f64() * 1e3;
    let per_millisecond = sandbox::wasm::FUEL_PER_MILLISECOND;
    #[expect(clippy::cast_precision_loss, reason = "a million")]
    let speed = counted * per_millisecond as f64 / real;
    Ok((speed, counted))
}
