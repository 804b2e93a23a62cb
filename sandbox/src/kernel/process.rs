//! Processes: clone, wait, kill, and the steps of a child between clone and exec.
//!
//! Invariants: processes of others are addressed by pidfd, never by number (numbers wrap within
//! seconds under load); a vfork child touches nothing but its prepared arguments.
#![expect(unsafe_code, reason = "clone, exec and wait have no safe equivalents")]

use std::ffi::{CStr, c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;

use super::seccomp::Filter;

/// What [`fork_into_pid_namespace`] returns to whom.
pub(crate) enum Fork {
    /// In the caller.
    Parent {
        /// The new process.
        child: OwnedFd,
    },
    /// In the new process.
    Child,
}

/// Forks a sibling of the caller (its parent is the caller's parent) that is PID 1 of a new pid
/// namespace. `clone(2)`: `CLONE_PARENT`, `CLONE_NEWPID`, `CLONE_PIDFD`.
///
/// The caller must be single-threaded: the copy holds whatever locks other threads held.
pub(crate) fn fork_into_pid_namespace() -> io::Result<Fork> {
    let mut pidfd: c_int = -1;
    let flags = libc::CLONE_PARENT | libc::CLONE_NEWPID | libc::CLONE_PIDFD;
    // SAFETY: a null stack with no CLONE_VM makes this a plain fork; the child runs on a copy of
    // this stack. `pidfd` outlives the call, and the kernel writes one int to it.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone,
            libc::c_long::from(flags),
            std::ptr::null_mut::<c_void>(),
            &raw mut pidfd,
            std::ptr::null_mut::<c_int>(),
            0,
        )
    };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child),
        _ => {
            // SAFETY: the kernel has just made this descriptor for us alone.
            let child = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Fork::Parent { child })
        }
    }
}

/// The stack of a vfork child: the child runs our code on it only until it execs.
const STACK_BYTES: usize = 64 << 10;

/// A stack for [`Vfork::spawn`], aligned as the ABI asks.
#[repr(align(16))]
struct Stack([u8; STACK_BYTES]);

impl std::fmt::Debug for Vfork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vfork").finish_non_exhaustive()
    }
}

/// Starts programs the vfork way: the child shares our memory and we are suspended until it has
/// exec'ed or died, so nothing is copied.
pub(crate) struct Vfork {
    stack: Box<Stack>,
}

impl Vfork {
    pub(crate) fn new() -> Self {
        Self { stack: Box::new(Stack([0; STACK_BYTES])) }
    }

    /// Runs `body(argument)` in a child in a new ipc namespace, and in the control group with the
    /// folder `group` where given, and returns its pidfd once it has exec'ed or exited.
    ///
    /// `body` must not return normally other than by exec or by returning an exit status, must not
    /// allocate, lock, or run destructors.
    pub(crate) fn spawn<T>(
        &mut self,
        group: Option<BorrowedFd<'_>>,
        body: extern "C" fn(*mut c_void) -> c_int,
        argument: &mut T,
    ) -> io::Result<(OwnedFd, Pid)> {
        let mut pidfd: c_int = -1;
        let argument = std::ptr::from_mut(argument).cast::<c_void>();
        let pid = match group {
            None => self.clone(body, argument, &mut pidfd),
            Some(group) => self.clone_into(group, body, argument, &mut pidfd),
        };
        if pid < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor for us alone.
        Ok((unsafe { OwnedFd::from_raw_fd(pidfd) }, Pid::from_raw(pid)))
    }

    fn clone(
        &mut self,
        body: extern "C" fn(*mut c_void) -> c_int,
        argument: *mut c_void,
        pidfd: &mut c_int,
    ) -> c_int {
        let flags = CHILD_FLAGS | libc::SIGCHLD;
        let base = self.stack.0.as_mut_ptr();
        // SAFETY: one past the end of the array is a valid pointer for it; stacks grow downwards.
        let top = unsafe { base.add(STACK_BYTES) };
        // SAFETY: `top` is the aligned end of a stack that nothing else uses, since we are suspended
        // (CLONE_VFORK) while the child runs on it; `argument` outlives the child's use of it for
        // the same reason; `pidfd` receives one int.
        unsafe { libc::clone(body, top.cast::<c_void>(), flags, argument, pidfd) }
    }

