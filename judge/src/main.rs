//! `assay`: the service, and the same judging from the command line.
#![forbid(unsafe_code)]

use std::process::ExitCode;

mod command;

fn main() -> ExitCode {
    sandbox::resident_entry();
    command::main()
}
