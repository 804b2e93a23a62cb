//! What the system tests stand on: the real service as a child process, an HTTP client, and a
//! record of the machine that shows whatever a test left behind.
//!
//! Nothing here is faked and nothing here judges: a test states what it expects, the harness
//! starts, asks, stops and looks. Waiting is always for an event, with a deadline.

pub mod baseline;
pub mod browser;
pub mod deadline;
pub mod http;
pub mod humaneval;
pub mod process;
pub mod program;
pub mod reward_server;
pub mod service;
pub mod skip;

pub use baseline::Baseline;
pub use browser::{Browser, Screen};
pub use http::{Client, Reply};
pub use reward_server::RewardServer;
pub use service::{Service, ServiceConfig};
