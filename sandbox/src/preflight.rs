//! Is this host fit? Layer by layer.

/// Whether a layer is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Active.
    On,
    /// Weaker than it could be; runs are still isolated.
    Degraded,
    /// Missing, and runs are not isolated without it.
    Off,
}

/// One isolation layer or one source of timing noise.
#[derive(Clone, Debug)]
pub struct Layer {
    /// For instance `user namespace`.
    pub name: &'static str,
    /// Whether it is there.
    pub state: State,
    /// What was found.
    pub detail: String,
    /// What to do where it is not on; empty otherwise.
    pub advice: String,
}

/// Looks at the host; changes nothing that outlives the call.
pub fn preflight() -> Vec<Layer> { todo!() }
