//! Proof that assertions ran to their end.
//!
//! Each run is handed a [`Secret`] that nobody can know beforehand; the driver in the slot writes
//! it once, as the last thing, after the last assertion. A program that leaves early by whatever
//! door never gets there, and an exit code of 0 alone proves nothing.

use std::fmt;

/// Bytes of randomness in a secret.
pub const SECRET_BYTES: usize = 16;

/// A one-time value, as lower-case hexadecimal digits.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret made of random bytes.
    #[must_use]
    pub fn new(random: [u8; SECRET_BYTES]) -> Self {
        Self(random.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} digits)", self.0.len())
    }
}

/// Splits output into what the program wrote and whether the proof follows it: a newline, the
/// secret and a newline at the very end, and the secret nowhere before.
#[must_use]
pub fn split<'a>(output: &'a [u8], secret: &Secret) -> (&'a [u8], Proof) {
    let line = format!("\n{}\n", secret.as_str());
    match output.strip_suffix(line.as_bytes()) {
        Some(rest) if !contains(rest, secret.as_str().as_bytes()) => (rest, Proof::Present),
        Some(_) | None => (output, Proof::Absent),
    }
}

/// Whether the proof was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Exactly once, at the end.
    Present,
    /// Not, not at the end, or more than once.
    Absent,
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> Secret {
        Secret::new([0xab; SECRET_BYTES])
    }

    fn present(output: &str) -> bool {
        split(output.as_bytes(), &secret()).1 == Proof::Present
    }

    #[test]
    fn the_proof_counts_once_and_only_at_the_end() {
        let digits = "ab".repeat(SECRET_BYTES);
        assert!(present(&format!("\n{digits}\n")));
        assert_eq!(split(format!("hi\n{digits}\n").as_bytes(), &secret()).0, b"hi");
        assert!(!present(""));
        assert!(!present(&format!("{digits}\n")));
        assert!(!present(&format!("\n{digits}")));
        assert!(!present(&format!("\n{digits}\nmore")));
        assert!(!present(&format!("\n{digits}\n\n{digits}\n")));
        assert!(!present(&format!("x{digits}y\n{digits}\n")));
    }

    #[test]
    fn the_proof_of_another_run_is_worth_nothing() {
        let other = Secret::new([0xac; SECRET_BYTES]);
        let output = format!("\n{}\n", other.as_str());
        assert!(!present(&output));
    }

    #[test]
    fn a_secret_does_not_show_in_debug_output() {
        assert!(!format!("{:?}", secret()).contains("ab"));
    }
}
