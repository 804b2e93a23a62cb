//! The replay log: what a judge was asked about and what it said, one JSON object a line, so that
//! a run can be scored again when a judge turns out to have been fooled.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use protocol::JudgeVoteVerdict;
use serde::Serialize;

use crate::limits::REPLAY_LOG_BYTES_MAX;

/// One reply.
#[derive(Debug, Serialize)]
pub struct Entry<'a> {
    /// The judge's name.
    pub judge: &'a str,
    /// The model's.
    pub model: &'a str,
    /// Name and version of the prompt.
    pub template: &'a str,
    /// The hash of the whole prompt.
    pub prompt_sha256: String,
    /// What was asked of the candidate.
    pub question: &'a str,
    /// What its answer was compared with.
    pub references: &'a [String],
    /// Its answer.
    pub answer: &'a str,
    /// The seed.
    pub seed: u32,
    /// What the judge said.
    pub reply: &'a str,
    /// What that says.
    pub verdict: Option<JudgeVoteVerdict>,
    /// Why it says nothing.
    pub fault: Option<&'a str>,
}

#[derive(Serialize)]
struct Line<'a> {
    unix_ms: u64,
    #[serde(flatten)]
    entry: &'a Entry<'a>,
}

/// A file that is appended to; full, it is moved aside, and one older file is kept.
#[derive(Debug)]
pub struct ReplayLog {
    path: PathBuf,
    bytes_max: u64,
    file: Mutex<(File, u64)>,
}

impl ReplayLog {
    /// Opens or makes the file.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(path: &Path) -> Result<Self, String> {
        let file = open(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { path: path.to_owned(), bytes_max: REPLAY_LOG_BYTES_MAX, file: Mutex::new(file) })
    }

    /// Appends an entry.
    ///
    /// # Errors
    /// It could not be written.
    pub fn append(&self, entry: &Entry<'_>) -> io::Result<()> {
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let unix_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let mut line = serde_json::to_vec(&Line { unix_ms, entry })?;
        line.push(b'\n');
        let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if file.1 > 0 && file.1.saturating_add(length) > self.bytes_max {
            let mut aside = self.path.clone().into_os_string();
            aside.push(".1");
            std::fs::rename(&self.path, aside)?;
            *file = open(&self.path)?;
        }
        file.0.write_all(&line)?;
        file.1 += length;
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_log_is_moved_aside_and_lines_stay_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("replay.jsonl");
        let mut log = ReplayLog::open(&path).unwrap();
        log.bytes_max = 1000;
        let references = ["4".to_owned()];
        for seed in 0..8 {
            let entry = Entry {
                judge: "j",
                model: "m",
                template: "t/1",
                prompt_sha256: String::new(),
                question: "q",
                references: &references,
                answer: "4\n",
                seed,
                reply: "r",
                verdict: Some(JudgeVoteVerdict::Correct),
                fault: None,
            };
            log.append(&entry).unwrap();
        }
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        let text = read(&folder.path().join("replay.jsonl.1")) + &read(&path);
        for line in text.lines() {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(value["verdict"], "correct");
        }
        assert!(text.lines().last().unwrap().contains("\"seed\":7"));
        assert!(read(&path).len() <= 1000);
    }
}
