//! A program as wires give it that leave judging to their clients: source, files, limits of its
//! compiler and of its run.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use protocol::{Limits, RunRequest};
use sandbox::outcome::{Collected, Termination};
use sandbox::spec::{CollectFile, RelativePath};

use super::super::Service;
use super::super::error::ApiError;
use crate::limits::{
    COMPAT_FETCHED_BYTES_MAX, COMPAT_FETCHED_MAX, COMPAT_OUTPUT_BYTES, RUN_FILES_MAX,
};
use crate::plan::{self, RunPlan};
use crate::submission::{self, SubmissionError};

/// A program to run.
#[derive(Clone, Debug, Default)]
pub(super) struct Program {
    /// Its language, in our words.
    pub(super) language: String,
    /// The program.
    pub(super) source: String,
    /// What it reads.
    pub(super) stdin: Bytes,
    /// Its arguments.
    pub(super) args: Vec<String>,
    /// Files beside it.
    pub(super) files: Vec<(String, Bytes)>,
    /// Files to take out afterwards.
    pub(super) fetched: Vec<String>,
    /// What its run may use.
    pub(super) limits: Limits,
    /// What its compiler may use.
    pub(super) compile_limits: Limits,
}

/// What will be run.
///
/// # Errors
/// What is wrong with the program.
pub(super) fn plan(service: &Service, program: Program) -> Result<RunPlan, ApiError> {
    let mut limits = program.limits;
    limits.output_bytes = limits
        .output_bytes
        .or_else(|| Some(COMPAT_OUTPUT_BYTES.0.min(service.limits_max.output.0)));
    let request = RunRequest {
        language: program.language,
        image: None,
        source: program.source,
        stdin: String::new(),
        args: program.args,
        files: std::collections::BTreeMap::new(),
        limits,
    };
    let mut run = service.rules().run(request)?;
    if program.files.len() > RUN_FILES_MAX {
        let (value, max) = (program.files.len(), RUN_FILES_MAX);
        return Err(SubmissionError::TooLarge { what: "files", value, max }.into());
    }
    for (path, _) in &program.files {
        relative(path)?;
    }
    (run.stdin, run.files) = (program.stdin, program.files);
    let spec = |error: sandbox::spec::SpecError| {
        ApiError::unprocessable("too_large", error.to_string(), "send less")
    };
    let mut plan = plan::plan_run(&run).map_err(spec)?;
    plan.spec = plan.spec.collect(collected(program.fetched)?).map_err(spec)?;
    if let Some(stage) = &mut plan.compile {
        submission::check_limits(&program.compile_limits, &service.limits_max)?;
        let mut limits = submission::apply(stage.spec.bounds(), &program.compile_limits);
        if let Some(cpu_time) = program.compile_limits.cpu_time_ms {
            limits.wall_time = wall_time(Duration::from_millis(cpu_time));
        }
        stage.spec = stage.spec.clone().limits(limits).map_err(spec)?;
    }
    Ok(plan)
}

fn collected(paths: Vec<String>) -> Result<Vec<CollectFile>, ApiError> {
    if paths.len() > COMPAT_FETCHED_MAX {
        let (value, max) = (paths.len(), COMPAT_FETCHED_MAX);
        return Err(SubmissionError::TooLarge { what: "fetched files", value, max }.into());
    }
    let one = |path: String| {
        Ok(CollectFile { path: relative(&path)?, bytes_max: COMPAT_FETCHED_BYTES_MAX })
    };
    paths.into_iter().map(one).collect()
}

/// A path inside the folder of the run.
pub(super) fn relative(path: &str) -> Result<RelativePath, ApiError> {
    RelativePath::new(path.strip_prefix("./").unwrap_or(path))
        .map_err(|error| SubmissionError::Path { reason: error.to_string() }.into())
}

/// The time on the clock of a run whose time is given in one number: a guard, wide enough that a busy
/// machine does not make a verdict of it, and short enough that the client still waits for the reply.
pub(super) fn wall_time(time: Duration) -> Duration {
    time.saturating_mul(2).saturating_add(Duration::from_secs(2))
}

/// Limits for a time in seconds; where the cpu may be used so long, the clock is a guard.
///
/// # Errors
/// It is no time.
pub(super) fn time_limits(what: &str, seconds: f64) -> Result<Limits, ApiError> {
    let time = Duration::try_from_secs_f64(seconds).ok().filter(|time| !time.is_zero());
    let Some(time) = time else {
        return Err(ApiError::unprocessable(
            "limit_out_of_range",
            format!("`{what}` is {seconds}"),
            "give a positive number of seconds",
        ));
    };
    let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
    Ok(Limits {
        cpu_time_ms: Some(milliseconds(time)),
        wall_time_ms: Some(milliseconds(wall_time(time))),
        ..Limits::default()
    })
}

/// The bytes that `text` stands for in base64.
///
/// # Errors
/// It is not base64.
pub(super) fn from_base64(what: &str, text: &str) -> Result<Vec<u8>, ApiError> {
    // Line breaks, as command line tools put them in, mean nothing.
    let plain: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD.decode(plain.as_bytes()).map_err(|error| {
        ApiError::unprocessable(
            "invalid_base64",
            format!("`{what}` is not base64: {error}"),
            "use the standard alphabet with padding",
        )
    })
}

/// `bytes` in base64.
pub(super) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Text of bytes that come from a program; what is no UTF-8 is replaced.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Files that were taken out, in base64, by their paths; those that are not there are left out.
pub(super) fn fetched(
    paths: &[String],
    files: &[Collected],
) -> std::collections::BTreeMap<String, String> {
    let found = paths.iter().zip(files).filter_map(|(path, file)| match file {
        Collected::File(content) => Some((path.clone(), to_base64(content))),
        Collected::Missing | Collected::TooLarge => None,
    });
    found.collect()
}

/// Which limit a run met, in words; `None` where it met none.
pub(super) fn limit_met(termination: Termination) -> Option<&'static str> {
    match termination {
        Termination::Exited { .. } | Termination::Signalled { .. } => None,
        Termination::CpuTimeLimit => Some("the program met its limit of cpu time"),
        Termination::WallTimeLimit => Some("the program met its limit of wall time"),
        Termination::MemoryLimit => Some("the program met its limit of memory"),
        Termination::OutputLimit => Some("the program met its limit of output"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_in_seconds_limits_the_cpu_and_guards_the_clock() {
        let limits = time_limits("run_timeout", 10.0).unwrap();
        assert_eq!((limits.cpu_time_ms, limits.wall_time_ms), (Some(10_000), Some(22_000)));
        assert_eq!(time_limits("run_timeout", 0.0001).unwrap().cpu_time_ms, Some(1));
        for seconds in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(time_limits("run_timeout", seconds).is_err(), "{seconds}");
        }
    }

    #[test]
    fn base64_may_be_broken_into_lines_and_nothing_else() {
        assert_eq!(from_base64("x", "YW\nI=\n").unwrap(), b"ab");
        assert!(from_base64("x", "YW?=").is_err());
        assert!(from_base64("x", "YWI").is_err());
    }

    #[test]
    fn paths_stay_inside() {
        assert_eq!(relative("./a/b").unwrap().as_str(), "a/b");
        for path in ["/etc/passwd", "../a", "a/../b", "", "./"] {
            assert!(relative(path).is_err(), "{path}");
        }
    }
}
