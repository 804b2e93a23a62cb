//! What a module sees of the world, all of it in memory: arguments, files, streams.
//!
//! Two runs see the same. Nothing waits but for another program, where a standard stream leads to one,
//! and then no longer than the run may last. Files lie below `/box` (read-only) and `/w` (where
//! relative paths begin). There are no folders but those that the files' names make.

mod calls;

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes as Buffer;
use nix::errno::Errno as SystemError;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

pub(super) use calls::{Exit, define};

use crate::outcome::{Captured, Collected};
use crate::spec::{BOX_DIR, CollectFile, InputFile, RunSpec, Streams, WORK_DIR};

/// An error number of WASI (`wasi_snapshot_preview1`, errno).
type Errno = i32;
const OK: Errno = 0;
const BAD_DESCRIPTOR: Errno = 8;
const INVALID: Errno = 28;
const IS_FOLDER: Errno = 31;
const NO_ENTRY: Errno = 44;
const NO_SPACE: Errno = 51;
const NOT_SUPPORTED: Errno = 58;
const NOT_PERMITTED: Errno = 63;
const TOO_MANY_FILES: Errno = 33;
const FAULT: Errno = 21;
const IO: Errno = 29;
const NAME_TOO_LONG: Errno = 37;
const BROKEN_PIPE: Errno = 64;

/// The folders that a module finds open, from descriptor 3 on: their names, and what they are. The C
/// library looks for relative paths below the shortest name.
const FOLDERS: [(&str, &str); 3] = [(WORK_DIR, WORK_DIR), (BOX_DIR, BOX_DIR), (".", WORK_DIR)];
const FIRST_FILE: usize = 3 + FOLDERS.len();
/// Bytes that a pipe takes without waiting once it takes any (`pipe(7)`, PIPE_BUF).
const PIPE_BYTES: usize = 4096;
/// Files that a module may make.
const FILES_MAX: usize = 1024;

/// Everything that a module can see or change.
pub(super) struct World {
    arguments: Vec<Vec<u8>>,
    environment: Vec<Vec<u8>>,
    stdin: Buffer,
    stdin_position: usize,
    /// What standard streams lead to, where they lead elsewhere.
    elsewhere: Arc<Streams>,
    deadline: Instant,
    /// Whether the deadline passed while a call waited.
    late: bool,
    /// Bytes that the call has moved.
    moved: u64,
    output_max: usize,
    streams: [Stream; 2],
    files: BTreeMap<String, File>,
    disk_left: u64,
    open: Vec<Option<Open>>,
    open_max: usize,
    clock: u64,
    random: u64,
}

#[derive(Default)]
struct Stream {
    bytes: Vec<u8>,
    exceeded: bool,
}

enum File {
    Given(Buffer),
    Written(Vec<u8>),
}

impl File {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Given(bytes) => bytes,
            Self::Written(bytes) => bytes,
        }
    }
}

struct Open {
    path: String,
    position: u64,
    append: bool,
}

