//! Modules in place of programs: workers by the library, and the languages, checkers and interactors
//! that the service runs in them.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes as Buffer;
use harness::process::{self, Process};
use harness::{Client, Service, ServiceConfig, deadline};
use libtest_mimic::Trial;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sandbox::limits::Bytes;
use sandbox::outcome::{Collected, Termination};
use sandbox::spec::{CollectFile, FileMode, InputFile, RelativePath};
use sandbox::wasm::COMPILER;
use sandbox::{Limits, Outcome, RunSpec, WasmLease, WasmPool};
use serde_json::{Value, json};

use crate::ground::{brief, expect_end, expect_stdout};
use crate::wire::{brief as short, expect_verdict, judge_one, run};
use crate::{Needs, named};

pub(crate) fn trials() -> Vec<Trial> {
    named!(
        Needs::Slots,
        "wasm",
        [
            a_module_is_compiled_and_run_in_a_worker,
            a_worker_can_do_nothing_but_compute_and_answer,
            compiling_is_bounded_in_time_and_memory,
            a_worker_that_was_killed_is_our_fault_and_replaced,
            a_run_that_nobody_waits_for_ends,
            workers_end_with_their_supervisor,
            modules_get_every_verdict,
            modules_are_checkers,
            modules_talk_on_either_side,
            a_service_of_modules_alone_says_so,
        ]
    )
}

