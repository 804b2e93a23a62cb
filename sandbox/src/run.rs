//! One run, from the prepared child to its facts: launch, watch, end, measure.
//!
//! Nothing is polled by the clock. One `ppoll` waits for the program's end, for output, for the
//! supervisor going away, and for the next deadline: the wall time, and the earliest moment at which
//! the cpu time could be used up, given that a slot runs on one processor.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use nix::unistd::Pid;

use crate::child::{self, Ceilings, Setup, SetupStep};
use crate::control::RunRequest;
use crate::kernel::cgroup::{Door, Meters, Start};
use crate::kernel::descriptors::output_pipe;
use crate::kernel::process::{Reaped, Vfork, kill_all, reap_any};
use crate::kernel::seccomp::Filter;
use crate::limits::{Bytes, Limits};
use crate::outcome::{Termination, Usage};
use crate::resident::pointers;

/// The shortest time between two looks at the cpu time: the kernel accounts in ticks of 1 to 4 ms.
const CPU_LOOK_MIN: Duration = Duration::from_millis(1);
/// Bytes read from a pipe at once: what a pipe holds.
const CHUNK_BYTES: usize = 64 << 10;

/// How a launch went.
pub(crate) enum Launched {
    Ended(Facts),
    /// A step before exec failed.
    Refused {
        step: SetupStep,
        errno: i32,
    },
    /// The supervisor went away.
    Abandoned,
}

/// The facts of a run.
pub(crate) struct Facts {
    pub(crate) termination: Termination,
    pub(crate) usage: Usage,
    pub(crate) stdout: Stream,
    pub(crate) stderr: Stream,
}

/// An output stream as it is being kept.
pub(crate) struct Stream {
    pub(crate) bytes: Vec<u8>,
    pub(crate) truncated: bool,
    /// `None` once all writers are gone.
    pipe: Option<File>,
    bytes_max: usize,
}

impl Stream {
    fn new(pipe: OwnedFd, bytes_max: Bytes) -> Self {
        let (bytes, pipe) = (Vec::new(), Some(File::from(pipe)));
        Self { bytes, truncated: false, pipe, bytes_max: bytes_max.as_usize() }
    }

