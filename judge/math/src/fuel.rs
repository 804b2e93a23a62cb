//! The budget of one comparison. Each unit of work is paid before it is done;
//! when the budget is gone the comparison ends as undecided, never as different.

use crate::limits;

/// Work is over: the budget of this comparison is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exhausted;

/// Remaining units of work.
#[derive(Debug, Clone)]
pub(crate) struct Fuel {
    left: u64,
}

impl Fuel {
    pub(crate) fn new() -> Self {
        Self { left: limits::FUEL }
    }

    /// Pays `units`, or empties the tank and reports that it is empty.
    pub(crate) fn spend(&mut self, units: u64) -> Result<(), Exhausted> {
        match self.left.checked_sub(units) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                self.left = 0;
                Err(Exhausted)
            }
        }
    }

    pub(crate) fn spent(&self) -> u64 {
        limits::FUEL - self.left
    }
}
