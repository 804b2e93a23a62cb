//! A submission that may be judged: parsed once, at the edge.
//!
//! What exists as a [`ValidSubmission`] has a language that the image can run, a program (or the
//! finding that a completion has none), a problem with at least one test, and limits within bounds.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protocol::{Feedback, Limits as WireLimits, OnFlag, Scoring};
use sandbox::Limits;
use sandbox::limits::LIMITS_MIN;

use crate::extract::{self, Extraction};
use crate::language::{Language, LanguageError, Languages};
use crate::limits;
use crate::plan::{Digest, Identity};
use crate::problem::inline::{self, Context, ProblemError};
use crate::problem::{Problem, Task};
use crate::suite::{self, edits};

/// A submission that may be judged.
#[derive(Clone, Debug)]
pub struct ValidSubmission {
    /// Comes back with the result.
    pub id: Option<String>,
    /// Its position in the request.
    pub index: usize,
    /// Its language.
    pub language: Arc<Language>,
    /// Its program.
    pub code: Code,
    /// What the program should do.
    pub problem: Problem,
    /// Limits of each test.
    pub limits: Limits,
    /// Whether the wall time was asked for, and does not follow from something else.
    pub wall_time_is_given: bool,
    /// Bytes of output that a problem may allow.
    pub output_max: sandbox::limits::Bytes,
    /// What follows a test that is not accepted.
    pub after_failure: AfterFailure,
    /// How the reply is made of the judgement.
    pub reply: Reply,
    /// What makes two submissions the same; `None` where it is to be judged anew.
    pub identity: Option<Identity>,
}

/// How the reply is made of a judgement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// What it tells.
    pub feedback: Feedback,
    /// What a flag does to the reward.
    pub on_flag: OnFlag,
    /// What the reward counts.
    pub scoring: Scoring,
}

/// Words in a source by which a program may do something else each time.
const VARYING: [&str; 16] = [
    "rand", "time", "clock", "urandom", "uuid", "Date", "getpid", "thread", "Thread", "async",
    "/proc", "secrets", "hash(", "id(", "environ", "nondet",
];

impl ValidSubmission {
    /// Whether the program may do something else the next time, by the words in it. What it finds so
    /// is judged every time.
    #[must_use]
    pub fn may_vary(&self) -> bool {
        let Some(source) = self.code.source() else { return false };
        let source = String::from_utf8_lossy(&source);
        VARYING.iter().any(|word| source.contains(word))
    }
}

/// The program of a submission.
#[derive(Clone, Debug)]
pub enum Code {
    /// Given as it is.
    Source(Bytes),
    /// Taken out of a completion.
    Completion(Extraction),
}

impl Code {
    /// The program, where there is one.
    #[must_use]
    pub fn source(&self) -> Option<Bytes> {
        match self {
            Self::Source(source) => Some(source.clone()),
            Self::Completion(extraction) => {
                extraction.source.as_ref().map(|source| Bytes::copy_from_slice(source.as_bytes()))
            }
        }
    }
}

/// What follows a test that is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterFailure {
    /// The next test.
    Continue,
    /// The end; the tests that are left are reported as skipped.
    Stop,
}

/// A program to run without judging.
#[derive(Clone, Debug)]
pub struct ValidRun {
    /// Its language.
    pub language: Arc<Language>,
    /// The program.
    pub source: Bytes,
    /// What it reads.
    pub stdin: Bytes,
    /// Its arguments.
    pub args: Vec<String>,
    /// Files in the folder in which it starts.
    pub files: Vec<(String, Bytes)>,
    /// What it may use.
    pub limits: Limits,
}

