//! Sessions: a slot kept by a lease, with a program inside that is talked to while it runs.
//!
//! A program of a session is a run like any other, with the same barriers, groups and limits. Three
//! things differ: its standard streams lead to the caller; the resident hears requests while it runs
//! (interrupts, files in and out, processor time); and its files stay when it ends, so that another
//! can be started where it left off. When the session ends they are removed and the slot is proven
//! clean as after any run, or else it is destroyed.
//!
//! A [`Keeper`] owns the lease, on a task of its own: requests and their answers take turns, and a
//! caller that stops waiting leaves nothing in the middle.

use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes as Buffer;
use tokio::sync::{mpsc, oneshot};

use crate::control::{
    CollectedHeader, ListedKind, Message, Reply, Request, SessionReply, SessionRequest,
};
use crate::error::Error;
use crate::limits::{
    LISTED_MAX, RESIDENT_GRACE, SESSION_ANSWER_TIME_MAX, SESSION_FILE_BYTES_MAX, SESSION_ORDERS_MAX,
};
use crate::outcome::{Collected, Outcome};
use crate::pool::Lease;
use crate::slot::{Purpose, headers};
use crate::spec::{self, InputFile, RelativePath, RunSpec, Streams};

pub use crate::control::ListedKind as Kind;

/// A slot kept for programs that are talked to. When the last clone is dropped it ends its program
/// and gives the slot back; [`Session::close`] does that and waits for it.
#[derive(Clone, Debug)]
pub struct Session {
    orders: mpsc::Sender<Order>,
}

/// A program that was started in a session.
#[derive(Debug)]
pub struct Program {
    /// How it ended; an error where the slot failed. Dropped without a word where the session ended.
    pub ended: oneshot::Receiver<Result<Outcome, Error>>,
    /// Told whenever the program has used what [`Session::allow`] gave it.
    pub spent: mpsc::Receiver<()>,
}

/// What is in the folder in which a session's programs start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Paths, and what is there.
    pub entries: Vec<(String, ListedKind)>,
    /// Whether there is more.
    pub truncated: bool,
}

/// What became of files that were to be put into a session.
#[derive(Debug)]
pub enum Written {
    /// They are there.
    Done,
    /// There is no room, or something else of the session's is in the way.
    Refused(io::Error),
}

#[derive(Debug)]
enum Order {
    Start {
        spec: Box<RunSpec>,
        streams: Streams,
        started: oneshot::Sender<Result<Program, Error>>,
    },
    Ask {
        request: SessionRequest,
        contents: Vec<Buffer>,
        answer: oneshot::Sender<Answer>,
    },
    /// `closed` is dropped when it is done.
    Close {
        closed: oneshot::Sender<()>,
    },
}

type Answer = Result<(SessionReply, Buffer), Error>;

impl Session {
    /// Keeps `lease` for a session. What the lease installed stays there.
    #[must_use]
    pub fn new(lease: Lease) -> Self {
        let (orders, received) = mpsc::channel(SESSION_ORDERS_MAX);
        // It ends when the last sender is gone, or with the runtime; either way the lease does too.
        drop(tokio::spawn(Keeper { lease, orders: received, running: None }.keep()));
        Self { orders }
    }

    /// Starts a program. Whether it could be started is told by its end.
    ///
    /// # Errors
    /// [`Error::Slot`] where the slot failed, or runs a program of the session already.
    pub async fn start(&self, spec: RunSpec, streams: Streams) -> Result<Program, Error> {
        let (started, wait) = oneshot::channel();
        let order = Order::Start { spec: Box::new(spec), streams, started };
        self.orders.send(order).await.map_err(|_| Error::Closed)?;
        wait.await.map_err(|_| Error::Closed)?
    }

    /// Sends the interrupt signal to the program and to what it started in its process group.
    ///
    /// # Errors
    /// [`Error::Slot`] where the slot failed, [`Error::Closed`] where it had.
    pub async fn interrupt(&self) -> Result<(), Error> {
        self.ask_for_done(SessionRequest::Interrupt).await
    }

    /// Ends the program, whatever it does. Its end is told as any other.
    ///
    /// # Errors
    /// As [`Self::interrupt`].
    pub async fn end(&self) -> Result<(), Error> {
        self.ask_for_done(SessionRequest::End).await
    }

    /// Lets the program use so much more processor time before [`Program::spent`] is told. Returns
    /// what it has used so far; zero where none runs.
    ///
    /// # Errors
    /// As [`Self::interrupt`].
    pub async fn allow(&self, cpu_time: Duration) -> Result<Duration, Error> {
        match self.ask(SessionRequest::Allow { cpu_time }, Vec::new()).await? {
            (SessionReply::Used { cpu_time }, _) => Ok(cpu_time),
            (other, _) => Err(other_question(&other)),
        }
    }

