//! Workers as the supervisor sees them: a fixed number at once, started when they are first needed.
//!
//! As with slots, a worker that failed, or was left in the middle of a request, is never used again.
//! What ends one is told by what it was doing: a compiler that asks for too much is the program's
//! fault; a worker that ends while a module runs is ours.

use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, socketpair};
use tokio::io::unix::AsyncFd;
use tokio::sync::Semaphore;

use super::worker::{Begin, WORKER_NAME};
use super::{COMPILER, Key};
use crate::control::{self, Message, Reply, Request, RunRequest};
use crate::error::Error;
use crate::limits::{RESIDENT_GRACE, SLOT_BUILD_TIME_MAX, SLOTS_MAX};
use crate::outcome::{Captured, Collected, Outcome, Termination, Usage};
use crate::pool::PoolStatus;
use crate::slot;
use crate::spec::{InputFile, RunSpec, Streams};

/// A fixed number of workers. Cheap to clone; all clones are the same pool.
#[derive(Clone, Debug)]
pub struct WasmPool(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    workers: usize,
    key: Key,
    /// By their last use, the latest last.
    idle: Mutex<Vec<Worker>>,
    /// One permit for each worker that may be leased.
    permits: Semaphore,
    leased: AtomicUsize,
    started: AtomicU64,
}

/// The right to use one worker until dropped.
#[derive(Debug)]
pub struct WasmLease {
    /// `None` where the last one ended; the next run starts another.
    worker: Option<Worker>,
    installed: Vec<InputFile>,
    pool: Arc<Pool>,
}

/// A process that runs modules.
struct Worker {
    child: Child,
    socket: OwnedFd,
    /// A request was sent and its reply not yet received, or something failed.
    doubtful: bool,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("pid", &self.child.id()).finish_non_exhaustive()
    }
}

/// Why no answer came.
enum Silence {
    /// The worker ended.
    Ended,
    /// It did not answer in time.
    Late,
    /// The socket failed.
    Failed(io::Error),
}

impl WasmPool {
    /// A pool of at most `workers`; none is started yet.
    ///
    /// # Errors
    /// [`Error::EntryMissing`] where the caller's `main` does not begin with
    /// [`crate::resident_entry`]; [`Error::Unfit`] for too many; no random key can be had.
    pub fn new(workers: NonZeroUsize) -> Result<Self, Error> {
        if !crate::entered() {
            return Err(Error::EntryMissing);
        }
        let workers = workers.get();
        if workers > SLOTS_MAX {
            let reason = format!("{workers} workers asked for, at most {SLOTS_MAX}");
            return Err(Error::Unfit { reason });
        }
        let mut key = Key::default();
        std::fs::File::open("/dev/urandom")
            .and_then(|mut random| io::Read::read_exact(&mut random, &mut key))
            .map_err(Error::io("draw a random key"))?;
        Ok(Self(Arc::new(Pool {
            workers,
            key,
            idle: Mutex::default(),
            permits: Semaphore::new(workers),
            leased: AtomicUsize::new(0),
            started: AtomicU64::new(0),
        })))
    }

    /// Waits until one more module may run.
    ///
    /// # Errors
    /// [`Error::Closed`]; a worker cannot be started.
    pub async fn lease(&self) -> Result<WasmLease, Error> {
        self.0.permits.acquire().await.map_err(|_| Error::Closed)?.forget();
        self.hand_out().await
    }

    /// Waits until two more may run, so that nobody who has one waits for another.
    ///
    /// # Errors
    /// As [`Self::lease`]; [`Error::Unfit`] where the pool has fewer than two.
    pub async fn lease_pair(&self) -> Result<[WasmLease; 2], Error> {
        if self.0.workers < 2 {
            let reason = "two modules are to run at once, and only one may".to_owned();
            return Err(Error::Unfit { reason });
        }
        self.0.permits.acquire_many(2).await.map_err(|_| Error::Closed)?.forget();
        let (first, second) = (self.hand_out().await, self.hand_out().await);
        Ok([first?, second?])
    }

    /// A lease for a permit that was taken.
    async fn hand_out(&self) -> Result<WasmLease, Error> {
        let pool = Arc::clone(&self.0);
        pool.leased.fetch_add(1, Ordering::Relaxed);
        let worker = pool.idle().pop();
        let mut lease = WasmLease { worker, installed: Vec::new(), pool };
        lease.worker().await?;
        Ok(lease)
    }

    /// What the workers are doing.
    #[must_use]
    pub fn status(&self) -> PoolStatus {
        let leased = self.0.leased.load(Ordering::Relaxed);
        PoolStatus {
            slots: self.0.workers,
            leased,
            standing: self.0.idle().len() + leased,
            building: 0,
            rebuilt: self.0.started.load(Ordering::Relaxed),
        }
    }

    /// Ends all workers; those that are leased, with their leases.
    pub fn close(&self) {
        self.0.permits.close();
        self.0.idle().clear();
    }
}

