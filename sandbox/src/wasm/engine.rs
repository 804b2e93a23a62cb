//! Compiles and runs modules, one at a time, in the process that calls: a worker's.
//!
//! Compiled code is an *artifact*: what [`Runtime::compile`] made, behind a mark that only holders of
//! the pool's key can make. Anything else that is offered as one is refused, since loading it means
//! to execute it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes as Buffer;
use sha2::{Digest as _, Sha256};
use wasmtime::{
    Config, Engine, ExternType, InstanceAllocationStrategy, InstancePre, Linker, Module,
    PoolingAllocationConfig, ResourceLimiter, Store, Trap, UpdateDeadline,
};

use super::wasi::{self, Exit, World};
use super::{
    COMPILED_BYTES_MAX, COMPILED_MAX, COMPILER, FUEL_PER_MILLISECOND, Key, MEMORY_BYTES_MAX,
    MODULE_BYTES_MAX, TABLE_ELEMENTS_MAX,
};
use crate::error::Error;
use crate::kernel::code;
use crate::limits::{Bytes, Limits};
use crate::outcome::{Captured, Collected, Outcome, Termination, Usage};
use crate::spec::{BOX_DIR, InputFile, RunSpec, Streams, WORK_DIR};

/// Stack of calls inside a module.
const WASM_STACK_BYTES: usize = 8 << 20;
/// Characters that are told of what is wrong with a module.
const REASON_CHARS_MAX: usize = 4000;
/// What a shell says of a program that it cannot start.
const NO_PROGRAM: i32 = 126;
/// How an artifact begins: the mark.
const MARK_BYTES: usize = 32;

/// Compiles and runs modules.
pub(super) struct Runtime {
    engine: Engine,
    linker: Linker<State>,
    key: Key,
    loaded: Loaded,
}

/// Loaded artifacts by digest, with their size and the number of their last use.
#[derive(Default)]
struct Loaded {
    uses: u64,
    bytes: usize,
    by_digest: HashMap<[u8; 32], (u64, usize, InstancePre<State>)>,
}

/// What belongs to one run.
pub(super) struct State {
    pub(super) world: World,
    memory: Memory,
    deadline: Instant,
}

/// Watches the memory of one run.
struct Memory {
    bytes_max: usize,
    peak: usize,
    exceeded: bool,
}

/// The wall time is over.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the wall time is over")]
pub(super) struct Late;

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
        Ok(desired <= TABLE_ELEMENTS_MAX)
    }
}

fn started(error: &wasmtime::Error) -> Error {
    Error::io("start wasmtime")(std::io::Error::other(format!("{error:#}")))
}

fn reason(error: &wasmtime::Error) -> String {
    format!("{error:#}").chars().take(REASON_CHARS_MAX).collect()
}

impl Runtime {
    /// A runtime for one module at a time.
    pub(super) fn new(key: Key) -> Result<Self, Error> {
        let mut pooling = PoolingAllocationConfig::default();
        pooling.total_core_instances(1).total_memories(1).total_tables(1);
        pooling.max_memory_size(MEMORY_BYTES_MAX).table_elements(TABLE_ELEMENTS_MAX);
        let mut config = Config::new();
        config
            .allocation_strategy(InstanceAllocationStrategy::Pooling(pooling))
            .memory_reservation(MEMORY_BYTES_MAX as u64)
            .consume_fuel(true)
            .epoch_interruption(true)
            .wasm_multi_memory(false)
            .wasm_memory64(false)
            .max_wasm_stack(WASM_STACK_BYTES);
        let engine = Engine::new(&config).map_err(|error| started(&error))?;
        let mut linker = Linker::new(&engine);
        wasi::define(&mut linker).map_err(|error| started(&error))?;
        Ok(Self { engine, linker, key, loaded: Loaded::default() })
    }

    /// What the clock moves on at a run's wall time.
    pub(super) fn engine(&self) -> Engine {
        self.engine.clone()
    }

    /// Runs the compiler or an artifact. `argv[0]` names it among the `installed` files or those of the
    /// run. Who keeps `streams` keeps them open after its end.
    pub(super) fn run(
        &mut self,
        spec: &RunSpec,
        installed: &[InputFile],
        streams: &Arc<Streams>,
    ) -> Outcome {
        let start = Instant::now();
        let program = spec.argv[0].to_string_lossy();
        if program == COMPILER {
            return self.compile_files(spec, start);
        }
        let found =
            find(&program, BOX_DIR, installed).or_else(|| find(&program, WORK_DIR, &spec.files));
        let loaded = match found {
            Some(artifact) => self.load(&artifact),
            None => Err(format!("there is no {program}")),
        };
        match loaded {
            Ok(module) => self.execute(&module, spec, (installed, streams), start),
            Err(reason) => not_started(spec, NO_PROGRAM, &reason, start),
        }
    }

