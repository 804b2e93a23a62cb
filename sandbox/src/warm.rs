//! Warm interpreters: a run that forks from a loaded interpreter instead of starting a cold one.
//!
//! A *template* is an interpreter that stands still in the middle of its own start-up, inside the
//! slot's barriers, as the slot's root with the few capabilities that giving a run its identity
//! takes. It has the exact argv and environment of the runs it serves, so what a program can see of
//! itself (`/proc/self/cmdline`, `environ`, `sys.argv`, `sys.flags`, hash seed) is what a cold start
//! shows, and after the fork the interpreter's own code finds and runs the program. A run is a child
//! of the resident, in a new ipc namespace, joins the same groups, takes the same limits, and drops
//! what a cold start drops. It has another user than the template, which it cannot signal, trace or
//! read.
//!
//! What differs from a cold start, and is accepted: the modules of `preload` are in `sys.modules`,
//! and runs of one template share its address layout; templates are made anew after
//! [`RUNS_PER_TEMPLATE`] runs, and when they have grown. A template that fails in any way is ended, and the run starts cold.
//!
//! Half of a short program's cost was the interpreter's end, which takes everything apart and so copies
//! the pages that are shared with the template (2.4 microseconds each where this was built). A program
//! that ran to its last line ends when its own modules have been taken apart; of what the template has
//! loaded nothing is, so that an object which a program hangs on a module of the template is not
//! finalized, which the language leaves open (Python language reference, `object.__del__`).
//!
//! What is left is copying as well: some 400 pages before the program's first line. Refused: to have
//! them copied by the fork itself, which took 0.7 microseconds a page in a trial in C; only pages pinned
//! for a device are, and what pins them (io_uring) is denied to every process of a slot.
//!
//! Node has no templates: its threads do not outlive a fork, and a start from a snapshot of its own
//! (`--snapshot-blob`, node 20) takes 71 ms where a cold one takes 72.
//!
//! Refused: an embedding program or a preloaded library, which would have to be built for each
//! interpreter; and running the program from Python code of ours, whose frames would show in
//! tracebacks, recursion limits and `sys._getframe`.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, socketpair};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::child::{self, Setup, SetupStep};
use crate::control::RunRequest;
use crate::kernel::gauges::Door;
use crate::kernel::process::{self, Vfork};
use crate::kernel::seccomp::Filter;
use crate::kernel::{credentials, descriptors};
use crate::privilege::Privilege;
use crate::run::{RESOURCES_OF_TEMPLATE, pointers};

/// The code that waits; see there.
const SERVE: &str = include_str!("warm.py");
/// How a copy leaves that code: as if it had not been found, which is what a cold start sees.
const NOT_FOUND: &str = "raise ImportError(name='usercustomize')";
/// Runs of one template before it is made anew.
const RUNS_PER_TEMPLATE: u32 = 2000;
/// Runs after which a template's size is looked at.
const RUNS_PER_LOOK: u32 = 100;
/// How much a template may grow; what it needs for itself between two runs is a few hundred KiB.
const GROWTH_BYTES_MAX: u64 = 16 << 20;
/// How long a template may take to load, or to let a run go.
const PATIENCE: Duration = Duration::from_secs(10);
/// Failures in a row after which an interpreter is started cold only.
const FAILURES_MAX: u32 = 3;

/// Runs that are started warm: those with exactly this argv and environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warmup {
    /// The interpreter (CPython 3.8 or later) and its arguments.
    pub argv: Vec<String>,
    /// `NAME=value`; `HOME` must be [`crate::spec::WORK_DIR`].
    pub env: Vec<String>,
    /// Modules that are loaded beforehand.
    pub preload: Vec<String>,
}

/// A template that waits.
#[derive(Debug)]
struct Template {
    pid: Pid,
    socket: OwnedFd,
    runs: u32,
    /// Its resident set when it was loaded.
    resident_bytes: u64,
    /// Kept open: an interpreter that writes to a closed pipe while it loads would die.
    _streams: [OwnedFd; 2],
}

