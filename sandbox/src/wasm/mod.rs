//! The second runtime: a WebAssembly module in place of a process.
//!
//! The same [`RunSpec`] goes in and the same [`Outcome`] comes out. A module makes no system call and
//! sees no file of the machine: its arguments, its environment, standard input, the files that it was
//! given and what it writes lie in memory (`wasi.rs`).
//!
//! **Modules run in workers**, processes of their own that are started from the program itself, as
//! slots' residents are (`worker.rs`). Two things hold a module: wasmtime, and should that fail, what a
//! worker can do: compute, and answer on its one socket. It has another user where the service is
//! root, no capability, no file, and a filter that lets about thirty system calls through, none of
//! which opens, starts or reaches anything. All of that works without namespaces and without root.
//! Refused: running modules inside the supervisor, which is 0.1 ms faster a run. Compiling a hostile
//! module can take any time and memory, and no thread can be stopped from outside; a process can. And
//! a fault of the compiler would be a fault of the supervisor. Refused too: a worker for each run
//! inside a slot; starting one costs as much as a native process does, and asks for namespaces.
//!
//! **Processor time is counted in instructions**, so that the same run ends the same way everywhere:
//! [`FUEL_PER_MILLISECOND`] of them are a millisecond of [`Limits::cpu_time`](crate::Limits::cpu_time).
//! What a call moves counts too. The wall time is watched by a clock beside the run, and by the
//! supervisor. Clocks and random numbers that a module asks for are the same in each run.
//!
//! **Modules are compiled once**, by running [`COMPILER`] as if it were a program: it reads a module and
//! leaves an artifact, which is run like one. A compiler that meets its limit of time or memory ends
//! its worker; the next is started with the next run.

mod engine;
mod pool;
mod wasi;
pub(crate) mod worker;

pub use pool::{WasmLease, WasmPool};

#[expect(unused_imports, reason = "named in the documentation")]
use crate::{Outcome, RunSpec};

/// Instructions that count as a millisecond of processor time. A unit, not a speed: eleven small C programs
/// took, for each millisecond that they run natively, 0.2 (following pointers through memory) to 36 million
/// (a product of matrices), the median 13 million. So a limit that fits a native program is to be asked for
/// ten times or more as large for a module. Refused: to make this ten times as many. Programs that wait for
/// memory would then be ended by the wall time, which is not the same in each run.
pub const FUEL_PER_MILLISECOND: u64 = 1_000_000;
/// The program that makes an artifact of a module: `COMPILER SOURCE ARTIFACT`, both names of files of
/// the run. The source is a binary module, one in base64, or one in the text format.
pub const COMPILER: &str = "/bin/compile-wasm";
/// What runs modules.
pub const ENGINE: &str = "wasmtime 36";
/// Bytes of a module.
pub const MODULE_BYTES_MAX: usize = 32 << 20;
/// Memory that a module can have at most, whatever its limit says.
pub const MEMORY_BYTES_MAX: usize = 2 << 30;

/// Elements of a module's table of functions.
const TABLE_ELEMENTS_MAX: usize = 1 << 16;
/// Compiled modules that a worker keeps loaded, and their bytes together.
const COMPILED_MAX: usize = 32;
const COMPILED_BYTES_MAX: usize = 256 << 20;

/// What workers of a pool know and nobody else: artifacts are marked with it.
type Key = [u8; 32];
