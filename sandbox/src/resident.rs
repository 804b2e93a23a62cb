//! The resident: PID 1 of a slot's pid namespace, root of its user namespace, spawner of its runs.
//!
//! It serves one supervisor over one socket until that closes, and its end ends everything in the
//! slot. Its filter, `no_new_privs` and empty bounding set are installed once and inherited by every
//! run. It stays outside the groups that limit runs.
//!
//! After each run it proves the slot clean before it takes the next request: no process is left
//! (as PID 1 it inherits every orphan, so having no child means that the namespace is empty), and
//! the writable layer has as many blocks and inodes in use as before. Where it cannot, it exits.

use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::socket::MsgFlags;
use nix::sys::statvfs::fstatvfs;
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::audience::{Talking, Waiting};
use crate::child::RUN_ID;
use crate::control::{
    self, CollectedHeader, Ended, FileHeader, Payload, Reply, Request, RunRequest, SessionReply,
    SessionRequest,
};
use crate::kernel::credentials;
use crate::kernel::descriptors;
use crate::kernel::seccomp::Filter;
use crate::kernel::tree::{self, Imprint, Owner};
use crate::limits::FILES_BYTES_MAX;
use crate::resets::ResetTimes;
use crate::run::{Launched, Launcher};
use crate::spec::{RelativePath, Streams};

/// Where programs find shared memory (`shm_overview(7)`), through a link from `/dev/shm`.
pub(crate) const SHARED_MEMORY_DIR: &str = "/run/shm";

const SLOT_ROOT: Owner = Owner { uid: 0, gid: 0 };
const PROGRAM: Owner = Owner { uid: RUN_ID, gid: RUN_ID };

/// What programs may do in a [`Place`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    Read,
    ReadAndWrite,
}

/// A folder of the writable layer that is made anew after each run.
#[derive(Debug)]
pub(crate) struct Place {
    parent: &'static CStr,
    name: &'static CStr,
    owner: Owner,
    mode: u32,
    programs: Use,
}

impl Place {
    /// Its name in a layer that holds nothing else.
    pub(crate) fn folder(&self) -> &'static OsStr {
        OsStr::from_bytes(self.name.to_bytes())
    }

    /// Where programs see it.
    pub(crate) fn shown(&self) -> PathBuf {
        Path::new(OsStr::from_bytes(self.parent.to_bytes())).join(self.folder())
    }

    pub(crate) fn mode(&self) -> u32 {
        self.mode
    }

    pub(crate) fn use_of_programs(&self) -> Use {
        self.programs
    }
}

/// What a lease installs; where a program starts; `/tmp`; shared memory.
pub(crate) const PLACES: [Place; 4] = {
    let (read, write) = (Use::Read, Use::ReadAndWrite);
    let (root, run) = (c"/", c"/run");
    [
        Place { parent: root, name: c"box", owner: SLOT_ROOT, mode: 0o755, programs: read },
        Place { parent: root, name: c"w", owner: PROGRAM, mode: 0o755, programs: write },
        Place { parent: root, name: c"tmp", owner: SLOT_ROOT, mode: 0o1777, programs: write },
        Place { parent: run, name: c"shm", owner: SLOT_ROOT, mode: 0o1777, programs: write },
    ]
};

/// A [`Place`] that stands.
#[derive(Debug)]
struct Folder {
    fd: OwnedFd,
    /// Whose its files are.
    owner: Owner,
    /// As it was made.
    imprint: Imprint,
    renewal: Renewal,
}

/// How a run's traces are removed from a [`Folder`].
#[derive(Debug)]
enum Renewal {
    /// By another folder in its place.
    Replaced { parent: OwnedFd, name: &'static CStr, mode: u32 },
    /// In place, as the mounts that show it would go on showing the old one.
    Restored,
}

impl Folder {
    fn make(place: &Place) -> io::Result<Self> {
        let owner = place.owner;
        let parent = tree::open_folder(place.parent)?;
        let fd = tree::make_folder(&parent, place.name, owner, place.mode)?;
        let imprint = Imprint::of(&fd)?;
        let renewal = Renewal::Replaced { parent, name: place.name, mode: place.mode };
        Ok(Self { fd, owner, imprint, renewal })
    }

