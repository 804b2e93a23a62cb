//! What a pool does beside those who lease: ending runs that nobody waits for, and building slots anew.
//! Each thread ends when the pool is gone.

use std::sync::{Weak, mpsc};

use super::{Pool, destroy_all};
use crate::slot::Slot;

/// What the rebuilder is given.
#[derive(Debug)]
pub(super) enum Work {
    /// A doubtful slot, to be made anew.
    Rebuild(Slot),
    /// A slot that is one too many.
    Discard(Slot),
}

impl Work {
    pub(super) fn into_slot(self) -> Slot {
        match self {
            Self::Rebuild(slot) | Self::Discard(slot) => slot,
        }
    }
}

/// The thread that waits for the ends of abandoned runs, beside that which builds: an end takes a
/// millisecond. Ends when the pool is gone.
pub(super) fn end_runs(abandoned: &mpsc::Receiver<Slot>, pool: &Weak<Pool>) {
    while let Ok(mut slot) = abandoned.recv() {
        slot.await_end();
        match pool.upgrade() {
            Some(pool) => pool.finish_ending(slot),
            None => destroy_all(vec![slot]),
        }
    }
}

/// The rebuilder's thread: ends when the pool is gone.
pub(super) fn rebuild(work: &mpsc::Receiver<Work>, pool: &Weak<Pool>) {
    while let Ok(work) = work.recv() {
        let slot = match work {
            Work::Discard(slot) => {
                destroy_all(vec![slot]);
                continue;
            }
            Work::Rebuild(slot) => slot,
        };
        let (image, cpu) = (slot.image.clone(), slot.cpu);
        destroy_all(vec![slot]);
        let Some(pool) = pool.upgrade() else { return };
        pool.finish_building(pool.build_again(&image, cpu));
    }
}
