//! The kernel's mechanisms, one file each: the only `unsafe` of the crate.
//!
//! Each file wraps its system calls in small safe functions, typed in and out. What they are used
//! for, and in which order, is told in [`crate::builder`], [`crate::resident`] and [`crate::child`].

pub(crate) mod account;
pub(crate) mod cgroup;
pub(crate) mod code;
mod counters;
pub(crate) mod credentials;
pub(crate) mod delegation;
pub(crate) mod descriptors;
pub(crate) mod gauges;
pub(crate) mod mount;
pub(crate) mod network;
pub(crate) mod process;
pub(crate) mod seccomp;
pub(crate) mod template;
pub(crate) mod tree;
