//! The calls of WASI preview 1, in terms of a [`World`]: nothing here reaches the machine.
//!
//! Written here rather than taken from a library, because the libraries give modules folders, clocks
//! and random numbers of the machine, and bring an asynchronous runtime for waiting on them. What a
//! call moves costs as if the module had moved it: an instruction for each byte.

use std::fmt;

use wasmtime::{Caller, Extern, Linker, Trap};

use super::{
    BAD_DESCRIPTOR, CHARACTER_DEVICE, Errno, FAULT, FIRST_FILE, FOLDER, FOLDERS, INVALID,
    NAME_TOO_LONG, NO_ENTRY, NOT_PERMITTED, NOT_SUPPORTED, OK, REGULAR, World,
};
use crate::limits::PATH_BYTES_MAX;
use crate::spec::WORK_DIR;
use crate::wasm::engine::{Late, State};

/// The module asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::wasm) struct Exit(pub(in crate::wasm) i32);

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ended with code {}", self.0)
    }
}

impl std::error::Error for Exit {}

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
        if count as usize > PATH_BYTES_MAX {
            return Err(NAME_TOO_LONG);
        }
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
    let moved = std::mem::take(&mut state.world.moved);
    if state.world.output_exceeded() {
        return Err(wasmtime::Error::msg("the output limit"));
    }
    if state.world.late {
        return Err(Late.into());
    }
    let left = caller.get_fuel()?;
    caller.set_fuel(left.saturating_sub(moved))?;
    if left < moved {
        return Err(Trap::OutOfFuel.into());
    }
    Ok(done.err().unwrap_or(OK))
}

type Calls<'a> = &'a mut Linker<State>;
const MODULE: &str = "wasi_snapshot_preview1";

/// Gives modules the calls of WASI.
pub(in crate::wasm) fn define(linker: Calls<'_>) -> wasmtime::Result<()> {
    define_process(linker)?;
    define_streams(linker)?;
    define_descriptors(linker)?;
    define_paths(linker)?;
    define_missing(linker)
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
            world.moved += count as u64;
            for (place, byte) in (at..).zip((0..count).map(|_| world.next_random())) {
                guest.put(place, &[byte])?;
            }
            Ok(())
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
                world.moved += bytes.len() as u64;
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
                world.moved += bytes.len() as u64;
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
            let (folder, _) = FOLDERS.get(place).ok_or(BAD_DESCRIPTOR)?;
            guest.put_u32(at, 0)?;
            guest.put_u32(at.checked_add(4).ok_or(FAULT)?, folder.len())
        })
    })?;
    let name = |mut c: C<'_>, fd: u32, at: u32, count: u32| {
        with(&mut c, |guest, _| {
            let place = (fd as usize).checked_sub(3).ok_or(BAD_DESCRIPTOR)?;
            let folder = FOLDERS.get(place).ok_or(BAD_DESCRIPTOR)?.0.as_bytes();
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

/// Calls that programs are linked with and that are answered with an error: there are no folders to
/// make or to read, no links, no times and no sockets.
fn define_missing(linker: Calls<'_>) -> wasmtime::Result<()> {
    const NO: Errno = NOT_SUPPORTED;
    // Nothing has to be written out.
    linker.func_wrap(MODULE, "fd_sync", |_: u32| OK)?;
    linker.func_wrap(MODULE, "fd_datasync", |_: u32| OK)?;
    linker.func_wrap(MODULE, "fd_advise", |_: u32, _: i64, _: i64, _: i32| OK)?;
    linker.func_wrap(MODULE, "fd_allocate", |_: u32, _: i64, _: i64| NO)?;
    linker.func_wrap(MODULE, "fd_fdstat_set_rights", |_: u32, _: i64, _: i64| OK)?;
    linker.func_wrap(MODULE, "fd_filestat_set_size", |_: u32, _: i64| NO)?;
    linker.func_wrap(MODULE, "fd_filestat_set_times", |_: u32, _: i64, _: i64, _: i32| NO)?;
    linker.func_wrap(MODULE, "fd_pread", |_: u32, _: u32, _: u32, _: i64, _: u32| NO)?;
    linker.func_wrap(MODULE, "fd_pwrite", |_: u32, _: u32, _: u32, _: i64, _: u32| NO)?;
    linker.func_wrap(MODULE, "fd_readdir", |_: u32, _: u32, _: u32, _: i64, _: u32| NO)?;
    linker.func_wrap(MODULE, "fd_renumber", |_: u32, _: u32| NO)?;
    linker.func_wrap(MODULE, "path_create_directory", |_: u32, _: u32, _: u32| NO)?;
    linker.func_wrap(MODULE, "path_remove_directory", |_: u32, _: u32, _: u32| NO)?;
    let times = |_: u32, _: i32, _: u32, _: u32, _: i64, _: i64, _: i32| NO;
    linker.func_wrap(MODULE, "path_filestat_set_times", times)?;
    let link = |_: u32, _: i32, _: u32, _: u32, _: u32, _: u32, _: u32| NO;
    linker.func_wrap(MODULE, "path_link", link)?;
    let read_link = |_: u32, _: u32, _: u32, _: u32, _: u32, _: u32| NO;
    linker.func_wrap(MODULE, "path_readlink", read_link)?;
    let rename = |_: u32, _: u32, _: u32, _: u32, _: u32, _: u32| NO;
    linker.func_wrap(MODULE, "path_rename", rename)?;
    linker.func_wrap(MODULE, "path_symlink", |_: u32, _: u32, _: u32, _: u32, _: u32| NO)?;
    linker.func_wrap(MODULE, "proc_raise", |_: i32| NO)?;
    Ok(())
}
