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
          (import "wasi_snapshot_preview1" "random_get"
            (func $random (param i32 i32) (result i32)))
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
    RunSpec::new(["/box/program.cwasm"]).unwrap()
}

fn runtime() -> Runtime {
    Runtime::new([7; 32]).unwrap()
}

fn run(body: &str, spec: RunSpec) -> Outcome {
    run_with(body, spec, Streams::default())
}

/// Compiles and runs, with a clock beside the run as a worker has one.
fn run_with(body: &str, spec: RunSpec, streams: Streams) -> Outcome {
    let mut runtime = runtime();
    let artifact = runtime.compile(&module(body)).unwrap();
    let installed = [file("program.cwasm", artifact), file("answer", "42")];
    let engine = runtime.engine();
    let (done, ended) = std::sync::mpsc::channel::<()>();
    let wall_time = spec.limits.wall_time;
    let clock = std::thread::spawn(move || {
        while ended.recv_timeout(wall_time).is_err_and(|it| it.to_string().contains("timed out")) {
            engine.increment_epoch();
        }
    });
    // As deep as a worker's, which modules may use.
    let run = move || runtime.run(&spec, &installed, &Arc::new(streams));
    let thread = std::thread::Builder::new().stack_size(32 << 20).spawn(run).unwrap();
    let outcome = thread.join().unwrap();
    drop(done);
    clock.join().unwrap();
    outcome
}

fn limited(change: impl FnOnce(&mut Limits)) -> RunSpec {
    let mut limits = Limits::default();
    change(&mut limits);
    spec().limits(limits).unwrap()
}

#[test]
fn output_and_exit_code_are_those_of_a_process() {
    let outcome = run(&format!("{} {} (call $exit (i32.const 7))", hello(1), hello(2)), spec());
    assert_eq!(outcome.termination, Termination::Exited { code: 7 });
    assert_eq!(
        (&outcome.stdout.bytes[..], &outcome.stderr.bytes[..]),
        (&b"hello\n"[..], &b"hello\n"[..])
    );
    assert_eq!(run("", spec()).termination, Termination::Exited { code: 0 });
}

#[test]
fn instructions_are_limited_and_counted_the_same_each_time() {
    let endless = "(loop $again (br $again))";
    let spec = || limited(|limits| limits.cpu_time = Duration::from_millis(20));
    let outcome = run(endless, spec());
    assert_eq!(outcome.termination, Termination::CpuTimeLimit);
    assert_eq!(outcome.usage.cpu_time, Duration::from_millis(20));
    let count = |rounds: u32| {
        format!(
            "(local $n i32) (loop $again (local.set $n (i32.add (local.get $n) (i32.const 1))) \
             (br_if $again (i32.lt_u (local.get $n) (i32.const {rounds}))))"
        )
    };
    let first = run(&count(100_000), spec());
    assert_eq!(first.termination, Termination::Exited { code: 0 });
    assert_eq!(first.usage.cpu_time, run(&count(100_000), spec()).usage.cpu_time);
    assert!(first.usage.cpu_time > run(&count(50_000), spec()).usage.cpu_time);
}

#[test]
fn the_wall_time_ends_what_the_instructions_allow() {
    let spec = limited(|limits| {
        limits.cpu_time = Duration::from_secs(3600);
        limits.wall_time = Duration::from_millis(30);
    });
    let outcome = run("(loop $again (br $again))", spec);
    assert_eq!(outcome.termination, Termination::WallTimeLimit);
}

#[test]
fn memory_is_given_up_to_the_limit_and_not_beyond() {
    // 64 KiB at the start; pages of 64 KiB.
    let grow = |pages: u32| format!("(drop (memory.grow (i32.const {pages})))");
    let spec = || limited(|limits| limits.memory = Bytes::mib(4));
    let outcome = run(&grow(63), spec());
    assert_eq!(outcome.termination, Termination::Exited { code: 0 });
    assert_eq!(outcome.usage.peak_memory, Bytes::mib(4));
    assert_eq!(run(&grow(64), spec()).termination, Termination::MemoryLimit);
}

#[test]
fn output_is_kept_up_to_the_limit_and_not_beyond() {
    let flood = format!("(loop $again {} (br $again))", hello(1));
    let outcome = run(&flood, limited(|limits| limits.output = Bytes(100)));
    assert_eq!(outcome.termination, Termination::OutputLimit);
    assert_eq!((outcome.stdout.bytes.len(), outcome.stdout.truncated), (100, true));
}

