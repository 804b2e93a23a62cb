//! The resident: PID 1 of a slot's pid namespace, root of its user namespace, spawner of its runs.
//!
//! It serves one supervisor over one socket until that closes, and its end ends everything in the
//! slot. Its filter, `no_new_privs` and empty bounding set are installed once and inherited by every
//! run. It stays outside the groups that limit runs.
//!
//! After each run it proves the slot clean before it takes the next request: no process is left
//! (as PID 1 it inherits every orphan, so having no child means that the namespace is empty), and
//! the writable layer has as many blocks and inodes in use as before. Where it cannot, it exits.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;

use nix::sys::socket::MsgFlags;
use nix::sys::statvfs::fstatvfs;
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::child::{Ceilings, RUN_ID};
use crate::control::{
    self, CollectedHeader, Ended, FileHeader, Payload, Reply, Request, RunRequest,
};
use crate::kernel::cgroup::{Door, Meters};
use crate::kernel::credentials;
use crate::kernel::seccomp::Filter;
use crate::kernel::tree::{self, Imprint, Owner};
use crate::limits::FILES_BYTES_MAX;
use crate::run::{Launched, Launcher};
use crate::spec::RelativePath;
use crate::warm::{Interpreter, Warmup};

/// Where programs find shared memory (`shm_overview(7)`), through a link from `/dev/shm`.
pub(crate) const SHARED_MEMORY_DIR: &str = "/run/shm";

const SLOT_ROOT: Owner = Owner { uid: 0, gid: 0 };
const PROGRAM: Owner = Owner { uid: RUN_ID, gid: RUN_ID };

/// A folder of the writable layer that is made anew after each run.
struct Place {
    parent: &'static CStr,
    name: &'static CStr,
    owner: Owner,
    mode: u32,
}

const BOX: Place = Place { parent: c"/", name: c"box", owner: SLOT_ROOT, mode: 0o755 };
const WORK: Place = Place { parent: c"/", name: c"w", owner: PROGRAM, mode: 0o755 };
const TEMPORARY: Place = Place { parent: c"/", name: c"tmp", owner: SLOT_ROOT, mode: 0o1777 };
const SHARED: Place = Place { parent: c"/run", name: c"shm", owner: SLOT_ROOT, mode: 0o1777 };

/// A [`Place`] that stands.
#[derive(Debug)]
struct Folder {
    parent: OwnedFd,
    name: &'static CStr,
    owner: Owner,
    mode: u32,
    fd: OwnedFd,
    /// As it was made.
    imprint: Imprint,
}

impl Folder {
    fn make(place: Place) -> io::Result<Self> {
        let Place { parent, name, owner, mode } = place;
        let parent = tree::open_folder(parent)?;
        let fd = tree::make_folder(&parent, name, owner, mode)?;
        let imprint = Imprint::of(&fd)?;
        Ok(Self { parent, name, owner, mode, fd, imprint })
    }

    /// Replaces it unless it is in every respect as it was made, so that nothing of a run remains: no
    /// entry, attribute, mode or time.
    fn renew(&mut self) -> io::Result<()> {
        if Imprint::of(&self.fd)? == self.imprint {
            return Ok(());
        }
        tree::empty_folder(&self.fd)?;
        unlinkat(&self.parent, self.name, UnlinkatFlags::RemoveDir)?;
        self.fd = tree::make_folder(&self.parent, self.name, self.owner, self.mode)?;
        self.imprint = Imprint::of(&self.fd)?;
        Ok(())
    }
}

/// What is in the writable layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Used {
    blocks: u64,
    inodes: u64,
}

impl Used {
    fn of(folder: &OwnedFd) -> io::Result<Self> {
        let found = fstatvfs(folder)?;
        Ok(Self {
            blocks: found.blocks() - found.blocks_free(),
            inodes: found.files() - found.files_free(),
        })
    }
}

/// The resident's own memory. A run's largest resident set begins with the resident's, because it
/// starts in the resident's memory (`getrusage(2)`: `ru_maxrss` survives exec), so it must stay small.
#[derive(Debug)]
pub(crate) struct Footprint(File);

/// Bytes of a message after which memory is given back.
const FOOTPRINT_BYTES_MAX: u64 = 256 << 10;

