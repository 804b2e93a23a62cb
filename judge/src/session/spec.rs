//! `POST /v1/sessions` as valid facts: what runs where, under which limits, for how long.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protocol::{Limits as WireLimits, OpenRequest};
use sandbox::limits::LIMITS_MAX;
use sandbox::spec::{BOX_DIR, FileMode, InputFile, RelativePath, SpecError};
use sandbox::warm::Warmup;
use sandbox::{Image, Limits, RunSpec};

use super::dialogue::{Lines, Protocol, Shell};
use crate::language::{Language, LanguageError, Languages};
use crate::limits::{
    SESSION_IDLE_TIME, SESSION_IDLE_TIME_MAX, SESSION_LIMITS, SESSION_TIME_MIN,
    SESSION_TIME_TO_LIVE, SESSION_TIME_TO_LIVE_MAX,
};
use crate::plan::{environment, input_files, preload};
use crate::problem::files::{self, FilesError};
use crate::submission::{SubmissionError, apply, check_limits};
use crate::tenants::Tenant;

const PYTHON_ENGINE: &str = include_str!("../drivers/session/python.py");
/// Its name as a module, which a warm interpreter has loaded, and the program that calls it.
const PYTHON_MODULE: &str = "session_engine";
const PYTHON_PROGRAM: &str = "import session_engine\nsession_engine.main()\n";
const KERNEL_ENGINE: &str = include_str!("../drivers/session/kernel.py");

/// Bytes of a kernel's name.
const KERNEL_NAME_BYTES_MAX: usize = 64;

/// Why a session cannot be opened.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OpenError {
    /// What it is to run, or a limit.
    #[error(transparent)]
    Submission(#[from] SubmissionError),
    /// There is no engine for the language.
    #[error("sessions in {name} are not supported")]
    NoEngine {
        /// The language.
        name: String,
    },
    /// Both a language and a kernel, or a kernel's name that cannot be one.
    #[error("{reason}")]
    Kernel {
        /// What is wrong.
        reason: &'static str,
    },
    /// A time that is too short or too long.
    #[error("{name} is {value}, allowed is {min} to {max}")]
    Time {
        /// The field.
        name: &'static str,
        /// What was asked for.
        value: u64,
        /// The shortest.
        min: u64,
        /// The longest.
        max: u64,
    },
    /// A file that cannot be.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// What the sandbox says of it.
    #[error(transparent)]
    Spec(#[from] SpecError),
}

/// Which program runs the cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Engine {
    /// A Python interpreter with a small program of ours.
    Python,
    /// A Bash.
    Bash,
    /// A Jupyter kernel, and a small program of ours that speaks for it.
    Kernel(String),
}

impl Engine {
    /// Its name for clients.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Python => "python",
            Self::Bash => "bash",
            Self::Kernel(name) => name,
        }
    }

    /// Its kind for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Bash => "bash",
            Self::Kernel(_) => "kernel",
        }
    }

    /// How it is spoken to. `word` is what it cannot guess.
    #[must_use]
    pub fn protocol(&self, word: &str) -> Protocol {
        match self {
            Self::Python | Self::Kernel(_) => Protocol::Lines(Lines::default()),
            Self::Bash => Protocol::Shell(Shell::new(word)),
        }
    }
}

/// A session as it is to be opened.
#[derive(Clone, Debug)]
pub struct ValidSession {
    /// Whose it is: nobody else sees it.
    pub owner: Arc<Tenant>,
    /// What runs the cells.
    pub engine: Engine,
    /// What its slot shows; `None` for what slots show where none is named.
    pub image: Option<Image>,
    /// The engine's program.
    pub spec: RunSpec,
    /// What is installed for it.
    pub installed: Vec<InputFile>,
    /// What is put into its folder.
    pub files: Vec<InputFile>,
    /// Processor time, wall time and output of a cell; the rest of the session.
    pub limits: Limits,
    /// How long it lives at most.
    pub time_to_live: Duration,
    /// How long it lives when nobody asks anything of it.
    pub idle_time: Duration,
}

/// What a session is checked against.
#[derive(Clone, Copy, Debug)]
pub struct SessionRules<'a> {
    /// What there is to run.
    pub languages: &'a Languages,
    /// The largest limits that may be asked for.
    pub limits_max: &'a Limits,
}