    /// `COMPILER SOURCE ARTIFACT`: the source is a file of the run, the artifact is collected.
    fn compile_files(&self, spec: &RunSpec, start: Instant) -> Outcome {
        let arguments: Vec<_> = spec.argv.iter().map(|it| it.to_string_lossy()).collect();
        let compiled = match &arguments[..] {
            [_, source, _] => find(&format!("{WORK_DIR}/{source}"), WORK_DIR, &spec.files)
                .ok_or_else(|| format!("there is no {source}"))
                .and_then(|source| self.compile(&source)),
            _ => Err(format!("usage: {COMPILER} SOURCE ARTIFACT")),
        };
        let artifact: Buffer = match compiled {
            Ok(artifact) => artifact.into(),
            Err(reason) => return not_started(spec, 1, &reason, start),
        };
        let collect = |wanted: &crate::spec::CollectFile| {
            if arguments.last().is_none_or(|made| *made != wanted.path.as_str()) {
                Collected::Missing
            } else if artifact.len() as u64 > wanted.bytes_max {
                Collected::TooLarge
            } else {
                Collected::File(artifact.clone())
            }
        };
        Outcome {
            termination: Termination::Exited { code: 0 },
            usage: Usage { wall_time: start.elapsed(), ..Usage::default() },
            stdout: Captured::default(),
            stderr: Captured::default(),
            files: spec.collect.iter().map(collect).collect(),
        }
    }

    /// Makes an artifact of a module: binary, in base64, or in the text format.
    pub(super) fn compile(&self, source: &[u8]) -> Result<Vec<u8>, String> {
        let module = binary(source)?;
        if module.len() > MODULE_BYTES_MAX {
            return Err(format!("the module has more than {MODULE_BYTES_MAX} bytes"));
        }
        let module = Module::from_binary(&self.engine, &module).map_err(|error| reason(&error))?;
        match module.get_export("_start") {
            Some(ExternType::Func(start))
                if start.params().len() == 0 && start.results().len() == 0 => {}
            Some(_) | None => {
                return Err("the module exports no function _start without parameters and \
                            results: only WASI commands can be run"
                    .to_owned());
            }
        }
        let code = module.serialize().map_err(|error| reason(&error))?;
        Ok([&self.mark(&code)[..], &code].concat())
    }

    /// What only a holder of the key can say of code.
    fn mark(&self, code: &[u8]) -> [u8; MARK_BYTES] {
        let digest = Sha256::digest(code);
        Sha256::new().chain_update(self.key).chain_update(digest).finalize().into()
    }

    /// The module of an artifact, from the loaded ones where it was used before.
    fn load(&mut self, artifact: &Buffer) -> Result<InstancePre<State>, String> {
        let foreign = || "this is no compiled module of this service".to_owned();
        let (mark, code) = artifact.split_at_checked(MARK_BYTES).ok_or_else(foreign)?;
        let digest = self.mark(code);
        if digest != mark {
            return Err(foreign());
        }
        self.loaded.uses += 1;
        let number = self.loaded.uses;
        if let Some((last, _, kept)) = self.loaded.by_digest.get_mut(&digest) {
            *last = number;
            return Ok(kept.clone());
        }
        let module = code::load_module(&self.engine, code).map_err(|error| reason(&error))?;
        let mut linker = self.linker.clone();
        linker.define_unknown_imports_as_traps(&module).map_err(|error| reason(&error))?;
        let ready = linker.instantiate_pre(&module).map_err(|error| reason(&error))?;
        self.loaded.insert(digest, code.len(), ready.clone());
        Ok(ready)
    }

