//! Between clone and exec: a straight list of steps.
//!
//! The child shares the resident's memory until it execs, while the resident is suspended. So
//! everything is prepared beforehand, and here nothing is allocated, locked, logged or destroyed;
//! what fails is left as (step, errno) for the resident to report.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::os::fd::RawFd;

use nix::sys::resource::{Resource, getrlimit};

use crate::kernel::process::in_child;
use crate::kernel::seccomp::Filter;
use crate::limits::Limits;
use crate::privilege::Privilege;

/// The user and group that programs run as, inside the slot.
pub(crate) const RUN_ID: u32 = 1000;
/// The group of runs whose memory is closed. It may execute the slot's dynamic loaders and not read them,
/// as the builder arranges; and who executes what it may not read, or is loaded by it, is not dumpable
/// (`execve(2)`, `PR_SET_DUMPABLE(2const)`): the kernel then keeps `/proc/PID/mem` for the slot's root.
pub(crate) const CLOSED_ID: u32 = 1001;

/// Where the child is. Its number travels to the supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum SetupStep {
    Clone = 0,
    JoinGroups = 1,
    Session = 2,
    StandardStreams = 3,
    CloseDescriptors = 4,
    ResourceLimits = 5,
    Signals = 6,
    WorkingFolder = 7,
    Credentials = 8,
    Filter = 9,
    Execute = 10,
}

impl SetupStep {
    /// The step in words, for messages.
    pub(crate) fn name(number: u8) -> &'static str {
        const NAMES: [&str; 11] = [
            "clone",
            "join control groups",
            "new session",
            "standard streams",
            "close descriptors",
            "resource limits",
            "signals",
            "working folder",
            "credentials",
            "filter",
            "exec",
        ];
        NAMES.get(usize::from(number)).copied().unwrap_or("an unknown step")
    }
}

/// All that the child needs, prepared by the resident.
#[derive(Debug)]
pub(crate) struct Setup<'a> {
    /// Null-terminated, as execve takes it.
    pub(crate) argv: &'a [*const c_char],
    pub(crate) env: &'a [*const c_char],
    /// Where it writes `0` to join its groups, unless it was cloned into them.
    pub(crate) groups: Option<[RawFd; 3]>,
    pub(crate) streams: [RawFd; 3],
    pub(crate) folder: &'a CStr,
    pub(crate) resources: [(c_int, u64); RESOURCES],
    /// Where there are no groups.
    pub(crate) stand_ins: Option<[(c_int, u64); 2]>,
    pub(crate) privilege: Privilege,
    /// Supplementary groups of the run.
    pub(crate) supplementary: &'a [u32],
    /// What the resident may call and the program may not.
    pub(crate) filter: Option<&'a Filter>,
    /// For a template: its end of the socket, which becomes descriptor 3. Else `-1`.
    pub(crate) control: RawFd,
    /// Where the child is, and what went wrong there.
    pub(crate) step: SetupStep,
    pub(crate) errno: c_int,
}

/// Resource limits set for every program.
pub(crate) const RESOURCES: usize = 10;

/// The highest values that may be set here: without CAP_SYS_RESOURCE a limit only falls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ceilings([u64; RESOURCES]);

/// The resource limits of `setrlimit(2)` that belong to `limits`.
fn wanted(limits: &Limits) -> [(Resource, u64); RESOURCES] {
    [
        // Whole seconds, rounded up and one more: the deadline watches; this is the net below it.
        (Resource::RLIMIT_CPU, limits.cpu_time.as_secs() + 2),
        (Resource::RLIMIT_FSIZE, limits.disk.0),
        (Resource::RLIMIT_STACK, limits.stack.0),
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_NOFILE, u64::from(limits.open_files)),
        (Resource::RLIMIT_MEMLOCK, 64 << 10),
        (Resource::RLIMIT_MSGQUEUE, 256 << 10),
        (Resource::RLIMIT_SIGPENDING, 1024),
        (Resource::RLIMIT_NICE, 0),
        (Resource::RLIMIT_RTPRIO, 0),
    ]
}

impl Ceilings {
    /// Reads the caller's own hard limits.
    pub(crate) fn read() -> std::io::Result<Self> {
        let mut ceilings = [0; RESOURCES];
        for (ceiling, (resource, _)) in ceilings.iter_mut().zip(wanted(&Limits::default())) {
            *ceiling = getrlimit(resource)?.1;
        }
        Ok(Self(ceilings))
    }

    /// What a child sets: number of the resource, soft and hard value.
    pub(crate) fn resources(&self, limits: &Limits) -> [(c_int, u64); RESOURCES] {
        let mut resources = [(0, 0); RESOURCES];
        for ((slot, (resource, value)), ceiling) in
            resources.iter_mut().zip(wanted(limits)).zip(self.0)
        {
            *slot = (resource as c_int, value.min(ceiling));
        }
        resources
    }
}

/// Threads whose stacks a program may reserve beside the memory that it may use.
const THREADS_RESERVED: u64 = 16;

