//! A worker: the process in which modules are compiled and run, one at a time.
//!
//! It begins as the service's own program and gives up, before it hears of any module, all that it
//! will not need: its user and capabilities, its descriptors, and every system call that is not in
//! `seccomp.json`. Three threads take part: one serves, one watches the wall time and whether the
//! supervisor is still there, and the first waits for the end. Each installs the filter on itself.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use bytes::Bytes as Buffer;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::MsgFlags;
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use serde::{Deserialize, Serialize};

use super::engine::Runtime;
use super::{COMPILER, Key};
use crate::control::{
    self, CollectedHeader, Ended, FileHeader, Payload, Reply, Request, RunRequest,
};
use crate::kernel::seccomp::Filter;
use crate::kernel::{credentials, descriptors};
use crate::outcome::{Collected, Outcome};
use crate::resets::ResetTimes;
use crate::spec::{CollectFile, FileMode, InputFile, Memory, RelativePath, RunSpec, Streams};

/// The name under which this program is started to become a worker.
pub(crate) const WORKER_NAME: &str = "assay-wasm";

/// Who workers are where the service is root: below the ids of slots; and where there is no such id,
/// nobody.
const WORKER_IDS: [u32; 2] = [1_999_999_999, 65_534];
/// Stack of the thread that serves: that of modules, and room for compiling.
const THREAD_STACK_BYTES: usize = 32 << 20;
/// What serving takes beside the memory of modules: input, output, files, loaded artifacts.
const SERVING_BYTES_MAX: u64 = 2 << 30;
/// Open descriptors.
const DESCRIPTORS_MAX: u64 = 64;

/// The first message to a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Begin {
    pub(super) key: Key,
}

/// The life of a process that was started to become a worker. Returns when it has ended.
pub(crate) fn main() {
    let Ok(socket) = descriptors::take_standard_input() else { return };
    if descriptors::close_others(&socket).is_err() {
        return;
    }
    let key = match control::receive::<Begin>(&socket, MsgFlags::empty()) {
        Ok(Some(message)) => message.header.key,
        Ok(None) | Err(_) => return,
    };
    if let Err((step, reason)) = work(&socket, key) {
        let reply = Reply::Failed { step: step.to_owned(), reason };
        // The supervisor is gone if this fails, and then nobody is left to tell.
        drop(control::send(&socket, &reply, &[], &[]));
    }
}