impl Pool {
    fn idle(&self) -> MutexGuard<'_, Vec<Worker>> {
        // A list that is whole at every point where a panic could be.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WasmLease {
    /// Puts files where modules can read and not write them, for all runs of the lease.
    ///
    /// # Errors
    /// A bound of [`crate::limits`]; the worker failed.
    pub async fn install(&mut self, files: &[InputFile]) -> Result<(), Error> {
        crate::spec::check_files(files)?;
        self.worker().await?.install(files).await?;
        self.installed.extend_from_slice(files);
        Ok(())
    }

    /// Runs [`COMPILER`], or an artifact that it made, to its end; dropping the future ends it.
    ///
    /// # Errors
    /// The worker failed. What the module does wrong is an [`Outcome`].
    pub async fn run(&mut self, spec: &RunSpec) -> Result<Outcome, Error> {
        self.run_with(spec, Streams::default()).await
    }

    /// The same, with standard streams that lead elsewhere.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn run_with(&mut self, spec: &RunSpec, streams: Streams) -> Result<Outcome, Error> {
        let start = Instant::now();
        let worker = self.worker().await?;
        match worker.run(spec, streams).await {
            Ok(outcome) => Ok(outcome),
            Err(silence) => {
                let ended = self.worker.take().and_then(Worker::end);
                fallen(spec, silence, ended, start)
            }
        }
    }

    /// The lease's worker; a new one with the lease's files where the last has ended.
    async fn worker(&mut self) -> Result<&mut Worker, Error> {
        let worker = match self.worker.take().filter(|worker| !worker.doubtful) {
            Some(worker) => worker,
            None => {
                self.pool.started.fetch_add(1, Ordering::Relaxed);
                let mut worker = Worker::start(self.pool.key).await?;
                if !self.installed.is_empty() {
                    worker.install(&self.installed).await?;
                }
                worker
            }
        };
        Ok(self.worker.insert(worker))
    }
}

impl Drop for WasmLease {
    fn drop(&mut self) {
        if let Some(mut worker) = self.worker.take().filter(|worker| !worker.doubtful)
            && !self.pool.permits.is_closed()
            && worker.send(&Request::EndLease, &[], &[]).is_ok()
        {
            worker.doubtful = false;
            self.pool.idle().push(worker);
        }
        self.pool.leased.fetch_sub(1, Ordering::Relaxed);
        self.pool.permits.add_permits(1);
    }
}

/// What the end of a worker in the middle of a run means.
fn fallen(
    spec: &RunSpec,
    silence: Silence,
    ended: Option<std::process::ExitStatus>,
    start: Instant,
) -> Result<Outcome, Error> {
    let signal = ended.and_then(|status| status.signal());
    let is_compiler = spec.argv[0].to_bytes() == COMPILER.as_bytes();
    let termination = match (silence, signal) {
        (Silence::Failed(source), _) => {
            return Err(Error::Io { operation: "talk to a worker".to_owned(), source });
        }
        (Silence::Late, _) if is_compiler => Termination::WallTimeLimit,
        (Silence::Ended, Some(libc::SIGXCPU)) if is_compiler => Termination::CpuTimeLimit,
        // How a program ends that is refused memory.
        (Silence::Ended, Some(libc::SIGABRT)) if is_compiler => Termination::MemoryLimit,
        (Silence::Ended, Some(signal @ (libc::SIGSEGV | libc::SIGILL | libc::SIGBUS)))
            if is_compiler =>
        {
            Termination::Signalled { signal }
        }
        (Silence::Ended | Silence::Late, signal) => {
            let how = signal.map_or_else(String::new, |signal| format!(", by signal {signal}"));
            let source = io::Error::other(format!("its worker ended or did not answer{how}"));
            return Err(Error::Io { operation: "run a module".to_owned(), source });
        }
    };
    Ok(Outcome {
        termination,
        usage: Usage { wall_time: start.elapsed(), ..Usage::default() },
        stdout: Captured::default(),
        stderr: Captured::default(),
        files: spec.collect.iter().map(|_| Collected::Missing).collect(),
    })
}