    /// Puts files into [`spec::WORK_DIR`], in place of those that are there.
    ///
    /// # Errors
    /// As [`Self::interrupt`]; [`Error::Spec`] above the bounds of [`crate::limits`].
    pub async fn write(&self, files: Vec<InputFile>) -> Result<Written, Error> {
        spec::check_files(&files)?;
        let request = SessionRequest::Write { files: headers(&files) };
        let contents = files.into_iter().map(|file| file.content).collect();
        match self.ask(request, contents).await? {
            (SessionReply::Done, _) => Ok(Written::Done),
            (SessionReply::Refused { errno }, _) => {
                Ok(Written::Refused(io::Error::from_raw_os_error(errno)))
            }
            (other, _) => Err(other_question(&other)),
        }
    }

    /// Takes one file out of [`spec::WORK_DIR`].
    ///
    /// # Errors
    /// As [`Self::interrupt`].
    pub async fn read(&self, path: &RelativePath, bytes_max: usize) -> Result<Collected, Error> {
        let bytes_max = bytes_max.min(SESSION_FILE_BYTES_MAX) as u64;
        let request = SessionRequest::Read { path: path.as_str().to_owned(), bytes_max };
        match self.ask(request, Vec::new()).await? {
            (SessionReply::Content(CollectedHeader::File { bytes }), content)
                if bytes <= bytes_max && content.len() as u64 == bytes =>
            {
                Ok(Collected::File(content))
            }
            (SessionReply::Content(CollectedHeader::TooLarge), _) => Ok(Collected::TooLarge),
            (SessionReply::Content(CollectedHeader::Missing) | SessionReply::Refused { .. }, _) => {
                Ok(Collected::Missing)
            }
            (other, _) => Err(other_question(&other)),
        }
    }

    /// Lists what is in [`spec::WORK_DIR`].
    ///
    /// # Errors
    /// As [`Self::interrupt`].
    pub async fn list(&self) -> Result<Listing, Error> {
        match self.ask(SessionRequest::List, Vec::new()).await? {
            (SessionReply::Listed { mut entries, truncated }, _) => {
                entries.truncate(LISTED_MAX);
                Ok(Listing { entries, truncated })
            }
            // A program closed its own folder to everybody.
            (SessionReply::Refused { .. }, _) => Ok(Listing { entries: vec![], truncated: true }),
            (other, _) => Err(other_question(&other)),
        }
    }

    /// Ends the program, removes what it left, gives the slot back, and waits until that is done.
    pub async fn close(&self) {
        let (closed, done) = oneshot::channel();
        if self.orders.send(Order::Close { closed }).await.is_ok() {
            // Nothing is ever sent: it is closed when the other end is dropped.
            done.await.ok();
        }
    }

    async fn ask_for_done(&self, request: SessionRequest) -> Result<(), Error> {
        match self.ask(request, Vec::new()).await? {
            (SessionReply::Done, _) => Ok(()),
            (other, _) => Err(other_question(&other)),
        }
    }

    async fn ask(&self, request: SessionRequest, contents: Vec<Buffer>) -> Answer {
        let (answer, wait) = oneshot::channel();
        let order = Order::Ask { request, contents, answer };
        self.orders.send(order).await.map_err(|_| Error::Closed)?;
        wait.await.map_err(|_| Error::Closed)?
    }
}

fn other_question(reply: &SessionReply) -> Error {
    let reason = io::Error::other(format!("an answer to another question: {reply:?}"));
    Error::io("serve a session")(reason)
}

/// Owns the lease of a session; see the module's documentation.
struct Keeper {
    lease: Lease,
    orders: mpsc::Receiver<Order>,
    running: Option<Running>,
}

struct Running {
    spec: Box<RunSpec>,
    ended: oneshot::Sender<Result<Outcome, Error>>,
    spent: mpsc::Sender<()>,
    /// When the resident must have ended it.
    deadline: Instant,
}

