//! What a module sees of the world: WASI preview 1, all of it in memory.
//!
//! Written here rather than taken from a library, because the libraries give modules folders, clocks
//! and random numbers of the machine, and bring an asynchronous runtime for waiting on them. Here no
//! call waits, none reaches the machine, and two runs see the same.
//!
//! Files lie below `/box` (read-only) and `/w` (where relative paths begin). There are no folders but
//! those that the files' names make.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes as Buffer;
use wasmtime::{Caller, Extern, Linker};

use super::State;
use crate::outcome::{Captured, Collected};
use crate::spec::{BOX_DIR, CollectFile, InputFile, RunSpec, WORK_DIR};

/// The module asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exit(pub(super) i32);

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ended with code {}", self.0)
    }
}

impl std::error::Error for Exit {}

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

/// The folders that a module finds open, from descriptor 3 on.
const FOLDERS: [&str; 3] = [WORK_DIR, BOX_DIR, "/"];
const FIRST_FILE: usize = 3 + FOLDERS.len();
/// Files that a module may make.
const FILES_MAX: usize = 1024;

/// Everything that a module can see or change.
pub(super) struct World {
    arguments: Vec<Vec<u8>>,
    environment: Vec<Vec<u8>>,
    stdin: Buffer,
    stdin_position: usize,
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
    pub(super) fn new(spec: &RunSpec, installed: &[InputFile]) -> Self {
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

    fn write(&mut self, descriptor: usize, bytes: &[u8]) -> Result<(), Errno> {
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
        let folder = FOLDERS.get(place).ok_or(BAD_DESCRIPTOR)?;
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
        FOLDERS.contains(&path) || self.files.keys().any(|file| file.starts_with(&below))
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

fn index(position: u64) -> Result<usize, Errno> {
    usize::try_from(position).map_err(|_| INVALID)
}

/// A module's memory, with every access checked.
struct Guest<'a> {
    memory: &'a mut [u8],
}

impl Guest<'_> {
    fn bytes(&self, at: u32, count: u32) -> Result<&[u8], Errno> {
        let (at, count) = (at as usize, count as usize);
        self.memory.get(at..at.checked_add(count).ok_or(FAULT)?).ok_or(FAULT)
    }

    fn put(&mut self, at: u32, bytes: &[u8]) -> Result<(), Errno> {
        let at = at as usize;
        let end = at.checked_add(bytes.len()).ok_or(FAULT)?;
        self.memory.get_mut(at..end).ok_or(FAULT)?.copy_from_slice(bytes);
        Ok(())
    }

    fn put_u32(&mut self, at: u32, value: usize) -> Result<(), Errno> {
        self.put(at, &u32::try_from(value).map_err(|_| INVALID)?.to_le_bytes())
    }

    fn u32(&self, at: u32) -> Result<u32, Errno> {
        let bytes = self.bytes(at, 4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn text(&self, at: u32, count: u32) -> Result<String, Errno> {
        let text = std::str::from_utf8(self.bytes(at, count)?).map_err(|_| INVALID)?;
        Ok(text.to_owned())
    }

    /// The list of buffers (`iovec`) at `at`.
    fn buffers(&self, at: u32, count: u32) -> Result<Vec<(u32, u32)>, Errno> {
        let count = count.min(1024);
        (0..count)
            .map(|n| {
                let at = at.checked_add(n * 8).ok_or(FAULT)?;
                Ok((self.u32(at)?, self.u32(at.checked_add(4).ok_or(FAULT)?)?))
            })
            .collect()
    }

    /// Strings one after the other at `text`, and where each begins at `table`.
    fn put_strings(&mut self, strings: &[Vec<u8>], table: u32, text: u32) -> Result<(), Errno> {
        let mut at = text;
        for (place, string) in (0_u32..).zip(strings) {
            self.put(table.checked_add(place * 4).ok_or(FAULT)?, &at.to_le_bytes())?;
            self.put(at, string)?;
            at = at.checked_add(u32::try_from(string.len()).map_err(|_| FAULT)?).ok_or(FAULT)?;
        }
        Ok(())
    }
}

/// Calls `act` with the module's memory and the world; an error number for the module.
fn with(
    caller: &mut Caller<'_, State>,
    act: impl FnOnce(&mut Guest<'_>, &mut World) -> Result<(), Errno>,
) -> wasmtime::Result<Errno> {
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
        return Err(wasmtime::Error::msg("the module has no memory"));
    };
    let (memory, state) = memory.data_and_store_mut(&mut *caller);
    let done = act(&mut Guest { memory }, &mut state.world);
    if state.world.output_exceeded() {
        return Err(wasmtime::Error::msg("the output limit"));
    }
    Ok(done.err().unwrap_or(OK))
}

type Calls<'a> = &'a mut Linker<State>;
const MODULE: &str = "wasi_snapshot_preview1";

/// Gives modules the calls of WASI.
pub(super) fn define(linker: Calls<'_>) -> wasmtime::Result<()> {
    define_process(linker)?;
    define_streams(linker)?;
    define_descriptors(linker)?;
    define_paths(linker)
}

fn define_process(linker: Calls<'_>) -> wasmtime::Result<()> {
    type C<'a> = Caller<'a, State>;
    let sizes = |strings: &[Vec<u8>]| (strings.len(), strings.iter().map(Vec::len).sum::<usize>());
    linker.func_wrap(MODULE, "args_sizes_get", move |mut c: C<'_>, count: u32, bytes: u32| {
        with(&mut c, |guest, world| {
            let (number, total) = sizes(&world.arguments);
            guest.put_u32(count, number)?;
            guest.put_u32(bytes, total)
        })
    })?;
    linker.func_wrap(MODULE, "args_get", |mut c: C<'_>, table: u32, text: u32| {
        with(&mut c, |guest, world| guest.put_strings(&world.arguments, table, text))
    })?;
    linker.func_wrap(
        MODULE,
        "environ_sizes_get",
        move |mut c: C<'_>, count: u32, bytes: u32| {
            with(&mut c, |guest, world| {
                let (number, total) = sizes(&world.environment);
                guest.put_u32(count, number)?;
                guest.put_u32(bytes, total)
            })
        },
    )?;
    linker.func_wrap(MODULE, "environ_get", |mut c: C<'_>, table: u32, text: u32| {
        with(&mut c, |guest, world| guest.put_strings(&world.environment, table, text))
    })?;
    linker.func_wrap(MODULE, "clock_time_get", |mut c: C<'_>, _: i32, _: i64, at: u32| {
        with(&mut c, |guest, world| {
            // A microsecond passes with each question.
            world.clock += 1000;
            guest.put(at, &world.clock.to_le_bytes())
        })
    })?;
    linker.func_wrap(MODULE, "clock_res_get", |mut c: C<'_>, _: i32, at: u32| {
        with(&mut c, |guest, _| guest.put(at, &1000_u64.to_le_bytes()))
    })?;
    linker.func_wrap(MODULE, "random_get", |mut c: C<'_>, at: u32, count: u32| {
        with(&mut c, |guest, world| {
            let count = guest.bytes(at, count)?.len();
            let bytes: Vec<u8> = (0..count).map(|_| world.next_random()).collect();
            guest.put(at, &bytes)
        })
    })?;
    linker.func_wrap(MODULE, "proc_exit", |code: i32| -> wasmtime::Result<()> {
        Err(wasmtime::Error::new(Exit(code & 0xff)))
    })?;
    linker.func_wrap(MODULE, "sched_yield", || OK)?;
    // Nothing ever has to be waited for, and nobody can be woken later.
    linker.func_wrap(MODULE, "poll_oneoff", |_: u32, _: u32, _: u32, _: u32| NOT_SUPPORTED)?;
    Ok(())
}