/// What is wrong with a submission.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SubmissionError {
    /// Its language.
    #[error(transparent)]
    Language(#[from] LanguageError),
    /// It has none.
    #[error("`language` is missing; a program needs it")]
    NoLanguage,
    /// Its problem.
    #[error(transparent)]
    Problem(#[from] ProblemError),
    /// Its program.
    #[error("exactly one of `source` and `completion` must be given, not {given}")]
    Code {
        /// What was given.
        given: &'static str,
    },
    /// A NUL byte where the toolchain cannot take one.
    #[error("`{what}` contains a NUL byte")]
    Nul {
        /// The field.
        what: &'static str,
    },
    /// Something is larger, or there is more of it, than allowed.
    #[error("`{what}` is {value}, at most {max} allowed")]
    TooLarge {
        /// The field.
        what: &'static str,
        /// Its size.
        value: usize,
        /// The bound.
        max: usize,
    },
    /// A limit outside its bounds.
    #[error("limits.{name} is {value}, allowed is {min} to {max}")]
    Limit {
        /// The field.
        name: &'static str,
        /// What was asked for.
        value: u64,
        /// The smallest value allowed.
        min: u64,
        /// The largest value allowed.
        max: u64,
    },
    /// No sound way to prove that assertions ran.
    #[error("assertion programs are not judged in {language:?}")]
    NoAssertions {
        /// The language.
        language: String,
    },
    /// No driver that calls functions.
    #[error("functions are not called in {language:?}")]
    NoCalls {
        /// The language.
        language: String,
    },
    /// No way to join it with a main program.
    #[error("problems with a signature are not judged in {language:?}, but in c and cpp")]
    NoSignature {
        /// The language.
        language: String,
    },
    /// The image has no such test framework.
    #[error("the image has no {framework} for {language:?}")]
    NoFramework {
        /// The language.
        language: String,
        /// What was asked for.
        framework: &'static str,
    },
    /// A path outside the folder of the run.
    #[error("`files`: {reason}")]
    Path {
        /// What is wrong with it.
        reason: String,
    },
}

/// What submissions are checked against.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// The languages of the image.
    pub languages: &'a Languages,
    /// The largest limits that may be asked for.
    pub limits_max: &'a Limits,
    /// The operator's copy of `testlib.h`, where there is one.
    pub testlib: Option<&'a Bytes>,
    /// The operator's folder of repositories, where there is one.
    pub repositories: Option<&'a Path>,
}

impl Rules<'_> {
    /// Checks a submission; `index` is its position in the request.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn submission(
        &self,
        wire: protocol::Submission,
        index: usize,
    ) -> Result<ValidSubmission, SubmissionError> {
        let name = wire.language.as_deref().ok_or(SubmissionError::NoLanguage)?;
        let language = self.languages.find(name, wire.image.as_deref())?;
        if let Some(id) = &wire.id {
            at_most("id", id.len(), limits::ID_BYTES_MAX)?;
        }
        let code = match (wire.source, wire.completion) {
            (Some(source), None) => Code::Source(checked_source("source", source)?),
            (None, Some(completion)) => {
                at_most("completion", completion.len(), limits::SOURCE_BYTES_MAX)?;
                let extraction = if matches!(wire.problem, protocol::Problem::Repository(_)) {
                    extract::extract(&completion, &edits::FENCES.map(str::to_owned))
                } else {
                    extract::extract(&completion, &language.fences)
                };
                if extraction.source.as_ref().is_some_and(|source| source.contains('\0')) {
                    return Err(SubmissionError::Nul { what: "completion" });
                }
                Code::Completion(extraction)
            }
            (None, None) => return Err(SubmissionError::Code { given: "neither" }),
            (Some(_), Some(_)) => return Err(SubmissionError::Code { given: "both" }),
        };
        let limits = self.limits(&suite::limits_for(&wire.problem, wire.limits), &language)?;
        let mut identity = (!wire.fresh).then(|| {
            let mut digest = Digest::new("verdict");
            digest.add(language.toolchain.as_bytes());
            digest.add(&code.source().unwrap_or_default());
            digest.add(format!("{limits:?} {:?} {}", wire.limits, wire.stop_early).as_bytes());
            digest.add(self.testlib.map_or(&[][..], |testlib| testlib));
            digest.add_json(&wire.problem);
            digest.finish()
        });
        let Self { languages, limits_max, testlib, repositories } = *self;
        let context = Context { languages, limits_max, testlib, repositories };
        let problem = inline::read(wire.problem, &context)?;
        if let Task::Suite(suite) = &problem.task {
            // A folder of the operator's may hold something else by now.
            identity = identity.map(|identity| suite.identity(identity));
        }
        check_kind(&problem, &language)?;
        let after_failure =
            if wire.stop_early { AfterFailure::Stop } else { AfterFailure::Continue };
        let reply = Reply { feedback: wire.feedback, on_flag: wire.on_flag, scoring: wire.scoring };
        Ok(ValidSubmission {
            id: wire.id,
            index,
            language,
            code,
            problem,
            limits,
            wall_time_is_given: wire.limits.wall_time_ms.is_some(),
            output_max: limits_max.output,
            after_failure,
            reply,
            identity,
        })
    }

    /// Checks a program to run without judging.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn run(&self, wire: protocol::RunRequest) -> Result<ValidRun, SubmissionError> {
        let language = self.languages.find(&wire.language, wire.image.as_deref())?;
        let source = checked_source("source", wire.source)?;
        at_most("args", wire.args.len(), limits::ARGUMENTS_MAX)?;
        at_most("files", wire.files.len(), limits::RUN_FILES_MAX)?;
        for argument in &wire.args {
            at_most("args", argument.len(), sandbox::limits::ARGUMENT_BYTES_MAX - 1)?;
            if argument.contains('\0') {
                return Err(SubmissionError::Nul { what: "args" });
            }
        }
        let bytes = wire.args.iter().map(String::len).sum();
        at_most("args", bytes, sandbox::limits::ARGUMENTS_BYTES_MAX / 2)?;
        for path in wire.files.keys() {
            sandbox::spec::RelativePath::new(path.as_str())
                .map_err(|error| SubmissionError::Path { reason: error.to_string() })?;
        }
        let limits = self.limits(&wire.limits, &language)?;
        let files = wire.files.into_iter().map(|(path, text)| (path, Bytes::from(text)));
        Ok(ValidRun {
            language,
            source,
            stdin: Bytes::from(wire.stdin),
            args: wire.args,
            files: files.collect(),
            limits,
        })
    }

    fn limits(&self, wire: &WireLimits, language: &Language) -> Result<Limits, SubmissionError> {
        check_limits(wire, self.limits_max)?;
        let mut limits = capped(apply(&Limits::default(), &language.limits), self.limits_max);
        limits = apply(&limits, wire);
        if wire.wall_time_ms.is_none() && wire.cpu_time_ms.is_some() {
            limits.wall_time = wall_time_for(limits.cpu_time).min(self.limits_max.wall_time);
        }
        Ok(limits)
    }
}