/// One kind of interpreter, with its template while there is one.
#[derive(Debug)]
pub(crate) struct Interpreter {
    warmup: Warmup,
    template: Option<Template>,
    failures: u32,
}

impl Interpreter {
    pub(crate) fn new(warmup: Warmup) -> Self {
        Self { warmup, template: None, failures: 0 }
    }

    /// Whether runs like this one are started from here.
    pub(crate) fn serves(&self, request: &RunRequest) -> bool {
        let equal = |ours: &[String], theirs: &[Vec<u8>]| {
            ours.iter().map(String::as_bytes).eq(theirs.iter().map(Vec::as_slice))
        };
        self.failures < FAILURES_MAX
            && equal(&self.warmup.argv, &request.argv)
            && equal(&self.warmup.env, &request.env)
    }

    /// Whether the next run like these would have to start cold.
    pub(crate) fn wants_template(&self) -> bool {
        self.template.is_none() && self.failures < FAILURES_MAX
    }

    /// The waiting process, where there is one.
    pub(crate) fn template(&self) -> Option<Pid> {
        self.template.as_ref().map(|template| template.pid)
    }

    /// Forgets a template that has ended.
    pub(crate) fn forget(&mut self, ended: Pid) {
        if self.template() == Some(ended) {
            self.template = None;
            self.failures += 1;
        }
    }

    /// Starts a template. `folder` is the writable folder that programs start in; the caller removes
    /// what is left there.
    pub(crate) fn start(&mut self, folder: &Path, vfork: &mut Vfork) -> io::Result<()> {
        self.failures += 1;
        self.write_start_up(folder)?;
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        let stdin = descriptors::reopen_read_only(&descriptors::sealed_memory_file(&[])?)?;
        let (stdout, stdout_end) = descriptors::output_pipe()?;
        let (stderr, stderr_end) = descriptors::output_pipe()?;
        let bytes = |strings: &[String]| -> Vec<Vec<u8>> {
            strings.iter().map(|string| string.as_bytes().to_vec()).collect()
        };
        let (_argv_owners, argv) = pointers(&bytes(&self.warmup.argv))?;
        let (_env_owners, env) = pointers(&bytes(&self.warmup.env))?;
        let mut setup = Setup {
            argv: &argv,
            env: &env,
            groups: None,
            streams: [&stdin, &stdout_end, &stderr_end].map(AsRawFd::as_raw_fd),
            folder: c"/",
            resources: RESOURCES_OF_TEMPLATE,
            stand_ins: None,
            privilege: Privilege::Root,
            filter: None,
            control: theirs.as_raw_fd(),
            step: SetupStep::Clone,
            errno: 0,
        };
        let (_process, pid) = vfork.spawn(None, child::enter_template, &mut setup)?;
        if setup.errno != 0 {
            return Err(io::Error::from_raw_os_error(setup.errno));
        }
        drop((stdin, stdout_end, stderr_end, theirs));
        let mut template =
            Template { pid, socket: ours, runs: 0, resident_bytes: 0, _streams: [stdout, stderr] };
        match template.answer() {
            Ok(answer) if answer == b"ready" => {
                template.resident_bytes = process::resident_bytes(pid)?;
                (self.template, self.failures) = (Some(template), 0);
                Ok(())
            }
            Ok(_) => self.abandon(template, io::ErrorKind::InvalidData.into()),
            Err(error) => self.abandon(template, error),
        }
    }

    fn abandon<T>(&self, template: Template, error: io::Error) -> io::Result<T> {
        end(&template)?;
        Err(error)
    }

