//! The run stage: one lease, the files installed once, the programs one after the other.

use sandbox::spec::InputFile;
use sandbox::{Error, Outcome, RunSpec};

use crate::limits::{INSTALL_FILES_MAX, INSTALL_PATHS_BYTES_MAX};
use crate::slots::{Place, SlotLease, Slots};

/// A slot with everything in place.
pub struct Runner {
    lease: Box<dyn SlotLease>,
    /// Whether cpu time is counted in instructions, the same however busy the machine is.
    pub(crate) counts_instructions: bool,
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").finish_non_exhaustive()
    }
}

impl Runner {
    /// Leases a place and installs `files`.
    ///
    /// # Errors
    /// The slot failed.
    pub async fn new(
        slots: &dyn Slots,
        place: Place<'_>,
        files: &[InputFile],
    ) -> Result<Self, Error> {
        let mut lease = slots.lease(place).await?;
        for files in chunks(files) {
            lease.install(files).await?;
        }
        Ok(Self { lease, counts_instructions: matches!(place, Place::Wasm) })
    }

    /// Runs one program to its end.
    ///
    /// # Errors
    /// The slot failed; what the program does is no error.
    pub async fn run(&mut self, spec: &RunSpec) -> Result<Outcome, Error> {
        self.lease.run(spec).await
    }
}

/// Files in as many parts as it takes for each to fit into a message to a slot.
fn chunks(mut files: &[InputFile]) -> Vec<&[InputFile]> {
    let mut parts = Vec::new();
    while !files.is_empty() {
        let mut bytes = 0;
        let fits = |file: &&InputFile| {
            bytes += file.path.as_str().len();
            bytes <= INSTALL_PATHS_BYTES_MAX
        };
        let count = files.iter().take(INSTALL_FILES_MAX).take_while(fits).count().max(1);
        let (part, rest) = files.split_at(count);
        parts.push(part);
        files = rest;
    }
    parts
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use sandbox::spec::{FileMode, RelativePath};

    use super::*;

    #[test]
    fn files_are_installed_in_parts_that_fit_and_none_is_lost() {
        let file = |length: usize, at: usize| InputFile {
            path: RelativePath::new(format!("{at:0length$}")).unwrap(),
            content: Bytes::new(),
            mode: FileMode::Plain,
        };
        assert!(chunks(&[]).is_empty());
        for (count, length) in
            [(1, 5), (INSTALL_FILES_MAX, 5), (INSTALL_FILES_MAX + 1, 5), (600, 200)]
        {
            let files: Vec<_> = (0..count).map(|at| file(length, at)).collect();
            let parts = chunks(&files);
            assert_eq!(parts.iter().map(|part| part.len()).sum::<usize>(), count);
            for part in &parts {
                let bytes: usize = part.iter().map(|file| file.path.as_str().len()).sum();
                assert!(part.len() <= INSTALL_FILES_MAX && bytes <= INSTALL_PATHS_BYTES_MAX);
            }
        }
    }
}