#[test]
fn traps_are_the_signals_of_a_process() {
    let signal = |body: &str| run(body, spec()).termination;
    assert_eq!(signal("unreachable"), Termination::Signalled { signal: libc::SIGILL });
    let divide = "(drop (i32.div_s (i32.const 1) (i32.const 0)))";
    assert_eq!(signal(divide), Termination::Signalled { signal: libc::SIGFPE });
    let outside = "(i32.store (i32.const 0x7fffffff) (i32.const 1))";
    assert_eq!(signal(outside), Termination::Signalled { signal: libc::SIGSEGV });
    let deep = "(drop (call $deep))";
    assert_eq!(signal(deep), Termination::Signalled { signal: libc::SIGSEGV });
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

#[test]
fn a_module_sees_the_files_that_it_was_given_and_no_others() {
    let outcome = run(&show(4, (80, 6), 0), spec());
    assert_eq!(&outcome.stdout.bytes[..], b"42", "{outcome:?}");
    for folder in [3, 4, 5] {
        let outcome = run(&show(folder, (96, 13), 0), spec());
        assert_eq!(outcome.termination, Termination::Exited { code: 44 }, "{outcome:?}");
    }
    // What was installed cannot be made anew, and nothing outside of the work folder can be made.
    let outcome = run(&show(4, (80, 6), 8), spec());
    assert_eq!(outcome.termination, Termination::Exited { code: 63 }, "{outcome:?}");
    let outcome = run(&show(4, (64, 5), 1), spec());
    assert_eq!(outcome.termination, Termination::Exited { code: 63 }, "{outcome:?}");
}

#[test]
fn what_a_module_writes_is_collected_and_bounded() {
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
    let outcome = run(&body, spec(1 << 20));
    assert!(matches!(&outcome.files[0], Collected::File(bytes) if bytes.len() == 1 << 20));
    assert_eq!(run(&body, spec(100)).files[0], Collected::TooLarge);
    assert_eq!(run("", spec(100)).files[0], Collected::Missing);
}

#[test]
fn what_is_no_module_is_refused_with_a_reason() {
    let runtime = runtime();
    let no_start = wat::parse_str("(module (func (export \"start\")))").unwrap();
    let wants = wat::parse_str("(module (func (export \"_start\") (param i32)))").unwrap();
    for (content, says) in [
        (&b"\0asm\x01\0\0\0garbage"[..], ""),
        (b"#!/bin/sh\n", "expected `(`"),
        (b"(module (func (export \"_start\") nonsense))", "nonsense"),
        (b"AGFzb@@", "base64"),
        (&no_start, "_start"),
        (&wants, "_start"),
    ] {
        let reason = runtime.compile(content).unwrap_err();
        assert!(!reason.is_empty() && reason.contains(says), "{reason}");
        assert!(reason.chars().count() <= REASON_CHARS_MAX);
    }
}

#[test]
fn a_module_is_taken_as_bytes_as_base64_and_as_text() {
    let mut runtime = runtime();
    let text = "(module (func (export \"_start\")))";
    let bytes = wat::parse_str(text).unwrap();
    let base64 = BASE64_STANDARD.encode(&bytes);
    let lines = format!("\n{}\n{}\n", &base64[..8], &base64[8..]);
    for source in [text.as_bytes(), &bytes, base64.as_bytes(), lines.as_bytes()] {
        let installed = [file("program.cwasm", runtime.compile(source).unwrap())];
        let outcome = runtime.run(&spec(), &installed, &Arc::default());
        assert!(outcome.is_success(), "{outcome:?}");
    }
}

/// Loading compiled code means to execute it: only what a holder of the key compiled is loaded.
#[test]
fn foreign_or_changed_code_is_not_loaded() {
    let good = runtime().compile(&module("")).unwrap();
    let mut changed = good.clone();
    *changed.last_mut().unwrap() ^= 1;
    let foreign = Runtime::new([8; 32]).unwrap().compile(&module("")).unwrap();
    let unmarked = good[MARK_BYTES..].to_vec();
    let mut runtime = runtime();
    for (code, loads) in
        [(good, true), (changed, false), (foreign, false), (unmarked, false), (Vec::new(), false)]
    {
        let installed = [file("program.cwasm", code)];
        let outcome = runtime.run(&spec(), &installed, &Arc::default());
        let code = if loads { 0 } else { NO_PROGRAM };
        assert_eq!(outcome.termination, Termination::Exited { code });
        assert_eq!(outcome.stderr.bytes.is_empty(), loads);
    }
    let outcome = runtime.run(&spec(), &[], &Arc::default());
    assert_eq!(outcome.termination, Termination::Exited { code: NO_PROGRAM });
}

#[test]
fn loaded_modules_are_kept_up_to_a_bound() {
    let mut runtime = runtime();
    for code in 0..COMPILED_MAX + 3 {
        let artifact = runtime.compile(&module(&format!("(call $exit (i32.const {code}))")));
        let installed = [file("program.cwasm", artifact.unwrap())];
        for _ in 0..2 {
            let outcome = runtime.run(&spec(), &installed, &Arc::default());
            let code = i32::try_from(code).unwrap();
            assert_eq!(outcome.termination, Termination::Exited { code });
        }
        assert_eq!(runtime.loaded.by_digest.len(), (code + 1).min(COMPILED_MAX));
        let bytes: usize = runtime.loaded.by_digest.values().map(|(_, bytes, _)| bytes).sum();
        assert_eq!(runtime.loaded.bytes, bytes);
    }
}

#[test]
fn the_compiler_is_run_like_a_program() {
    let collect = |path: &str, bytes_max| {
        let path = RelativePath::new(path).unwrap();
        CollectFile { path, bytes_max }
    };
    let compile = |source: Buffer, bytes_max| {
        let spec = RunSpec::new([COMPILER, "a.wat", "a.cwasm"]).unwrap();
        let spec = spec.files(vec![file("a.wat", source)]).unwrap();
        spec.collect(vec![collect("a.cwasm", bytes_max), collect("a.wat", bytes_max)]).unwrap()
    };
    let mut runtime = runtime();
    let outcome = runtime.run(&compile(module(""), 1 << 20), &[], &Arc::default());
    assert!(matches!(&outcome.files[..], [Collected::File(_), Collected::Missing]), "{outcome:?}");
    let outcome = runtime.run(&compile(module(""), 10), &[], &Arc::default());
    assert_eq!(outcome.files[0], Collected::TooLarge);
    let outcome = runtime.run(&compile("nothing".into(), 10), &[], &Arc::default());
    assert_eq!(outcome.termination, Termination::Exited { code: 1 });
    assert!(!outcome.stderr.bytes.is_empty());
}

/// Bytes that calls move cost instructions: one call after the other would else work for nothing.
#[test]
fn what_calls_move_costs_as_if_the_module_had_moved_it() {
    let random = |count: u32| format!("(drop (call $random (i32.const 0) (i32.const {count})))");
    let used = |count| run(&random(count), spec()).usage.cpu_time;
    assert!(used(60_000) >= used(0) + Duration::from_micros(60));
    let spec = limited(|limits| limits.cpu_time = Duration::from_millis(1));
    let body = format!("(loop $again {} (br $again))", random(60_000));
    assert_eq!(run(&body, spec).termination, Termination::CpuTimeLimit);
}

/// Names of files lie in the worker's memory, which the module's limit does not see.
#[test]
fn names_of_files_are_bounded() {
    let open = |length: usize| {
        let name = format!("(memory.fill (i32.const 2048) (i32.const 97) (i32.const {length}))");
        let body = format!(
            "{name} (call $exit (call $open (i32.const 3) (i32.const 0) (i32.const 2048)
               (i32.const {length}) (i32.const 1) (i64.const 0) (i64.const 0) (i32.const 0)
               (i32.const 16)))"
        );
        run(&body, spec()).termination
    };
    let max = crate::limits::PATH_BYTES_MAX;
    assert_eq!(open(max), Termination::Exited { code: 0 });
    assert_eq!(open(max + 1), Termination::Exited { code: 37 });
}

