//! What makes two things the same: a digest of all that they depend on.

/// A digest of everything that a result depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity(pub [u8; 32]);

impl std::io::Write for Digest {
    fn write(&mut self, part: &[u8]) -> std::io::Result<usize> {
        sha2::Digest::update(&mut self.0, part);
        Ok(part.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Makes an [`Identity`]; each part goes in with its length, so that no two lists of parts are alike.
#[derive(Debug)]
pub struct Digest(sha2::Sha256);

impl Digest {
    /// An empty one for `what`.
    #[must_use]
    pub fn new(what: &str) -> Self {
        let mut digest = Self(sha2::Digest::new());
        digest.add(what.as_bytes());
        digest.add(env!("CARGO_PKG_VERSION").as_bytes());
        digest
    }

    /// Adds a part.
    pub fn add(&mut self, part: &[u8]) {
        sha2::Digest::update(&mut self.0, (part.len() as u64).to_le_bytes());
        sha2::Digest::update(&mut self.0, part);
    }

    /// Adds a value as JSON.
    pub fn add_json(&mut self, value: &impl serde::Serialize) {
        // It hashes as it goes, and a hash cannot fail to take what it is given.
        drop(serde_json::to_writer(self, value));
    }

    /// The identity of all parts.
    #[must_use]
    pub fn finish(self) -> Identity {
        Identity(sha2::Digest::finalize(self.0).into())
    }
}
