//! The judge: a submission becomes a verdict and a reward.
//!
//! 1. [`api`] takes a request, bounds it, and words every error.
//! 2. [`task`], [`submission`] and [`problem`] check it once; what is left is valid by type. [`extract`] takes
//!    the program out of a model's completion; [`language`] knows the toolchains.
//! 3. [`tenants`] tells whose it is, [`admission`] lets it in, or says when to come back. [`batch`]
//!    judges what one request holds, [`batches`] keeps what outlives its connection, [`events`] its
//!    numbered results. [`schedule`] is fair between tenants, priorities and requests.
//! 4. [`pipeline`] is the flow: [`plan`] decides what runs, [`compile`] and [`run`] run it in
//!    [`slots`], [`grade`] makes verdicts of outcomes, [`mod@reward`] makes a number of a verdict.
//!    [`answer`] is the same for answers: rules of the crate `math` first, a [`reward_model`] for
//!    what no rule decides.
//!    [`companions`] are the problem's own programs, [`interact`] lets one talk with a submission;
//!    [`contention`] tells when a time limit must be looked at twice, [`store`] remembers.
//!    [`execution`] runs programs for callers that judge for themselves.
//! 5. [`report`] is what is known at the end, and how it goes on the wire.
//! 6. [`assertion`] and `drivers/` make assertion programs prove that they ran to their end, [`call`]
//!    calls functions with data alone.
//! 7. [`suite`] is for problems that are judged by tests with names.
//! 8. [`telemetry`] counts and logs, [`stats`] keeps what the operator's page shows; [`config`] and [`limits`] hold what can be set and what not.
//!
//! `plan`, `grade`, `reward`, `extract` and `assertion` do no I/O, read no clock and draw no random
//! number. A fault of ours is never a verdict and never a reward.
#![forbid(unsafe_code)]

pub mod admission;
pub mod answer;
pub mod api;
pub mod assertion;
pub mod batch;
pub mod batches;
pub mod call;
pub mod companions;
pub mod compile;
pub mod config;
pub mod contention;
pub mod events;
pub mod execution;
pub mod extract;
pub mod grade;
pub mod interact;
pub mod java;
pub mod language;
pub mod limits;
pub mod pipeline;
pub mod plan;
pub mod policy;
pub mod problem;
pub mod report;
pub mod reward;
pub mod reward_model;
pub mod run;
pub mod schedule;
pub mod session;
pub mod slots;
pub mod stats;
pub mod store;
pub mod submission;
pub mod suite;
pub mod task;
pub mod telemetry;
pub mod tenants;