type Fault = (&'static str, String);

/// Names the step in a result.
fn step<T, E: std::fmt::Display>(name: &'static str, result: Result<T, E>) -> Result<T, Fault> {
    result.map_err(|error| (name, error.to_string()))
}

fn work(socket: &OwnedFd, key: Key) -> Result<(), Fault> {
    let runtime = step("start the engine", Runtime::new(key))?;
    let filter = step("read the filter", Filter::of_workers())?;
    let used = step("read /proc/self/statm", address_space())?;
    step("give up privileges", give_up_privileges())?;
    let (heard, told) = step("make a pipe", nix::unistd::pipe())?;
    let engine = runtime.engine();
    let watched = step("duplicate the socket", socket.try_clone())?;
    let for_clock = filter.clone();
    let clock = std::thread::Builder::new().stack_size(64 << 10).spawn(move || {
        if for_clock.install().is_ok() {
            watch(&engine, &heard, &watched);
        }
    });
    step("start the clock", clock)?;
    let served = step("duplicate the socket", socket.try_clone())?;
    let for_server = filter.clone();
    let server = std::thread::Builder::new().stack_size(THREAD_STACK_BYTES).spawn(move || {
        for_server.install()?;
        control::send(&served, &Reply::Ready, &[], &[])?;
        Worker { socket: served, clock: told, runtime, installed: Vec::new(), used }.serve()
    });
    let server = step("start the server", server)?;
    step("install the filter", filter.install())?;
    match server.join() {
        Ok(served) => step("serve", served),
        Err(_) => Err(("serve", "it panicked".to_owned())),
    }
}

/// Bytes of address space in use.
fn address_space() -> io::Result<u64> {
    const PAGE: u64 = 4096;
    let text = fs::read_to_string("/proc/self/statm")?;
    let pages = text.split(' ').next().and_then(|pages| pages.parse::<u64>().ok());
    pages.map(|pages| pages * PAGE).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn give_up_privileges() -> io::Result<()> {
    // Before the service itself, should the machine want memory.
    drop(fs::write("/proc/self/oom_score_adj", "1000"));
    credentials::forbid_new_privileges()?;
    if nix::unistd::geteuid().is_root() {
        credentials::empty_bounding_set()?;
        setgroups(&[])?;
        let become_user = |id: u32| {
            let (user, group) = (Uid::from_raw(id), Gid::from_raw(id));
            setresgid(group, group, group).and_then(|()| setresuid(user, user, user))
        };
        let [first, second] = WORKER_IDS;
        become_user(first).or_else(|_| become_user(second))?;
    }
    credentials::forbid_inspection()?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    setrlimit(Resource::RLIMIT_NOFILE, DESCRIPTORS_MAX, DESCRIPTORS_MAX)?;
    Ok(())
}

/// Moves the engine's clock on at the wall time of the run, and ends the process where the supervisor
/// is gone.
#[expect(clippy::exit, reason = "the thread that serves may be in the middle of a module")]
fn watch(engine: &wasmtime::Engine, told: &OwnedFd, socket: &OwnedFd) {
    let mut timeout = PollTimeout::NONE;
    loop {
        let mut polled = [
            PollFd::new(told.as_fd(), PollFlags::POLLIN),
            PollFd::new(socket.as_fd(), PollFlags::empty()),
        ];
        match poll(&mut polled, timeout) {
            Ok(0) => {
                engine.increment_epoch();
                timeout = PollTimeout::NONE;
                continue;
            }
            Ok(_) => {}
            Err(nix::errno::Errno::EINTR) => continue,
            Err(_) => std::process::exit(1),
        }
        let is_gone = |polled: &PollFd<'_>| polled.revents().is_some_and(|it| !it.is_empty());
        if is_gone(&polled[1]) {
            std::process::exit(0);
        }
        let mut milliseconds = [0; 4];
        match nix::unistd::read(told, &mut milliseconds) {
            Ok(4) => {}
            Ok(_) | Err(_) => std::process::exit(1),
        }
        timeout = match u32::from_le_bytes(milliseconds) {
            0 => PollTimeout::NONE,
            some => PollTimeout::try_from(some).unwrap_or(PollTimeout::MAX),
        };
    }
}

struct Worker {
    socket: OwnedFd,
    clock: OwnedFd,
    runtime: Runtime,
    /// What the lease installed.
    installed: Vec<InputFile>,
    /// Address space that is in use before any module is.
    used: u64,
}

impl Worker {
    fn serve(&mut self) -> io::Result<()> {
        while let Some(message) = control::receive::<Request>(&self.socket, MsgFlags::empty())? {
            let mut payload = message.payload;
            match message.header {
                Request::Install { files } => {
                    self.installed.extend(read_files(&files, &mut payload)?);
                    control::send(&self.socket, &Reply::Installed, &[], &[])?;
                }
                Request::Run(request) => {
                    // Kept open until the end was told: whoever is at the other end of a stream
                    // sees that it closed only after that.
                    let streams = Arc::new(streams(&request, message.extra)?);
                    let outcome = self.run(&read_spec(request, &mut payload)?, &streams)?;
                    self.answer(&outcome)?;
                }
                Request::EndLease => self.installed.clear(),
                // Modules are not talked to in sessions, and a worker that nobody waits for is ended.
                Request::Session(_) | Request::Abandon => {
                    return Err(io::ErrorKind::Unsupported.into());
                }
            }
        }
        Ok(())
    }

    fn run(&mut self, spec: &RunSpec, streams: &Arc<Streams>) -> io::Result<Outcome> {
        let is_compiler = spec.argv[0].to_bytes() == COMPILER.as_bytes();
        let memory = if is_compiler { spec.limits.memory.0 } else { SERVING_BYTES_MAX };
        set_soft(Resource::RLIMIT_AS, self.used + memory)?;
        if is_compiler {
            // Instructions of the compiler are not counted; its time is, by the kernel.
            let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF)?;
            let used = usage.user_time().tv_sec() + usage.system_time().tv_sec();
            let used = u64::try_from(used).unwrap_or(0);
            set_soft(Resource::RLIMIT_CPU, used + spec.limits.cpu_time.as_secs() + 1)?;
        }
        let wall = u32::try_from(spec.limits.wall_time.as_millis()).unwrap_or(u32::MAX).max(1);
        nix::unistd::write(&self.clock, &wall.to_le_bytes())?;
        let outcome = self.runtime.run(spec, &self.installed, streams);
        nix::unistd::write(&self.clock, &[0; 4])?;
        if is_compiler {
            set_soft(Resource::RLIMIT_CPU, libc::RLIM_INFINITY)?;
        }
        Ok(outcome)
    }

    fn answer(&self, outcome: &Outcome) -> io::Result<()> {
        let header = |file: &Collected| match file {
            Collected::File(content) => CollectedHeader::File { bytes: content.len() as u64 },
            Collected::Missing => CollectedHeader::Missing,
            Collected::TooLarge => CollectedHeader::TooLarge,
        };
        let (stdout, stderr) = (&outcome.stdout, &outcome.stderr);
        let ended = Ended {
            termination: outcome.termination,
            usage: outcome.usage,
            stdout: (stdout.bytes.len() as u64, stdout.truncated),
            stderr: (stderr.bytes.len() as u64, stderr.truncated),
            files: outcome.files.iter().map(header).collect(),
            resets: ResetTimes::default(),
        };
        let mut parts: Vec<&[u8]> = vec![&stdout.bytes, &stderr.bytes];
        parts.extend(outcome.files.iter().filter_map(|file| match file {
            Collected::File(content) => Some(&content[..]),
            Collected::Missing | Collected::TooLarge => None,
        }));
        control::send(&self.socket, &Reply::Ended(ended), &parts, &[])
    }
}

fn set_soft(resource: Resource, value: u64) -> io::Result<()> {
    let (_, hard) = getrlimit(resource)?;
    Ok(setrlimit(resource, value.min(hard), hard)?)
}

fn streams(request: &RunRequest, fds: Vec<OwnedFd>) -> io::Result<Streams> {
    let mut fds = fds.into_iter();
    let mut next = |is_there: bool| match is_there {
        true => fds.next().map(Some).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData)),
        false => Ok(None),
    };
    let (stdin, stdout) = (next(request.has_stdin)?, next(request.has_stdout)?);
    Ok(Streams { stdin, stdout, stderr: next(request.has_stderr)? })
}

fn read_files(headers: &[FileHeader], payload: &mut Payload) -> io::Result<Vec<InputFile>> {
    let read = |header: &FileHeader| {
        let content = Buffer::from(payload.take(header.bytes)?);
        let path = RelativePath::new(header.path.as_str()).map_err(io::Error::other)?;
        Ok(InputFile { path, content, mode: FileMode::Plain })
    };
    headers.iter().map(read).collect()
}

fn read_spec(request: RunRequest, payload: &mut Payload) -> io::Result<RunSpec> {
    let strings = |items: Vec<Vec<u8>>| {
        items.into_iter().map(CString::new).collect::<Result<Vec<_>, _>>().map_err(io::Error::other)
    };
    let collect = |(path, bytes_max): (String, u64)| {
        let path = RelativePath::new(path).map_err(io::Error::other)?;
        Ok(CollectFile { path, bytes_max })
    };
    let argv = strings(request.argv)?;
    if argv.is_empty() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(RunSpec {
        argv,
        env: strings(request.env)?,
        stdin: Buffer::new(),
        files: read_files(&request.files, payload)?,
        collect: request.collect.into_iter().map(collect).collect::<io::Result<_>>()?,
        limits: request.limits,
        memory: Memory::Own,
    })
}
