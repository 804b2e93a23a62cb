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
//! [`RUNS_PER_TEMPLATE`] runs. A template that fails in any way is ended, and the run starts cold. A
//! program whose start-up cannot be held cannot run in the template's place: until a template waits, it
//! may open no file, and an error in the code that waits ends it.
//!
//! # What a warm run costs
//!
//! The pages that it shares with its template, and writes to: each is copied, at 1.5 to 2.4 microseconds where
//! this was built, the copy proper being a quarter of that. Python writes to an object's page whenever
//! it looks at the object, since it counts references. So what counts is how many objects are looked at:
//!
//! - *Waiting* is machine code with a buffer of its own (`kernel/template.rs`), which also gives up what a
//!   cold start gives up: 230 pages fewer than by Python code, on both sides of the fork.
//! - *The start* goes on where the interpreter looks at its program's path, the last place before the
//!   program where it can be held (whether that is a folder or an archive, which is decided before, the
//!   resident finds out); free holes in the template's memory are filled beforehand, so that
//!   what a run makes lies together.
//! - *The end* takes everything apart, which is as much as all before. A program that ran to its last
//!   line, and of whose objects none would notice, ends at once. A program that ran to its last line with an
//!   object that might notice ends when its own modules have been taken apart; of what the template
//!   has loaded nothing is, so that an object which a program hangs on a module of the template is not
//!   finalized, which the language leaves open (Python language reference, `object.__del__`).
//! - *Large templates* lie in huge pages, which a fork shares whole: 0.8 instead of 2.3 ms for one with
//!   numpy and sympy.
//!
//! What is left, of a program that does nothing (0.90 ms by the clock around a template of its own on an idle
//! machine, 1.70 before this design): 0.31 ms fork and end of a process with 58 mappings and 970 pages of its
//! own; 211 faults (462 before), 150 of them copies, for the rest. With numpy and sympy used (6.0 ms, 11.7
//! before): 0.63 ms fork and end, 1 090 faults (2 350), 600 of them where sympy expands a power.
//!
//! Refused: to have the pages copied in one call. Only pages pinned for a device are copied by the fork itself,
//! and what pins them (io_uring) is denied to every process of a slot; `MADV_POPULATE_WRITE` on the ranges that
//! runs are known to write costs as much as the traps that it saves (1.5 microseconds a page in runs of
//! 16 pages, 2.4 where each stands alone). To have the fork copy the page tables of the interpreter's code: a
//! fifth fewer faults, and not faster. To fork ahead: it takes the same time from the same processor, and holds a
//! process for a run that may never come.
//!
//! Node has no templates: its threads do not outlive a fork, and a start from a snapshot of its own
//! (`--snapshot-blob`, node 20) takes 71 ms where a cold one takes 72.
//!
//! A session's interpreter starts the same way. Its bridge is a module among the files of the lease ([`Warmup::folder`]), so that
//! neither it nor what it imports is loaded for each: 3.6 instead of 72 ms from the request to the first prompt. The template is made when
//! a session ends, since it needs those files.
//!
//! Refused: an embedding program or a preloaded library, which would have to be built for each
//! interpreter; and running the program from Python code of ours, whose frames would show in
//! tracebacks, recursion limits and `sys._getframe`.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, socketpair};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::child::{self, RUN_ID, Setup, SetupStep};
use crate::control::RunRequest;
use crate::kernel::gauges::Door;
use crate::kernel::process::{self, CLONE_INTO_CGROUP, Vfork};
use crate::kernel::seccomp::Filter;
use crate::kernel::template::{self, BUFFER_BYTES, Calls};
use crate::kernel::{credentials, descriptors};
use crate::privilege::Privilege;
use crate::run::{RESOURCES_OF_TEMPLATE, pointers};
use crate::spec::WORK_DIR;

