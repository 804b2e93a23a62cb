//! The second runtime: a WebAssembly module in place of a process.
//!
//! The same [`RunSpec`] goes in and the same [`Outcome`] comes out. There is no process, no system call
//! and no file of the machine: a module sees its arguments, its environment, standard input, the files
//! that it was given and what it writes, all of it in memory ([`wasi`]). What holds it is wasmtime
//! alone, inside the supervisor; see THREAT_MODEL.md.
//!
//! **Processor time is counted in instructions**, so that the same run ends the same way everywhere:
//! [`FUEL_PER_MILLISECOND`] of them are a millisecond of [`Limits::cpu_time`](crate::Limits::cpu_time). The wall time is watched
//! by a clock that ticks in the engine. Clocks and random numbers that a module asks for are the same
//! in each run.
//!
//! Compiled modules are kept by the digest of their bytes, a bounded number of them.

mod wasi;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes as Buffer;
use sha2::{Digest as _, Sha256};
use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, InstancePre, Linker, Module,
    PoolingAllocationConfig, ResourceLimiter, Store, Trap,
};

use crate::error::Error;
use crate::limits::{Bytes, Limits, SLOTS_MAX};
use crate::outcome::{Captured, Collected, Outcome, Termination, Usage};
use crate::spec::{BOX_DIR, InputFile, RunSpec, WORK_DIR};
use wasi::{Exit, World};

/// Instructions that count as a millisecond of processor time.
pub const FUEL_PER_MILLISECOND: u64 = 1_000_000;
/// Bytes of a module.
const MODULE_BYTES_MAX: usize = 64 << 20;
/// Compiled modules that are kept.
const MODULES_MAX: usize = 64;
/// How often the wall time is looked at.
const TICK: Duration = Duration::from_millis(5);
/// Memory that a module can have at most, whatever its limit says.
const MEMORY_BYTES_MAX: usize = 2 << 30;
/// Stack of calls inside a module, and of the thread that it runs on.
const WASM_STACK_BYTES: usize = 8 << 20;
const THREAD_STACK_BYTES: usize = 16 << 20;
/// What a shell says of a program that it cannot start.
const NO_PROGRAM: i32 = 126;

/// Runs modules. Cheap to clone; all clones are the same runtime.
#[derive(Clone)]
pub struct WasmRuntime(Arc<Inner>);

struct Inner {
    engine: Engine,
    linker: Linker<State>,
    modules: Mutex<Modules>,
}

/// Compiled modules by digest, with the number of their last use.
#[derive(Default)]
struct Modules {
    uses: u64,
    by_digest: HashMap<[u8; 32], (u64, InstancePre<State>)>,
}

/// What belongs to one run.
struct State {
    world: World,
    memory: Memory,
}

/// Watches the memory of one run.
struct Memory {
    bytes_max: usize,
    peak: usize,
    exceeded: bool,
}

impl ResourceLimiter for Memory {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired > self.bytes_max {
            self.exceeded = true;
            return Err(wasmtime::Error::msg("the memory limit"));
        }
        self.peak = self.peak.max(desired);
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= 1 << 16)
    }
}

impl std::fmt::Debug for WasmRuntime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WasmRuntime").finish_non_exhaustive()
    }
}

impl WasmRuntime {
    /// A runtime for as many runs at once as a pool has slots.
    ///
    /// # Errors
    /// The host lacks the address space, or threads.
    pub fn new() -> Result<Self, Error> {
        let failed = |error: wasmtime::Error| Error::io("start wasmtime")(other(&error));
        let mut pooling = PoolingAllocationConfig::default();
        let count = u32::try_from(SLOTS_MAX).unwrap_or(u32::MAX);
        pooling.total_core_instances(count).total_memories(count).total_tables(count);
        pooling.max_memory_size(MEMORY_BYTES_MAX).table_elements(1 << 16);
        pooling.max_unused_warm_slots(64);
        let mut config = Config::new();
        config
            .allocation_strategy(InstanceAllocationStrategy::Pooling(pooling))
            .memory_reservation(MEMORY_BYTES_MAX as u64)
            .consume_fuel(true)
            .epoch_interruption(true)
            .max_wasm_stack(WASM_STACK_BYTES);
        let engine = Engine::new(&config).map_err(failed)?;
        let mut linker = Linker::new(&engine);
        wasi::define(&mut linker).map_err(failed)?;
        let inner = Arc::new(Inner { engine, linker, modules: Mutex::default() });
        let weak = Arc::downgrade(&inner);
        std::thread::Builder::new()
            .name("wasm-clock".to_owned())
            .spawn(move || tick(&weak))
            .map_err(Error::io("start the wasm clock"))?;
        Ok(Self(inner))
    }