    /// `clone3(2)`, for which the C library has no function.
    fn clone_into(
        &mut self,
        group: BorrowedFd<'_>,
        body: extern "C" fn(*mut c_void) -> c_int,
        argument: *mut c_void,
        pidfd: &mut c_int,
    ) -> c_int {
        let unsigned = |value: c_int| u64::try_from(value).unwrap_or(0);
        // SAFETY: a struct of integers, for which zero means absent.
        let mut request: libc::clone_args = unsafe { std::mem::zeroed() };
        request.flags = unsigned(CHILD_FLAGS) | CLONE_INTO_CGROUP;
        request.pidfd = std::ptr::from_mut(pidfd) as u64;
        request.exit_signal = unsigned(libc::SIGCHLD);
        request.stack = self.stack.0.as_mut_ptr() as u64;
        request.stack_size = STACK_BYTES as u64;
        request.cgroup = unsigned(group.as_raw_fd());
        let mut result = libc::SYS_clone3;
        // SAFETY: the child returns from the call on its own stack, which nothing else uses since we
        // are suspended; it calls `body` with an aligned stack and exits. Only the parent goes past
        // the block, with all but the named registers kept, as the kernel promises.
        unsafe {
            std::arch::asm!(
                "syscall",
                "test rax, rax",
                "jnz 2f",
                "xor ebp, ebp",
                "mov rdi, r13",
                "call r12",
                "mov edi, eax",
                "mov eax, {exit}",
                "syscall",
                "ud2",
                "2:",
                exit = const libc::SYS_exit,
                in("r12") body,
                in("r13") argument,
                in("rdi") &raw mut request,
                in("rsi") size_of::<libc::clone_args>(),
                inlateout("rax") result,
                lateout("rcx") _,
                lateout("r11") _,
            );
        }
        match c_int::try_from(result) {
            Ok(pid @ 0..) => pid,
            Ok(errno) => {
                nix::errno::Errno::from_raw(-errno).set();
                -1
            }
            Err(_) => -1,
        }
    }
}

/// `linux/sched.h`; beyond what the C library's type of flags holds.
pub(crate) const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// How every run is cloned: sharing our memory while we are suspended.
const CHILD_FLAGS: c_int =
    libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_NEWIPC | libc::CLONE_PIDFD;

/// Gives memory that is allocated but unused back to the kernel (`malloc_trim(3)`).
pub(crate) fn return_free_memory() {
    // SAFETY: an integer; the allocator takes its own locks.
    unsafe { libc::malloc_trim(0) };
}

/// Gives a vfork child its argument back as what [`Vfork::spawn`] was given.
pub(crate) fn with_argument<T>(argument: *mut c_void, body: impl FnOnce(&mut T)) {
    // SAFETY: only `Vfork::spawn` hands out this pointer, made from a `&mut T` that outlives the
    // child's use of it; its owner is suspended, so this is the only access.
    body(unsafe { &mut *argument.cast::<T>() });
}

/// How a child ended and what it used, as the kernel tells its parent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reaped {
    pub(crate) pid: Pid,
    /// `None`: it exited, with this code in `code`; else the signal that killed it.
    pub(crate) signal: Option<i32>,
    pub(crate) code: i32,
    /// Processor time of it and of the children it waited for.
    pub(crate) cpu_time: Duration,
    /// Largest resident set of it and of the children it waited for, in bytes.
    pub(crate) resident_bytes_max: u64,
}

/// Reaps any ended child without waiting. `Ok(None)`: children are left but none has ended.
/// `Err(ECHILD)`: there are none.
pub(crate) fn reap_any(wait: bool) -> io::Result<Option<Reaped>> {
    let mut status: c_int = 0;
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    let options = if wait { libc::__WALL } else { libc::__WALL | libc::WNOHANG };
    // SAFETY: both pointers are valid for writes of their types.
    let pid = unsafe { libc::wait4(-1, &raw mut status, options, usage.as_mut_ptr()) };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    if pid == 0 {
        return Ok(None);
    }
    // SAFETY: zeroed is a valid rusage, and wait4 filled it in.
    let usage = unsafe { usage.assume_init() };
    let kib = u64::try_from(usage.ru_maxrss).unwrap_or(0);
    let cpu_time = duration(usage.ru_utime) + duration(usage.ru_stime);
    let pid = Pid::from_raw(pid);
    let (signal, code) = match WaitStatus::from_raw(pid, status) {
        Ok(WaitStatus::Exited(_, code)) => (None, code),
        Ok(WaitStatus::Signaled(_, signal, _)) => (Some(signal as i32), 0),
        // Real-time signals have no name in the enum of named ones.
        Ok(_) | Err(_) => (Some(status & 0x7f), 0),
    };
    Ok(Some(Reaped { pid, signal, code, cpu_time, resident_bytes_max: kib << 10 }))
}

fn duration(time: libc::timeval) -> Duration {
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    Duration::from_secs(part(time.tv_sec)) + Duration::from_micros(part(time.tv_usec))
}