/// Whether the language can do what the problem asks for.
fn check_kind(problem: &Problem, language: &Language) -> Result<(), SubmissionError> {
    let name = || language.name.clone();
    match &problem.task {
        Task::Assertions { .. } if language.assertions.is_none() => {
            Err(SubmissionError::NoAssertions { language: name() })
        }
        Task::Calls(_) if language.calls.is_none() => {
            Err(SubmissionError::NoCalls { language: name() })
        }
        Task::Stdio(stdio) if stdio.signature.is_some() && !matches!(&*name(), "c" | "cpp") => {
            Err(SubmissionError::NoSignature { language: name() })
        }
        Task::Suite(suite) => match suite.framework() {
            Some(framework) if !language.suites.contains_key(&framework) => {
                let framework = framework.name();
                Err(SubmissionError::NoFramework { language: name(), framework })
            }
            Some(_) | None => Ok(()),
        },
        Task::Assertions { .. } | Task::Calls(_) | Task::Stdio(_) => Ok(()),
    }
}

/// The wall time of a program whose cpu time alone was given: a guard against waiting, wide enough
/// that a busy machine does not turn it into a verdict.
fn wall_time_for(cpu_time: Duration) -> Duration {
    cpu_time.saturating_mul(3).saturating_add(Duration::from_secs(5))
}

/// `limits`, with those that `wire` gives in their place.
#[must_use]
pub fn apply(limits: &Limits, wire: &WireLimits) -> Limits {
    use sandbox::limits::Bytes;
    let narrow = |value: Option<u64>, default: u32| {
        value.map_or(default, |value| u32::try_from(value).unwrap_or(u32::MAX))
    };
    Limits {
        cpu_time: wire.cpu_time_ms.map_or(limits.cpu_time, Duration::from_millis),
        wall_time: wire.wall_time_ms.map_or(limits.wall_time, Duration::from_millis),
        memory: wire.memory_bytes.map_or(limits.memory, Bytes),
        pids: narrow(wire.pids, limits.pids),
        output: wire.output_bytes.map_or(limits.output, Bytes),
        disk: wire.disk_bytes.map_or(limits.disk, Bytes),
        open_files: narrow(wire.open_files, limits.open_files),
        stack: limits.stack,
    }
}

fn capped(limits: Limits, max: &Limits) -> Limits {
    Limits {
        cpu_time: limits.cpu_time.min(max.cpu_time),
        wall_time: limits.wall_time.min(max.wall_time),
        memory: limits.memory.min(max.memory),
        pids: limits.pids.min(max.pids),
        output: limits.output.min(max.output),
        disk: limits.disk.min(max.disk),
        open_files: limits.open_files.min(max.open_files),
        stack: limits.stack.min(max.stack),
    }
}

/// Checks each limit given in `wire` against what any program needs and what `max` allows.
///
/// # Errors
/// The first limit outside its bounds.
pub fn check_limits(wire: &WireLimits, max: &Limits) -> Result<(), SubmissionError> {
    let milliseconds = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let (low, high) = (&LIMITS_MIN, max);
    let rows = [
        ("cpu_time_ms", wire.cpu_time_ms, milliseconds(low.cpu_time), milliseconds(high.cpu_time)),
        (
            "wall_time_ms",
            wire.wall_time_ms,
            milliseconds(low.wall_time),
            milliseconds(high.wall_time),
        ),
        ("memory_bytes", wire.memory_bytes, low.memory.0, high.memory.0),
        ("pids", wire.pids, u64::from(low.pids), u64::from(high.pids)),
        ("output_bytes", wire.output_bytes, low.output.0, high.output.0),
        ("disk_bytes", wire.disk_bytes, low.disk.0, high.disk.0),
        ("open_files", wire.open_files, u64::from(low.open_files), u64::from(high.open_files)),
    ];
    for (name, value, min, max) in rows {
        if let Some(value) = value.filter(|value| !(min..=max).contains(value)) {
            return Err(SubmissionError::Limit { name, value, min, max });
        }
    }
    Ok(())
}

