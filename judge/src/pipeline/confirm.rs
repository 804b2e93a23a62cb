//! A time limit that a program met while the machine was busy is looked at again, alone.

use sandbox::outcome::Termination;
use sandbox::{Outcome, RunSpec};

use super::{Judge, Trouble};
use crate::contention;
use crate::run::Runner;

/// Whether time ran out.
#[must_use]
pub(super) fn is_late(outcome: &Outcome) -> bool {
    matches!(outcome.termination, Termination::CpuTimeLimit | Termination::WallTimeLimit)
}

impl Judge {
    /// Runs a program, and again by itself where its time ran out on a busy machine, unless it is
    /// `known_late`. Returns whether it was run again.
    ///
    /// # Errors
    /// The slot failed.
    pub(crate) async fn run_confirmed(
        &self,
        runner: &mut Runner,
        spec: RunSpec,
        known_late: bool,
    ) -> Result<(Outcome, bool), Trouble> {
        let moment = contention::Moment::recent();
        let outcome = {
            let _shared = self.beside_others().await;
            runner.run(&spec).await?
        };
        // Looked at only where it matters.
        let counted =
            runner.counts_instructions && outcome.termination == Termination::CpuTimeLimit;
        let busy = (is_late(&outcome) && !known_late && !counted).then(|| moment.until_now());
        let Some(contention) = busy.filter(|contention| contention.is_busy()) else {
            return Ok((outcome, false));
        };
        let wall_time = contention.stretched(spec.bounds().wall_time);
        let again = spec.wall_time(wall_time)?;
        let outcome = {
            let _alone = self.alone.write().await;
            runner.run(&again).await?
        };
        self.metrics.confirmed();
        Ok((outcome, true))
    }
}
