//! Assertion programs: which files and what input make a driver run them. Pure.
//!
//! The driver of each language (in `drivers/`) gets the secret on standard input. The answers in
//! the assertion program come that way too, or are compiled in, but are no file that a program
//! finds in its slot.

use bytes::Bytes;
use sandbox::spec::Memory;

use crate::grade::Secret;
use crate::language::Driver;

const PYTHON: &str = concat!(include_str!("drivers/guard.py"), include_str!("drivers/driver.py"));
const JAVASCRIPT: &str = include_str!("drivers/driver.js");
/// What no candidate in Node may use, in a file of its own that its threads begin with.
pub(crate) const DOORS: &str = include_str!("drivers/doors.js");
const LOADER: &str = include_str!("drivers/loader.c");
const C_SEAM: &str = include_str!("drivers/seam.h");
const C_TAIL: &str = include_str!("drivers/tail.h");
const RUST_SEAM: &str = include_str!("drivers/seam.rs");
const RUST_TAIL: &str = include_str!("drivers/tail.rs");
const JAVA: &str = include_str!("drivers/Driver.java");

impl Driver {
    /// Who may open the memory of a run, which holds the secret or has a process that does.
    #[must_use]
    pub fn memory(self) -> Memory {
        match self {
            Self::Javascript | Self::Java | Self::ExitCode => Memory::Closed,
            // It closes its own, as what starts warm must.
            Self::Python => Memory::Own,
            // Machine code reads its memory without opening it; the others know the secret anyway.
            Self::Native | Self::Rust | Self::Joined => Memory::Own,
        }
    }
}

/// What a driver needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assembly {
    /// Files beside the source at compile time, or in the box where nothing is compiled.
    pub files: Vec<(String, Bytes)>,
    /// Standard input of the run.
    pub stdin: Bytes,
}

/// What is joined.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// The candidate's program.
    pub source: &'a [u8],
    /// Its file name.
    pub source_name: &'a str,
    /// The assertion program.
    pub assertions: &'a str,
    /// What the language puts after both, to pass the secret on.
    pub epilogue: &'a str,
}

/// Values that nobody knows before the run.
#[derive(Clone, Debug)]
pub struct Secrets {
    /// What the driver writes at the end.
    pub proof: Secret,
    /// Name of the function that runs the assertions, where the driver needs one.
    pub entry: Secret,
}

impl Secrets {
    /// The entry as an identifier.
    #[must_use]
    pub fn entry_name(&self) -> String {
        format!("assay_{}", self.entry.as_str())
    }
}

/// Joins a candidate and its assertions for `driver`.
#[must_use]
pub fn assemble(driver: Driver, parts: Parts<'_>, secrets: &Secrets) -> Assembly {
    let source = |content: Bytes| (parts.source_name.to_owned(), content);
    let file =
        |name: &str, text: &'static str| (name.to_owned(), Bytes::from_static(text.as_bytes()));
    let interpreted = |drivers: &[(&str, &'static str)]| Assembly {
        files: std::iter::once(source(Bytes::copy_from_slice(parts.source)))
            .chain(drivers.iter().map(|(name, text)| file(name, text)))
            .collect(),
        stdin: format!("{}\n{}", secrets.proof.as_str(), parts.assertions).into(),
    };
    let entry = secrets.entry_name();
    let native = |seam: String, tail: &str| Assembly {
        files: vec![
            source(joined(parts, &[&seam, parts.assertions, tail])),
            file("loader.c", LOADER),
        ],
        stdin: format!("{} {entry}\n", secrets.proof.as_str()).into(),
    };
    match driver {
        Driver::Python => interpreted(&[("driver.py", PYTHON)]),
        Driver::Javascript => interpreted(&[("driver.js", JAVASCRIPT), ("doors.js", DOORS)]),
        Driver::Native => {
            let extension = parts.source_name.rsplit('.').next().unwrap_or("c");
            let seam = C_SEAM.replace("ENTRY", &entry);
            let line = format!("{seam}#line 1 \"assertions.{extension}\"\n");
            native(line, &C_TAIL.replace("ENTRY", &entry))
        }
        Driver::Rust => native(RUST_SEAM.to_owned(), &RUST_TAIL.replace("ENTRY", &entry)),
        Driver::Joined | Driver::ExitCode => Assembly {
            files: vec![source(joined(parts, &["\n", parts.assertions, "\n", parts.epilogue]))],
            stdin: format!("{}\n", secrets.proof.as_str()).into(),
        },
        Driver::Java => Assembly {
            files: vec![
                source(joined(parts, &["\n", parts.assertions, "\n"])),
                ("driver/Driver.java".to_owned(), JAVA.replace("ENTRY", &entry).into()),
            ],
            stdin: format!("{}\n", secrets.proof.as_str()).into(),
        },
    }
}

/// The source, and what comes after it.
fn joined(parts: Parts<'_>, rest: &[&str]) -> Bytes {
    let mut text = parts.source.to_vec();
    rest.iter().for_each(|part| text.extend_from_slice(part.as_bytes()));
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grade::proof::SECRET_BYTES;

    fn assembly(driver: Driver) -> Assembly {
        let parts = Parts {
            source: b"candidate",
            source_name: "solution.x",
            assertions: "answers",
            epilogue: "",
        };
        let secrets = Secrets {
            proof: Secret::new([1; SECRET_BYTES]),
            entry: Secret::new([2; SECRET_BYTES]),
        };
        assemble(driver, parts, &secrets)
    }

    #[test]
    fn the_proof_is_in_no_file() {
        let proof = Secret::new([1; SECRET_BYTES]);
        for driver in
            [Driver::Python, Driver::Javascript, Driver::Native, Driver::Rust, Driver::Java]
        {
            let assembly = assembly(driver);
            let stdin = String::from_utf8(assembly.stdin.to_vec()).unwrap();
            assert!(stdin.starts_with(proof.as_str()));
            for (name, content) in &assembly.files {
                assert!(!String::from_utf8_lossy(content).contains(proof.as_str()), "{name}");
            }
        }
    }

    #[test]
    fn an_interpreter_finds_the_answers_on_standard_input_only() {
        for driver in [Driver::Python, Driver::Javascript] {
            let assembly = assembly(driver);
            assert!(assembly.stdin.ends_with(b"\nanswers"));
            for (name, content) in &assembly.files {
                assert!(!String::from_utf8_lossy(content).contains("answers"), "{name}");
            }
        }
    }

    #[test]
    fn a_native_program_is_entered_by_a_name_nobody_knows() {
        let entry = format!("assay_{}", "02".repeat(SECRET_BYTES));
        for driver in [Driver::Native, Driver::Rust] {
            let assembly = assembly(driver);
            assert!(assembly.stdin.ends_with(format!(" {entry}\n").as_bytes()));
            let text = String::from_utf8(assembly.files[0].1.to_vec()).unwrap();
            assert!(text.contains(&entry) && !text.contains("ENTRY"));
        }
    }
}