impl SessionRules<'_> {
    /// Checks a request.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn session(&self, request: OpenRequest) -> Result<ValidSession, OpenError> {
        let (engine, language) = self.engine(&request)?;
        check_limits(&request.limits, self.limits_max)?;
        let limits = apply(&SESSION_LIMITS, &request.limits);
        let time_to_live = time(
            "time_to_live_ms",
            request.time_to_live_ms,
            SESSION_TIME_TO_LIVE,
            SESSION_TIME_TO_LIVE_MAX,
        )?;
        let idle_time =
            time("idle_time_ms", request.idle_time_ms, SESSION_IDLE_TIME, SESSION_IDLE_TIME_MAX)?;
        let files = request.files.into_iter().map(|(name, content)| {
            let content = files::decode(&name, content)?;
            Ok::<_, OpenError>((name, content))
        });
        let files = input_files(&files.collect::<Result<Vec<_>, _>>()?)?;
        sandbox::spec::check_files(&files)?;
        let (argv, installed) = program(&engine, &language)?;
        // Cells have limits of their own, which the service watches; these are the net below them.
        let whole = Limits { cpu_time: LIMITS_MAX.cpu_time, wall_time: time_to_live, ..limits };
        let spec = RunSpec::new(argv)?.env(variables(&engine, &language))?.limits(whole)?;
        let image = language.image.clone();
        Ok(ValidSession {
            owner: Arc::new(Tenant::open()),
            engine,
            image,
            spec,
            installed,
            files,
            limits,
            time_to_live,
            idle_time,
        })
    }

    fn engine(&self, request: &OpenRequest) -> Result<(Engine, Arc<Language>), OpenError> {
        let image = request.image.as_deref();
        let find = |name: &str| {
            let found = self.languages.find(name, image);
            found.map_err(|error: LanguageError| OpenError::Submission(error.into()))
        };
        match (&request.kernel, &request.language) {
            (Some(_), Some(_)) => {
                Err(OpenError::Kernel { reason: "give `language` or `kernel`, not both" })
            }
            (Some(kernel), None) => {
                let plain = |c: char| c.is_ascii_alphanumeric() || "._-+".contains(c);
                let is_name = !kernel.is_empty()
                    && kernel.len() <= KERNEL_NAME_BYTES_MAX
                    && !kernel.starts_with('-')
                    && kernel.chars().all(plain);
                if !is_name {
                    return Err(OpenError::Kernel { reason: "`kernel` is no name of a kernel" });
                }
                // What speaks for a kernel is a Python program.
                Ok((Engine::Kernel(kernel.clone()), find("python")?))
            }
            (None, language) => {
                let language = find(language.as_deref().unwrap_or("python"))?;
                match language.name.as_str() {
                    "python" => Ok((Engine::Python, language)),
                    "bash" => Ok((Engine::Bash, language)),
                    name => Err(OpenError::NoEngine { name: name.to_owned() }),
                }
            }
        }
    }
}

fn time(
    name: &'static str,
    value: Option<u64>,
    default: Duration,
    max: Duration,
) -> Result<Duration, OpenError> {
    let Some(value) = value else { return Ok(default) };
    let wanted = Duration::from_millis(value);
    if wanted >= SESSION_TIME_MIN && wanted <= max {
        return Ok(wanted);
    }
    let [min, max] =
        [SESSION_TIME_MIN, max].map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    Err(OpenError::Time { name, value, min, max })
}

/// Argv of an engine, and the files that it is made of.
fn program(
    engine: &Engine,
    language: &Language,
) -> Result<(Vec<String>, Vec<InputFile>), OpenError> {
    let interpreter = language.recipe.run.first().cloned().unwrap_or_default();
    let source = |name: &str, text: &'static str| {
        let content = Bytes::from_static(text.as_bytes());
        Ok::<_, SpecError>(InputFile {
            path: RelativePath::new(name)?,
            content,
            mode: FileMode::Plain,
        })
    };
    let (arguments, files) = match engine {
        Engine::Python => {
            let module = source(&format!("{PYTHON_MODULE}.py"), PYTHON_ENGINE)?;
            (vec!["/box/session.py"], vec![source("session.py", PYTHON_PROGRAM)?, module])
        }
        Engine::Kernel(name) => {
            (vec!["/box/kernel.py", name], vec![source("kernel.py", KERNEL_ENGINE)?])
        }
        Engine::Bash => (vec!["--norc", "--noprofile", "--noediting", "-i"], Vec::new()),
    };
    let arguments = arguments.into_iter().map(str::to_owned);
    Ok((std::iter::once(interpreter).chain(arguments).collect(), files))
}

/// Python sessions of a language that can be started from a warm interpreter: those of Python itself.
#[must_use]
pub fn warmup(language: &Language) -> Option<Warmup> {
    if language.name != "python" || language.warm.is_empty() {
        return None;
    }
    let (argv, _) = program(&Engine::Python, language).ok()?;
    let preload = preload(language).into_iter().chain([PYTHON_MODULE.to_owned()]).collect();
    let env = variables(&Engine::Python, language);
    Some(Warmup { argv, env, preload, folder: Some(BOX_DIR.to_owned()) })
}