impl Footprint {
    /// Must be called before the caller changes its user namespace: later the file is out of reach.
    pub(crate) fn open() -> io::Result<Self> {
        File::options().write(true).open("/proc/self/clear_refs").map(Self)
    }

    /// Gives free memory back and forgets the peak (`proc(5)`, `clear_refs`, value 5).
    fn shrink(&mut self) -> io::Result<()> {
        crate::kernel::process::return_free_memory();
        self.0.write_all(b"5")
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Resident {
    socket: OwnedFd,
    footprint: Footprint,
    launcher: Launcher,
    /// Its own, until installed.
    filter: Option<Filter>,
    boxed: Folder,
    work: Folder,
    /// `/tmp` and shared memory.
    scratch: [Folder; 2],
    /// What is in a clean slot: when built, and with the files of this lease.
    used_built: Used,
    used_leased: Used,
}

/// Why the resident must end.
struct Fault {
    step: &'static str,
    source: io::Error,
}

fn at(step: &'static str) -> impl FnOnce(io::Error) -> Fault {
    move |source| Fault { step, source }
}

impl Resident {
    /// Makes the folders of the writable layer.
    pub(crate) fn new(
        socket: OwnedFd,
        meters: Meters,
        warm: &[Warmup],
        footprint: Footprint,
    ) -> io::Result<Self> {
        let boxed = Folder::make(BOX)?;
        let work = Folder::make(WORK)?;
        let scratch = [Folder::make(TEMPORARY)?, Folder::make(SHARED)?];
        let used = Used::of(&work.fd)?;
        let (filter, added) = match meters.door() {
            Door::Write(_) => (Filter::of_runs().map_err(io::Error::other)?, None),
            Door::Clone(_) => {
                let (first, second) = Filter::in_two_parts().map_err(io::Error::other)?;
                (first, Some(second))
            }
        };
        let interpreters = warm.iter().cloned().map(Interpreter::new).collect();
        let launcher = Launcher::new(meters, Ceilings::read()?, added, interpreters)?;
        Ok(Self {
            socket,
            footprint,
            launcher,
            filter: Some(filter),
            boxed,
            work,
            scratch,
            used_built: used,
            used_leased: used,
        })
    }

    /// Keeps what serving needs. From here on the resident is under the same filter as its runs, but
    /// for the calls that start them.
    pub(crate) fn give_up_privileges(&mut self) -> io::Result<()> {
        credentials::forbid_inspection()?;
        credentials::lock_secure_bits()?;
        credentials::keep_resident_capabilities()?;
        credentials::empty_bounding_set()?;
        credentials::forbid_new_privileges()?;
        match self.filter.take() {
            Some(filter) => filter.install(),
            None => Err(io::ErrorKind::AlreadyExists.into()),
        }
    }

    /// Serves until the supervisor closes the socket or the slot is in doubt.
    pub(crate) fn serve(mut self) {
        let mut fault = self.send(&Reply::Ready, &[]).err();
        while fault.is_none() {
            match control::receive::<Request>(&self.socket, MsgFlags::empty()) {
                Ok(Some(message)) => {
                    fault = self.handle(message.header, message.payload, message.extra).err();
                }
                Ok(None) => return,
                Err(source) => fault = Some(Fault { step: "receive a request", source }),
            }
        }
        if let Some(Fault { step, source }) = fault {
            let (step, reason) = (step.to_owned(), source.to_string());
            // Nobody is left to tell if this fails; ending is all that remains.
            drop(self.send(&Reply::Failed { step, reason }, &[]));
        }
    }

    fn send(&self, reply: &Reply, parts: &[&[u8]]) -> Result<(), Fault> {
        control::send(&self.socket, reply, parts, None).map_err(at("send a reply"))
    }

    fn handle(
        &mut self,
        request: Request,
        mut payload: Payload,
        stdin: Option<OwnedFd>,
    ) -> Result<(), Fault> {
        match request {
            Request::Install { files } => {
                write_files(&self.boxed.fd, &files, &mut payload, SLOT_ROOT)
                    .map_err(at("install files"))?;
                self.used_leased = Used::of(&self.work.fd).map_err(at("measure the layer"))?;
                self.send(&Reply::Installed, &[])
            }
            Request::Run(request) => {
                write_files(&self.work.fd, &request.files, &mut payload, PROGRAM)
                    .map_err(at("write the run's files"))?;
                self.run(&request, stdin)?;
                self.reset().map_err(at("reset the slot"))?;
                if self.launcher.warm_up(&request) {
                    self.reset().map_err(at("reset the slot after a warm-up"))?;
                }
                Ok(())
            }
            Request::EndLease => {
                self.boxed.renew().map_err(at("empty the box"))?;
                self.used_leased = self.used_built;
                self.prove_clean().map_err(at("reset the slot"))
            }
        }
    }

    /// Runs the program and replies, before the slot is reset: the caller need not wait for that.
    fn run(&mut self, request: &RunRequest, stdin: Option<OwnedFd>) -> Result<(), Fault> {
        if request.has_stdin != stdin.is_some() {
            return Err(at("take standard input")(io::ErrorKind::InvalidData.into()));
        }
        let launched = self.launcher.run(request, stdin, &self.socket).map_err(at("run"))?;
        let facts = match launched {
            Launched::Ended(facts) => facts,
            Launched::Refused { step, errno } => {
                return self.send(&Reply::NotLaunched { step: step as u8, errno }, &[]);
            }
            Launched::Abandoned => std::process::exit(0),
        };
        let collected = self.collect(&request.collect).map_err(at("collect files"))?;
        let mut parts: Vec<&[u8]> = vec![&facts.stdout.bytes, &facts.stderr.bytes];
        parts.extend(collected.iter().filter_map(|(_, content)| content.as_deref()));
        let ended = Ended {
            termination: facts.termination,
            usage: facts.usage,
            stdout: (facts.stdout.bytes.len() as u64, facts.stdout.truncated),
            stderr: (facts.stderr.bytes.len() as u64, facts.stderr.truncated),
            files: collected.iter().map(|(header, _)| *header).collect(),
        };
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        self.send(&Reply::Ended(ended), &parts)?;
        drop((facts, collected));
        if bytes as u64 > FOOTPRINT_BYTES_MAX {
            self.footprint.shrink().map_err(at("give memory back"))?;
        }
        Ok(())
    }

    fn collect(
        &self,
        wanted: &[(String, u64)],
    ) -> io::Result<Vec<(CollectedHeader, Option<Vec<u8>>)>> {
        let mut left = FILES_BYTES_MAX as u64;
        let mut collected = Vec::with_capacity(wanted.len());
        for (path, bytes_max) in wanted {
            let path = relative(path)?;
            let Some(mut file) = tree::open_file(&self.work.fd, &path)? else {
                collected.push((CollectedHeader::Missing, None));
                continue;
            };
            let bytes = file.metadata()?.len();
            if bytes > (*bytes_max).min(left) {
                collected.push((CollectedHeader::TooLarge, None));
                continue;
            }
            left -= bytes;
            let mut content = Vec::new();
            io::Read::read_to_end(&mut file, &mut content)?;
            let bytes = content.len() as u64;
            collected.push((CollectedHeader::File { bytes }, Some(content)));
        }
        Ok(collected)
    }

    /// Makes the writable layer as it was before the run.
    fn reset(&mut self) -> io::Result<()> {
        self.work.renew()?;
        for folder in &mut self.scratch {
            folder.renew()?;
        }
        self.prove_clean()
    }

    fn prove_clean(&self) -> io::Result<()> {
        let used = Used::of(&self.work.fd)?;
        if used == self.used_leased {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "the writable layer has {used:?}, not {:?}",
            self.used_leased
        )))
    }
}

fn relative(path: &str) -> io::Result<RelativePath> {
    RelativePath::new(path).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

fn write_files(
    folder: &OwnedFd,
    files: &[FileHeader],
    payload: &mut Payload,
    owner: Owner,
) -> io::Result<()> {
    for header in files {
        let mode = if header.executable { 0o755 } else { 0o644 };
        let mut file: File = tree::create_file(folder, &relative(&header.path)?, owner, mode)?;
        payload.copy_to(&mut file, header.bytes)?;
    }
    Ok(())
}