impl World {
    pub(super) fn new(
        spec: &RunSpec,
        installed: &[InputFile],
        elsewhere: Arc<Streams>,
        deadline: Instant,
    ) -> Self {
        let strings = |strings: &[std::ffi::CString]| {
            strings.iter().map(|string| string.as_bytes_with_nul().to_vec()).collect()
        };
        let place = |folder: &'static str| {
            move |file: &InputFile| {
                (format!("{folder}/{}", file.path.as_str()), File::Given(file.content.clone()))
            }
        };
        let files =
            installed.iter().map(place(BOX_DIR)).chain(spec.files.iter().map(place(WORK_DIR)));
        Self {
            arguments: strings(&spec.argv),
            environment: strings(&spec.env),
            stdin: spec.stdin.clone(),
            stdin_position: 0,
            elsewhere,
            deadline,
            late: false,
            moved: 0,
            output_max: spec.limits.output.as_usize(),
            streams: [Stream::default(), Stream::default()],
            files: files.collect(),
            disk_left: spec.limits.disk.0,
            open: Vec::new(),
            open_max: spec.limits.open_files as usize,
            clock: 0,
            random: 0x9e37_79b9_7f4a_7c15,
        }
    }

    pub(super) fn output_exceeded(&self) -> bool {
        self.streams.iter().any(|stream| stream.exceeded)
    }

    pub(super) fn stdout(&self) -> Captured {
        self.captured(0)
    }

    pub(super) fn stderr(&self) -> Captured {
        self.captured(1)
    }

    /// Adds a line of ours to standard error, as far as there is room.
    pub(super) fn explain(&mut self, reason: &str) {
        let stream = &mut self.streams[1];
        let left = self.output_max.saturating_sub(stream.bytes.len());
        let line = format!("{reason}\n");
        stream.bytes.extend_from_slice(&line.as_bytes()[..line.len().min(left)]);
    }

    fn captured(&self, stream: usize) -> Captured {
        let stream = &self.streams[stream];
        Captured { bytes: stream.bytes.clone().into(), truncated: stream.exceeded }
    }

    pub(super) fn collect(&self, wanted: &CollectFile) -> Collected {
        match self.files.get(&format!("{WORK_DIR}/{}", wanted.path.as_str())) {
            None => Collected::Missing,
            Some(file) if file.bytes().len() as u64 > wanted.bytes_max => Collected::TooLarge,
            Some(file) => Collected::File(Buffer::copy_from_slice(file.bytes())),
        }
    }

    /// Bytes of a descriptor from its position on; at most `count`.
    fn read(&mut self, descriptor: usize, count: usize) -> Result<Vec<u8>, Errno> {
        if descriptor == 0 && self.elsewhere.stdin.is_some() {
            return self.read_elsewhere(count);
        }
        if descriptor == 0 {
            let rest = &self.stdin[self.stdin_position..];
            let bytes = rest[..rest.len().min(count)].to_vec();
            self.stdin_position += bytes.len();
            return Ok(bytes);
        }
        let open = self.opened(descriptor)?;
        let content = self.files.get(&open.path).ok_or(NO_ENTRY)?.bytes();
        let start = usize::try_from(open.position).unwrap_or(usize::MAX).min(content.len());
        let bytes = content[start..content.len().min(start.saturating_add(count))].to_vec();
        self.opened_mut(descriptor)?.position += bytes.len() as u64;
        Ok(bytes)
    }

    fn read_elsewhere(&mut self, count: usize) -> Result<Vec<u8>, Errno> {
        let Some(stdin) = &self.elsewhere.stdin else { return Err(BAD_DESCRIPTOR) };
        if !wait_for(stdin.as_fd(), PollFlags::POLLIN, self.deadline) {
            self.late = true;
            return Err(IO);
        }
        let mut bytes = vec![0; count.min(1 << 20)];
        let length = nix::unistd::read(stdin, &mut bytes).map_err(|_| IO)?;
        bytes.truncate(length);
        Ok(bytes)
    }

    /// Where an output stream leads, if elsewhere.
    fn leads_to(&self, descriptor: usize) -> Option<&OwnedFd> {
        match descriptor {
            1 => self.elsewhere.stdout.as_ref(),
            2 => self.elsewhere.stderr.as_ref(),
            _ => None,
        }
    }

    fn write_elsewhere(&mut self, descriptor: usize, mut bytes: &[u8]) -> Result<(), Errno> {
        while !bytes.is_empty() {
            let Some(stream) = self.leads_to(descriptor) else { return Err(BAD_DESCRIPTOR) };
            if !wait_for(stream.as_fd(), PollFlags::POLLOUT, self.deadline) {
                self.late = true;
                return Err(IO);
            }
            let part = &bytes[..bytes.len().min(PIPE_BYTES)];
            match nix::unistd::write(stream, part) {
                Ok(length) => bytes = &bytes[length..],
                Err(SystemError::EPIPE) => return Err(BROKEN_PIPE),
                Err(SystemError::EINTR) => {}
                Err(_) => return Err(IO),
            }
        }
        Ok(())
    }

    fn write(&mut self, descriptor: usize, bytes: &[u8]) -> Result<(), Errno> {
        if self.leads_to(descriptor).is_some() {
            return self.write_elsewhere(descriptor, bytes);
        }
        if let Some(stream) = descriptor.checked_sub(1).and_then(|it| self.streams.get_mut(it)) {
            let left = self.output_max - stream.bytes.len();
            stream.bytes.extend_from_slice(&bytes[..bytes.len().min(left)]);
            stream.exceeded |= bytes.len() > left;
            return if stream.exceeded { Err(NO_SPACE) } else { Ok(()) };
        }
        let open = self.opened(descriptor)?;
        let (path, append, position) = (open.path.clone(), open.append, open.position);
        if !path.starts_with(WORK_DIR) {
            return Err(NOT_PERMITTED);
        }
        let file = self.files.get_mut(&path).ok_or(NO_ENTRY)?;
        if let File::Given(given) = file {
            *file = File::Written(given.to_vec());
        }
        let File::Written(content) = file else { return Err(NO_ENTRY) };
        let start = if append { content.len() as u64 } else { position };
        let end = start.checked_add(bytes.len() as u64).ok_or(INVALID)?;
        let growth = end.saturating_sub(content.len() as u64);
        if growth > self.disk_left {
            return Err(NO_SPACE);
        }
        self.disk_left -= growth;
        let (start, end) = (index(start)?, index(end)?);
        if content.len() < end {
            content.resize(end, 0);
        }
        content[start..end].copy_from_slice(bytes);
        self.opened_mut(descriptor)?.position = end as u64;
        Ok(())
    }

    fn opened(&self, descriptor: usize) -> Result<&Open, Errno> {
        let place = descriptor.checked_sub(FIRST_FILE).ok_or(BAD_DESCRIPTOR)?;
        self.open.get(place).and_then(Option::as_ref).ok_or(BAD_DESCRIPTOR)
    }

    fn opened_mut(&mut self, descriptor: usize) -> Result<&mut Open, Errno> {
        let place = descriptor.checked_sub(FIRST_FILE).ok_or(BAD_DESCRIPTOR)?;
        self.open.get_mut(place).and_then(Option::as_mut).ok_or(BAD_DESCRIPTOR)
    }

    /// The absolute path that `path` means below a folder's descriptor, without `.` and `..`.
    fn absolute(descriptor: usize, path: &str) -> Result<String, Errno> {
        let place = descriptor.checked_sub(3).ok_or(BAD_DESCRIPTOR)?;
        let (_, folder) = FOLDERS.get(place).ok_or(BAD_DESCRIPTOR)?;
        let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
        for part in path.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()),
                name => parts.push(name),
            }
        }
        Ok(format!("/{}", parts.join("/")))
    }

    fn is_folder(&self, path: &str) -> bool {
        let below = format!("{}/", path.trim_end_matches('/'));
        FOLDERS.iter().any(|(_, folder)| *folder == path)
            || self.files.keys().any(|file| file.starts_with(&below))
    }

    fn open(
        &mut self,
        path: String,
        create: bool,
        truncate: bool,
        append: bool,
    ) -> Result<usize, Errno> {
        if !self.files.contains_key(&path) {
            if self.is_folder(&path) {
                return Err(IS_FOLDER);
            }
            if !create {
                return Err(NO_ENTRY);
            }
            if !path.starts_with(&format!("{WORK_DIR}/")) {
                return Err(NOT_PERMITTED);
            }
            if self.files.len() >= FILES_MAX {
                return Err(NO_SPACE);
            }
            self.files.insert(path.clone(), File::Written(Vec::new()));
        } else if truncate {
            if !path.starts_with(&format!("{WORK_DIR}/")) {
                return Err(NOT_PERMITTED);
            }
            self.files.insert(path.clone(), File::Written(Vec::new()));
        }
        let open = Some(Open { path, position: 0, append });
        let place = match self.open.iter().position(Option::is_none) {
            Some(free) => {
                self.open[free] = open;
                free
            }
            None if FIRST_FILE + self.open.len() >= self.open_max => return Err(TOO_MANY_FILES),
            None => {
                self.open.push(open);
                self.open.len() - 1
            }
        };
        Ok(FIRST_FILE + place)
    }

    fn next_random(&mut self) -> u8 {
        // xorshift64: nobody's secrets hang on it, and each run sees the same.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random.to_le_bytes()[3]
    }
}

/// Whether a descriptor is ready before the deadline.
fn wait_for(fd: BorrowedFd<'_>, what: PollFlags, deadline: Instant) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        // Not below a millisecond, which would be no wait at all.
        let left = left.max(std::time::Duration::from_millis(1));
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(fd, what)], timeout) {
            Ok(0) | Err(SystemError::EINTR) => {}
            Ok(_) | Err(_) => return true,
        }
    }
}

fn index(position: u64) -> Result<usize, Errno> {
    usize::try_from(position).map_err(|_| INVALID)
}

/// Kinds of files (`wasi_snapshot_preview1`, filetype).
const CHARACTER_DEVICE: u8 = 2;
const FOLDER: u8 = 3;
const REGULAR: u8 = 4;

impl World {
    fn kind(&self, descriptor: usize) -> Result<(u8, u64), Errno> {
        match descriptor {
            0..3 => Ok((CHARACTER_DEVICE, 0)),
            3..FIRST_FILE => Ok((FOLDER, 0)),
            other => {
                let path = &self.opened(other)?.path;
                Ok((REGULAR, self.files.get(path).map_or(0, |file| file.bytes().len() as u64)))
            }
        }
    }
}
