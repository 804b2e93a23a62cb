//! How long a slot takes to be as it was before a run. A resident measures that beside the run; with the
//! end of the next run, whoever made the pool hears of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A part of a slot that is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The writable layer is emptied and proven empty, after the run.
    Layer,
    /// The control groups get the limits of a run, and their counters are noted, before it.
    Groups,
}

/// Who hears of resets.
#[derive(Clone)]
pub struct OnReset(Arc<dyn Fn(Part, Duration) + Send + Sync>);

impl OnReset {
    /// Calls `hear` for each.
    pub fn new(hear: impl Fn(Part, Duration) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hear))
    }

    pub(crate) fn tell(&self, times: &ResetTimes) {
        if let Some(time) = &times.layer {
            (self.0)(Part::Layer, *time);
        }
        if let Some(time) = &times.groups {
            (self.0)(Part::Groups, *time);
        }
    }
}

impl fmt::Debug for OnReset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnReset")
    }
}

/// What a resident measured since it last said so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ResetTimes {
    pub(crate) layer: Option<Duration>,
    pub(crate) groups: Option<Duration>,
}