    /// Takes what is there, up to the limit.
    fn drain(&mut self, chunk: &mut [u8]) -> io::Result<()> {
        while let Some(pipe) = &mut self.pipe {
            match pipe.read(chunk) {
                Ok(0) => self.pipe = None,
                Ok(length) => {
                    let kept = length.min(self.bytes_max - self.bytes.len());
                    self.bytes.extend_from_slice(&chunk[..kept]);
                    if kept < length {
                        self.truncated = true;
                        self.pipe = None;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Why we ended a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Output,
    CpuTime,
    WallTime,
}

/// What the wait saw.
enum Watched {
    /// The first process ended, or we have reason to end it.
    Finished(Option<Stop>),
    Abandoned,
}

/// Starts programs and watches them.
#[derive(Debug)]
pub(crate) struct Launcher {
    meters: Meters,
    ceilings: Ceilings,
    filter: Option<Filter>,
    vfork: Vfork,
    null: OwnedFd,
    chunk: Vec<u8>,
}

/// A program that runs.
struct Running<'a> {
    process: OwnedFd,
    limits: &'a Limits,
    start: Start,
    launched_at: Instant,
    stdout: Stream,
    stderr: Stream,
}

impl Launcher {
    /// `filter` is what each run adds to the resident's own.
    pub(crate) fn new(
        meters: Meters,
        ceilings: Ceilings,
        filter: Option<Filter>,
    ) -> io::Result<Self> {
        let null = File::options().read(true).write(true).open("/dev/null")?.into();
        let chunk = vec![0; CHUNK_BYTES];
        Ok(Self { meters, ceilings, filter, vfork: Vfork::new(), null, chunk })
    }

    /// Runs one program to its end. `supervisor` is watched: if it goes away, so does the program.
    pub(crate) fn run(
        &mut self,
        request: &RunRequest,
        stdin: Option<OwnedFd>,
        supervisor: &OwnedFd,
    ) -> io::Result<Launched> {
        let limits = &request.limits;
        let (stdout, stdout_end) = output_pipe()?;
        let (stderr, stderr_end) = output_pipe()?;
        let start = self.meters.start(limits)?;
        let launched_at = Instant::now();
        let (process, pid) = {
            let streams = [stdin.as_ref().unwrap_or(&self.null), &stdout_end, &stderr_end]
                .map(AsRawFd::as_raw_fd);
            match self.launch(request, streams)? {
                Ok(launched) => launched,
                Err((step, errno)) => return Ok(Launched::Refused { step, errno }),
            }
        };
        drop((stdin, stdout_end, stderr_end));
        let mut running = Running {
            process,
            limits,
            start,
            launched_at,
            stdout: Stream::new(stdout, limits.output),
            stderr: Stream::new(stderr, limits.output),
        };
        match self.watch(&mut running, supervisor)? {
            Watched::Finished(stop) => self.finish(running, pid, stop).map(Launched::Ended),
            Watched::Abandoned => Ok(Launched::Abandoned),
        }
    }

    /// Clones the child; it has exec'ed when this returns.
    fn launch(
        &mut self,
        request: &RunRequest,
        streams: [RawFd; 3],
    ) -> io::Result<Result<(OwnedFd, Pid), (SetupStep, i32)>> {
        let (_argv_owners, argv) = pointers(&request.argv)?;
        let (_env_owners, env) = pointers(&request.env)?;
        if argv.len() < 2 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let door = self.meters.door();
        let mut setup = Setup {
            argv: &argv,
            env: &env,
            groups: match door {
                Door::Write(files) => Some(files),
                Door::Clone(_) => None,
            },
            streams,
            folder: c"/w",
            resources: self.ceilings.resources(&request.limits),
            filter: self.filter.as_ref(),
            step: SetupStep::Clone,
            errno: 0,
        };
        match self.vfork.spawn(door, child::enter, &mut setup) {
            Err(error) => Ok(Err((SetupStep::Clone, error.raw_os_error().unwrap_or(libc::EIO)))),
            Ok(_) if setup.errno != 0 => {
                let refused = (setup.step, setup.errno);
                kill_all()?;
                reap_everything(None)?;
                Ok(Err(refused))
            }
            Ok(launched) => Ok(Ok(launched)),
        }
    }

    fn watch(&mut self, running: &mut Running<'_>, supervisor: &OwnedFd) -> io::Result<Watched> {
        let wall_deadline = running.launched_at + running.limits.wall_time;
        loop {
            let now = Instant::now();
            let used = self.meters.cpu_time(&running.start)?;
            if used >= running.limits.cpu_time {
                return Ok(Watched::Finished(Some(Stop::CpuTime)));
            }
            if now >= wall_deadline {
                return Ok(Watched::Finished(Some(Stop::WallTime)));
            }
            let cpu_left = (running.limits.cpu_time - used).max(CPU_LOOK_MIN);
            let ready = wait(running, supervisor, cpu_left.min(wall_deadline - now))?;
            if ready.supervisor {
                return Ok(Watched::Abandoned);
            }
            running.stdout.drain(&mut self.chunk)?;
            running.stderr.drain(&mut self.chunk)?;
            if running.stdout.truncated || running.stderr.truncated {
                return Ok(Watched::Finished(Some(Stop::Output)));
            }
            if ready.process {
                return Ok(Watched::Finished(None));
            }
        }
    }

    /// Ends what is left of the run and puts the facts together.
    fn finish(
        &mut self,
        mut running: Running<'_>,
        pid: Pid,
        stop: Option<Stop>,
    ) -> io::Result<Facts> {
        kill_all()?;
        let (first, resident_bytes_max) = reap_everything(Some(pid))?;
        let wall_time = running.launched_at.elapsed();
        // All writers are dead: what is in the pipes is all there will be.
        running.stdout.drain(&mut self.chunk)?;
        running.stderr.drain(&mut self.chunk)?;
        let cpu_time = self.meters.cpu_time(&running.start)?;
        let peak = self.meters.peak_memory(&running.start)?;
        let usage = Usage { cpu_time, wall_time, peak_memory: peak.max(Bytes(resident_bytes_max)) };
        let truncated = running.stdout.truncated || running.stderr.truncated;
        let termination = if self.meters.memory_exhausted(&running.start)? {
            Termination::MemoryLimit
        } else if truncated || stop == Some(Stop::Output) {
            Termination::OutputLimit
        } else if cpu_time >= running.limits.cpu_time || stop == Some(Stop::CpuTime) {
            Termination::CpuTimeLimit
        } else if stop == Some(Stop::WallTime) {
            Termination::WallTimeLimit
        } else {
            match first.ok_or_else(|| io::Error::other("the program's end was not seen"))? {
                Reaped { signal: Some(signal), .. } => Termination::Signalled { signal },
                Reaped { code, .. } => Termination::Exited { code },
            }
        };
        Ok(Facts { termination, usage, stdout: running.stdout, stderr: running.stderr })
    }
}

/// Waits until no child is left. Returns how `first` ended, and the largest resident set of all.
fn reap_everything(first: Option<Pid>) -> io::Result<(Option<Reaped>, u64)> {
    let (mut found, mut resident_bytes_max) = (None, 0);
    loop {
        match reap_any(true) {
            Ok(Some(reaped)) => {
                resident_bytes_max = resident_bytes_max.max(reaped.resident_bytes_max);
                if Some(reaped.pid) == first {
                    found = Some(reaped);
                }
            }
            Ok(None) => {}
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => {
                return Ok((found, resident_bytes_max));
            }
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
}

struct Ready {
    process: bool,
    supervisor: bool,
}

/// Waits for an event or for `timeout`.
fn wait(running: &Running<'_>, supervisor: &OwnedFd, timeout: Duration) -> io::Result<Ready> {
    let mut polled = Vec::with_capacity(4);
    polled.push(PollFd::new(running.process.as_fd(), PollFlags::POLLIN));
    polled.push(PollFd::new(supervisor.as_fd(), PollFlags::POLLIN));
    for stream in [&running.stdout, &running.stderr] {
        polled.extend(stream.pipe.iter().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN)));
    }
    match ppoll(&mut polled, Some(TimeSpec::from_duration(timeout)), None) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    let any = |index: usize| polled[index].revents().is_some_and(|events| !events.is_empty());
    Ok(Ready { process: any(0), supervisor: any(1) })
}