    fn hold(fd: OwnedFd) -> io::Result<Self> {
        let imprint = Imprint::of(&fd)?;
        Ok(Self { fd, owner: PROGRAM, imprint, renewal: Renewal::Restored })
    }

    /// Replaces or restores it unless it is in every respect as it was made, so that nothing of a run
    /// remains: no entry, attribute, mode or time.
    fn renew(&mut self) -> io::Result<()> {
        if Imprint::of(&self.fd)? == self.imprint {
            return Ok(());
        }
        tree::empty_folder(&self.fd)?;
        match &self.renewal {
            Renewal::Replaced { parent, name, mode } => {
                unlinkat(parent, *name, UnlinkatFlags::RemoveDir)?;
                self.fd = tree::make_folder(parent, name, self.owner, *mode)?;
            }
            Renewal::Restored => {
                tree::restore_folder(&self.fd, &self.imprint)?;
                if !Imprint::of(&self.fd)?.equals_but_for_change_time(&self.imprint) {
                    return Err(io::Error::other("a folder could not be restored"));
                }
            }
        }
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
    /// For large replies, where the filter lets nobody make a memory file.
    large: Option<File>,
    footprint: Footprint,
    launcher: Launcher,
    boxed: Folder,
    work: Folder,
    /// `/tmp` and shared memory.
    scratch: [Folder; 2],
    /// What is in a clean slot: when built, and with the files of this lease.
    used_built: Used,
    used_leased: Used,
    /// How long the last reset took, until that is told.
    layer_reset: Option<Duration>,
    /// The last program of a session, until that is over.
    of_session: Option<RunRequest>,
}

/// What is left undone between two programs of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Afterwards {
    /// Nothing of the program's may stay.
    Reset,
    /// Its files stay until they are to be forgotten.
    Keep,
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
    /// Makes the folders of the writable layer, or takes those that are `held`, in the order of
    /// [`PLACES`].
    pub(crate) fn new(
        socket: OwnedFd,
        launcher: Launcher,
        footprint: Footprint,
        held: Option<Vec<OwnedFd>>,
    ) -> io::Result<Self> {
        let large = held.as_ref().map(|_| descriptors::memory_file()).transpose()?;
        let folders = match held {
            None => PLACES.iter().map(Folder::make).collect::<io::Result<Vec<_>>>(),
            Some(held) => held.into_iter().map(Folder::hold).collect(),
        }?;
        let [boxed, work, temporary, shared] =
            <[Folder; PLACES.len()]>::try_from(folders).map_err(|_| io::ErrorKind::InvalidInput)?;
        let used = Used::of(&work.fd)?;
        Ok(Self {
            socket,
            large,
            footprint,
            launcher,
            boxed,
            work,
            scratch: [temporary, shared],
            used_built: used,
            used_leased: used,
            layer_reset: None,
            of_session: None,
        })
    }

    /// Keeps what serving needs. From here on the resident is under the same filter as its runs, but
    /// for the calls that start them.
    pub(crate) fn give_up_privileges(filter: &Filter) -> io::Result<()> {
        credentials::forbid_inspection()?;
        credentials::lock_secure_bits()?;
        credentials::keep_resident_capabilities()?;
        credentials::empty_bounding_set()?;
        credentials::forbid_new_privileges()?;
        filter.install()
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
        match &self.large {
            None => control::send(&self.socket, reply, parts, &[]),
            Some(file) => control::send_by_file(&self.socket, reply, parts, file),
        }
        .map_err(at("send a reply"))
    }

