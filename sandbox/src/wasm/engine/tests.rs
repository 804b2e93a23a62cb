//! What modules may and may not do, in the text format.

use super::*;
use crate::spec::{CollectFile, FileMode, RelativePath};

/// A module whose `_start` has this body, with the calls that the tests use.
fn module(body: &str) -> Buffer {
    let text = format!(
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
          (data (i32.const 80) "answer")
          (data (i32.const 96) "../etc/passwd")
          (func $deep (result i32) (i32.add (call $deep) (i32.const 1)))
          (func (export "_start") {body}))"#
    );
    wat::parse_str(text).unwrap().into()
}

/// Points the buffer list at 0 to `count` bytes at `at`.
fn buffer(at: u32, count: u32) -> String {
    format!(
        "(i32.store (i32.const 0) (i32.const {at})) (i32.store (i32.const 4) (i32.const {count}))"
    )
}

fn hello(descriptor: u32) -> String {
    format!(
        "{} (drop (call $write (i32.const {descriptor}) (i32.const 0) (i32.const 1) (i32.const 8)))",
        buffer(64, 6)
    )
}

fn file(path: &str, content: impl Into<Buffer>) -> InputFile {
    let path = RelativePath::new(path).unwrap();
    InputFile { path, content: content.into(), mode: FileMode::Plain }
}

fn spec() -> RunSpec {
    RunSpec::new(["/box/program.wasm"]).unwrap()
}

async fn run(body: &str, spec: RunSpec) -> Outcome {
    let installed = [file("program.wasm", module(body)), file("answer", "42")];
    WasmRuntime::new().unwrap().run(&spec, &installed).await.unwrap()
}

fn limited(change: impl FnOnce(&mut Limits)) -> RunSpec {
    let mut limits = Limits::default();
    change(&mut limits);
    spec().limits(limits).unwrap()
}

#[tokio::test]
async fn output_and_exit_code_are_those_of_a_process() {
    let outcome =
        run(&format!("{} {} (call $exit (i32.const 7))", hello(1), hello(2)), spec()).await;
    assert_eq!(outcome.termination, Termination::Exited { code: 7 });
    assert_eq!(
        (&outcome.stdout.bytes[..], &outcome.stderr.bytes[..]),
        (&b"hello\n"[..], &b"hello\n"[..])
    );
    assert_eq!(run("", spec()).await.termination, Termination::Exited { code: 0 });
}

#[tokio::test]
async fn instructions_are_limited_and_counted_the_same_each_time() {
    let endless = "(loop $again (br $again))";
    let spec = || limited(|limits| limits.cpu_time = Duration::from_millis(20));
    let outcome = run(endless, spec()).await;
    assert_eq!(outcome.termination, Termination::CpuTimeLimit);
    assert_eq!(outcome.usage.cpu_time, Duration::from_millis(20));
    let count = |rounds: u32| {
        format!(
            "(local $n i32) (loop $again (local.set $n (i32.add (local.get $n) (i32.const 1))) \
             (br_if $again (i32.lt_u (local.get $n) (i32.const {rounds}))))"
        )
    };
    let first = run(&count(100_000), spec()).await;
    assert_eq!(first.termination, Termination::Exited { code: 0 });
    assert_eq!(first.usage.cpu_time, run(&count(100_000), spec()).await.usage.cpu_time);
    assert!(first.usage.cpu_time > run(&count(50_000), spec()).await.usage.cpu_time);
}

#[tokio::test]
async fn the_wall_time_ends_what_the_instructions_allow() {
    let spec = limited(|limits| {
        limits.cpu_time = Duration::from_secs(3600);
        limits.wall_time = Duration::from_millis(30);
    });
    let outcome = run("(loop $again (br $again))", spec).await;
    assert_eq!(outcome.termination, Termination::WallTimeLimit);
}

#[tokio::test]
async fn memory_is_given_up_to_the_limit_and_not_beyond() {
    // 64 KiB at the start; pages of 64 KiB.
    let grow = |pages: u32| format!("(drop (memory.grow (i32.const {pages})))");
    let spec = || limited(|limits| limits.memory = Bytes::mib(4));
    let outcome = run(&grow(63), spec()).await;
    assert_eq!(outcome.termination, Termination::Exited { code: 0 });
    assert_eq!(outcome.usage.peak_memory, Bytes::mib(4));
    assert_eq!(run(&grow(64), spec()).await.termination, Termination::MemoryLimit);
}

#[tokio::test]
async fn output_is_kept_up_to_the_limit_and_not_beyond() {
    let flood = format!("(loop $again {} (br $again))", hello(1));
    let outcome = run(&flood, limited(|limits| limits.output = Bytes(100))).await;
    assert_eq!(outcome.termination, Termination::OutputLimit);
    assert_eq!((outcome.stdout.bytes.len(), outcome.stdout.truncated), (100, true));
}

#[tokio::test]
async fn traps_are_the_signals_of_a_process() {
    let signal = |body: &'static str| async move { run(body, spec()).await.termination };
    assert_eq!(signal("unreachable").await, Termination::Signalled { signal: libc::SIGILL });
    let divide = "(drop (i32.div_s (i32.const 1) (i32.const 0)))";
    assert_eq!(signal(divide).await, Termination::Signalled { signal: libc::SIGFPE });
    let outside = "(i32.store (i32.const 0x7fffffff) (i32.const 1))";
    assert_eq!(signal(outside).await, Termination::Signalled { signal: libc::SIGSEGV });
    let deep = "(drop (call $deep))";
    assert_eq!(signal(deep).await, Termination::Signalled { signal: libc::SIGSEGV });
}