impl Keeper {
    async fn keep(mut self) {
        let mut closed = None;
        match self.serve().await {
            Ok(asked) => {
                closed = asked;
                if let Err(error) = self.finish().await {
                    tracing::warn!(%error, "a session's slot is made anew");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a session's slot failed");
                if let Some(running) = self.running.take() {
                    // Whoever waited may have stopped.
                    drop(running.ended.send(Err(error)));
                }
            }
        }
        // A slot that was not settled is doubtful, and made anew.
        drop(self.lease);
        drop(closed);
    }

    /// Serves until it is asked to close, or nobody is left to ask anything.
    async fn serve(&mut self) -> Result<Option<oneshot::Sender<()>>, Error> {
        loop {
            let late = late(self.running.as_ref());
            let slot = self.lease.slot()?;
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(Order::Start { spec, streams, started }) => {
                        let program = self.start(spec, streams);
                        drop(started.send(program));
                    }
                    Some(Order::Ask { request, contents, answer }) => {
                        let reply = self.ask(request, &contents).await?;
                        drop(answer.send(Ok(reply)));
                    }
                    Some(Order::Close { closed }) => return Ok(Some(closed)),
                    None => return Ok(None),
                },
                message = slot.receive() => {
                    let message = message.map_err(Error::io("hear a session's slot"))?;
                    if let Some(reply) = self.take(message)? {
                        return Err(other_question(&reply.0));
                    }
                }
                () = late => return Err(self.silent()),
            }
        }
    }

    fn start(&mut self, spec: Box<RunSpec>, streams: Streams) -> Result<Program, Error> {
        let slot = self.lease.slot()?;
        if self.running.is_some() {
            return Err(slot.fault("start a program", "another one runs".to_owned()));
        }
        slot.launch(&spec, streams, Purpose::Session)?;
        let (ended, wait) = oneshot::channel();
        let (spent, told) = mpsc::channel(1);
        let deadline = Instant::now() + spec.limits.wall_time + RESIDENT_GRACE;
        self.running = Some(Running { spec, ended, spent, deadline });
        Ok(Program { ended: wait, spent: told })
    }

    /// Sends a request and waits for its answer; what else comes meanwhile is taken.
    async fn ask(
        &mut self,
        request: SessionRequest,
        contents: &[Buffer],
    ) -> Result<(SessionReply, Buffer), Error> {
        let slot = self.lease.slot()?;
        let contents: Vec<&[u8]> = contents.iter().map(|content| &**content).collect();
        slot.send(&Request::Session(request), &contents, &[])?;
        let deadline = tokio::time::Instant::now() + SESSION_ANSWER_TIME_MAX;
        loop {
            let slot = self.lease.slot()?;
            let message = match tokio::time::timeout_at(deadline, slot.receive()).await {
                Ok(message) => message.map_err(Error::io("hear a session's slot"))?,
                Err(_) => return Err(self.silent()),
            };
            if let Some(reply) = self.take(message)? {
                return Ok(reply);
            }
        }
    }

    /// Takes a message; what answers a request is handed back.
    fn take(
        &mut self,
        message: Option<Message<Reply>>,
    ) -> Result<Option<(SessionReply, Buffer)>, Error> {
        let slot = self.lease.slot()?;
        let Some(mut message) = message else {
            return Err(slot.fault("keep a session", "the resident has ended".to_owned()));
        };
        if matches!(message.header, Reply::Ended(_) | Reply::NotLaunched { .. }) {
            let Some(running) = self.running.take() else {
                return Err(slot.fault("keep a session", "an end of nothing".to_owned()));
            };
            let ending = slot.ending(&running.spec, message);
            drop(running.ended.send(ending));
            return Ok(None);
        }
        match message.header {
            Reply::Session(SessionReply::Spent) => {
                // One word that was not yet heard says as much as two.
                self.running.as_ref().map(|running| running.spent.try_send(()));
                Ok(None)
            }
            Reply::Session(reply) => {
                let bytes = message.payload.remaining();
                if bytes > SESSION_FILE_BYTES_MAX as u64 {
                    return Err(slot.fault("keep a session", "an answer too long".to_owned()));
                }
                let content = message.payload.take(bytes).map_err(Error::io("take an answer"))?;
                Ok(Some((reply, content.into())))
            }
            other @ (Reply::Ready
            | Reply::Installed
            | Reply::Ended(_)
            | Reply::NotLaunched { .. }
            | Reply::Failed { .. }) => Err(slot.unexpected("keep a session", &other)),
        }
    }

    /// Ends the program and has its traces removed.
    async fn finish(&mut self) -> Result<(), Error> {
        if self.running.is_some() {
            self.ask(SessionRequest::End, &[]).await?;
        }
        let deadline = tokio::time::Instant::now() + SESSION_ANSWER_TIME_MAX;
        while self.running.is_some() {
            let slot = self.lease.slot()?;
            let message = match tokio::time::timeout_at(deadline, slot.receive()).await {
                Ok(message) => message.map_err(Error::io("hear a session's slot"))?,
                Err(_) => return Err(self.silent()),
            };
            self.take(message)?;
        }
        match self.ask(SessionRequest::Forget, &[]).await? {
            (SessionReply::Done, _) => {
                self.lease.slot()?.settle();
                Ok(())
            }
            (other, _) => Err(other_question(&other)),
        }
    }

    fn silent(&mut self) -> Error {
        match self.lease.slot() {
            Ok(slot) => slot.fault("keep a session", "the resident does not answer".to_owned()),
            Err(error) => error,
        }
    }
}

/// Ready when a program should have ended long ago.
async fn late(running: Option<&Running>) {
    match running {
        Some(running) => tokio::time::sleep_until(running.deadline.into()).await,
        None => std::future::pending().await,
    }
}
