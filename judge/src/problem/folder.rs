//! Reads tests from files: a folder of input and answer files, a JSON file, or an assertion program.
//!
//! Folder: `NAME.in` with `NAME.out` or `NAME.ans`, in the order of their names, numbers by value.
//! JSON: `{"tests":[{"stdin","stdout"}], "checker"}`, or a whole problem with its `kind`. Any other
//! file is an assertion program.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use protocol::{
    AssertionsProblem, Checker, DmojProblem, FileContent, Problem, StdioProblem, TestCase,
};

use super::files::{Files, FilesError};

use crate::limits;

/// Why tests cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// A file or folder cannot be read.
    #[error("failed to read {path}: {source}", path = path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is too large.
    #[error("{path} is larger than {max} bytes", path = path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// The bound.
        max: u64,
    },
    /// An input has no answer.
    #[error("{path} has neither an .out nor an .ans beside it", path = path.display())]
    NoAnswer {
        /// The input.
        path: PathBuf,
    },
    /// The folder has no test.
    #[error("{path} has no NAME.in with NAME.out or NAME.ans", path = path.display())]
    NoTests {
        /// The folder.
        path: PathBuf,
    },
    /// There are too many tests.
    #[error("{path} has {count} tests, at most {max} allowed", path = path.display())]
    TooMany {
        /// The folder.
        path: PathBuf,
        /// How many.
        count: usize,
        /// The bound.
        max: usize,
    },
    /// The files of a problem folder.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// A JSON file is no problem.
    #[error("{path}: {source}", path = path.display())]
    Json {
        /// Which.
        path: PathBuf,
        /// What is wrong, and where.
        source: serde_json::Error,
    },
}

/// Reads the tests at `path`; `checker`, where given, takes the place of the file's own.
///
/// # Errors
/// They cannot be read.
pub fn read(path: &Path, checker: Option<Checker>) -> Result<Problem, FolderError> {
    if path.join("init.yml").is_file() {
        return Ok(Problem::Dmoj(read_dmoj(path)?));
    }
    if path.is_dir() {
        let tests = read_folder(path)?;
        let checker = checker.unwrap_or_default();
        return Ok(Problem::Stdio(StdioProblem { tests, checker, ..StdioProblem::default() }));
    }
    let text = read_text(path)?;
    if path.extension().is_none_or(|extension| extension != "json") {
        return Ok(Problem::Assertions(AssertionsProblem { code: text }));
    }
    let json = |source| FolderError::Json { path: path.to_owned(), source };
    let value: serde_json::Value = serde_json::from_str(&text).map_err(json)?;
    let mut problem = if value.get("kind").is_some() {
        serde_json::from_value(value).map_err(json)?
    } else {
        Problem::Stdio(serde_json::from_str(&text).map_err(json)?)
    };
    if let (Problem::Stdio(stdio), Some(checker)) = (&mut problem, checker) {
        stdio.checker = checker;
    }
    Ok(problem)
}

/// All files of a problem folder of DMOJ.
fn read_dmoj(folder: &Path) -> Result<DmojProblem, FolderError> {
    let files = Files::from_folder(folder)?;
    let engine = base64::engine::general_purpose::STANDARD;
    let files = files.iter().map(|(name, content)| {
        let content = match std::str::from_utf8(content) {
            Ok(text) => FileContent::Text(text.to_owned()),
            Err(_) => FileContent::Bytes { base64: engine.encode(content) },
        };
        (name.clone(), content)
    });
    Ok(DmojProblem { files: files.collect() })
}

/// Reads a file as text, within the bound of files that the command line reads.
///
/// # Errors
/// It cannot be read, is too large or is not UTF-8.
pub fn read_text(path: &Path) -> Result<String, FolderError> {
    let read = |source| FolderError::Read { path: path.to_owned(), source };
    let max = limits::COMMAND_FILE_BYTES_MAX;
    let mut text = String::new();
    std::fs::File::open(path)
        .map_err(read)?
        .take(max + 1)
        .read_to_string(&mut text)
        .map_err(read)?;
    if text.len() as u64 > max {
        return Err(FolderError::TooLarge { path: path.to_owned(), max });
    }
    Ok(text)
}

fn read_folder(folder: &Path) -> Result<Vec<TestCase>, FolderError> {
    let read = |source| FolderError::Read { path: folder.to_owned(), source };
    let mut inputs = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        if path.extension().is_some_and(|extension| extension == "in") {
            inputs.push(path);
        }
    }
    let count = inputs.len();
    if count == 0 {
        return Err(FolderError::NoTests { path: folder.to_owned() });
    }
    if count > limits::TESTS_MAX {
        let max = limits::TESTS_MAX;
        return Err(FolderError::TooMany { path: folder.to_owned(), count, max });
    }
    inputs.sort_by_cached_key(|path| natural(&path.to_string_lossy()));
    inputs.into_iter().map(|input| read_test(&input)).collect()
}

fn read_test(input: &Path) -> Result<TestCase, FolderError> {
    let answer = ["out", "ans"]
        .map(|extension| input.with_extension(extension))
        .into_iter()
        .find(|path| path.is_file())
        .ok_or_else(|| FolderError::NoAnswer { path: input.to_owned() })?;
    let (stdin, stdout) = (read_text(input)?, read_text(&answer)?);
    Ok(TestCase { stdin, stdout, ..TestCase::default() })
}

/// A key that puts `2.in` before `10.in`: text and numbers by turns, each number after its length.
fn natural(name: &str) -> Vec<(String, usize, String)> {
    let mut parts = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (text, after) = rest.split_at(digits);
        let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        let (number, after) = after.split_at(end);
        let number = number.trim_start_matches('0');
        parts.push((text.to_owned(), number.len(), number.to_owned()));
        rest = after;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn a_folder_is_read_in_natural_order() {
        let files =
            [("10.in", "c"), ("10.out", "C"), ("2.in", "b"), ("2.ans", "B"), ("README", "x")];
        let folder = folder(&files);
        let Problem::Stdio(stdio) = read(folder.path(), Some(Checker::named("exact"))).unwrap()
        else {
            panic!("not a stdio problem");
        };
        let inputs: Vec<_> = stdio.tests.iter().map(|test| test.stdin.as_str()).collect();
        assert_eq!((inputs, stdio.checker), (vec!["b", "c"], Checker::named("exact")));
    }

    #[test]
    fn a_folder_without_tests_or_answers_is_refused() {
        let empty = folder(&[("readme", "x")]);
        assert!(matches!(read(empty.path(), None), Err(FolderError::NoTests { .. })));
        let half = folder(&[("1.in", "x")]);
        assert!(matches!(read(half.path(), None), Err(FolderError::NoAnswer { .. })));
    }

    #[test]
    fn a_file_is_json_by_its_name_and_else_assertions() {
        let folder = folder(&[
            ("t.json", r#"{"tests":[{"stdout":"1"}],"checker":"exact"}"#),
            ("p.json", r#"{"kind":"assertions","code":"assert True"}"#),
            ("broken.json", "{"),
            ("t.py", "assert True"),
        ]);
        let read = |name: &str| read(&folder.path().join(name), None);
        assert!(matches!(read("t.json"), Ok(Problem::Stdio(s)) if s.checker.name == "exact"));
        assert!(matches!(read("p.json"), Ok(Problem::Assertions(_))));
        assert!(matches!(read("t.py"), Ok(Problem::Assertions(_))));
        assert!(read("broken.json").unwrap_err().to_string().contains("line 1"));
        assert!(matches!(read("nowhere"), Err(FolderError::Read { .. })));
    }
}