/// Where caches and settings go, so that they are not among the files of the session.
fn variables(engine: &Engine, language: &Language) -> Vec<String> {
    let own: &[&str] = match engine {
        Engine::Python => {
            &["MPLCONFIGDIR=/tmp/matplotlib", "MPLBACKEND=module://__session_plots__"]
        }
        Engine::Bash => &["PS1="],
        Engine::Kernel(_) => &[
            "MPLCONFIGDIR=/tmp/matplotlib",
            "IPYTHONDIR=/tmp/ipython",
            "JUPYTER_RUNTIME_DIR=/tmp/jupyter",
            "JUPYTER_DATA_DIR=/tmp/jupyter",
            "JUPYTER_CONFIG_DIR=/tmp/jupyter",
            "PYDEVD_DISABLE_FILE_VALIDATION=1",
        ],
    };
    let name = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let mut variables = environment(language);
    // A kernel chooses how it shows plots; an image may say otherwise for programs.
    variables.retain(|entry| {
        let entry = name(entry);
        entry != "MPLBACKEND" && !own.iter().any(|own| name(own) == entry)
    });
    variables.extend(own.iter().map(|&entry| entry.to_owned()));
    variables
}

/// The limits of a session on the wire.
#[must_use]
pub fn limits_to_wire(limits: &Limits) -> WireLimits {
    let milliseconds =
        |duration: Duration| Some(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
    WireLimits {
        cpu_time_ms: milliseconds(limits.cpu_time),
        wall_time_ms: milliseconds(limits.wall_time),
        memory_bytes: Some(limits.memory.0),
        pids: Some(limits.pids.into()),
        output_bytes: Some(limits.output.0),
        disk_bytes: Some(limits.disk.0),
        open_files: Some(limits.open_files.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::PROGRAM_LIMITS_MAX;

    fn session(json: &str) -> Result<ValidSession, String> {
        let languages = Languages::resolve(|_| true).unwrap();
        let rules = SessionRules { languages: &languages, limits_max: &PROGRAM_LIMITS_MAX };
        let request = serde_json::from_str(json).map_err(|error| error.to_string())?;
        rules.session(request).map_err(|error| error.to_string())
    }

    #[test]
    fn python_is_the_default_and_limits_are_those_of_a_cell() {
        let session = session(r#"{"limits":{"cpu_time_ms":500}}"#).unwrap();
        assert_eq!(session.engine, Engine::Python);
        assert_eq!(session.limits.cpu_time, Duration::from_millis(500));
        assert_eq!(session.limits.memory, SESSION_LIMITS.memory);
        assert_eq!(session.spec.bounds().cpu_time, LIMITS_MAX.cpu_time);
        assert_eq!(session.spec.bounds().wall_time, session.time_to_live);
    }

    #[test]
    fn no_variable_is_there_twice() {
        for json in ["{}", r#"{"language":"bash"}"#, r#"{"kernel":"k"}"#] {
            let valid = session(json).unwrap();
            let languages = Languages::resolve(|_| true).unwrap();
            let language = languages.find("python", None).unwrap();
            let variables = variables(&valid.engine, &language);
            let names: std::collections::BTreeSet<_> =
                variables.iter().map(|entry| entry.split('=').next().unwrap()).collect();
            assert_eq!(names.len(), variables.len(), "{variables:?}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for json in [
            r#"{"language":"cobol"}"#,
            r#"{"language":"c"}"#,
            r#"{"language":"python","kernel":"python3"}"#,
            r#"{"kernel":""}"#,
            r#"{"kernel":"--help"}"#,
            r#"{"kernel":"a b"}"#,
            r#"{"image":"nowhere"}"#,
            r#"{"limits":{"memory_bytes":1}}"#,
            r#"{"time_to_live_ms":0}"#,
            r#"{"time_to_live_ms":86400001}"#,
            r#"{"idle_time_ms":999}"#,
            r#"{"files":{"../x":"y"}}"#,
            r#"{"files":{"x":{"base64":"?"}}}"#,
            r#"{"languages":"python"}"#,
        ] {
            assert!(session(json).is_err(), "{json} was accepted");
        }
        let kernel = session(r#"{"kernel":"python3","time_to_live_ms":1000}"#).unwrap();
        assert_eq!(kernel.engine, Engine::Kernel("python3".to_owned()));
    }
}