#[test]
fn a_module_talks_through_streams_and_waits_no_longer_than_its_wall_time() {
    use std::io::{Read as _, Write as _};
    let echo = format!(
        "{} (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
         (i32.store (i32.const 4) (i32.load (i32.const 8)))
         (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))",
        buffer(1024, 100)
    );
    let (stdin, mut speak) = std::io::pipe().unwrap();
    let (mut hear, stdout) = std::io::pipe().unwrap();
    let streams = Streams { stdin: Some(stdin.into()), stdout: Some(stdout.into()), stderr: None };
    speak.write_all(b"ping").unwrap();
    let outcome = run_with(&echo, spec(), streams);
    assert!(outcome.is_success() && outcome.stdout.bytes.is_empty(), "{outcome:?}");
    let mut said = String::new();
    hear.read_to_string(&mut said).unwrap();
    assert_eq!(said, "ping");
    // Nobody says anything, and nobody hangs up.
    let (stdin, _silent) = std::io::pipe().unwrap();
    let streams = Streams { stdin: Some(stdin.into()), ..Streams::default() };
    let spec = limited(|limits| limits.wall_time = Duration::from_millis(30));
    assert_eq!(run_with(&echo, spec, streams).termination, Termination::WallTimeLimit);
}

#[test]
fn a_checker_reads_output_and_answer_and_says_by_its_code() {
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
        let outcome = run(&body, spec().stdin(output).unwrap());
        assert_eq!(outcome.termination, Termination::Exited { code }, "{output}");
    }
}
