//! Runs one untrusted program in full isolation and reports the facts.
//!
//! # Theory of operation
//!
//! Three kinds of processes take part:
//!
//! - The **supervisor** is the process that uses this library, with its own privileges, in the
//!   machine's namespaces. It owns a [`SlotPool`] and never shares memory with what it supervises.
//! - A **resident** for each slot: the same program started anew ([`resident_entry`]), PID 1 of the
//!   slot's pid namespace, root of its user namespace and nobody outside. It starts, watches and
//!   measures runs, one at a time, and outlives them. It ends when the supervisor's socket closes,
//!   and everything in the slot ends with it.
//! - A **run**: the untrusted program and whatever it starts, as an ordinary user of the slot, with
//!   no capability, under a system call filter, in control groups of its own.
//!
//! One socket joins supervisor and resident; a request goes in, a reply comes out. Programs get three
//! descriptors and no other: standard input (a sealed file), and two pipes that the resident drains.
//!
//! | made once for each slot | fresh for each run |
//! |---|---|
//! | user, pid, mount, network, uts and cgroup namespaces; identity range; control groups; mounts; filter | ipc namespace; processes; the content of the writable layer; counters; credentials; limits |
//!
//! **The mount namespace is kept.** Making one for each run costs more than all else together, and
//! its end waits for the whole machine (RCU grace periods, one after the other): 2 600 against 11 700
//! runs a second on two processors. What a run could leave in it is files in the writable layer, as
//! the mounts belong to the machine's user namespace and no run can change them. So the layer's
//! folders are removed and made anew after each run, and the number of free blocks and inodes must be
//! what it was. A program that leaves more than is worth removing one by one costs its slot: it is
//! destroyed and built anew aside.
//!
//! **The pid namespace is kept**, with the resident as its first process, so that `/proc` shows the
//! numbers that programs know, and signals have their usual meaning (PID 1 of a namespace is immune
//! to most). After each run the resident kills all others in one call, which the kernel does with the
//! task list held, and reaps until it has no child: every orphan becomes its child, so that proves
//! the namespace empty.
//!
//! **Control groups.** Limits and counters lie in groups that are made once; each run uses one of two,
//! in turn. On version 1 its first process joins them before exec. On version 2 it is cloned into its
//! group, since joining waits for the whole machine there; the resident, which makes that call, stays
//! in a group beside, and the slot's own is the root of what the slot sees. As a filter cannot look at
//! the flags of that call (`clone3`), the resident's filter allows it and each run adds the part that
//! does not. Where the service is not alone in its group, see `kernel/delegation.rs`.
//!
//! **Memory.** A run ends as soon as the kernel kills any of its processes for memory: on version 1 the
//! group's alarm wakes the resident, on version 2 the whole group is killed. A kill below the run's own
//! limit is the want of the machine, or of a group above: a fault of ours, told as such.
//!
//! **Children prepared ahead** (cloned and waiting before the exec) are refused: a prototype's
//! were 0.05 ms faster than a run of 0.12 ms, and they hold a process, its groups' counters and its identity for a program
//! that may never come.
//!
//! **Without root** the slot has one identity, its caller's, and the barriers that hang on having
//! several are others: `privilege.rs` tells which, [`preflight::preflight`] what is weaker.
//!
//! Why a run cannot see or harm another: *earlier and later* ones, because no process, ipc object or
//! file outlives its run and the next request is read only after the proofs; *parallel* ones, because
//! they have other ids, namespaces, control groups and inodes (images are shown through an overlay of
//! each slot's own, so that locks on shared files are not seen by others).

pub(crate) mod audience;
pub(crate) mod builder;
pub(crate) mod child;
pub(crate) mod control;
pub mod error;
pub mod image;
pub(crate) mod kernel;
pub mod limits;
pub(crate) mod meters;
pub mod outcome;
pub mod pool;
pub mod preflight;
pub(crate) mod privilege;
pub(crate) mod registry;
pub mod resets;
pub(crate) mod resident;
pub(crate) mod run;
pub mod session;
pub(crate) mod slot;
pub mod spec;
pub mod warm;
pub mod wasm;

use std::sync::atomic::{AtomicBool, Ordering};

pub use error::Error;
pub use image::Image;
pub use limits::Limits;
pub use outcome::Outcome;
pub use pool::{Lease, PoolConfig, PoolStatus, SlotPool};
pub use resets::OnReset;
pub use session::Session;
pub use spec::RunSpec;
pub use wasm::{WasmLease, WasmPool};

static ENTERED: AtomicBool = AtomicBool::new(false);

/// Becomes a slot's resident, or a worker that runs modules, where a supervisor started this program as
/// one, and then does not return; otherwise returns at once. Must be the first statement of `main` of
/// every program that makes a [`SlotPool`] or a [`wasm::WasmPool`]: slots and workers are started from
/// the program itself, so that nothing else has to be installed or found.
#[expect(clippy::exit, reason = "a resident never returns to the main of its supervisor")]
pub fn resident_entry() {
    if std::env::args_os().next().is_some_and(|name| name == slot::RESIDENT_NAME) {
        builder::main();
        std::process::exit(0);
    }
    if std::env::args_os().next().is_some_and(|name| name == wasm::worker::WORKER_NAME) {
        wasm::worker::main();
        std::process::exit(0);
    }
    ENTERED.store(true, Ordering::Relaxed);
}

fn entered() -> bool {
    ENTERED.load(Ordering::Relaxed)
}