/// Whether the caller has any child, alive or not yet reaped.
pub(crate) fn has_children() -> io::Result<bool> {
    use nix::sys::wait::{Id, WaitPidFlag, waitid};
    let flags =
        WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT | WaitPidFlag::__WALL;
    match waitid(Id::All, flags) {
        Ok(_) => Ok(true),
        Err(nix::errno::Errno::ECHILD) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Kills every process of the caller's pid namespace but itself. Atomic against forks: the kernel
/// holds the task list while it signals (`kill(2)`, pid -1). Having nobody to kill is success.
pub(crate) fn kill_all() -> io::Result<()> {
    match nix::sys::signal::kill(Pid::from_raw(-1), nix::sys::signal::Signal::SIGKILL) {
        Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Kills one child and waits for it. Having no such child is success.
pub(crate) fn kill_one(child: Pid) -> io::Result<()> {
    use nix::errno::Errno;
    match nix::sys::signal::kill(child, nix::sys::signal::Signal::SIGKILL) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(errno) => return Err(errno.into()),
    }
    match nix::sys::wait::waitpid(child, Some(nix::sys::wait::WaitPidFlag::__WALL)) {
        Ok(_) | Err(Errno::ECHILD) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Gives the signals that the Rust runtime handles their default action. Process 1 of a namespace
/// hears no signal from inside it but those that it handles (`pid_namespaces(7)`).
pub(crate) fn forget_signal_handlers() -> io::Result<()> {
    for signal in [libc::SIGSEGV, libc::SIGBUS] {
        in_child::default_signal(signal).map_err(io::Error::from_raw_os_error)?;
    }
    Ok(())
}

/// Takes hold of a process by its number (`pidfd_open(2)`).
pub(crate) fn open_descriptor(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: integers only.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = c_int::try_from(fd).map_err(|_| io::ErrorKind::InvalidData)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sends SIGKILL through a pidfd. A process that has already ended is success.
pub(crate) fn kill_by_descriptor(pidfd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no pointer but a null one, which pidfd_send_signal(2) allows.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            libc::SIGKILL,
            std::ptr::null::<c_void>(),
            0,
        )
    };
    match result {
        0 => Ok(()),
        _ => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            error => Err(error),
        },
    }
}

/// The child's side between clone and exec. Each function is one raw system call: no allocation, no
/// lock, nothing that a shared memory could be hurt by.
pub(crate) mod in_child {
    use super::{CStr, Filter, c_int};

    /// The result of a raw system call: 0 or an errno.
    pub(crate) type Step = Result<(), c_int>;

    fn check(result: libc::c_long) -> Step {
        if result < 0 {
            // SAFETY: no arguments; the result is the address of this thread's errno.
            let location = unsafe { libc::__errno_location() };
            // SAFETY: that address is always valid for reads.
            Err(unsafe { *location })
        } else {
            Ok(())
        }
    }

    /// Writes `bytes` in one call; a short write is EIO.
    pub(crate) fn write(fd: c_int, bytes: &[u8]) -> Step {
        // SAFETY: the slice is valid for reads of its length.
        let written = unsafe { libc::syscall(libc::SYS_write, fd, bytes.as_ptr(), bytes.len()) };
        check(written)?;
        if usize::try_from(written) == Ok(bytes.len()) { Ok(()) } else { Err(libc::EIO) }
    }

    /// `setsid(2)`: own session, no controlling terminal.
    pub(crate) fn new_session() -> Step {
        // SAFETY: no arguments.
        check(unsafe { libc::syscall(libc::SYS_setsid) })
    }

    /// `dup2(2)`.
    pub(crate) fn duplicate(from: c_int, to: c_int) -> Step {
        // SAFETY: integers only; the kernel checks them.
        check(unsafe { libc::syscall(libc::SYS_dup2, from, to) })
    }

    /// Takes the close-on-exec mark off a descriptor.
    pub(crate) fn keep_on_exec(fd: c_int) -> Step {
        // SAFETY: integers only.
        check(unsafe { libc::syscall(libc::SYS_fcntl, fd, libc::F_SETFD, 0) })
    }

    /// Closes every descriptor from `first` on.
    pub(crate) fn close_from(first: c_int) -> Step {
        // SAFETY: integers only; descriptors closed here are this process's own copies.
        check(unsafe { libc::syscall(libc::SYS_close_range, first, c_int::MAX, 0) })
    }

    /// `prlimit64(2)` on itself, soft and hard alike.
    pub(crate) fn limit_resource(resource: c_int, value: u64) -> Step {
        let limit = libc::rlimit64 { rlim_cur: value, rlim_max: value };
        // SAFETY: `limit` is valid for reads; the old limit is not asked for.
        check(unsafe {
            libc::syscall(
                libc::SYS_prlimit64,
                0,
                resource,
                &raw const limit,
                std::ptr::null_mut::<libc::rlimit64>(),
            )
        })
    }

    /// Gives a signal its default action.
    pub(crate) fn default_signal(signal: c_int) -> Step {
        // The kernel's own sigaction: handler, flags, restorer, mask.
        let action = [libc::SIG_DFL as u64, 0, 0, 0];
        // SAFETY: `action` has the layout and size of the kernel's struct; 8 is the mask's size.
        check(unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                action.as_ptr(),
                std::ptr::null_mut::<u64>(),
                8,
            )
        })
    }

    /// Blocks no signal.
    pub(crate) fn unblock_signals() -> Step {
        let mask = 0_u64;
        // SAFETY: `mask` is valid for reads of 8 bytes; the old mask is not asked for.
        check(unsafe {
            libc::syscall(
                libc::SYS_rt_sigprocmask,
                libc::SIG_SETMASK,
                &raw const mask,
                std::ptr::null_mut::<u64>(),
                8,
            )
        })
    }

    /// `chdir(2)`.
    pub(crate) fn enter(directory: &CStr) -> Step {
        // SAFETY: a NUL-terminated string.
        check(unsafe { libc::syscall(libc::SYS_chdir, directory.as_ptr()) })
    }

    /// Becomes `uid` and `gid` for good, with no other groups. All capabilities go with it
    /// (`capabilities(7)`, effect of user ID changes).
    pub(crate) fn become_user(uid: u32, gid: u32, supplementary: &[u32]) -> Step {
        let (count, groups) = (supplementary.len(), supplementary.as_ptr());
        // SAFETY: so many numbers lie there; a zero count empties the list.
        check(unsafe { libc::syscall(libc::SYS_setgroups, count, groups) })?;
        // SAFETY: integers only.
        check(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) })?;
        // SAFETY: integers only.
        check(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) })
    }

    /// Adds a filter to those of the thread (`seccomp(2)`).
    pub(crate) fn install(filter: &Filter) -> Step {
        let program = filter.program();
        // SAFETY: `program` points to instructions that outlive the call; the kernel copies them.
        check(unsafe {
            libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program)
        })
    }

    /// Locks the secure bits and clears the inheritable set: with [`become_user`] in between, no
    /// capability is left in any set.
    pub(crate) fn lock_secure_bits() -> Step {
        let bits = crate::kernel::credentials::LOCKED_SECURE_BITS;
        // SAFETY: integers only.
        check(unsafe { libc::syscall(libc::SYS_prctl, libc::PR_SET_SECUREBITS, bits, 0, 0, 0) })
    }

    /// `capset(2)` to nothing.
    pub(crate) fn drop_capabilities() -> Step {
        let header = [0x2008_0522_u32, 0];
        let data = [[0_u32; 3]; 2];
        // SAFETY: header and data have the layout of version 3.
        check(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) })
    }

    /// Lets the template's capabilities survive exec.
    pub(crate) fn raise_template_capabilities() -> Step {
        for number in crate::kernel::credentials::TEMPLATE_CAPABILITY_NUMBERS {
            let (option, raise) = (libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE);
            // SAFETY: integers only.
            check(unsafe { libc::syscall(libc::SYS_prctl, option, raise, number, 0, 0) })?;
        }
        Ok(())
    }

    /// Kills every process of this user in the pid namespace but itself.
    pub(crate) fn kill_own_user() -> Step {
        // SAFETY: integers only.
        match check(unsafe { libc::syscall(libc::SYS_kill, -1, libc::SIGKILL) }) {
            Err(libc::ESRCH) => Ok(()),
            other => other,
        }
    }

    /// Sets the file mode mask.
    pub(crate) fn file_mode_mask(mask: u32) {
        // SAFETY: an integer; umask(2) cannot fail.
        unsafe { libc::syscall(libc::SYS_umask, mask) };
    }

    /// Becomes the program. Returns only if that fails.
    pub(crate) fn execute(argv: &[*const libc::c_char], env: &[*const libc::c_char]) -> c_int {
        let Some(program) = argv.first() else {
            return libc::EINVAL;
        };
        // SAFETY: both are null-terminated arrays of NUL-terminated strings, kept by the parent,
        // which is suspended.
        let result =
            unsafe { libc::syscall(libc::SYS_execve, *program, argv.as_ptr(), env.as_ptr()) };
        check(result).err().unwrap_or(libc::EIO)
    }
}