fn define_streams(linker: Calls<'_>) -> wasmtime::Result<()> {
    type C<'a> = Caller<'a, State>;
    let read = |mut c: C<'_>, fd: u32, buffers: u32, count: u32, read: u32| {
        with(&mut c, |guest, world| {
            let mut total = 0;
            for (at, length) in guest.buffers(buffers, count)? {
                let length = guest.bytes(at, length)?.len();
                let bytes = world.read(fd as usize, length)?;
                guest.put(at, &bytes)?;
                total += bytes.len();
                if bytes.len() < length {
                    break;
                }
            }
            guest.put_u32(read, total)
        })
    };
    linker.func_wrap(MODULE, "fd_read", read)?;
    let write = |mut c: C<'_>, fd: u32, buffers: u32, count: u32, written: u32| {
        with(&mut c, |guest, world| {
            let mut total = 0;
            for (at, length) in guest.buffers(buffers, count)? {
                let bytes = guest.bytes(at, length)?;
                world.write(fd as usize, bytes)?;
                total += bytes.len();
            }
            guest.put_u32(written, total)
        })
    };
    linker.func_wrap(MODULE, "fd_write", write)?;
    linker.func_wrap(MODULE, "fd_seek", |mut c: C<'_>, fd: u32, by: i64, from: i32, at: u32| {
        with(&mut c, |guest, world| {
            let path = &world.opened(fd as usize)?.path;
            let length = world.files.get(path).ok_or(NO_ENTRY)?.bytes().len() as u64;
            let open = world.opened_mut(fd as usize)?;
            let base = match from {
                0 => 0,
                1 => open.position,
                2 => length,
                _ => return Err(INVALID),
            };
            open.position = base.checked_add_signed(by).ok_or(INVALID)?;
            guest.put(at, &open.position.to_le_bytes())
        })
    })?;
    linker.func_wrap(MODULE, "fd_tell", |mut c: C<'_>, fd: u32, at: u32| {
        with(&mut c, |guest, world| {
            guest.put(at, &world.opened(fd as usize)?.position.to_le_bytes())
        })
    })?;
    Ok(())
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