/// What stands in for the groups of `limits`: processes and threads of the slot's user in its user
/// namespace, the resident among them; and a net below the looks at the memory, for a process that
/// reserves far more than it may use. (Not RLIMIT_AS: runtimes reserve address space in gibibytes.)
pub(crate) fn stand_ins(limits: &Limits) -> std::io::Result<[(c_int, u64); 2]> {
    let data = limits.memory.0 + THREADS_RESERVED * limits.stack.0;
    let wanted =
        [(Resource::RLIMIT_NPROC, u64::from(limits.pids) + 1), (Resource::RLIMIT_DATA, data)];
    let mut stand_ins = [(0, 0); 2];
    for (slot, (resource, value)) in stand_ins.iter_mut().zip(wanted) {
        *slot = (resource as c_int, value.min(getrlimit(resource)?.1));
    }
    Ok(stand_ins)
}

/// The entry of the child. Returns only if a step failed.
pub(crate) extern "C" fn enter(setup: *mut c_void) -> c_int {
    crate::kernel::process::with_argument(setup, |setup: &mut Setup<'_>| {
        if let Err(errno) = steps(setup) {
            setup.errno = errno;
        }
    });
    127
}

fn steps(setup: &mut Setup<'_>) -> in_child::Step {
    setup.step = SetupStep::Session;
    in_child::new_session()?;
    setup.step = SetupStep::StandardStreams;
    for (number, fd) in (0..).zip(setup.streams) {
        in_child::duplicate(fd, number)?;
    }
    setup.step = SetupStep::Signals;
    // The one signal that the Rust runtime ignores; exec would keep it ignored.
    in_child::default_signal(libc::SIGPIPE)?;
    in_child::unblock_signals()?;
    setup.step = SetupStep::WorkingFolder;
    in_child::file_mode_mask(0o022);
    in_child::enter(setup.folder)?;
    setup.step = SetupStep::JoinGroups;
    for fd in setup.groups.iter().flatten() {
        in_child::write(*fd, b"0")?;
    }
    setup.step = SetupStep::CloseDescriptors;
    in_child::close_from(3)?;
    setup.step = SetupStep::ResourceLimits;
    for (resource, value) in setup.resources {
        in_child::limit_resource(resource, value)?;
    }
    if let Some(stand_ins) = setup.stand_ins {
        for (resource, value) in stand_ins {
            in_child::limit_resource(resource, value)?;
        }
    }
    setup.step = SetupStep::Credentials;
    in_child::lock_secure_bits()?;
    match setup.privilege {
        Privilege::Root => in_child::become_user(RUN_ID, RUN_ID, setup.supplementary)?,
        // The slot has one identity, and this is it.
        Privilege::Rootless => {}
    }
    in_child::drop_capabilities()?;
    setup.step = SetupStep::Filter;
    if let Some(filter) = setup.filter {
        in_child::install(filter)?;
    }
    setup.step = SetupStep::Execute;
    Err(in_child::execute(setup.argv, setup.env))
}

/// The entry of a template of warm runs (see [`crate::warm`]). It stays outside the groups, and keeps
/// the slot's root as its user.
pub(crate) extern "C" fn enter_template(setup: *mut c_void) -> c_int {
    crate::kernel::process::with_argument(setup, |setup: &mut Setup<'_>| {
        if let Err(errno) = template_steps(setup) {
            setup.errno = errno;
        }
    });
    127
}

fn template_steps(setup: &mut Setup<'_>) -> in_child::Step {
    setup.step = SetupStep::Session;
    in_child::new_session()?;
    setup.step = SetupStep::StandardStreams;
    for (number, fd) in (0..).zip(setup.streams) {
        in_child::duplicate(fd, number)?;
    }
    if setup.control == 3 {
        in_child::keep_on_exec(3)?;
    } else {
        in_child::duplicate(setup.control, 3)?;
    }
    setup.step = SetupStep::Signals;
    in_child::default_signal(libc::SIGPIPE)?;
    in_child::unblock_signals()?;
    setup.step = SetupStep::WorkingFolder;
    in_child::file_mode_mask(0o022);
    in_child::enter(setup.folder)?;
    setup.step = SetupStep::CloseDescriptors;
    in_child::close_from(4)?;
    setup.step = SetupStep::Credentials;
    in_child::raise_template_capabilities()?;
    setup.step = SetupStep::Execute;
    Err(in_child::execute(setup.argv, setup.env))
}

/// The entry of a child that ends all of a run's processes, of which it is not one: it takes their
/// user and signals all it may, which is them and nobody else. The kernel holds the task list
/// meanwhile, so that none escapes by forking.
pub(crate) extern "C" fn enter_to_kill(errno: *mut c_void) -> c_int {
    crate::kernel::process::with_argument(errno, |errno: &mut c_int| {
        let done =
            in_child::become_user(RUN_ID, RUN_ID, &[]).and_then(|()| in_child::kill_own_user());
        *errno = done.err().unwrap_or(0);
    });
    0
}