    fn handle(
        &mut self,
        request: Request,
        mut payload: Payload,
        attached: Vec<OwnedFd>,
    ) -> Result<(), Fault> {
        if let Some(large) = &self.large {
            large.set_len(0).map_err(at("forget the last reply"))?;
        }
        match request {
            Request::Install { files } => {
                write_files(&self.boxed, &files, &mut payload).map_err(at("install files"))?;
                self.used_leased = Used::of(&self.work.fd).map_err(at("measure the layer"))?;
                self.send(&Reply::Installed, &[])
            }
            Request::Run(request) => {
                write_files(&self.work, &request.files, &mut payload)
                    .map_err(at("write the run's files"))?;
                if self.run(&request, attached)? == Afterwards::Keep {
                    self.of_session = Some(request);
                    return Ok(());
                }
                self.reset().map_err(at("reset the slot"))?;
                self.warm_up(&request)
            }
            Request::Session(SessionRequest::Forget) => {
                self.reset().map_err(at("reset the slot after a session"))?;
                self.footprint.shrink().map_err(at("give memory back"))?;
                self.send(&Reply::Session(SessionReply::Done), &[])?;
                match self.of_session.take() {
                    Some(request) => self.warm_up(&request),
                    None => Ok(()),
                }
            }
            Request::Session(request) => self
                .talking()
                .carry_out(request, &mut payload, None)
                .map(drop)
                .map_err(at("serve a session")),
            // It had ended when this came.
            Request::Abandon => Ok(()),
            Request::EndLease => {
                self.boxed.renew().map_err(at("empty the box"))?;
                self.used_leased = self.used_built;
                self.prove_clean().map_err(at("reset the slot"))
            }
        }
    }

    /// Starts the template for runs like this one, where one is wanted, in a clean slot, and leaves it clean.
    fn warm_up(&mut self, request: &RunRequest) -> Result<(), Fault> {
        if self.launcher.warm_up(request) {
            self.reset().map_err(at("reset the slot after a warm-up"))?;
        }
        Ok(())
    }

    fn talking(&self) -> Talking<'_> {
        let (socket, large) = (&self.socket, self.large.as_ref());
        Talking { socket, large, work: &self.work.fd, owner: self.work.owner }
    }

    /// Runs the program and replies, before the slot is reset: the caller need not wait for that.
    fn run(&mut self, request: &RunRequest, attached: Vec<OwnedFd>) -> Result<Afterwards, Fault> {
        let streams = standard_streams(request, attached).map_err(at("take standard streams"))?;
        let afterwards = if request.is_session { Afterwards::Keep } else { Afterwards::Reset };
        let (socket, large) = (&self.socket, self.large.as_ref());
        let launched = match afterwards {
            Afterwards::Reset => self.launcher.run(request, streams, &mut Waiting(socket)),
            Afterwards::Keep => {
                let (work, owner) = (&self.work.fd, self.work.owner);
                let mut talking = Talking { socket, large, work, owner };
                self.launcher.run(request, streams, &mut talking)
            }
        };
        let facts = match launched.map_err(at("run"))? {
            Launched::Ended(facts) => facts,
            Launched::Refused { step, errno } => {
                self.send(&Reply::NotLaunched { step: step as u8, errno }, &[])?;
                return Ok(afterwards);
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
            resets: ResetTimes {
                layer: self.layer_reset.take(),
                groups: self.launcher.groups_reset.take(),
            },
        };
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        self.send(&Reply::Ended(ended), &parts)?;
        drop((facts, collected));
        if bytes as u64 > FOOTPRINT_BYTES_MAX {
            self.footprint.shrink().map_err(at("give memory back"))?;
        }
        Ok(afterwards)
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
        let begun = Instant::now();
        self.work.renew()?;
        for folder in &mut self.scratch {
            folder.renew()?;
        }
        self.prove_clean()?;
        self.layer_reset = Some(begun.elapsed());
        Ok(())
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

/// Gives each descriptor that came with a request its place.
fn standard_streams(request: &RunRequest, attached: Vec<OwnedFd>) -> io::Result<Streams> {
    let mut attached = attached.into_iter();
    let mut next = |there: bool| match there {
        true => attached.next().map(Some).ok_or(io::ErrorKind::InvalidData),
        false => Ok(None),
    };
    let (stdin, stdout) = (next(request.has_stdin)?, next(request.has_stdout)?);
    let stderr = next(request.has_stderr)?;
    match attached.next() {
        None => Ok(Streams { stdin, stdout, stderr }),
        Some(_) => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn relative(path: &str) -> io::Result<RelativePath> {
    RelativePath::new(path).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

fn write_files(folder: &Folder, files: &[FileHeader], payload: &mut Payload) -> io::Result<()> {
    for header in files {
        let mode = if header.executable { 0o755 } else { 0o644 };
        let path = relative(&header.path)?;
        let mut file: File = tree::create_file(&folder.fd, &path, folder.owner, mode)?;
        payload.copy_to(&mut file, header.bytes)?;
    }
    Ok(())
}
