//! Stateful sessions: Python, Bash or a Jupyter kernel, kept in a slot of its own between cells.
//!
//! `spec` reads the request, `registry` finds room and keeps the names, `program` starts the engine,
//! `driver` runs cells and ends what does not end by itself, `dialogue` reads what engines answer.
//! The engines are `drivers/session/`: programs in the slot, which cells share and can break; what
//! they say is believed nowhere (`dialogue`).
//!
//! `run` runs a list of cells in a session of their own, `notebook` makes that of a notebook and grades
//! it.
//!
//! An engine's end is not the session's: its files stay, and it can be restarted. A session ends when
//! it is closed, when its time is over, or when its slot fails.

mod cell;
pub mod dialogue;
pub mod driver;
pub mod handle;
pub mod metrics;
pub mod notebook;
pub mod outputs;
pub mod program;
pub mod registry;
pub mod run;
pub mod spec;

pub use handle::{Cell, Handle, NotTaken};
pub use metrics::SessionMetrics;
pub use outputs::Outputs;
pub use registry::{NotOpened, Room, Sessions, Whose};
pub use run::{CellRun, CellsRequest, CellsRun, run_cells};
pub use spec::{OpenError, SessionRules, ValidSession, warmup};
