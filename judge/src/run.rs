//! The run stage: one lease, the files installed once, the programs one after the other.

use sandbox::spec::InputFile;
use sandbox::{Error, Image, Outcome, RunSpec};

use crate::slots::{SlotLease, Slots};

/// A slot with everything in place.
pub struct Runner {
    lease: Box<dyn SlotLease>,
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").finish_non_exhaustive()
    }
}

impl Runner {
    /// Leases a slot that shows `image`, or what slots show by default, and installs `files`.
    ///
    /// # Errors
    /// The slot failed.
    pub async fn new(
        slots: &dyn Slots,
        image: Option<&Image>,
        files: &[InputFile],
    ) -> Result<Self, Error> {
        let mut lease = slots.lease(image).await?;
        if !files.is_empty() {
            lease.install(files).await?;
        }
        Ok(Self { lease })
    }

    /// Runs one program to its end.
    ///
    /// # Errors
    /// The slot failed; what the program does is no error.
    pub async fn run(&mut self, spec: &RunSpec) -> Result<Outcome, Error> {
        self.lease.run(spec).await
    }
}