/// The code that loads, and the code that waits; see there.
const LOAD: &str = include_str!("warm/load.py");
const HOLD: &str = include_str!("warm/hold.py");
/// What goes wrong there must not let the interpreter run its program: it is not a run.
const ELSE_END: &str = "except BaseException:\n    __import__('os')._exit(1)";
/// How a copy leaves that code: as if it had not been found, which is what a cold start sees.
const NOT_FOUND: &str = "raise ImportError(name='usercustomize')";
/// Runs of one template before it is made anew.
const RUNS_PER_TEMPLATE: u32 = 2000;
/// The mark of what an archive ends with, and how long that may be (`APPNOTE.TXT` of PKWARE, 4.3.16).
const ARCHIVE_END: &[u8] = b"PK\x05\x06";
const ARCHIVE_END_BYTES_MAX: u64 = 22 + (64 << 10);
/// The number of the first descriptor that comes with a request: a template has no others than the standard
/// streams and its socket.
const FIRST_RECEIVED: u64 = 4;
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
    /// Where they are looked for first: a folder that no run can write to, such as that of the files that
    /// a lease installs. All leases whose runs are started from here must install the same there.
    pub folder: Option<String>,
}

/// A template that waits.
#[derive(Debug)]
struct Template {
    pid: Pid,
    socket: OwnedFd,
    runs: u32,
    /// Where its requests lie.
    buffer: u64,
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
        // A copy is not loaded by the slot's loader, which is what closes the memory.
        self.failures < FAILURES_MAX
            && !request.has_closed_memory
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
            supplementary: &[],
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
            Template { pid, socket: ours, runs: 0, buffer: 0, _streams: [stdout, stderr] };
        match template.answer() {
            Ok(buffer) if buffer > 0 => {
                template.buffer = buffer.unsigned_abs();
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
        let list = |strings: &mut dyn Iterator<Item = &String>| {
            strings.map(|string| format!("{string:?}")).collect::<Vec<_>>().join(", ")
        };
        let modules = list(&mut self.warmup.preload.iter());
        let folders = list(&mut self.warmup.folder.iter());
        let machine_code: String =
            template::code().iter().map(|byte| format!("{byte:02x}")).collect();
        let hold_at = site.join("hold.py");
        std::fs::write(&hold_at, HOLD)?;
        let allocator = template::allocator_at();
        let arguments = format!(
            "[{modules}], [{folders}], bytes.fromhex({machine_code:?}), {allocator:?}, {BUFFER_BYTES}, \
             open({hold_at:?}).read()"
        );
        let guarded = format!("try:\n    load({arguments})\n{ELSE_END}");
        let code = format!("{LOAD}\n{guarded}\n{NOT_FOUND}\n");
        std::fs::write(site.join("usercustomize.py"), code)
    }

    /// What may be the program's path: where it stands depends on the options before it.
    fn programs(&self) -> impl Iterator<Item = PathBuf> {
        let arguments = self.warmup.argv.iter().skip(1);
        let paths = arguments.filter(|argument| !argument.starts_with('-'));
        paths.map(|path| Path::new(WORK_DIR).join(path))
    }

    /// Starts a run from the template. `Ok(None)`: there is none, or it failed; start cold.
    pub(crate) fn launch(
        &mut self,
        streams: [RawFd; 3],
        door: Door<'_>,
        filter: Option<&Filter>,
        resources: &[(i32, u64)],
    ) -> io::Result<Option<(OwnedFd, Pid)>> {
        if self.programs().any(|path| is_container(&path)) {
            return Ok(None);
        }
        let Some(mut template) = self.template.take() else { return Ok(None) };
        if template.runs >= RUNS_PER_TEMPLATE {
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

/// Whether an interpreter would look for its program inside of this: a folder, or an archive, which any
/// file may be that ends as one does. A template waits behind the place where that is found out.
fn is_container(path: &Path) -> bool {
    let Ok(file) = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path) else {
        // It fails there as well.
        return false;
    };
    let Ok(metadata) = file.metadata() else { return true };
    let start = metadata.len().saturating_sub(ARCHIVE_END_BYTES_MAX);
    let mut end = Vec::new();
    let mut reader = file.take(ARCHIVE_END_BYTES_MAX);
    !metadata.is_file()
        || reader.get_mut().seek(SeekFrom::Start(start)).is_err()
        || reader.read_to_end(&mut end).is_err()
        || end.windows(ARCHIVE_END.len()).any(|bytes| bytes == ARCHIVE_END)
}

/// Ends a template and whatever it may have let go, and waits for it.
fn end(template: &Template) -> io::Result<()> {
    process::kill_one(template.pid)
}

impl Template {
    fn fork(
        &self,
        streams: [RawFd; 3],
        door: Door<'_>,
        filter: Option<&Filter>,
        resources: &[(i32, u64)],
    ) -> io::Result<(OwnedFd, Pid)> {
        let message = self.request(door, filter, resources).message()?;
        let fds: Vec<RawFd> = streams
            .into_iter()
            .chain(door.files().into_iter().flatten())
            .chain(door.folder().map(|folder| folder.as_raw_fd()))
            .collect();
        descriptors::send(self.socket.as_raw_fd(), &message, &fds)?;
        match i32::try_from(self.answer()?) {
            Ok(pid) if pid > 1 => Ok((process::open_descriptor(pid)?, Pid::from_raw(pid))),
            Ok(negative) => Err(io::Error::from_raw_os_error(-negative)),
            Err(_) => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// What a copy does to become a run: the same as [`child::enter`].
    fn request(&self, door: Door<'_>, filter: Option<&Filter>, resources: &[(i32, u64)]) -> Calls {
        let mut calls = Calls::new(self.buffer);
        let group = FIRST_RECEIVED + 3;
        let flags = unsigned(libc::CLONE_PARENT | libc::CLONE_NEWIPC);
        match door {
            Door::Write(_) => calls.call(libc::SYS_clone, &[flags | unsigned(libc::SIGCHLD)]),
            Door::Clone(_) => {
                // struct clone_args, `linux/sched.h`: the flags first, the group's folder last.
                let mut words = [0; 11];
                (words[0], words[10]) = (flags | CLONE_INTO_CGROUP, group);
                let at = calls.data(&bytes_of(&words));
                calls.call(libc::SYS_clone3, &[at, size_of_val(&words) as u64]);
            }
        }
        calls.call(libc::SYS_setsid, &[]);
        for number in 0..3 {
            calls.call(libc::SYS_dup2, &[FIRST_RECEIVED + number, number]);
        }
        calls.call(libc::SYS_umask, &[0o022]);
        let folder = calls.data(c"/w".to_bytes_with_nul());
        calls.call(libc::SYS_chdir, &[folder]);
        let zero = calls.data(b"0");
        for file in (group..).zip(door.files().into_iter().flatten()).map(|(file, _)| file) {
            calls.call(libc::SYS_write, &[file, zero, 1]);
        }
        let prctl = |calls: &mut Calls, option: i32, value: u64| {
            calls.call(libc::SYS_prctl, &[unsigned(option), value]);
        };
        prctl(&mut calls, libc::PR_SET_SECUREBITS, credentials::LOCKED_SECURE_BITS);
        let user = u64::from(RUN_ID);
        calls.call(libc::SYS_setgroups, &[]);
        calls.call(libc::SYS_setresgid, &[user, user, user]);
        calls.call(libc::SYS_setresuid, &[user, user, user]);
        prctl(&mut calls, libc::PR_CAP_AMBIENT, unsigned(libc::PR_CAP_AMBIENT_CLEAR_ALL));
        // Version 3, this process; three words for each of two sets of 32.
        let (header, nothing) = (calls.data(&bytes_of(&[0x2008_0522])), calls.data(&[0; 24]));
        calls.call(libc::SYS_capset, &[header, nothing]);
        // A program that was exec'ed by its own user may look at itself.
        prctl(&mut calls, libc::PR_SET_DUMPABLE, 1);
        for (resource, value) in resources {
            let limit = calls.data(&bytes_of(&[*value, *value]));
            calls.call(libc::SYS_prlimit64, &[0, unsigned(*resource), limit, 0]);
        }
        if let Some(filter) = filter {
            let instructions = filter.bytes();
            let length = instructions.len() as u64 / 8;
            let instructions = calls.data(&instructions);
            let program = calls.data(&bytes_of(&[length, instructions]));
            let mode = u64::from(libc::SECCOMP_SET_MODE_FILTER);
            calls.call(libc::SYS_seccomp, &[mode, 0, program]);
        }
        calls
    }

    /// Waits for a number.
    fn answer(&self) -> io::Result<i64> {
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
        let mut answer = [0; 8];
        let flags = MsgFlags::MSG_DONTWAIT;
        match descriptors::receive(self.socket.as_raw_fd(), &mut answer, flags)?.0 {
            8 => Ok(i64::from_ne_bytes(answer)),
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// A number that is not negative, as a system call takes it.
fn unsigned(value: i32) -> u64 {
    u64::from(value.unsigned_abs())
}

fn bytes_of(words: &[u64]) -> Vec<u8> {
    words.iter().copied().flat_map(u64::to_ne_bytes).collect()
}