/// `filestat`: device, inode, kind, links, size, three times.
fn file_stat(kind: u8, size: u64) -> [u8; 64] {
    let mut stat = [0; 64];
    stat[16] = kind;
    stat[24] = 1;
    stat[32..40].copy_from_slice(&size.to_le_bytes());
    stat
}

fn define_descriptors(linker: Calls<'_>) -> wasmtime::Result<()> {
    type C<'a> = Caller<'a, State>;
    linker.func_wrap(MODULE, "fd_close", |mut c: C<'_>, fd: u32| {
        with(&mut c, |_, world| {
            let place = (fd as usize).checked_sub(FIRST_FILE);
            match place.and_then(|place| world.open.get_mut(place)).and_then(Option::take) {
                Some(_) => Ok(()),
                None if (fd as usize) < FIRST_FILE => Ok(()),
                None => Err(BAD_DESCRIPTOR),
            }
        })
    })?;
    linker.func_wrap(MODULE, "fd_fdstat_get", |mut c: C<'_>, fd: u32, at: u32| {
        with(&mut c, |guest, world| {
            let (kind, _) = world.kind(fd as usize)?;
            let mut stat = [0; 24];
            stat[0] = kind;
            // All rights; what is not there to be done fails by itself.
            stat[8..24].fill(0xff);
            if kind == CHARACTER_DEVICE {
                // Neither seek nor tell: a terminal would have those off, and so has a pipe.
                stat[8] = !(1 << 2 | 1 << 5);
            }
            guest.put(at, &stat)
        })
    })?;
    linker.func_wrap(MODULE, "fd_fdstat_set_flags", |_: u32, _: i32| OK)?;
    linker.func_wrap(MODULE, "fd_filestat_get", |mut c: C<'_>, fd: u32, at: u32| {
        with(&mut c, |guest, world| {
            let (kind, size) = world.kind(fd as usize)?;
            guest.put(at, &file_stat(kind, size))
        })
    })?;
    linker.func_wrap(MODULE, "fd_prestat_get", |mut c: C<'_>, fd: u32, at: u32| {
        with(&mut c, |guest, _| {
            let place = (fd as usize).checked_sub(3).ok_or(BAD_DESCRIPTOR)?;
            let folder = FOLDERS.get(place).ok_or(BAD_DESCRIPTOR)?;
            guest.put_u32(at, 0)?;
            guest.put_u32(at.checked_add(4).ok_or(FAULT)?, folder.len())
        })
    })?;
    let name = |mut c: C<'_>, fd: u32, at: u32, count: u32| {
        with(&mut c, |guest, _| {
            let place = (fd as usize).checked_sub(3).ok_or(BAD_DESCRIPTOR)?;
            let folder = FOLDERS.get(place).ok_or(BAD_DESCRIPTOR)?.as_bytes();
            guest.put(at, &folder[..folder.len().min(count as usize)])
        })
    };
    linker.func_wrap(MODULE, "fd_prestat_dir_name", name)?;
    Ok(())
}

fn define_paths(linker: Calls<'_>) -> wasmtime::Result<()> {
    type C<'a> = Caller<'a, State>;
    const CREATE: i32 = 1;
    const TRUNCATE: i32 = 8;
    const APPEND: i32 = 1;
    let open = |mut c: C<'_>,
                folder: u32,
                _: i32,
                path: u32,
                length: u32,
                how: i32,
                _: i64,
                _: i64,
                flags: i32,
                at: u32| {
        with(&mut c, |guest, world| {
            let path = World::absolute(folder as usize, &guest.text(path, length)?)?;
            let (create, truncate) = (how & CREATE != 0, how & TRUNCATE != 0);
            let descriptor = world.open(path, create, truncate, flags & APPEND != 0)?;
            guest.put_u32(at, descriptor)
        })
    };
    linker.func_wrap(MODULE, "path_open", open)?;
    let stat = |mut c: C<'_>, folder: u32, _: i32, path: u32, length: u32, at: u32| {
        with(&mut c, |guest, world| {
            let path = World::absolute(folder as usize, &guest.text(path, length)?)?;
            let stat = match world.files.get(&path) {
                Some(file) => file_stat(REGULAR, file.bytes().len() as u64),
                None if world.is_folder(&path) => file_stat(FOLDER, 0),
                None => return Err(NO_ENTRY),
            };
            guest.put(at, &stat)
        })
    };
    linker.func_wrap(MODULE, "path_filestat_get", stat)?;
    linker.func_wrap(
        MODULE,
        "path_unlink_file",
        |mut c: C<'_>, folder: u32, path: u32, n: u32| {
            with(&mut c, |guest, world| {
                let path = World::absolute(folder as usize, &guest.text(path, n)?)?;
                if !path.starts_with(&format!("{WORK_DIR}/")) {
                    return Err(NOT_PERMITTED);
                }
                world.files.remove(&path).map(drop).ok_or(NO_ENTRY)
            })
        },
    )?;
    Ok(())
}
