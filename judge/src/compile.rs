//! The compile stage: a source becomes artifacts, in a slot of its own. What modules are compiled to
//! becomes, in a worker of its own, what the WebAssembly runtime loads.

use sandbox::outcome::{Captured, Collected, Termination, Usage};
use sandbox::spec::{FileMode, InputFile};
use sandbox::{Error, Outcome, RunSpec};

use crate::plan::CompileStage;
use crate::slots::Slots;
use crate::store::Keep;

/// What came of compiling.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The artifacts, or in a sentence why there are none.
    pub artifacts: Result<Vec<InputFile>, String>,
    /// How the compiler ended.
    pub termination: Termination,
    /// What the compiler used.
    pub usage: Usage,
    /// What the compiler wrote to standard output.
    pub stdout: Captured,
    /// What the compiler wrote to standard error.
    pub stderr: Captured,
}

impl Compiled {
    /// Whether the same will come of it again. What met a limit may do better another time.
    #[must_use]
    pub fn keep(&self) -> Keep {
        let bytes = self.stdout.bytes.len() + self.stderr.bytes.len() + 512;
        match &self.artifacts {
            Ok(artifacts) => {
                let size = |file: &InputFile| file.content.len();
                Keep::Bytes(artifacts.iter().map(size).sum::<usize>() + bytes)
            }
            Err(reason) if reason.contains("exit code") => Keep::Bytes(bytes),
            Err(_) => Keep::No,
        }
    }
}

/// Compiles, and then what comes of it where the stage says so.
///
/// # Errors
/// The slot failed; what the compiler says is no error.
pub async fn compile_all(slots: &dyn Slots, stage: &CompileStage) -> Result<Compiled, Error> {
    let first = compile(slots, stage, &stage.spec).await?;
    let (Some(next), Ok(artifacts)) = (&stage.next, &first.artifacts) else { return Ok(first) };
    let spec = next.spec.clone().files(artifacts.clone())?;
    let second = compile(slots, next, &spec).await?;
    Ok(Compiled {
        artifacts: second.artifacts,
        termination: second.termination,
        usage: Usage {
            cpu_time: first.usage.cpu_time + second.usage.cpu_time,
            wall_time: first.usage.wall_time + second.usage.wall_time,
            peak_memory: first.usage.peak_memory.max(second.usage.peak_memory),
        },
        stdout: first.stdout,
        stderr: joined(first.stderr, &second.stderr),
    })
}

fn joined(first: Captured, second: &Captured) -> Captured {
    if second.bytes.is_empty() {
        return first;
    }
    Captured {
        bytes: [&first.bytes[..], &second.bytes].concat().into(),
        truncated: first.truncated || second.truncated,
    }
}

async fn compile(
    slots: &dyn Slots,
    stage: &CompileStage,
    spec: &RunSpec,
) -> Result<Compiled, Error> {
    let mut lease = slots.lease(stage.place()).await?;
    let outcome = lease.run(spec).await?;
    Ok(read(stage, outcome))
}

fn read(stage: &CompileStage, mut outcome: Outcome) -> Compiled {
    let artifacts = match ending(outcome.termination) {
        Some(message) => Err(message),
        None => collect(stage, std::mem::take(&mut outcome.files)),
    };
    let Outcome { termination, usage, stdout, stderr, .. } = outcome;
    Compiled { artifacts, termination, usage, stdout, stderr }
}

/// Why the compiler did not end well.
fn ending(termination: Termination) -> Option<String> {
    Some(match termination {
        Termination::Exited { code: 0 } => return None,
        Termination::Exited { code } => format!("the compiler ended with exit code {code}"),
        Termination::Signalled { signal } => format!("the compiler was ended by signal {signal}"),
        Termination::CpuTimeLimit => "the compiler met its limit of cpu time".into(),
        Termination::WallTimeLimit => "the compiler met its limit of wall time".into(),
        Termination::MemoryLimit => "the compiler met its limit of memory".into(),
        Termination::OutputLimit => "the compiler met its limit of output".into(),
    })
}

fn collect(stage: &CompileStage, files: Vec<Collected>) -> Result<Vec<InputFile>, String> {
    let artifact = |(path, file): (&sandbox::spec::RelativePath, Collected)| match file {
        Collected::File(content) => {
            Ok(InputFile { path: path.clone(), content, mode: FileMode::Executable })
        }
        Collected::Missing => Err(format!("the compiler did not make {}", path.as_str())),
        Collected::TooLarge => Err(format!("the compiled {} is too large", path.as_str())),
    };
    stage.artifacts.iter().zip(files).map(artifact).collect()
}