/// Opens `path` below a folder's descriptor and writes what it reads there, or the error as an exit
/// code.
fn show(folder: u32, path: (u32, u32), how: u32) -> String {
    format!(
        "(local $error i32)
         (local.set $error (call $open (i32.const {folder}) (i32.const 0) (i32.const {})
           (i32.const {}) (i32.const {how}) (i64.const 0) (i64.const 0) (i32.const 0)
           (i32.const 16)))
         (if (local.get $error) (then (call $exit (local.get $error))))
         {}
         (drop (call $read (i32.load (i32.const 16)) (i32.const 0) (i32.const 1) (i32.const 8)))
         (i32.store (i32.const 4) (i32.load (i32.const 8)))
         (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))",
        path.0,
        path.1,
        buffer(1024, 100)
    )
}

#[tokio::test]
async fn a_module_sees_the_files_that_it_was_given_and_no_others() {
    let outcome = run(&show(4, (80, 6), 0), spec()).await;
    assert_eq!(&outcome.stdout.bytes[..], b"42", "{outcome:?}");
    for folder in [3, 4, 5] {
        let outcome = run(&show(folder, (96, 13), 0), spec()).await;
        assert_eq!(outcome.termination, Termination::Exited { code: 44 }, "{outcome:?}");
    }
    // What was installed cannot be made anew, and nothing outside of the work folder can be made.
    let outcome = run(&show(4, (80, 6), 8), spec()).await;
    assert_eq!(outcome.termination, Termination::Exited { code: 63 }, "{outcome:?}");
    let outcome = run(&show(5, (64, 5), 1), spec()).await;
    assert_eq!(outcome.termination, Termination::Exited { code: 63 }, "{outcome:?}");
}

#[tokio::test]
async fn what_a_module_writes_is_collected_and_bounded() {
    let path = || RelativePath::new("answer").unwrap();
    let body = format!(
        "(drop (call $open (i32.const 3) (i32.const 0) (i32.const 80) (i32.const 6) (i32.const 1)
           (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 16)))
         {}
         (loop $again
           (br_if $again (i32.eqz (call $write (i32.load (i32.const 16)) (i32.const 0) (i32.const 1)
             (i32.const 8)))))",
        buffer(0, 65_536)
    );
    let collect = |bytes_max| vec![CollectFile { path: path(), bytes_max }];
    let spec = |bytes_max| {
        limited(|limits| limits.disk = Bytes::mib(1)).collect(collect(bytes_max)).unwrap()
    };
    let outcome = run(&body, spec(1 << 20)).await;
    assert!(matches!(&outcome.files[0], Collected::File(bytes) if bytes.len() == 1 << 20));
    assert_eq!(run(&body, spec(100)).await.files[0], Collected::TooLarge);
    assert_eq!(run("", spec(100)).await.files[0], Collected::Missing);
}

#[tokio::test]
async fn what_is_no_module_is_the_programs_fault() {
    let runtime = WasmRuntime::new().unwrap();
    for content in [&b""[..], b"#!/bin/sh\n", b"\0asm\x01\0\0\0garbage"] {
        let installed = [file("program.wasm", content.to_vec())];
        let outcome = runtime.run(&spec(), &installed).await.unwrap();
        assert_eq!(outcome.termination, Termination::Exited { code: NO_PROGRAM });
        assert!(!outcome.stderr.bytes.is_empty());
    }
    let outcome = runtime.run(&spec(), &[]).await.unwrap();
    assert_eq!(outcome.termination, Termination::Exited { code: NO_PROGRAM });
}

#[tokio::test]
async fn a_module_is_compiled_once_and_the_kept_ones_are_bounded() {
    let runtime = WasmRuntime::new().unwrap();
    let kept = || runtime.0.modules.lock().unwrap().by_digest.len();
    for code in 0..MODULES_MAX + 3 {
        let installed = [file("program.wasm", module(&format!("(call $exit (i32.const {code}))")))];
        for _ in 0..2 {
            let outcome = runtime.run(&spec(), &installed).await.unwrap();
            let code = i32::try_from(code).unwrap();
            assert_eq!(outcome.termination, Termination::Exited { code });
        }
        assert_eq!(kept(), (code + 1).min(MODULES_MAX));
    }
}

#[tokio::test]
async fn a_checker_reads_output_and_answer_and_says_by_its_code() {
    // Compares standard input with the file that it was given, byte by byte, up to two bytes.
    let body = format!(
        "(drop (call $open (i32.const 4) (i32.const 0) (i32.const 80) (i32.const 6) (i32.const 0)
           (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 16)))
         {} (drop (call $read (i32.load (i32.const 16)) (i32.const 0) (i32.const 1) (i32.const 8)))
         {} (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
         (call $exit (i32.ne (i32.load16_u (i32.const 1024)) (i32.load16_u (i32.const 2048))))",
        buffer(1024, 2),
        buffer(2048, 2)
    );
    for (output, code) in [("42", 0), ("41", 1), ("", 1)] {
        let outcome = run(&body, spec().stdin(output).unwrap()).await;
        assert_eq!(outcome.termination, Termination::Exited { code }, "{output}");
    }
}