/// A module in the text format whose `_start` has this body. `$line` reads up to 64 bytes of standard
/// input to address 1024 and says how many; `$say` writes bytes to standard output.
fn module(body: &str) -> String {
    format!(
        r#"(module
          (import "wasi_snapshot_preview1" "fd_write"
            (func $write (param i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "fd_read"
            (func $read (param i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "path_open"
            (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
          (memory (export "memory") 1)
          (data (i32.const 64) "hello\n")
          (data (i32.const 80) "output.txt")
          (data (i32.const 96) "answer.txt")
          (func $say (param $at i32) (param $count i32)
            (i32.store (i32.const 0) (local.get $at))
            (i32.store (i32.const 4) (local.get $count))
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
          (func $from (param $descriptor i32) (param $at i32) (result i32)
            (i32.store (i32.const 0) (local.get $at))
            (i32.store (i32.const 4) (i32.const 64))
            (drop (call $read (local.get $descriptor) (i32.const 0) (i32.const 1) (i32.const 8)))
            (i32.load (i32.const 8)))
          (func $line (result i32) (call $from (i32.const 0) (i32.const 1024)))
          (func (export "_start") {body}))"#
    )
}

const HELLO: &str = "(call $say (i32.const 64) (i32.const 6))";
const ENDLESS: &str = "(loop $again (br $again))";

fn pool(workers: usize) -> Result<WasmPool> {
    Ok(WasmPool::new(NonZeroUsize::new(workers).context("no workers")?)?)
}

fn input(path: &str, content: impl Into<Buffer>) -> Result<InputFile> {
    let path = RelativePath::new(path)?;
    Ok(InputFile { path, content: content.into(), mode: FileMode::Plain })
}

fn compiler(source: impl Into<Buffer>, limits: Limits) -> Result<RunSpec> {
    let path = RelativePath::new("program.cwasm")?;
    let collect = vec![CollectFile { path, bytes_max: 64 << 20 }];
    let spec = RunSpec::new([COMPILER, "source", "program.cwasm"])?;
    Ok(spec.files(vec![input("source", source)?])?.collect(collect)?.limits(limits)?)
}

/// A lease with a module compiled and installed.
async fn prepared(pool: &WasmPool, body: &str) -> Result<WasmLease> {
    let mut lease = pool.lease().await?;
    let mut outcome = lease.run(&compiler(module(body), Limits::default())?).await?;
    ensure!(outcome.is_success(), "{}", brief(&outcome));
    let Some(Collected::File(artifact)) = outcome.files.pop() else { bail!("no artifact") };
    lease.install(&[input("program.cwasm", artifact)?]).await?;
    Ok(lease)
}

fn program() -> Result<RunSpec> {
    Ok(RunSpec::new(["/box/program.cwasm"])?)
}

/// The workers of this process.
fn workers() -> Vec<Process> {
    let me = i32::try_from(std::process::id()).unwrap_or_default();
    let is_worker = |process: &Process| {
        let line = fs::read(format!("/proc/{}/cmdline", process.pid)).unwrap_or_default();
        process.state != 'Z' && line.starts_with(b"assay-wasm\0")
    };
    process::descendants(me).into_iter().filter(is_worker).collect()
}

async fn a_module_is_compiled_and_run_in_a_worker() -> Result<()> {
    let pool = pool(2)?;
    ensure!(workers().is_empty(), "a worker stands that nobody asked for");
    let mut lease = prepared(&pool, HELLO).await?;
    for _ in 0..3 {
        expect_stdout(&lease.run(&program()?).await?, "hello\n")?;
    }
    ensure!(workers().len() == 1 && pool.status().leased == 1, "{:?}", pool.status());
    drop(lease);
    // What the last lease installed is gone, and the worker is the same.
    let before = workers();
    let mut lease = pool.lease().await?;
    expect_end(&lease.run(&program()?).await?, Termination::Exited { code: 126 })?;
    ensure!(workers() == before, "another worker was started");
    drop(lease);
    let large = "abcdefghijklmnopqrstuvwxyz".repeat(10_000);
    let echo = "(local $n i32) (loop $again (local.set $n (call $line))
        (call $say (i32.const 1024) (local.get $n)) (br_if $again (local.get $n)))";
    let mut lease = prepared(&pool, echo).await?;
    expect_stdout(&lease.run(&program()?.stdin(large.clone())?).await?, &large)?;
    drop(lease);
    pool.close();
    ensure!(pool.lease().await.is_err(), "a closed pool gives leases");
    Ok(())
}

async fn a_worker_can_do_nothing_but_compute_and_answer() -> Result<()> {
    let pool = pool(1)?;
    let lease = prepared(&pool, HELLO).await?;
    let worker = workers().pop().context("no worker")?.pid;
    let mut threads = 0;
    for thread in fs::read_dir(format!("/proc/{worker}/task"))? {
        let text = fs::read_to_string(thread?.path().join("status"))?;
        let status: BTreeMap<&str, &str> =
            text.lines().filter_map(|line| line.split_once(":\t")).collect();
        let is = |name: &str, value: &str| status.get(name).is_some_and(|it| *it == value);
        let none = "0000000000000000";
        ensure!(is("CapEff", none) && is("CapPrm", none) && is("CapBnd", none), "{text}");
        ensure!(is("NoNewPrivs", "1") && is("Seccomp", "2"), "{text}");
        let user = status.get("Uid").context("no user")?;
        ensure!(user.split('\t').all(|id| id == "1999999999"), "{text}");
        ensure!(status.get("Groups").is_some_and(|groups| groups.trim().is_empty()), "{text}");
        threads += 1;
    }
    ensure!(threads == 3, "{threads} threads");
    let held = process::descriptors(worker);
    let harmless = |kind: &&String| !matches!(kind.as_str(), "socket" | "pipe" | "/dev/null");
    ensure!(held.keys().find(harmless).is_none(), "{held:?}");
    ensure!(fs::read_link(format!("/proc/{worker}/cwd"))?.as_os_str() == "/");
    drop(lease);
    pool.close();
    Ok(())
}

/// A binary module with one function of many instructions, which takes long to compile.
fn huge(instructions: usize) -> Vec<u8> {
    fn number(mut value: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let low = u8::try_from(value & 0x7f).unwrap_or(0);
            value >>= 7;
            if value == 0 {
                bytes.push(low);
                return bytes;
            }
            bytes.push(low | 0x80);
        }
    }
    let section =
        |kind: u8, content: &[u8]| [&[kind], &number(content.len())[..], content].concat();
    // A local; then local = memory[local], again and again, which may trap and so has to be done.
    let mut body = vec![1, 1, 0x7f];
    body.extend([0x20, 0, 0x28, 2, 0, 0x21, 0].repeat(instructions));
    body.push(0x0b);
    let code = [&[1], &number(body.len())[..], &body].concat();
    let parts = [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, &[1, 0x60, 0, 0]),
        section(3, &[1, 0]),
        section(5, &[1, 0, 1]),
        section(7, b"\x01\x06_start\0\0"),
        section(10, &code),
    ];
    parts.concat()
}

async fn compiling_is_bounded_in_time_and_memory() -> Result<()> {
    let pool = pool(1)?;
    let mut lease = pool.lease().await?;
    let small = lease.run(&compiler(huge(10), Limits::default())?).await?;
    ensure!(small.is_success(), "{}", brief(&small));
    let minute = Duration::from_secs(60);
    let limits = |cpu_time, memory| Limits {
        cpu_time,
        memory: Bytes::mib(memory),
        wall_time: minute,
        ..Limits::default()
    };
    let source = huge(1_000_000);
    let late = lease.run(&compiler(source.clone(), limits(Duration::from_secs(1), 4096))?).await?;
    expect_end(&late, Termination::CpuTimeLimit)?;
    let large = lease.run(&compiler(source, limits(minute, 128))?).await?;
    expect_end(&large, Termination::MemoryLimit)?;
    let again = lease.run(&compiler(huge(10), Limits::default())?).await?;
    ensure!(again.is_success(), "{}", brief(&again));
    drop(lease);
    pool.close();
    Ok(())
}

/// Starts an endless run, and returns once the worker's thread has begun to compute.
async fn endless(lease: &mut WasmLease) -> Result<Result<Outcome, sandbox::Error>> {
    let hour = Duration::from_secs(3600);
    let spec =
        program()?.limits(Limits { cpu_time: hour, wall_time: hour, ..Limits::default() })?;
    let worker = workers().pop().context("no worker")?.pid;
    let killer = async {
        let computes = || {
            let text = fs::read_to_string(format!("/proc/{worker}/stat")).ok()?;
            let (_, tail) = text.rsplit_once(')')?;
            (tail.split_whitespace().next() == Some("R")).then_some(())
        };
        let all_threads = || {
            let tasks = fs::read_dir(format!("/proc/{worker}/task")).ok()?;
            let is_running = |path: std::path::PathBuf| {
                let text = fs::read_to_string(path.join("stat")).unwrap_or_default();
                let tail = text.rsplit_once(')').map_or("", |(_, tail)| tail).to_owned();
                tail.split_whitespace().next() == Some("R")
            };
            tasks.flatten().any(|task| is_running(task.path())).then_some(())
        };
        deadline::poll(Duration::from_secs(20), || computes().or_else(all_threads)).await
    };
    tokio::select! {
        biased;
        ended = lease.run(&spec) => Ok(ended),
        seen = killer => {
            seen.context("the module does not run")?;
            Ok(Err(sandbox::Error::Closed))
        }
    }
}

async fn a_worker_that_was_killed_is_our_fault_and_replaced() -> Result<()> {
    let pool = pool(1)?;
    let mut lease = prepared(&pool, HELLO).await?;
    let worker = workers().pop().context("no worker")?;
    kill(Pid::from_raw(worker.pid), Signal::SIGKILL)?;
    let error = lease.run(&program()?).await;
    ensure!(error.is_err(), "{error:?}");
    // The next one has the lease's files.
    expect_stdout(&lease.run(&program()?).await?, "hello\n")?;
    ensure!(workers().first().is_some_and(|other| other.pid != worker.pid), "the same worker");
    drop(lease);
    pool.close();
    Ok(())
}

async fn a_run_that_nobody_waits_for_ends() -> Result<()> {
    let pool = pool(1)?;
    let mut lease = prepared(&pool, ENDLESS).await?;
    // The run is dropped in its middle.
    let ended = endless(&mut lease).await?;
    ensure!(matches!(ended, Err(sandbox::Error::Closed)), "{ended:?}");
    drop(lease);
    ensure!(workers().is_empty(), "it runs on");
    ensure!(pool.status().leased == 0, "{:?}", pool.status());
    let mut lease = prepared(&pool, HELLO).await?;
    expect_stdout(&lease.run(&program()?).await?, "hello\n")?;
    drop(lease);
    pool.close();
    Ok(())
}

fn submission(body: &str, stdout: &str) -> Value {
    json!({
        "language": "wasm", "source": module(body),
        "limits": {"cpu_time_ms": 200, "memory_bytes": 16 << 20, "output_bytes": 1 << 10},
        "problem": {"kind": "stdio", "tests": [{"stdin": "you\n", "stdout": stdout}]},
    })
}

/// That nothing is left is looked at after each test.
async fn workers_end_with_their_supervisor() -> Result<()> {
    let mut service = Service::start().await?;
    let client = service.client();
    let mut body = submission(ENDLESS, "");
    body["limits"]["cpu_time_ms"] = json!(300_000);
    let posted = client.post("/v1/judge", &body);
    let pid = service.pid()?;
    let is_there = || {
        let line = |it: &Process| fs::read(format!("/proc/{}/cmdline", it.pid)).unwrap_or_default();
        let all = process::descendants(pid);
        all.iter().any(|it| line(it).starts_with(b"assay-wasm\0")).then_some(())
    };
    tokio::select! {
        reply = posted => bail!("it ended: {}", reply?.text()),
        seen = deadline::poll(Duration::from_secs(20), is_there) => seen.context("no worker")?,
    }
    service.signal(Signal::SIGKILL)?;
    service.wait(Duration::from_secs(10)).await?;
    // Slots' groups are removed by whoever comes next.
    service.restart().await?.terminate().await
}

async fn modules_get_every_verdict() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let echo = "(call $say (i32.const 1024) (call $line))";
    let grow = "(drop (memory.grow (i32.const 300))) (call $say (i32.const 64) (i32.const 6))";
    let flood = format!("(loop $again {HELLO} (br $again))");
    for (body, stdout, verdict) in [
        (HELLO, "hello\n", "accepted"),
        (echo, "you\n", "accepted"),
        (HELLO, "something else\n", "wrong_answer"),
        (ENDLESS, "", "time_limit_exceeded"),
        (grow, "hello\n", "memory_limit_exceeded"),
        (&flood, "", "output_limit_exceeded"),
        ("(unreachable)", "", "runtime_error"),
        ("(call $exit (i32.const 3))", "", "runtime_error"),
        ("(call $nothing)", "", "compile_error"),
    ] {
        let result = judge_one(&client, &submission(body, stdout)).await?;
        expect_verdict(&result, verdict).with_context(|| body.to_owned())?;
        ensure!(result["runtime"] == "wasm", "{}", short(&result));
    }
    // The same number of instructions each time, and at the limit exactly as many as it says.
    let mut endless = submission(ENDLESS, "");
    endless["fresh"] = json!(true);
    for _ in 0..2 {
        let result = judge_one(&client, &endless).await?;
        let test = &result["tests"][0];
        ensure!(test["cpu_time_ms"] == 200.0 && test["confirmed"] == false, "{}", short(&result));
    }
    // A binary module, in base64: one that ends.
    let base64 = "AGFzbQEAAAABBAFgAAADAgEABwoBBl9zdGFydAAACgQBAgAL";
    let mut binary = submission("", "");
    binary["source"] = json!(base64);
    expect_verdict(&judge_one(&client, &binary).await?, "accepted")?;
    let ran = run(&client, &json!({"language": "wat", "source": module(HELLO)})).await?;
    ensure!(ran["stdout"] == "hello\n" && ran["runtime"] == "wasm", "{ran}");
    let ran = run(&client, &json!({"language": "bash", "source": "true"})).await?;
    ensure!(ran["runtime"] == "process", "{ran}");
    service.terminate().await
}

/// Compares the first four bytes of output and answer, both files beside it.
const COMPARE: &str = "
    (drop (call $open (i32.const 3) (i32.const 0) (i32.const 80) (i32.const 10) (i32.const 0)
      (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 16)))
    (drop (call $open (i32.const 3) (i32.const 0) (i32.const 96) (i32.const 10) (i32.const 0)
      (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 20)))
    (drop (call $from (i32.load (i32.const 16)) (i32.const 1024)))
    (drop (call $from (i32.load (i32.const 20)) (i32.const 2048)))
    (call $exit (i32.ne (i32.load (i32.const 1024)) (i32.load (i32.const 2048))))";

async fn judged_by(client: &Client, checker: &str, language: &str, source: &str) -> Result<Value> {
    let program = json!({"language": "wasm", "source": module(checker)});
    let body = json!({
        "language": language, "source": source,
        "problem": {"kind": "stdio", "tests": [{"stdin": "", "stdout": "four and more"}],
            "checker": {"name": "program", "program": program}},
    });
    judge_one(client, &body).await
}

async fn modules_are_checkers() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    for (language, good, bad) in [
        ("python", "print('four-legged')", "print('five-legged')"),
        ("bash", "echo four", "echo nothing"),
    ] {
        let result = judged_by(&client, COMPARE, language, good).await?;
        expect_verdict(&result, "accepted")?;
        ensure!(result["runtime"] == "process", "{}", short(&result));
        let result = judged_by(&client, COMPARE, language, bad).await?;
        expect_verdict(&result, "wrong_answer")?;
    }
    // A module judged by a module; and checkers that fail, which is never a verdict.
    let result = judged_by(&client, COMPARE, "wasm", &module(HELLO)).await?;
    expect_verdict(&result, "wrong_answer")?;
    for broken in [ENDLESS, "(unreachable)", "(call $nothing)"] {
        let result = judged_by(&client, broken, "bash", "echo four").await?;
        ensure!(
            result["valid"] == false && result["failure"]["class"] == "judge",
            "{broken}: {}",
            short(&result)
        );
    }
    service.terminate().await
}

/// Hears `ask`, says the six bytes of a greeting, and wants to hear them again.
const GREETER: &str = "
    (drop (call $line))
    (call $say (i32.const 64) (i32.const 6))
    (drop (call $line))
    (call $exit (i32.ne (i32.load (i32.const 1024)) (i32.load (i32.const 64))))";

async fn modules_talk_on_either_side() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let talk = |language: &str, source: &str, interactor: Value| {
        json!({
            "language": language, "source": source, "limits": {"wall_time_ms": 3000},
            "problem": {"kind": "stdio", "tests": [{"stdin": "", "stdout": ""}],
                "interactor": interactor},
        })
    };
    let greeter = json!({"language": "wasm", "source": module(GREETER)});
    let polite = "print('ask', flush=True)\nprint(input(), flush=True)\n";
    let result = judge_one(&client, &talk("python", polite, greeter.clone())).await?;
    expect_verdict(&result, "accepted")?;
    let said = result["tests"][0]["transcript"].as_str().context("no transcript")?;
    ensure!(said == "> ask\n< hello\n> hello\n", "{said:?}");
    let rude = "print('ask', flush=True)\ninput()\nprint('what')\n";
    let result = judge_one(&client, &talk("python", rude, greeter.clone())).await?;
    expect_verdict(&result, "wrong_answer")?;
    // The module on the submission's side, against a program and against a module.
    let guest = module(
        "(call $say (i32.const 64) (i32.const 6)) (call $say (i32.const 1024) (call $line))",
    );
    let host = "import sys\ninput()\nprint('good', flush=True)\nsys.exit(input() != 'good')\n";
    let host = json!({"language": "python", "source": host});
    expect_verdict(&judge_one(&client, &talk("wasm", &guest, host)).await?, "accepted")?;
    expect_verdict(&judge_one(&client, &talk("wasm", &guest, greeter.clone())).await?, "accepted")?;
    // Both wait for the other.
    let waits = module("(drop (call $line))");
    let result = judge_one(&client, &talk("wasm", &waits, greeter)).await?;
    expect_verdict(&result, "wall_time_limit_exceeded")?;
    service.terminate().await
}