    /// Runs a module to its end, on a thread of its own. `argv[0]` names it among the `installed` files
    /// or those of the run. A caller that stops waiting leaves the run to its limits.
    ///
    /// # Errors
    /// No thread can be made. What is wrong with the module is an [`Outcome`].
    pub async fn run(&self, spec: &RunSpec, installed: &[InputFile]) -> Result<Outcome, Error> {
        let (runtime, spec, installed) = (self.clone(), spec.clone(), installed.to_vec());
        let (sender, receiver) = tokio::sync::oneshot::channel();
        std::thread::Builder::new()
            .name("wasm-run".to_owned())
            .stack_size(THREAD_STACK_BYTES)
            .spawn(move || {
                // Nobody waits any more if this fails.
                drop(sender.send(runtime.run_here(&spec, &installed)));
            })
            .map_err(Error::io("start a thread for a module"))?;
        receiver.await.map_err(|_| {
            Error::io("run a module")(std::io::Error::other("its thread ended without an answer"))
        })
    }

    fn run_here(&self, spec: &RunSpec, installed: &[InputFile]) -> Outcome {
        let start = Instant::now();
        let program = spec.argv[0].to_string_lossy();
        let found =
            find(&program, BOX_DIR, installed).or_else(|| find(&program, WORK_DIR, &spec.files));
        let prepared = match found {
            Some(module) => self.prepare(&module),
            None => Err(format!("there is no {program}")),
        };
        match prepared {
            Ok(module) => self.execute(&module, spec, installed, start),
            Err(reason) => not_started(spec, &reason, start),
        }
    }

    /// The compiled module, from the kept ones where it was compiled before.
    fn prepare(&self, module: &Buffer) -> Result<InstancePre<State>, String> {
        if module.len() > MODULE_BYTES_MAX {
            return Err(format!("the module has more than {MODULE_BYTES_MAX} bytes"));
        }
        let digest: [u8; 32] = Sha256::digest(module).into();
        let modules = || self.0.modules.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut modules = modules();
            modules.uses += 1;
            let use_number = modules.uses;
            if let Some((last, kept)) = modules.by_digest.get_mut(&digest) {
                *last = use_number;
                return Ok(kept.clone());
            }
        }
        let text = |error: wasmtime::Error| format!("{error:#}");
        let compiled = Module::from_binary(&self.0.engine, module).map_err(text)?;
        let mut linker = self.0.linker.clone();
        linker.define_unknown_imports_as_traps(&compiled).map_err(text)?;
        let ready = linker.instantiate_pre(&compiled).map_err(text)?;
        let mut modules = modules();
        if modules.by_digest.len() >= MODULES_MAX {
            let oldest = modules.by_digest.iter().min_by_key(|(_, (last, _))| *last);
            if let Some(oldest) = oldest.map(|(digest, _)| *digest) {
                modules.by_digest.remove(&oldest);
            }
        }
        let use_number = modules.uses;
        modules.by_digest.insert(digest, (use_number, ready.clone()));
        Ok(ready)
    }

    fn execute(
        &self,
        module: &InstancePre<State>,
        spec: &RunSpec,
        installed: &[InputFile],
        start: Instant,
    ) -> Outcome {
        let limits = &spec.limits;
        let memory = Memory {
            bytes_max: limits.memory.as_usize().min(MEMORY_BYTES_MAX),
            peak: 0,
            exceeded: false,
        };
        let state = State { world: World::new(spec, installed), memory };
        let mut store = Store::new(&self.0.engine, state);
        store.limiter(|state| &mut state.memory);
        let fuel = fuel_of(limits);
        let ticks = limits.wall_time.as_millis().div_ceil(TICK.as_millis()) + 1;
        store.set_epoch_deadline(u64::try_from(ticks).unwrap_or(u64::MAX >> 1));
        let ended = store
            .set_fuel(fuel)
            .and_then(|()| module.instantiate(&mut store))
            .and_then(|instance| instance.get_typed_func::<(), ()>(&mut store, "_start"))
            .and_then(|begin| begin.call(&mut store, ()));
        let used = fuel.saturating_sub(store.get_fuel().unwrap_or(0));
        let state = store.into_data();
        let termination = termination(ended, &state);
        let micros = used / (FUEL_PER_MILLISECOND / 1000);
        let usage = Usage {
            cpu_time: Duration::from_micros(micros),
            wall_time: start.elapsed(),
            peak_memory: Bytes(state.memory.peak as u64),
        };
        let world = state.world;
        let files = spec.collect.iter().map(|wanted| world.collect(wanted)).collect();
        Outcome { termination, usage, stdout: world.stdout(), stderr: world.stderr(), files }
    }
}

