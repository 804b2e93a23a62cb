//! What limits and measures the runs of a slot: control groups, or without them the processes
//! themselves.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use crate::kernel::account::{self, Account};
use crate::kernel::gauges::{self, Door, Gauges, Verge};
use crate::kernel::process::Reaped;
use crate::limits::{Bytes, Limits};

/// Held by the resident.
#[derive(Debug)]
pub(crate) enum Meters {
    /// The groups, and their counters at the start of the run.
    Groups(Gauges, gauges::Start),
    /// No groups: see [`crate::kernel::account`].
    Account(Account),
}

impl Meters {
    pub(crate) fn of_groups(groups: Gauges) -> Self {
        Self::Groups(groups, gauges::Start::default())
    }

    pub(crate) fn of_processes(processes: OwnedFd) -> io::Result<Self> {
        Account::new(processes).map(Self::Account)
    }

    /// How a child comes into the groups of this run.
    pub(crate) fn door(&self) -> Option<Door<'_>> {
        match self {
            Self::Groups(groups, _) => Some(groups.door()),
            Self::Account(_) => None,
        }
    }

    /// Sets the limits and notes the counters.
    pub(crate) fn start(&mut self, limits: &Limits) -> io::Result<()> {
        match self {
            Self::Groups(groups, start) => *start = groups.start(limits)?,
            Self::Account(account) => account.start(limits)?,
        }
        Ok(())
    }

    /// Processes of the run that are alive or not yet reaped; 0 means that there is none.
    pub(crate) fn members(&self) -> io::Result<u64> {
        match self {
            Self::Groups(groups, _) => groups.members(),
            Self::Account(account) => account.members(),
        }
    }

    /// Takes note of a process that has been reaped.
    pub(crate) fn charge(&mut self, reaped: &Reaped) {
        match self {
            Self::Groups(..) => {}
            Self::Account(account) => account.charge(reaped),
        }
    }

    /// The longest that a run may go without being looked at.
    pub(crate) fn look_interval(&self) -> Duration {
        match self {
            Self::Groups(..) => Duration::MAX,
            Self::Account(_) => account::LOOK_INTERVAL,
        }
    }

    /// Processor time since the start.
    pub(crate) fn cpu_time(&mut self) -> io::Result<Duration> {
        match self {
            Self::Groups(groups, start) => groups.cpu_time(start),
            Self::Account(account) => account.look(),
        }
    }

    /// Whether the run had the memory that it wanted.
    pub(crate) fn memory(&self) -> io::Result<Verge> {
        match self {
            Self::Groups(groups, start) => groups.memory(start),
            Self::Account(account) if account.memory_exhausted() => Ok(Verge::Exhausted),
            Self::Account(_) => Ok(Verge::Within),
        }
    }

    /// Readable when the kernel is about to kill a process of the run for memory.
    pub(crate) fn alarm(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Groups(groups, _) => groups.alarm(),
            Self::Account(_) => None,
        }
    }

    /// Makes the alarm ready to ring again.
    pub(crate) fn silence(&self) -> io::Result<()> {
        match self {
            Self::Groups(groups, _) => groups.silence(),
            Self::Account(_) => Ok(()),
        }
    }

    /// Largest memory since the start. `largest` is that of the largest process, as it was reaped.
    pub(crate) fn peak_memory(&self, largest: Bytes) -> io::Result<Bytes> {
        match self {
            Self::Groups(groups, start) => Ok(groups.peak_memory(start)?.max(largest)),
            Self::Account(account) => Ok(account.peak_memory().max(largest)),
        }
    }
}
