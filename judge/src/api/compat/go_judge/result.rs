//! What go-judge says of a command.

use std::collections::BTreeMap;

use sandbox::Outcome;
use sandbox::outcome::{Captured, Collected, Termination};
use serde::Serialize;

use super::super::program;
use super::command::{Command, CopyOut, Stream};
use super::store::{Files, Owner};

/// One element of the reply.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CommandResult {
    status: &'static str,
    exit_status: i32,
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
    time: u128,
    run_time: u128,
    memory: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    files: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    file_ids: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    file_error: Vec<FileError>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct FileError {
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    message: String,
}

impl CommandResult {
    /// The wire's word for a failure of the sandbox.
    pub(super) fn failed(message: String) -> Self {
        Self { status: "Internal Error", error: message, ..Self::default() }
    }

    /// Notes what passed through a pipe, where it has a name.
    pub(super) fn note(&mut self, name: Option<String>, passed: &[u8]) {
        if let Some(name) = name {
            self.files.insert(name, program::text(passed));
        }
    }

    fn file_error(&mut self, name: &str, kind: &'static str, message: String) {
        if self.status == "Accepted" {
            self.status = "File Error";
        }
        self.file_error.push(FileError { name: name.to_owned(), kind, message });
    }

    fn keep(&mut self, files: &Files, owner: &Owner, name: &str, content: &bytes::Bytes) {
        match files.put(owner, name, content.clone()) {
            Ok(id) => {
                self.file_ids.insert(name.to_owned(), id);
            }
            Err(full) => self.file_error(name, "CopyOutCreateFile", full.to_string()),
        }
    }
}

impl Command {
    /// What the wire says of an outcome of this command.
    pub(super) fn result(&self, files: &Files, owner: &Owner, outcome: &Outcome) -> CommandResult {
        let (status, exit_status) = ending(outcome.termination);
        let mut result = CommandResult {
            status,
            exit_status,
            error: program::limit_met(outcome.termination).unwrap_or_default().to_owned(),
            time: outcome.usage.cpu_time.as_nanos(),
            run_time: outcome.usage.wall_time.as_nanos(),
            memory: outcome.usage.peak_memory.0,
            ..CommandResult::default()
        };
        for (stream, captured) in [(&self.stdout, &outcome.stdout), (&self.stderr, &outcome.stderr)]
        {
            self.show_stream(&mut result, (files, owner), stream.as_ref(), captured);
        }
        for (wanted, collected) in self.copied_out.iter().zip(&outcome.files) {
            copy_out(&mut result, (files, owner), wanted, collected);
        }
        result
    }

    fn show_stream(
        &self,
        result: &mut CommandResult,
        (files, owner): (&Files, &Owner),
        stream: Option<&Stream>,
        captured: &Captured,
    ) {
        let Some(Stream { name, bytes_max }) = stream else { return };
        let length = captured.bytes.len().min(*bytes_max);
        if length < captured.bytes.len() && result.status == "Accepted" {
            result.status = "Output Limit Exceeded";
        }
        let bytes = captured.bytes.slice(..length);
        if self.kept_streams.contains(name) {
            result.keep(files, owner, name, &bytes);
        } else {
            result.files.insert(name.clone(), program::text(&bytes));
        }
    }
}

fn copy_out(
    result: &mut CommandResult,
    (files, owner): (&Files, &Owner),
    wanted: &CopyOut,
    collected: &Collected,
) {
    let name = wanted.name.as_str();
    match collected {
        Collected::File(content) if wanted.is_kept => result.keep(files, owner, name, content),
        Collected::File(content) => {
            result.files.insert(name.to_owned(), program::text(content));
        }
        Collected::Missing if wanted.is_optional => {}
        Collected::Missing => {
            result.file_error(name, "CopyOutOpen", "there is no such regular file".to_owned());
        }
        Collected::TooLarge => {
            let message = format!("it is larger than {} bytes", wanted.bytes_max);
            result.file_error(name, "CopyOutSizeExceeded", message);
        }
    }
}

/// go-judge's words; SIGSYS is what its filter, and ours, end a program with.
fn ending(termination: Termination) -> (&'static str, i32) {
    match termination {
        Termination::Exited { code: 0 } => ("Accepted", 0),
        Termination::Exited { code } => ("Nonzero Exit Status", code),
        Termination::Signalled { signal: 31 } => ("Dangerous Syscall", 31),
        Termination::Signalled { signal } => ("Signalled", signal),
        Termination::CpuTimeLimit | Termination::WallTimeLimit => ("Time Limit Exceeded", 9),
        Termination::MemoryLimit => ("Memory Limit Exceeded", 9),
        Termination::OutputLimit => ("Output Limit Exceeded", 9),
    }
}