/// Lets the engine's clock tick until the runtime is gone.
fn tick(runtime: &Weak<Inner>) {
    while let Some(runtime) = runtime.upgrade() {
        runtime.engine.increment_epoch();
        drop(runtime);
        std::thread::sleep(TICK);
    }
}

fn other(error: &wasmtime::Error) -> std::io::Error {
    std::io::Error::other(format!("{error:#}"))
}

fn fuel_of(limits: &Limits) -> u64 {
    let micros = u64::try_from(limits.cpu_time.as_micros()).unwrap_or(u64::MAX);
    micros.saturating_mul(FUEL_PER_MILLISECOND / 1000)
}

/// The file that is shown at `path`, if it is below `folder`.
fn find(path: &str, folder: &str, files: &[InputFile]) -> Option<Buffer> {
    let rest = path.strip_prefix(folder)?.strip_prefix('/')?;
    files.iter().find(|file| file.path.as_str() == rest).map(|file| file.content.clone())
}

/// How a call of a module ended, as a process would have.
fn termination(ended: wasmtime::Result<()>, state: &State) -> Termination {
    let error = match ended {
        Ok(()) => return Termination::Exited { code: 0 },
        Err(error) => error,
    };
    if let Some(Exit(code)) = error.downcast_ref::<Exit>() {
        return Termination::Exited { code: *code };
    }
    if state.memory.exceeded {
        return Termination::MemoryLimit;
    }
    if state.world.output_exceeded() {
        return Termination::OutputLimit;
    }
    let signal = match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => return Termination::CpuTimeLimit,
        Some(Trap::Interrupt) => return Termination::WallTimeLimit,
        Some(Trap::IntegerDivisionByZero | Trap::IntegerOverflow) => libc::SIGFPE,
        Some(Trap::MemoryOutOfBounds | Trap::TableOutOfBounds | Trap::StackOverflow) => {
            libc::SIGSEGV
        }
        Some(_) => libc::SIGILL,
        // No module with this start, or a first memory that it cannot have.
        None => return Termination::Exited { code: NO_PROGRAM },
    };
    Termination::Signalled { signal }
}

fn not_started(spec: &RunSpec, reason: &str, start: Instant) -> Outcome {
    let bytes = format!("{reason}\n").into_bytes();
    let kept = bytes.len().min(spec.limits.output.as_usize());
    Outcome {
        termination: Termination::Exited { code: NO_PROGRAM },
        usage: Usage { wall_time: start.elapsed(), ..Usage::default() },
        stdout: Captured::default(),
        stderr: Captured { truncated: kept < bytes.len(), bytes: bytes[..kept].to_vec().into() },
        files: spec.collect.iter().map(|_| Collected::Missing).collect(),
    }
}

#[cfg(test)]
mod tests;
