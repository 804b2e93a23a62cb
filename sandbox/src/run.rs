//! One run, from the prepared child to its facts: launch, watch, end, measure.
//!
//! Nothing is polled by the clock. One `ppoll` waits for the program's end, for output, for the
//! supervisor going away, and for the next deadline: the wall time, and the earliest moment at which
//! the cpu time could be used up, given that a slot runs on one processor.

use std::ffi::{CString, c_char};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use nix::unistd::Pid;

use crate::audience::{Attended, Audience};
use crate::child::{self, CLOSED_ID, Ceilings, RESOURCES, Setup, SetupStep};
use crate::control::RunRequest;
use crate::kernel::descriptors::output_pipe;
use crate::kernel::gauges::{Door, Verge};
use crate::kernel::process::{Reaped, Vfork, kill_all, reap_any};
use crate::kernel::seccomp::Filter;
use crate::limits::{Bytes, Limits};
use crate::meters::Meters;
use crate::outcome::{Termination, Usage};
use crate::privilege::Privilege;
use crate::spec::{Streams, WORK_DIR};
use crate::warm::{Interpreter, Warmup};

/// The shortest time between two looks at the cpu time: the kernel accounts in ticks of 1 to 4 ms.
const CPU_LOOK_MIN: Duration = Duration::from_millis(1);
/// The kernel rings before it kills: how often and how long the kill is looked for then.
const KILL_LOOK: Duration = Duration::from_millis(1);
const KILL_TIME_MAX: Duration = Duration::from_millis(100);
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
    fn new(pipe: Option<OwnedFd>, bytes_max: Bytes) -> Self {
        let (bytes, pipe) = (Vec::new(), pipe.map(File::from));
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
    Memory,
    /// The supervisor wants it so.
    Asked,
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
    privilege: Privilege,
    meters: Meters,
    ceilings: Ceilings,
    filter: Option<Filter>,
    vfork: Vfork,
    null: OwnedFd,
    chunk: Vec<u8>,
    interpreters: Vec<Interpreter>,
    /// How long it took to make the groups ready for the last run, until that is told.
    pub(crate) groups_reset: Option<Duration>,
}

/// A program that runs.
struct Running<'a> {
    process: OwnedFd,
    limits: &'a Limits,
    launched_at: Instant,
    stdout: Stream,
    stderr: Stream,
    /// Processor time after which the audience is told.
    allowed: Option<Duration>,
}

/// Where an output stream leads: the end that we read, unless it leads elsewhere, and the program's.
fn led_to(elsewhere: Option<OwnedFd>) -> io::Result<(Option<OwnedFd>, OwnedFd)> {
    match elsewhere {
        Some(end) => Ok((None, end)),
        None => output_pipe().map(|(ours, end)| (Some(ours), end)),
    }
}

impl Launcher {
    /// `filter` is what each run adds to the resident's own.
    pub(crate) fn new(
        privilege: Privilege,
        meters: Meters,
        warm: &[Warmup],
        filter: Option<Filter>,
    ) -> io::Result<Self> {
        let null = File::options().read(true).write(true).open("/dev/null")?.into();
        let interpreters = warm.iter().cloned().map(Interpreter::new).collect();
        let (ceilings, vfork) = (Ceilings::read()?, Vfork::new());
        let chunk = vec![0; CHUNK_BYTES];
        let groups_reset = None;
        Ok(Self {
            privilege,
            meters,
            ceilings,
            filter,
            vfork,
            null,
            chunk,
            interpreters,
            groups_reset,
        })
    }

    /// Starts the template for runs like this one, where it is wanted. Returns whether it tried.
    pub(crate) fn warm_up(&mut self, request: &RunRequest) -> bool {
        let found = self.interpreters.iter_mut().find(|interpreter| interpreter.serves(request));
        match found {
            Some(interpreter) if interpreter.wants_template() => {
                // What fails here is counted there, and the runs start cold.
                drop(interpreter.start(Path::new(WORK_DIR), &mut self.vfork));
                true
            }
            _ => false,
        }
    }