fn checked_source(what: &'static str, source: String) -> Result<Bytes, SubmissionError> {
    at_most(what, source.len(), limits::SOURCE_BYTES_MAX)?;
    if source.contains('\0') { Err(SubmissionError::Nul { what }) } else { Ok(source.into()) }
}

fn at_most(what: &'static str, value: usize, max: usize) -> Result<(), SubmissionError> {
    if value > max { Err(SubmissionError::TooLarge { what, value, max }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str) -> Result<ValidSubmission, SubmissionError> {
        let languages = Languages::resolve(|path| !path.contains("rustc")).unwrap();
        let rules = Rules {
            languages: &languages,
            limits_max: &limits::PROGRAM_LIMITS_MAX,
            testlib: None,
            repositories: None,
        };
        rules.submission(serde_json::from_str(json).unwrap(), 0)
    }

    fn with(fields: &str) -> Result<ValidSubmission, SubmissionError> {
        check(&format!(r#"{{"problem":{{"kind":"stdio","tests":[{{"stdout":"1"}}]}},{fields}}}"#))
    }

    #[test]
    fn exactly_one_program_is_given() {
        assert!(with(r#""language":"python","source":"x""#).is_ok());
        assert!(with(r#""language":"python","completion":"x""#).is_ok());
        assert!(matches!(
            with(r#""language":"python""#),
            Err(SubmissionError::Code { given: "neither" })
        ));
        assert!(matches!(
            with(r#""language":"python","source":"x","completion":"x""#),
            Err(SubmissionError::Code { given: "both" })
        ));
    }

    #[test]
    fn a_source_with_a_nul_byte_is_refused() {
        let nul = with(r#""language":"python","source":"x\u0000""#);
        assert_eq!(nul.unwrap_err(), SubmissionError::Nul { what: "source" });
        let nul = with(r#""language":"python","completion":"```\nx\u0000\n```""#);
        assert_eq!(nul.unwrap_err(), SubmissionError::Nul { what: "completion" });
    }

    #[test]
    fn limits_are_accepted_at_the_bound_and_refused_beyond_it() {
        let memory = |bytes: u64| {
            with(&format!(
                r#""language":"python","source":"x","limits":{{"memory_bytes":{bytes}}}"#
            ))
        };
        let max = limits::PROGRAM_LIMITS_MAX.memory.0;
        assert_eq!(memory(max).unwrap().limits.memory.0, max);
        assert_eq!(
            memory(max + 1).unwrap_err().to_string(),
            format!("limits.memory_bytes is {}, allowed is {} to {max}", max + 1, 4 << 20)
        );
        assert!(memory(LIMITS_MIN.memory.0).is_ok());
        assert!(memory(LIMITS_MIN.memory.0 - 1).is_err());
        assert!(memory(u64::MAX).is_err());
    }

    #[test]
    fn wall_time_follows_cpu_time_where_it_is_left_out() {
        let limits = |json: &str| {
            with(&format!(r#""language":"python","source":"x","limits":{json}"#)).unwrap().limits
        };
        assert_eq!(limits("{}").wall_time, Limits::default().wall_time);
        assert_eq!(limits(r#"{"cpu_time_ms":10000}"#).wall_time, Duration::from_secs(35));
        let both = limits(r#"{"cpu_time_ms":10000,"wall_time_ms":7}"#);
        assert_eq!(both.wall_time, Duration::from_millis(7));
    }

    #[test]
    fn a_language_brings_its_own_defaults() {
        let java = with(r#""language":"java","source":"x""#).unwrap();
        assert_eq!(java.limits.memory.0, 512 << 20);
        assert!(matches!(
            with(r#""language":"rust","source":"x""#),
            Err(SubmissionError::Language(LanguageError::Unavailable { .. }))
        ));
    }

    #[test]
    fn assertions_are_refused_where_they_cannot_be_proven() {
        let json =
            r#"{"language":"pascal","source":"x","problem":{"kind":"assertions","code":"x"}}"#;
        assert!(matches!(check(json), Err(SubmissionError::NoAssertions { .. })));
    }
}