/// For hosts that allow no namespaces: no slot is made, and the service says what is left.
async fn a_service_of_modules_alone_says_so() -> Result<()> {
    let toml = "wasm_only = true\n".to_owned();
    let service = Service::start_with(ServiceConfig { toml, ..ServiceConfig::default() }).await?;
    let client = service.client();
    let ready = client.get("/readyz").await?.text();
    ensure!(ready.contains("WebAssembly modules alone"), "{ready}");
    ensure!(service.log().contains("WebAssembly modules alone"), "{}", service.log());
    ensure!(process::descendants(service.pid()?).is_empty(), "there are slots");
    let listed = client.get("/v1/languages").await?.json()?;
    let languages = listed["languages"].as_array().context("no languages")?;
    for language in languages {
        let is_wasm = language["name"] == "wasm";
        ensure!(language["available"] == is_wasm, "{language}");
        let says = language["reason"].as_str().unwrap_or_default();
        ensure!(is_wasm || says.contains("WebAssembly modules alone"), "{language}");
    }
    expect_verdict(&judge_one(&client, &submission(HELLO, "hello\n")).await?, "accepted")?;
    let result = judged_by(&client, COMPARE, "wasm", &module(HELLO)).await?;
    expect_verdict(&result, "wrong_answer")?;
    let refused = json!({"language": "python", "source": "x",
        "problem": {"kind": "stdio", "tests": [{"stdout": ""}]}});
    let reply = client.post("/v1/judge", &refused).await?;
    ensure!(reply.status == 422 || reply.status == 400, "{}", reply.text());
    ensure!(reply.text().contains("WebAssembly modules alone"), "{}", reply.text());
    service.terminate().await
}
