//! Read-only roots.

/// A read-only root.
#[derive(Clone, Debug)]
pub struct Image {}

impl Image {
    /// The machine's own `/usr` and the few files of `/etc` that toolchains read.
    pub fn host() -> Result<Self, crate::error::Error> { todo!() }
    /// Whether `path` (absolute, inside the image) is an executable file; `None` where not.
    pub fn has_executable(&self, path: &str) -> bool { todo!() }
}
