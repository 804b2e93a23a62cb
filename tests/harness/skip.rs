//! A missing privilege is a failure unless the caller allowed it, and then it is counted.

use std::sync::OnceLock;

use sandbox::preflight::{State, preflight};

/// Why no slot can be built on this host; `None` where one can.
#[must_use]
pub fn slots_missing() -> Option<String> {
    static MISSING: OnceLock<Option<String>> = OnceLock::new();
    MISSING.get_or_init(look).clone()
}

fn look() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("these tests start as root, also those of the rootless mode".to_owned());
    }
    let off: Vec<String> = preflight()
        .into_iter()
        .filter(|layer| layer.state == State::Off)
        .map(|layer| format!("{}: {} ({})", layer.name, layer.detail, layer.advice))
        .collect();
    if off.is_empty() { None } else { Some(off.join("; ")) }
}

/// Whether `ALLOW_MISSING` (comma-separated) names `what`.
#[must_use]
pub fn is_allowed(what: &str) -> bool {
    std::env::var("ALLOW_MISSING").is_ok_and(|list| list.split(',').any(|item| item.trim() == what))
}