impl Worker {
    async fn start(key: Key) -> Result<Self, Error> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (socket, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)
            .map_err(|errno| Error::io("make a socket pair")(errno.into()))?;
        let child = Command::new("/proc/self/exe")
            .arg0(WORKER_NAME)
            .env_clear()
            .current_dir("/")
            .stdin(theirs)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(Error::io("start a worker"))?;
        let mut worker = Self { child, socket, doubtful: true };
        let begin = Begin { key };
        control::send(&worker.socket, &begin, &[], &[]).map_err(Error::io("talk to a worker"))?;
        match worker.reply(SLOT_BUILD_TIME_MAX).await {
            Ok(Message { header: Reply::Ready, .. }) => Ok(worker),
            Ok(message) => Err(unfit(&message.header)),
            Err(_) => Err(Error::Unfit { reason: "a worker for modules did not start".to_owned() }),
        }
    }

    fn send(&mut self, request: &Request, parts: &[&[u8]], fds: &[RawFd]) -> io::Result<()> {
        self.doubtful = true;
        control::send(&self.socket, request, parts, fds)
    }

    async fn install(&mut self, files: &[InputFile]) -> Result<(), Error> {
        let request = Request::Install { files: slot::headers(files) };
        let contents: Vec<&[u8]> = files.iter().map(|file| &*file.content).collect();
        self.send(&request, &contents, &[]).map_err(Error::io("talk to a worker"))?;
        match self.reply(RESIDENT_GRACE).await {
            Ok(Message { header: Reply::Installed, .. }) => Ok(()),
            Ok(message) => {
                self.doubtful = true;
                Err(unfit(&message.header))
            }
            Err(_) => Err(Error::io("install files")(io::ErrorKind::UnexpectedEof.into())),
        }
    }

    async fn run(&mut self, spec: &RunSpec, streams: Streams) -> Result<Outcome, Silence> {
        let Streams { stdin, stdout, stderr } = streams;
        let stdin = match stdin {
            Some(stdin) => Some(stdin),
            None => slot::stdin_file(&spec.stdin).map_err(Silence::Failed)?,
        };
        let bytes = |item: &std::ffi::CString| item.as_bytes().to_vec();
        let collect = spec.collect.iter();
        let request = Request::Run(RunRequest {
            argv: spec.argv.iter().map(bytes).collect(),
            env: spec.env.iter().map(bytes).collect(),
            files: slot::headers(&spec.files),
            collect: collect.map(|it| (it.path.as_str().to_owned(), it.bytes_max)).collect(),
            limits: spec.limits,
            // A module has no way to open anything of its worker.
            has_closed_memory: false,
            has_stdin: stdin.is_some(),
            has_stdout: stdout.is_some(),
            has_stderr: stderr.is_some(),
            is_session: false,
        });
        let contents: Vec<&[u8]> = spec.files.iter().map(|file| &*file.content).collect();
        let attached: Vec<RawFd> =
            stdin.iter().chain(&stdout).chain(&stderr).map(AsRawFd::as_raw_fd).collect();
        self.send(&request, &contents, &attached).map_err(Silence::Failed)?;
        // What is kept open here would keep whoever is at the other end waiting.
        drop((stdin, stdout, stderr));
        let message = self.reply(spec.limits.wall_time + RESIDENT_GRACE).await?;
        self.doubtful = true;
        let outcome = match message.header {
            Reply::Ended(ended) => slot::outcome(spec, ended, message.payload),
            Reply::Ready
            | Reply::Installed
            | Reply::NotLaunched { .. }
            | Reply::Session(_)
            | Reply::Failed { .. } => Err(io::ErrorKind::InvalidData.into()),
        };
        self.doubtful = outcome.is_err();
        outcome.map_err(Silence::Failed)
    }

    async fn reply(&mut self, patience: Duration) -> Result<Message<Reply>, Silence> {
        let message = match tokio::time::timeout(patience, self.receive()).await {
            Err(_) => return Err(Silence::Late),
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => {
                return Err(Silence::Ended);
            }
            Ok(Err(error)) => return Err(Silence::Failed(error)),
            Ok(Ok(None)) => return Err(Silence::Ended),
            Ok(Ok(Some(message))) => message,
        };
        self.doubtful = false;
        Ok(message)
    }

    async fn receive(&self) -> io::Result<Option<Message<Reply>>> {
        #[expect(deprecated, reason = "safe here: the descriptor outlives it")]
        let socket = AsyncFd::new(self.socket.as_raw_fd())?;
        loop {
            let mut ready = socket.readable().await?;
            match control::receive(&self.socket, MsgFlags::MSG_DONTWAIT) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                result => return result,
            }
        }
    }

    /// Ends the process and says how it ended; by itself, where it had.
    fn end(mut self) -> Option<std::process::ExitStatus> {
        self.stop()
    }

    fn stop(&mut self) -> Option<std::process::ExitStatus> {
        // Whoever closed the socket is about to be a zombie, which a kill does not change.
        drop(self.child.kill());
        match self.child.wait() {
            Ok(status) => Some(status),
            Err(error) => {
                tracing::warn!(pid = self.child.id(), %error, "a worker was left behind");
                None
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop();
    }
}

fn unfit(reply: &Reply) -> Error {
    let reason = match reply {
        Reply::Failed { step, reason } => format!("a worker for modules: {step}: {reason}"),
        Reply::Ready
        | Reply::Installed
        | Reply::Ended(_)
        | Reply::Session(_)
        | Reply::NotLaunched { .. } => {
            "a worker for modules gave an answer to another question".to_owned()
        }
    };
    Error::Unfit { reason }
}