    fn execute(
        &self,
        module: &InstancePre<State>,
        spec: &RunSpec,
        (installed, streams): (&[InputFile], &Arc<Streams>),
        start: Instant,
    ) -> Outcome {
        let limits = &spec.limits;
        let memory = Memory {
            bytes_max: limits.memory.as_usize().min(MEMORY_BYTES_MAX),
            peak: 0,
            exceeded: false,
        };
        let deadline = start + limits.wall_time;
        let world = World::new(spec, installed, Arc::clone(streams), deadline);
        let mut store = Store::new(&self.engine, State { world, memory, deadline });
        store.limiter(|state| &mut state.memory);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|store| {
            // The clock may have moved on for a run that has just ended.
            if Instant::now() < store.data().deadline {
                return Ok(UpdateDeadline::Continue(1));
            }
            Err(Late.into())
        });
        let fuel = fuel_of(limits);
        let ended = store
            .set_fuel(fuel)
            .and_then(|()| module.instantiate(&mut store))
            .and_then(|instance| instance.get_typed_func::<(), ()>(&mut store, "_start"))
            .and_then(|begin| begin.call(&mut store, ()));
        let used = fuel.saturating_sub(store.get_fuel().unwrap_or(0));
        let mut state = store.into_data();
        let termination = termination(ended, &mut state);
        let usage = Usage {
            cpu_time: Duration::from_micros(used / (FUEL_PER_MILLISECOND / 1000)),
            wall_time: start.elapsed(),
            peak_memory: Bytes(state.memory.peak as u64),
        };
        let world = state.world;
        let files = spec.collect.iter().map(|wanted| world.collect(wanted)).collect();
        Outcome { termination, usage, stdout: world.stdout(), stderr: world.stderr(), files }
    }
}

impl Loaded {
    fn insert(&mut self, digest: [u8; 32], bytes: usize, module: InstancePre<State>) {
        while self.by_digest.len() >= COMPILED_MAX || self.bytes + bytes > COMPILED_BYTES_MAX {
            let oldest = self.by_digest.iter().min_by_key(|(_, (last, ..))| *last);
            let Some(oldest) = oldest.map(|(digest, _)| *digest) else { break };
            if let Some((_, bytes, _)) = self.by_digest.remove(&oldest) {
                self.bytes -= bytes;
            }
        }
        self.bytes += bytes;
        self.by_digest.insert(digest, (self.uses, bytes, module));
    }
}

/// A module's bytes, by what the source begins with.
fn binary(source: &[u8]) -> Result<Vec<u8>, String> {
    /// How every binary module begins, and the same in base64 as far as it is fixed.
    const MAGIC: (&[u8], &[u8]) = (b"\0asm", b"AGFzb");
    if source.starts_with(MAGIC.0) {
        return Ok(source.to_vec());
    }
    let text = source.trim_ascii();
    if text.starts_with(MAGIC.1) {
        let text: Vec<u8> = text.iter().copied().filter(|it| !it.is_ascii_whitespace()).collect();
        return BASE64_STANDARD.decode(text).map_err(|error| format!("base64: {error}"));
    }
    wat::parse_bytes(source).map(std::borrow::Cow::into_owned).map_err(|error| {
        let reason = error.to_string();
        reason.chars().take(REASON_CHARS_MAX).collect()
    })
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
fn termination(ended: wasmtime::Result<()>, state: &mut State) -> Termination {
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
    if error.downcast_ref::<Late>().is_some() {
        return Termination::WallTimeLimit;
    }
    let trap = error.downcast_ref::<Trap>();
    if trap != Some(&Trap::OutOfFuel) {
        // Which trap, and where.
        state.world.explain(&reason(&error));
    }
    let signal = match trap {
        Some(Trap::OutOfFuel) => return Termination::CpuTimeLimit,
        Some(Trap::IntegerDivisionByZero | Trap::IntegerOverflow) => libc::SIGFPE,
        Some(Trap::MemoryOutOfBounds | Trap::TableOutOfBounds | Trap::StackOverflow) => {
            libc::SIGSEGV
        }
        Some(_) => libc::SIGILL,
        // A first memory that it cannot have, or a call that there is not.
        None => return Termination::Exited { code: NO_PROGRAM },
    };
    Termination::Signalled { signal }
}

fn not_started(spec: &RunSpec, code: i32, reason: &str, start: Instant) -> Outcome {
    let bytes = format!("{reason}\n").into_bytes();
    let kept = bytes.len().min(spec.limits.output.as_usize());
    Outcome {
        termination: Termination::Exited { code },
        usage: Usage { wall_time: start.elapsed(), ..Usage::default() },
        stdout: Captured::default(),
        stderr: Captured { truncated: kept < bytes.len(), bytes: bytes[..kept].to_vec().into() },
        files: spec.collect.iter().map(|_| Collected::Missing).collect(),
    }
}

#[cfg(test)]
mod tests;