    /// Runs one program to its end. `audience` is watched: if it goes away, so does the program.
    pub(crate) fn run(
        &mut self,
        request: &RunRequest,
        streams: Streams,
        audience: &mut dyn Audience,
    ) -> io::Result<Launched> {
        let limits = &request.limits;
        let Streams { stdin, stdout, stderr } = streams;
        let (stdout, stdout_end) = led_to(stdout)?;
        let (stderr, stderr_end) = led_to(stderr)?;
        let begun = Instant::now();
        self.meters.start(limits)?;
        let launched_at = Instant::now();
        self.groups_reset = Some(launched_at - begun);
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
            launched_at,
            stdout: Stream::new(stdout, limits.output),
            stderr: Stream::new(stderr, limits.output),
            allowed: None,
        };
        match self.watch(&mut running, pid, audience)? {
            Watched::Finished(stop) => self.finish(running, pid, stop).map(Launched::Ended),
            Watched::Abandoned => Ok(Launched::Abandoned),
        }
    }

    /// Starts the program, warm where a template stands ready.
    fn launch(
        &mut self,
        request: &RunRequest,
        streams: [RawFd; 3],
    ) -> io::Result<Result<(OwnedFd, Pid), (SetupStep, i32)>> {
        let door = self.meters.door();
        let resources = self.ceilings.resources(&request.limits);
        let warm = self.interpreters.iter_mut().find(|interpreter| interpreter.serves(request));
        if let Some(interpreter) = warm
            && let Some(door) = door
            && let Some(launched) =
                interpreter.launch(streams, door, self.filter.as_ref(), &resources)?
        {
            return Ok(Ok(launched));
        }
        let stand_ins = match self.meters {
            Meters::Groups(..) => None,
            Meters::Account(_) => Some(child::stand_ins(&request.limits)?),
        };
        let (_argv_owners, argv) = pointers(&request.argv)?;
        let (_env_owners, env) = pointers(&request.env)?;
        if argv.len() < 2 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut setup = Setup {
            argv: &argv,
            env: &env,
            groups: door.and_then(Door::files),
            streams,
            folder: c"/w",
            resources,
            stand_ins,
            privilege: self.privilege,
            supplementary: if request.has_closed_memory { &[CLOSED_ID] } else { &[] },
            filter: self.filter.as_ref(),
            control: -1,
            step: SetupStep::Clone,
            errno: 0,
        };
        // It has exec'ed when this returns.
        match self.vfork.spawn(door.and_then(Door::folder), child::enter, &mut setup) {
            Err(error) => Ok(Err((SetupStep::Clone, error.raw_os_error().unwrap_or(libc::EIO)))),
            Ok((_, pid)) if setup.errno != 0 => {
                let refused = (setup.step, setup.errno);
                self.end_everything(Some(pid), true)?;
                Ok(Err(refused))
            }
            Ok(launched) => Ok(Ok(launched)),
        }
    }

    /// Ends what is left of a run and waits until its groups are empty. Returns how `first` ended, and
    /// the largest resident set of all.
    ///
    /// The groups count what is alive and what is not yet reaped, and orphans become our children, so
    /// an empty count means that nothing of the run is left in the pid namespace.
    fn end_everything(
        &mut self,
        first: Option<Pid>,
        first_is_alive: bool,
    ) -> io::Result<(Option<Reaped>, u64)> {
        let (mut found, mut resident_bytes_max) = (None, 0);
        let mut killed = first_is_alive;
        if first_is_alive {
            self.kill_run()?;
        }
        loop {
            if found.is_some() || first.is_none() {
                if self.meters.members()? == 0 {
                    return Ok((found, resident_bytes_max));
                }
                if !killed {
                    self.kill_run()?;
                    killed = true;
                }
            }
            match reap_any(true) {
                Ok(Some(reaped)) => {
                    resident_bytes_max = resident_bytes_max.max(reaped.resident_bytes_max);
                    self.meters.charge(&reaped);
                    if Some(reaped.pid) == first {
                        found = Some(reaped);
                    }
                    for interpreter in &mut self.interpreters {
                        interpreter.forget(reaped.pid);
                    }
                }
                Ok(None) => {}
                Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Kills every process of the run, and no template.
    fn kill_run(&mut self) -> io::Result<()> {
        if self.interpreters.iter().all(|interpreter| interpreter.template().is_none()) {
            return kill_all();
        }
        let mut errno: libc::c_int = 0;
        let (_, killer) = self.vfork.spawn(None, child::enter_to_kill, &mut errno)?;
        nix::sys::wait::waitpid(killer, Some(nix::sys::wait::WaitPidFlag::__WALL))?;
        if errno == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(errno)) }
    }

    fn watch(
        &mut self,
        running: &mut Running<'_>,
        pid: Pid,
        audience: &mut dyn Audience,
    ) -> io::Result<Watched> {
        let wall_deadline = running.launched_at + running.limits.wall_time;
        let mut alarmed_until = running.launched_at;
        loop {
            let now = Instant::now();
            let used = self.meters.cpu_time()?;
            if used >= running.limits.cpu_time {
                return Ok(Watched::Finished(Some(Stop::CpuTime)));
            }
            if running.allowed.is_some_and(|allowed| used >= allowed) {
                running.allowed = None;
                audience.tell_spent()?;
            }
            if self.meters.memory()? != Verge::Within {
                return Ok(Watched::Finished(Some(Stop::Memory)));
            }
            if now >= wall_deadline {
                return Ok(Watched::Finished(Some(Stop::WallTime)));
            }
            let cpu_end = running.limits.cpu_time.min(running.allowed.unwrap_or(Duration::MAX));
            let cpu_left = cpu_end.saturating_sub(used).max(CPU_LOOK_MIN);
            let mut patience = cpu_left.min(wall_deadline - now).min(self.meters.look_interval());
            if alarmed_until > now {
                patience = patience.min(KILL_LOOK);
            }
            let ready = wait(running, audience.socket(), self.meters.alarm(), patience)?;
            if ready.supervisor {
                // Measured anew: much may have been used while nothing woke us.
                let used = self.meters.cpu_time()?;
                match audience.attend(pid, used)? {
                    Attended::Answered => {}
                    Attended::Allowed(cpu_time) => running.allowed = Some(used + cpu_time),
                    Attended::Ended => return Ok(Watched::Finished(Some(Stop::Asked))),
                    Attended::Gone => return Ok(Watched::Abandoned),
                }
            }
            if ready.alarm {
                self.meters.silence()?;
                alarmed_until = now + KILL_TIME_MAX;
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
        let (first, resident_bytes_max) = self.end_everything(Some(pid), stop.is_some())?;
        let wall_time = running.launched_at.elapsed();
        // All writers are dead: what is in the pipes is all there will be.
        running.stdout.drain(&mut self.chunk)?;
        running.stderr.drain(&mut self.chunk)?;
        let cpu_time = self.meters.cpu_time()?;
        let peak_memory = self.meters.peak_memory(Bytes(resident_bytes_max))?;
        let usage = Usage { cpu_time, wall_time, peak_memory };
        let truncated = running.stdout.truncated || running.stderr.truncated;
        let memory = self.meters.memory()?;
        if memory == Verge::Starved {
            return Err(io::Error::other(
                "a process was killed below its limit: the machine, or a control group above, is out of memory",
            ));
        }
        let termination = if memory == Verge::Exhausted {
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

struct Ready {
    process: bool,
    supervisor: bool,
    alarm: bool,
}

/// Waits for an event or for `timeout`.
fn wait(
    running: &Running<'_>,
    supervisor: &OwnedFd,
    alarm: Option<BorrowedFd<'_>>,
    timeout: Duration,
) -> io::Result<Ready> {
    let mut polled = Vec::with_capacity(5);
    polled.push(PollFd::new(running.process.as_fd(), PollFlags::POLLIN));
    polled.push(PollFd::new(supervisor.as_fd(), PollFlags::POLLIN));
    for stream in [&running.stdout, &running.stderr] {
        polled.extend(stream.pipe.iter().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN)));
    }
    let streams_end = polled.len();
    polled.extend(alarm.map(|alarm| PollFd::new(alarm, PollFlags::POLLIN)));
    match ppoll(&mut polled, Some(TimeSpec::from_duration(timeout)), None) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    let any = |index: usize| {
        polled.get(index).and_then(PollFd::revents).is_some_and(|events| !events.is_empty())
    };
    Ok(Ready { process: any(0), supervisor: any(1), alarm: any(streams_end) })
}

/// Resource limits are not set for a template; a run sets its own.
pub(crate) const RESOURCES_OF_TEMPLATE: [(libc::c_int, u64); RESOURCES] = [(0, 0); RESOURCES];

/// Strings as execve takes them: the owners of the bytes, and null-terminated pointers to them.
pub(crate) fn pointers(strings: &[Vec<u8>]) -> io::Result<(Vec<CString>, Vec<*const c_char>)> {
    let owners = strings
        .iter()
        .map(|bytes| CString::new(bytes.as_slice()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut pointers: Vec<_> = owners.iter().map(|string| string.as_ptr()).collect();
    pointers.push(std::ptr::null());
    Ok((owners, pointers))
}