    /// Puts the waiting code where the interpreter's start-up looks for it last: as `usercustomize` in
    /// the user's site folder (Python library reference, `site`).
    fn write_start_up(&self, folder: &Path) -> io::Result<()> {
        let program = self.warmup.argv.first().ok_or(io::ErrorKind::InvalidInput)?;
        // /usr/bin/python3 is a link to python3.11, which names the folder.
        let program = std::fs::canonicalize(program)?;
        let version = program.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let site = folder.join(".local/lib").join(version).join("site-packages");
        std::fs::create_dir_all(&site)?;
        let modules =
            self.warmup.preload.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>();
        let code = format!("{SERVE}\nserve([{}])\n{NOT_FOUND}\n", modules.join(", "));
        std::fs::write(site.join("usercustomize.py"), code)
    }

    /// Starts a run from the template. `Ok(None)`: there is none, or it failed; start cold.
    pub(crate) fn launch(
        &mut self,
        streams: [RawFd; 3],
        door: Door<'_>,
        filter: Option<&Filter>,
        resources: &[(i32, u64)],
    ) -> io::Result<Option<(OwnedFd, Pid)>> {
        let Some(mut template) = self.template.take() else { return Ok(None) };
        if template.is_worn()? {
            end(&template)?;
            return Ok(None);
        }
        template.runs += 1;
        match template.fork(streams, door, filter, resources) {
            Ok(launched) => {
                self.template = Some(template);
                Ok(Some(launched))
            }
            Err(_) => {
                // Whatever it was: the run starts cold, where a real fault shows again.
                self.failures += 1;
                end(&template)?;
                Ok(None)
            }
        }
    }
}

/// Ends a template and whatever it may have let go, and waits for it.
fn end(template: &Template) -> io::Result<()> {
    process::kill_one(template.pid)
}

impl Template {
    /// Whether it has served for long enough, or has grown.
    fn is_worn(&self) -> io::Result<bool> {
        Ok(self.runs >= RUNS_PER_TEMPLATE
            || (self.runs.is_multiple_of(RUNS_PER_LOOK)
                && process::resident_bytes(self.pid)? > self.resident_bytes + GROWTH_BYTES_MAX))
    }

    fn fork(
        &self,
        streams: [RawFd; 3],
        door: Door<'_>,
        filter: Option<&Filter>,
        resources: &[(i32, u64)],
    ) -> io::Result<(OwnedFd, Pid)> {
        let instructions = filter.map(Filter::bytes).unwrap_or_default();
        let mut message = credentials::LOCKED_SECURE_BITS.to_le_bytes().to_vec();
        message.extend((instructions.len() as u64).to_le_bytes());
        message.extend(instructions);
        for (resource, value) in resources {
            message.extend(i64::from(*resource).to_le_bytes());
            message.extend(value.to_le_bytes());
        }
        let fds: Vec<RawFd> = streams
            .into_iter()
            .chain(door.files().into_iter().flatten())
            .chain(door.folder().map(|folder| folder.as_raw_fd()))
            .collect();
        descriptors::send(self.socket.as_raw_fd(), &message, &fds)?;
        let answer = self.answer()?;
        let answer: [u8; 8] =
            answer.as_slice().try_into().map_err(|_| io::ErrorKind::InvalidData)?;
        match i32::try_from(i64::from_le_bytes(answer)) {
            Ok(pid) if pid > 1 => Ok((process::open_descriptor(pid)?, Pid::from_raw(pid))),
            Ok(negative) => Err(io::Error::from_raw_os_error(-negative)),
            Err(_) => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Waits for a message.
    fn answer(&self) -> io::Result<Vec<u8>> {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
            let fd = std::os::fd::AsFd::as_fd(&self.socket);
            match poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], timeout) {
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(_) => break,
                Err(nix::errno::Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        let mut buffer = [0; 64];
        let flags = MsgFlags::MSG_DONTWAIT;
        let (length, _) = descriptors::receive(self.socket.as_raw_fd(), &mut buffer, flags)?;
        if length == 0 {
            Err(io::ErrorKind::UnexpectedEof.into())
        } else {
            Ok(buffer[..length].to_vec())
        }
    }
}
